//! Who waits for whom.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
};

use super::{EMBED, Gather};
use crate::{
    Deadline, Error, ErrorKind, Result,
    embed::{Embedder, EmbeddingBatch, Input},
};

/// The embedder, and those who wait for it.
pub(super) struct Lanes<E> {
    pub(super) embedder: E,
    gather: Gather,
    places: Arc<Semaphore>,
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
}

/// A caller.
pub(super) struct Waiter {
    text: String,
    deadline: Deadline,
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
        (Self { text: text.to_owned(), deadline, reply, _place: place }, receiver)
    }

    fn answer(self, outcome: Result<EmbeddingBatch>) {
        // The caller may be gone.
        let _ = self.reply.send(outcome);
    }
}

impl<E: Embedder + 'static> Lanes<E> {
    pub(super) fn new(embedder: E, gather: Gather) -> Self {
        let places = Arc::new(Semaphore::new(gather.queue as usize));
        Self { embedder, gather, places, documents: Mutex::default(), queries: Mutex::default() }
    }

    /// Waits for a place inside.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit> {
        let closed = |_| Error::new(ErrorKind::Closed, "the embedder was closed; open another");
        Arc::clone(&self.places).acquire_owned().await.map_err(closed)
    }

    /// Lets nobody in any more, and waits for those inside.
    pub(super) async fn close(&self) -> Result<()> {
        // Closed already is fine.
        let _all = self.places.acquire_many(self.gather.queue).await;
        self.places.close();
        Ok(())
    }

    /// Takes a caller in: sends at once when idle or full, otherwise lets others join.
    pub(super) fn join(self: &Arc<Self>, waiter: Waiter, input: Input) {
        let mut lane = self.lane(input);
        lane.waiting.push_back(waiter);
        if lane.in_flight == 0 || lane.waiting.len() >= self.gather.max_batch {
            self.send(&mut lane, input);
        } else if lane.waiting.len() == 1 {
            let (this, batches) = (Arc::clone(self), lane.batches);
            tokio::spawn(async move {
                tokio::time::sleep(this.gather.max_wait).await;
                let mut lane = this.lane(input);
                if lane.batches == batches {
                    this.send(&mut lane, input);
                }
            });
        }
    }

    /// Sends those who wait, in a task that no caller can drop.
    fn send(self: &Arc<Self>, lane: &mut Lane, input: Input) {
        lane.batches += 1;
        lane.waiting.retain(|waiter| !waiter.reply.is_closed());
        let most = self.gather.max_batch.min(lane.waiting.len());
        let batch: Vec<Waiter> = lane.waiting.drain(..most).collect();
        if batch.is_empty() {
            return;
        }
        lane.in_flight += 1;
        let flight = Flight { lanes: Arc::clone(self), input };
        tokio::spawn(async move { flight.lanes.run(batch, input).await });
    }

    async fn run(&self, batch: Vec<Waiter>, input: Input) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            part.retain(|waiter| !waiter.reply.is_closed());
            let Some(deadline) = part.iter().map(|waiter| waiter.deadline).max() else { continue };
            let texts: Vec<&str> = part.iter().map(|waiter| waiter.text.as_str()).collect();
            match deadline.scope(self.embedder.embed(&texts, input)).await {
                Ok(rows) => answer(part, &rows),
                Err(error) if error.kind() == ErrorKind::InvalidInput && part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(error) => part.into_iter().for_each(|waiter| waiter.answer(Err(error.duplicate()))),
            }
        }
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
}

impl<E: Embedder + 'static> Drop for Flight<E> {
    fn drop(&mut self) {
        let mut lane = self.lanes.lane(self.input);
        lane.in_flight = lane.in_flight.saturating_sub(1);
        if lane.in_flight > 0 || lane.waiting.is_empty() {
            return;
        }
        if Handle::try_current().is_ok() {
            self.lanes.send(&mut lane, self.input);
        } else {
            // The runtime is gone: nobody will be answered, and a dropped waiter says so.
            lane.waiting.clear();
        }
    }
}
