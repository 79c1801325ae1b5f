//! At most so many at once.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Call, Policy};
use crate::{
    Deadline, Effect, Error, ErrorKind, Result,
    chat::{ChatEvent, ChatStream},
};

const DEFAULT_WAIT: Duration = Duration::from_secs(60);

/// Lets at most so many calls run at once; the others wait their turn, first come first served.
///
/// Clones share the limit, so one limit can cover several backends. A streamed reply holds its place until it ends.
#[derive(Debug, Clone)]
pub struct Limit {
    places: Arc<Semaphore>,
}

impl Limit {
    /// At most `calls` (at least 1) at once.
    pub fn new(calls: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))) }
    }

    /// Waits for a place until the operation's deadline (60 s when the caller set none).
    async fn place(&self, call: Call) -> Result<OwnedSemaphorePermit> {
        let wait = async {
            let closed = |_| Error::new(ErrorKind::Closed, "the limit was closed");
            Arc::clone(&self.places).acquire_owned().await.map_err(closed)
        };
        Deadline::current_or(DEFAULT_WAIT).run(call.operation, Effect::NotApplied, wait).await
    }
}

impl Policy for Limit {
    async fn run<T, F, A>(&self, call: Call, mut attempt: A) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
        A: FnMut(bool) -> F + Send,
    {
        let _place = self.place(call).await?;
        attempt(false).await
    }

    async fn run_stream<F, A>(&self, call: Call, mut attempt: A) -> Result<ChatStream>
    where
        F: Future<Output = Result<ChatStream>> + Send,
        A: FnMut(bool) -> F + Send,
    {
        let place = self.place(call).await?;
        let stream = attempt(false).await?;
        Ok(Box::pin(Held { stream, place: Some(place) }))
    }
}

struct Held {
    stream: ChatStream,
    /// Given back with the last item, even when the stream is kept.
    place: Option<OwnedSemaphorePermit>,
}

impl Stream for Held {
    type Item = Result<ChatEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.stream.as_mut().poll_next(context);
        if matches!(item, Poll::Ready(None | Some(Err(_) | Ok(ChatEvent::Done { .. })))) {
            self.place = None;
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn never_more_than_the_limit_run_at_once() {
        let limit = Limit::new(3);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let call = Call { operation: "test", idempotent: true, reads: true };
        let one = || {
            limit.run(call, |_| async {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        };
        assert!(join_all((0..20).map(|_| one())).await.iter().all(Result::is_ok));
        assert_eq!(most.into_inner(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_place_ends_with_the_deadline() {
        let limit = Limit::new(1);
        let call = Call { operation: "test", idempotent: true, reads: true };
        let _held = limit.place(call).await.unwrap();
        let waited = Deadline::after(Duration::from_secs(1)).scope(limit.place(call)).await;
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::Timeout);
    }
}
