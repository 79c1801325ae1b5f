//! The way in for backends that have blocking methods only.

mod models;
mod stores;
#[cfg(test)]
mod tests;

use std::{pin::Pin, sync::Arc};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use tokio::{
    sync::mpsc,
    task::{JoinError, spawn_blocking},
};

use super::BlockingStream;
use crate::{Deadline, Effect, Error, ErrorKind, Result, config::Settings};

const OPERATION: &str = "blocking.offload";

/// A part that has blocking methods only, used as an async one: each call runs on tokio's threads for blocking work,
/// where it holds up no task. The caller's [`Deadline`] holds there too, for parts that look at it, and ends the waiting
/// in any case.
///
/// # Cancel safety
///
/// Dropping a future does not stop the call that it waits for: a write may still happen.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use arshai_core::{
///     blocking::{self, Offload}, chat::{ChatModel as _, ChatModelExt as _}, config::Settings,
/// };
///
/// # fn as_async(model: Arc<dyn blocking::ChatModel>) -> arshai_core::Result<Arc<dyn arshai_core::chat::ChatModel>> {
/// Ok(Arc::new(Offload::new(model, &Settings::from_env()?)?))
/// # }
/// ```
#[derive(Debug)]
pub struct Offload<T: ?Sized> {
    inner: Arc<T>,
}

impl<T: ?Sized> Clone for Offload<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T: ?Sized> Offload<T> {
    /// Moves `inner`'s calls to threads for blocking work, and warns of it once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] when [`Settings::async_fallback_to_sync`] is false.
    pub fn new(inner: Arc<T>, settings: &Settings) -> Result<Self> {
        let part = std::any::type_name::<T>();
        if !settings.async_fallback_to_sync {
            return Err(Error::unsupported(
                "this part has blocking methods only, and ASYNC_FALLBACK_TO_SYNC=false keeps them from async code: \
                 give an async part, or set it to true",
            )
            .with_context("part", part));
        }
        tracing::warn!(part, "a part with blocking methods only is moved to threads for blocking work");
        Ok(Self { inner })
    }
}

impl<T: ?Sized + Send + Sync + 'static> Offload<T> {
    /// A call that changes nothing.
    async fn read<O: Send + 'static>(
        &self,
        call: impl FnOnce(&T) -> Result<O> + Send + 'static,
    ) -> Result<O> {
        self.run(Effect::NotApplied, call).await
    }

    /// A call that may change something, also when nobody waits for it any more.
    async fn write<O: Send + 'static>(
        &self,
        call: impl FnOnce(&T) -> Result<O> + Send + 'static,
    ) -> Result<O> {
        self.run(Effect::Unknown, call).await
    }

    async fn run<O: Send + 'static>(
        &self,
        cut_off: Effect,
        call: impl FnOnce(&T) -> Result<O> + Send + 'static,
    ) -> Result<O> {
        let (inner, deadline) = (Arc::clone(&self.inner), Deadline::current());
        if deadline.is_some_and(Deadline::is_past) {
            // It is not begun.
            return Err(Deadline::error(OPERATION, Effect::NotApplied));
        }
        let work = spawn_blocking(move || within(deadline, || call(&inner)));
        let work = async { work.await.map_err(|error| ended(&error))? };
        match deadline {
            Some(deadline) => deadline.run(OPERATION, cut_off, work).await,
            None => work.await,
        }
    }
}

/// An iterator's items as a stream: taken on a thread for blocking work, which ends at the next item when the stream is
/// dropped.
fn iterated<I: Send + 'static>(items: BlockingStream<I>) -> Pin<Box<dyn Stream<Item = Result<I>> + Send>> {
    let (send, receive) = mpsc::channel(16);
    let deadline = Deadline::current();
    let thread = spawn_blocking(move || {
        within(deadline, || {
            for item in items {
                if send.blocking_send(item).is_err() {
                    return;
                }
            }
        });
    });
    let items = stream::unfold(Some((receive, thread)), move |state| async move {
        let (mut receive, thread) = state?;
        // What is ready does not go on past the deadline; that all came is told.
        let is_over = receive.is_closed() && receive.is_empty();
        let next = match deadline {
            Some(deadline) if deadline.is_past() && !is_over => {
                Err(Deadline::error(OPERATION, Effect::NotApplied))
            }
            Some(deadline) => {
                deadline.run(OPERATION, Effect::NotApplied, async { Ok(receive.recv().await) }).await
            }
            None => Ok(receive.recv().await),
        };
        match next {
            Ok(Some(item)) => Some((item, Some((receive, thread)))),
            // Nothing comes any more: because all came, or because the thread panicked.
            Ok(None) => thread.await.err().map(|error| (Err(ended(&error)), None)),
            Err(late) => Some((Err(late), None)),
        }
    });
    items.boxed()
}

/// What the calling task may not exceed, its thread may not either.
fn within<T>(deadline: Option<Deadline>, work: impl FnOnce() -> T) -> T {
    match deadline {
        Some(deadline) => deadline.scope_blocking(work),
        None => work(),
    }
}

fn ended(error: &JoinError) -> Error {
    Error::new(ErrorKind::Internal, "a blocking part panicked, or its runtime ended")
        .with_source(error.to_string())
}
