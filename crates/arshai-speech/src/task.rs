//! Work that goes on while nobody looks, and ends with whoever would have looked.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use arshai_core::{Error, Result};
use tokio::task::JoinHandle;
use tracing::instrument::WithSubscriber as _;

/// What runs on a task of its own; dropping it stops the work.
///
/// A part of a stream that only its reader drives stands still while the reader is busy with the parts before it, and
/// the time of its request runs out.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<Result<T>>);

impl<T: Send + 'static> Task<T> {
    pub(crate) fn start(work: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self(tokio::spawn(work.with_current_subscriber()))
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|ended| {
            ended.unwrap_or_else(|error| {
                Err(Error::internal("a part was given up before its end").with_source(error))
            })
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
