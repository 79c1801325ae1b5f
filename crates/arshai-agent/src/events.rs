//! A turn that tells what happens while it runs, without a task of its own.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use arshai_core::{Result, chat::ToolCall};
use futures_core::Stream;

use crate::{AgentEvent, AgentReply};

/// Where a turn tells what happens.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    queue: Option<Arc<Mutex<VecDeque<AgentEvent>>>>,
}

impl Events {
    /// Nobody listens.
    pub(crate) fn unheard() -> Self {
        Self { queue: None }
    }

    pub(crate) fn are_heard(&self) -> bool {
        self.queue.is_some()
    }

    pub(crate) async fn text(&self, text: String) {
        self.emit(AgentEvent::Text(text)).await;
    }

    pub(crate) async fn tool_call(&self, call: &ToolCall) {
        if self.are_heard() {
            self.emit(AgentEvent::ToolCall(call.clone())).await;
        }
    }

    /// Hands an event over and goes on once it was taken.
    async fn emit(&self, event: AgentEvent) {
        let Some(queue) = &self.queue else { return };
        let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
        lock().push_back(event);
        // The listener polls the turn again after each event it took, so nobody needs to be woken.
        poll_fn(|_| if lock().is_empty() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// Runs a turn inside a stream of its events; its reply is the last one.
pub(crate) fn streamed<F>(turn: impl FnOnce(Events) -> F) -> impl Stream<Item = Result<AgentEvent>> + Send
where
    F: Future<Output = Result<AgentReply>> + Send + 'static,
{
    let queue = Arc::new(Mutex::new(VecDeque::new()));
    let turn = turn(Events { queue: Some(Arc::clone(&queue)) });
    Streamed { queue, turn: Some(Box::pin(turn)) }
}

struct Streamed {
    queue: Arc<Mutex<VecDeque<AgentEvent>>>,
    turn: Option<Pin<Box<dyn Future<Output = Result<AgentReply>> + Send>>>,
}

impl Stream for Streamed {
    type Item = Result<AgentEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(turn) = self.turn.as_mut() else { return Poll::Ready(None) };
        match turn.as_mut().poll(context) {
            Poll::Ready(reply) => {
                self.turn = None;
                Poll::Ready(Some(reply.map(AgentEvent::Done)))
            }
            Poll::Pending => {
                let event = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                event.map_or(Poll::Pending, |event| Poll::Ready(Some(Ok(event))))
            }
        }
    }
}
