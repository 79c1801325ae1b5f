//! What is to be computed, shared between the callers and the threads.
//!
//! Calls take turns: each time a thread is free, the call whose turn it is gets one step, the tokens of a few texts or
//! one run of the model. So a question never waits for a whole ingest.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use arshai_core::{Error, Result, embed::EmbeddingBatch};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::model::{DIMENSION, add, normalise};

/// Texts whose tokens are one step. Among these, inputs of similar length are run together.
const TEXTS_AT_ONCE: usize = 64;

/// Tokens of one run, with padding: more are no faster, and a question behind them waits longer.
const TOKENS_AT_ONCE: usize = 512;

/// One input of the model: a text, or a part of a long one.
#[derive(Debug)]
pub(crate) struct Part {
    /// Which text of the call.
    pub(crate) text: usize,
    /// With begin and end.
    pub(crate) ids: Vec<i32>,
}

/// What a thread does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Turn texts into inputs; the first is number `first` of its call.
    Tokens { call: u64, first: usize, texts: Vec<String> },
    /// Run the model.
    Run { call: u64, parts: Vec<Part> },
}

/// A call in the queue.
#[derive(Debug)]
struct Call {
    texts: Vec<String>,
    /// Texts before this one have become inputs.
    next: usize,
    runs: Vec<Vec<Part>>,
    /// Steps that threads work on now.
    working: usize,
    queued: bool,
    sums: Vec<f32>,
    failures: Vec<Option<Error>>,
    tokens: u64,
    reply: oneshot::Sender<Result<EmbeddingBatch>>,
    _place: OwnedSemaphorePermit,
}

impl Call {
    fn has_step(&self) -> bool {
        !self.runs.is_empty() || self.next < self.texts.len()
    }

    fn step(&mut self, call: u64) -> Option<Step> {
        if let Some(parts) = self.runs.pop() {
            return Some(Step::Run { call, parts });
        }
        let first = self.next;
        let last = self.texts.len().min(first.saturating_add(TEXTS_AT_ONCE));
        let texts: Vec<String> = self.texts.get_mut(first..last)?.iter_mut().map(std::mem::take).collect();
        self.next = last;
        (!texts.is_empty()).then_some(Step::Tokens { call, first, texts })
    }

    fn row(&mut self, text: usize) -> Option<&mut [f32]> {
        let start = text.checked_mul(DIMENSION)?;
        self.sums.get_mut(start..start.checked_add(DIMENSION)?)
    }

    fn fail(&mut self, text: usize, error: Error) {
        if let Some(failure) = self.failures.get_mut(text) {
            failure.get_or_insert(error);
        }
    }

    fn finish(mut self) {
        for text in 0..self.failures.len() {
            let failed = self.failures.get(text).is_none_or(Option::is_some);
            let outcome = self.row(text).map(normalise);
            if let (false, Some(Err(error))) = (failed, outcome) {
                self.fail(text, error);
            }
        }
        let batch = EmbeddingBatch::partial(DIMENSION, self.sums, self.failures).map(|mut batch| {
            batch.tokens = Some(self.tokens);
            batch
        });
        // The caller may be gone; then nobody wants it.
        let _ = self.reply.send(batch);
    }
}

#[derive(Debug, Default)]
struct State {
    calls: HashMap<u64, Call>,
    /// Calls with a step to do, in turn.
    turns: VecDeque<u64>,
    last: u64,
    closing: bool,
}

impl State {
    /// The next step, and calls that nobody waits for any more leave.
    fn step(&mut self) -> Option<Step> {
        while let Some(number) = self.turns.pop_front() {
            let Some(call) = self.calls.get_mut(&number) else { continue };
            call.queued = false;
            if call.reply.is_closed() {
                self.calls.remove(&number);
                continue;
            }
            if let Some(step) = call.step(number) {
                call.working += 1;
                self.take_turn(number);
                return Some(step);
            }
        }
        None
    }

    fn take_turn(&mut self, number: u64) {
        if let Some(call) = self.calls.get_mut(&number) {
            if call.has_step() && !call.queued {
                call.queued = true;
                self.turns.push_back(number);
            }
        }
    }

    /// After a step: more to do, or all done.
    fn stepped(&mut self, number: u64) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.working = call.working.saturating_sub(1);
        if call.has_step() {
            self.take_turn(number);
        } else if call.working == 0 {
            if let Some(call) = self.calls.remove(&number) {
                call.finish();
            }
        }
    }
}

/// The queue. A thread waits in [`Queue::next`] and brings what it computed back.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    /// Adds a call of at least one text; its outcome comes through the receiver, or nothing when the queue is closing.
    pub(crate) fn push(
        &self,
        texts: Vec<String>,
        place: OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Result<EmbeddingBatch>> {
        let (reply, outcome) = oneshot::channel();
        let call = Call {
            sums: vec![0.0; texts.len() * DIMENSION],
            failures: texts.iter().map(|_| None).collect(),
            texts,
            next: 0,
            runs: Vec::new(),
            working: 0,
            queued: false,
            tokens: 0,
            reply,
            _place: place,
        };
        let mut state = self.lock();
        if state.closing {
            // The threads may be gone already.
            return outcome;
        }
        state.last += 1;
        let number = state.last;
        state.calls.insert(number, call);
        state.take_turn(number);
        drop(state);
        self.changed.notify_all();
        outcome
    }

    /// The next step; waits for one. `None` when the queue is closing and everything is done.
    pub(crate) fn next(&self) -> Option<Step> {
        let mut state = self.lock();
        loop {
            if let Some(step) = state.step() {
                // Another thread may do the next one of this call.
                self.changed.notify_one();
                return Some(step);
            }
            if state.closing && state.calls.is_empty() {
                self.changed.notify_all();
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The inputs of `texts`, an outcome for each.
    pub(crate) fn tokens_done(&self, number: u64, texts: Range<usize>, outcomes: Vec<Result<Vec<Vec<i32>>>>) {
        let mut parts = Vec::new();
        let mut state = self.lock();
        if let Some(call) = state.calls.get_mut(&number) {
            for (text, outcome) in texts.zip(outcomes) {
                match outcome {
                    Ok(inputs) => parts.extend(inputs.into_iter().map(|ids| Part { text, ids })),
                    Err(error) => call.fail(text, error),
                }
            }
            call.tokens += parts.iter().map(|part| part.ids.len() as u64).sum::<u64>();
            call.runs.extend(runs(parts));
        }
        state.stepped(number);
        drop(state);
        self.changed.notify_all();
    }

    /// The vectors of `parts`, or why there are none. Of several, each is then run alone: a bad one fails alone.
    pub(crate) fn run_done(&self, number: u64, parts: Vec<Part>, outcome: Result<Vec<Vec<f32>>>) {
        let mut state = self.lock();
        if let Some(call) = state.calls.get_mut(&number) {
            match outcome {
                Ok(vectors) => {
                    for (part, vector) in parts.iter().zip(vectors) {
                        if let Some(row) = call.row(part.text) {
                            add(row, &vector, part.ids.len().saturating_sub(2).max(1) as f32);
                        }
                    }
                }
                Err(_) if parts.len() > 1 => call.runs.extend(parts.into_iter().map(|part| vec![part])),
                Err(error) => {
                    for part in &parts {
                        call.fail(part.text, error.duplicate());
                    }
                }
            }
        }
        state.stepped(number);
        drop(state);
        self.changed.notify_all();
    }

    /// Lets the threads end when everything is done.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    // Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Inputs of similar length together, the longest last.
fn runs(mut parts: Vec<Part>) -> Vec<Vec<Part>> {
    parts.sort_by_key(|part| part.ids.len());
    let mut runs: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        match runs.last_mut() {
            Some(run) if (run.len() + 1) * part.ids.len() <= TOKENS_AT_ONCE => run.push(part),
            _ => runs.push(vec![part]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn push(queue: &Queue, texts: usize) -> oneshot::Receiver<Result<EmbeddingBatch>> {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        queue.push(vec!["text".to_owned(); texts], place)
    }

    /// Does one step with a made-up model that fails whenever it sees the id 13, and says whose step it was.
    fn work(queue: &Queue) -> u64 {
        match queue.next().unwrap() {
            Step::Tokens { call, first, texts } => {
                let ids = |text: usize| Ok(vec![vec![1, if text == 5 { 13 } else { 7 }, 2]]);
                let outcomes = (first..first + texts.len()).map(ids).collect();
                queue.tokens_done(call, first..first + texts.len(), outcomes);
                call
            }
            Step::Run { call, parts } => {
                let bad = parts.iter().any(|part| part.ids.contains(&13));
                let vectors = parts.iter().map(|_| vec![1.0; DIMENSION]).collect();
                queue.run_done(call, parts, if bad { Err(Error::internal("bad")) } else { Ok(vectors) });
                call
            }
        }
    }

    #[test]
    fn a_small_call_does_not_wait_for_a_large_one() {
        let queue = Queue::default();
        let _large = push(&queue, 10_000);
        let mut small = push(&queue, 1);
        let turns: Vec<u64> = (0..4).map(|_| work(&queue)).collect();
        assert_eq!(turns, [1, 2, 1, 2]);
        assert!(small.try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_text_on_which_the_model_fails_fails_alone() {
        let queue = Queue::default();
        let mut outcome = push(&queue, 9);
        let batch = loop {
            work(&queue);
            if let Ok(batch) = outcome.try_recv() {
                break batch.unwrap();
            }
        };
        let failed: Vec<usize> = (0..9).filter(|text| batch.row(*text).unwrap().is_err()).collect();
        assert_eq!((failed, batch.tokens), (vec![5], Some(27)));
    }

    #[test]
    fn a_call_nobody_waits_for_is_left_out() {
        let queue = Queue::default();
        drop(push(&queue, 1_000));
        let mut kept = push(&queue, 1);
        assert_eq!((work(&queue), work(&queue)), (2, 2));
        assert!(kept.try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_closing_queue_ends_when_it_is_empty() {
        let queue = Queue::default();
        let mut outcome = push(&queue, 1);
        queue.close();
        work(&queue);
        work(&queue);
        assert!(queue.next().is_none());
        assert!(push(&queue, 1).try_recv().is_err());
        assert!(outcome.try_recv().unwrap().is_ok());
    }

    #[test]
    fn runs_are_of_similar_length_and_bounded() {
        let parts = [3, 256, 5, 200, 4, 512, 3].map(|length| Part { text: 0, ids: vec![0; length] });
        let lengths: Vec<Vec<usize>> =
            runs(parts.into()).iter().map(|run| run.iter().map(|part| part.ids.len()).collect()).collect();
        assert_eq!(lengths, [vec![3, 3, 4, 5], vec![200, 256], vec![512]]);
    }
}
