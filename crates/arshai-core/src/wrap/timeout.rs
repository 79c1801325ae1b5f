//! One deadline for each operation.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;

use super::{Call, Policy};
use crate::{
    Deadline, Effect, Result,
    chat::{ChatEvent, ChatStream},
};

/// Gives every operation a deadline, and cuts it off there. For a streamed reply it covers the whole reply.
#[derive(Debug, Clone)]
pub struct Timeout {
    timeout: Duration,
}

impl Timeout {
    /// A timeout for each operation.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout }
    }

    fn effect(call: Call) -> Effect {
        // What was cut off may have been sent.
        if call.reads { Effect::NotApplied } else { Effect::Unknown }
    }
}

impl Policy for Timeout {
    async fn run<T, F, A>(&self, call: Call, mut attempt: A) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
        A: FnMut(bool) -> F + Send,
    {
        Deadline::after(self.timeout).run(call.operation, Self::effect(call), attempt(false)).await
    }

    async fn run_stream<F, A>(&self, call: Call, mut attempt: A) -> Result<ChatStream>
    where
        F: Future<Output = Result<ChatStream>> + Send,
        A: FnMut(bool) -> F + Send,
    {
        let deadline = Deadline::after(self.timeout);
        let stream = deadline.run(call.operation, Self::effect(call), attempt(false)).await?;
        let alarm = Box::pin(tokio::time::sleep(deadline.remaining()));
        Ok(Box::pin(Bounded { stream: Some(stream), alarm, operation: call.operation }))
    }
}

struct Bounded {
    stream: Option<ChatStream>,
    alarm: Pin<Box<tokio::time::Sleep>>,
    operation: &'static str,
}

impl Stream for Bounded {
    type Item = Result<ChatEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let item = stream.as_mut().poll_next(context);
        // A reply that is complete came in time; anything else must not go on past the deadline.
        let goes_on = match &item {
            Poll::Pending => true,
            Poll::Ready(Some(Ok(event))) => !matches!(event, ChatEvent::Done { .. }),
            Poll::Ready(_) => false,
        };
        if goes_on && self.alarm.as_mut().poll(context).is_ready() {
            self.stream = None;
            return Poll::Ready(Some(Err(Deadline::error(self.operation, Effect::NotApplied))));
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::ErrorKind;

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_stalls_ends_with_an_error() {
        let call = Call { operation: "chat.stream", idempotent: true, reads: true };
        let mut reply = Timeout::new(Duration::from_secs(1))
            .run_stream(call, |_| async {
                let first = stream::iter([Ok(ChatEvent::Text("hi".into()))]);
                Ok(Box::pin(first.chain(stream::pending())) as ChatStream)
            })
            .await
            .unwrap();
        assert!(reply.next().await.unwrap().is_ok());
        assert_eq!(reply.next().await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
        assert!(reply.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_never_pauses_ends_with_an_error_too() {
        let call = Call { operation: "chat.stream", idempotent: true, reads: true };
        let mut reply = Timeout::new(Duration::from_secs(1))
            .run_stream(call, |_| async {
                Ok(Box::pin(stream::repeat_with(|| Ok(ChatEvent::Text("more".into())))) as ChatStream)
            })
            .await
            .unwrap();
        assert!(reply.next().await.unwrap().is_ok());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(reply.next().await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_was_cut_off_has_an_unknown_effect() {
        let call = Call { operation: "memory.put", idempotent: false, reads: false };
        let outcome: Result<()> =
            Timeout::new(Duration::from_secs(1)).run(call, |_| std::future::pending()).await;
        assert_eq!(outcome.unwrap_err().effect(), Effect::Unknown);
    }
}
