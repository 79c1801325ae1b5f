//! Who waits for whom.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};
use tracing::{Instrument as _, Span};

use super::{EMBED, Gather};
use crate::{
    Deadline, Effect, Error, ErrorKind, Result,
    embed::{Embedder, EmbeddingBatch, Input},
};

/// A text that every model can embed, to tell a request that is wrong from a text that is.
const HARMLESS: &str = "ready";

/// The embedder, and those who wait for it.
pub(super) struct Lanes<E> {
    pub(super) embedder: E,
    pub(super) gather: Gather,
    places: Arc<Semaphore>,
    is_closed: AtomicBool,
    documents: Mutex<Lane>,
    queries: Mutex<Lane>,
}

/// Callers with the same kind of input.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Waiter>,
    in_flight: usize,
    /// Grows with every batch, so that an alarm knows whether those it was set for are still here.
    batches: u64,
    /// When the latest of those who wait came.
    joined: Option<Instant>,
    /// How many were answered and have not come back: callers who ask again do so together.
    answered: usize,
}

/// Those who are sent together.
type Batch = Vec<Waiter>;

impl Lane {
    /// Takes out those who are sent now. The caller of this lets go of the lane first and sends then.
    fn depart(&mut self, most: usize) -> Batch {
        self.batches += 1;
        self.waiting.retain(|waiter| !waiter.reply.is_closed());
        let most = most.min(self.waiting.len());
        let batch: Batch = self.waiting.drain(..most).collect();
        self.answered = self.answered.saturating_sub(batch.len());
        if !batch.is_empty() {
            self.in_flight += 1;
        }
        batch
    }
}

/// A caller.
pub(super) struct Waiter {
    text: String,
    deadline: Deadline,
    span: Span,
    reply: oneshot::Sender<Result<EmbeddingBatch>>,
    /// Given back when the caller is answered or left out.
    _place: OwnedSemaphorePermit,
}

impl Waiter {
    pub(super) fn new(
        text: &str,
        deadline: Deadline,
        place: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<EmbeddingBatch>>) {
        let (reply, receiver) = oneshot::channel();
        let span = Span::current();
        (Self { text: text.to_owned(), deadline, span, reply, _place: place }, receiver)
    }

    fn answer(self, outcome: Result<EmbeddingBatch>) {
        // The caller may be gone.
        let _ = self.reply.send(outcome);
    }
}

impl<E: Embedder + 'static> Lanes<E> {
    pub(super) fn new(embedder: E, gather: Gather) -> Self {
        let places = Arc::new(Semaphore::new(gather.queue as usize));
        let is_closed = AtomicBool::new(false);
        Self { embedder, gather, places, is_closed, documents: Mutex::default(), queries: Mutex::default() }
    }

    /// Waits for a place inside.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit> {
        let closed = || Error::new(ErrorKind::Closed, "the embedder was closed; open another");
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(closed());
        }
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| closed())?;
        // It may have been closed while this one waited.
        if self.is_closed.load(Ordering::SeqCst) { Err(closed()) } else { Ok(place) }
    }

    /// Lets nobody in any more, and waits for those inside.
    pub(super) async fn close(&self) -> Result<()> {
        self.is_closed.store(true, Ordering::SeqCst);
        let _all = self.places.acquire_many(self.gather.queue).await;
        Ok(())
    }

    /// Takes a caller in: sends at once when idle, full, or when all who were answered together are back; otherwise lets
    /// others join.
    pub(super) fn join(self: &Arc<Self>, waiter: Waiter, input: Input) {
        let mut lane = self.lane(input);
        lane.waiting.push_back(waiter);
        let now = Instant::now();
        lane.joined = Some(now);
        let count = lane.waiting.len();
        // For a large share of a batch only: a few who come and go must not keep others from gathering.
        let are_back = lane.answered >= self.gather.max_batch.div_ceil(4) && count >= lane.answered;
        if lane.in_flight == 0 || count >= self.gather.max_batch || are_back {
            let batch = lane.depart(self.gather.max_batch);
            drop(lane);
            self.send(batch, input);
        } else if count == 1 {
            let batches = lane.batches;
            drop(lane);
            tokio::spawn(Arc::clone(self).alarm(batches, now, input));
        }
    }

    /// Sends those who have gathered since `begun` when nobody joins them any more, or when they have waited long enough.
    async fn alarm(self: Arc<Self>, batches: u64, begun: Instant, input: Input) {
        let latest = begun + self.gather.max_wait;
        let mut until = begun + self.gather.quiet;
        loop {
            tokio::time::sleep_until(until.min(latest)).await;
            let batch = {
                let mut lane = self.lane(input);
                if lane.batches != batches {
                    return;
                }
                until = lane.joined.unwrap_or(begun) + self.gather.quiet;
                let now = Instant::now();
                if now < until && now < latest {
                    continue;
                }
                // Those who have not come back until now may never do.
                lane.answered = 0;
                lane.depart(self.gather.max_batch)
            };
            self.send(batch, input);
            return;
        }
    }

    /// Sends a batch in a task that no caller can drop. Nobody may hold the lane: a runtime that is being shut down drops
    /// the task here and now, and the flight in it takes the lane.
    fn send(self: &Arc<Self>, batch: Batch, input: Input) {
        let Some(first) = batch.first() else { return };
        let span = first.span.clone();
        let mut flight = Flight { lanes: Arc::clone(self), input, texts: batch.len(), has_begun: false };
        let run = async move {
            flight.has_begun = true;
            flight.lanes.run(batch, input).await;
        };
        tokio::spawn(run.instrument(span));
    }

    async fn run(&self, batch: Batch, input: Input) {
        let mut parts = vec![batch];
        // Whether a text of this batch, or a harmless one in its place, was embedded.
        let mut is_sound = false;
        while let Some(mut part) = parts.pop() {
            part.retain(|waiter| !waiter.reply.is_closed());
            let Some(deadline) = part.iter().map(|waiter| waiter.deadline).max() else { continue };
            let texts: Vec<&str> = part.iter().map(|waiter| waiter.text.as_str()).collect();
            let error = match self.ask(&texts, input, deadline).await {
                Ok(rows) => {
                    answer(part, &rows);
                    is_sound = true;
                    continue;
                }
                Err(error) => error,
            };
            let is_refused = error.kind() == ErrorKind::InvalidInput && part.len() > 1;
            if is_refused && !is_sound {
                is_sound = self
                    .ask(&[HARMLESS], input, deadline)
                    .await
                    .is_ok_and(|rows| rows.rows().all(|row| row.is_ok()));
            }
            if is_refused && is_sound {
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
            } else {
                // What is wrong is not one of the texts.
                part.into_iter().for_each(|waiter| waiter.answer(Err(error.duplicate())));
            }
        }
    }

    async fn ask(&self, texts: &[&str], input: Input, deadline: Deadline) -> Result<EmbeddingBatch> {
        deadline.run(EMBED, Effect::Unknown, self.embedder.embed(texts, input)).await
    }

    fn lane(&self, input: Input) -> MutexGuard<'_, Lane> {
        let lane = match input {
            Input::Document => &self.documents,
            Input::Query => &self.queries,
        };
        lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives each caller its own row.
fn answer(waiters: Vec<Waiter>, rows: &EmbeddingBatch) {
    let alone = waiters.len() == 1;
    for (position, waiter) in waiters.into_iter().enumerate() {
        let outcome = match rows.row(position) {
            Some(Ok(row)) => EmbeddingBatch::new(1, row.len(), row.to_vec()),
            Some(Err(error)) => EmbeddingBatch::partial(
                rows.dimension(),
                vec![0.0; rows.dimension()],
                vec![Some(error.duplicate())],
            ),
            None => Err(Error::new(ErrorKind::Protocol, "the embedder returned too few vectors")
                .with_operation(EMBED)),
        };
        waiter.answer(outcome.map(|mut batch| {
            // How many of a shared request's tokens are whose is not known.
            batch.tokens = rows.tokens.filter(|_| alone);
            batch
        }));
    }
}

/// A request under way; when the last one ends, however it ends, those who gathered meanwhile are sent.
struct Flight<E: Embedder + 'static> {
    lanes: Arc<Lanes<E>>,
    input: Input,
    texts: usize,
    /// Not so when its runtime was gone before it.
    has_begun: bool,
}

impl<E: Embedder + 'static> Drop for Flight<E> {
    fn drop(&mut self) {
        let can_send = self.has_begun && Handle::try_current().is_ok();
        let (batch, lost) = {
            let mut lane = self.lanes.lane(self.input);
            lane.in_flight = lane.in_flight.saturating_sub(1);
            lane.answered = lane.answered.saturating_add(self.texts);
            if lane.in_flight > 0 || lane.waiting.is_empty() {
                return;
            }
            if can_send {
                (lane.depart(self.lanes.gather.max_batch), VecDeque::new())
            } else {
                // The runtime is gone: nobody will be answered, and a dropped waiter says so.
                (Vec::new(), mem::take(&mut lane.waiting))
            }
        };
        drop(lost);
        self.lanes.send(batch, self.input);
    }
}
