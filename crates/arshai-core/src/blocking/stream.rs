//! Streams as iterators.

use std::{fmt, pin::Pin};

use futures_core::Stream;
use futures_util::StreamExt as _;

use super::Runtime;
use crate::Result;

/// A stream as an iterator that waits for each item. Dropping it drops the stream.
///
/// From async code an item is an error of kind [`BlockingInAsync`](crate::ErrorKind::BlockingInAsync), and once a runtime
/// that was given has been shut down one of kind [`Closed`](crate::ErrorKind::Closed); either is the last one.
pub struct BlockingStream<T> {
    stream: Option<Pin<Box<dyn Stream<Item = Result<T>> + Send>>>,
    runtime: Runtime,
}

impl<T> BlockingStream<T> {
    /// Waits for the items of `stream` on `runtime`.
    pub fn new(stream: Pin<Box<dyn Stream<Item = Result<T>> + Send>>, runtime: Runtime) -> Self {
        Self { stream: Some(stream), runtime }
    }
}

impl<T> fmt::Debug for BlockingStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingStream").finish_non_exhaustive()
    }
}

impl<T> Iterator for BlockingStream<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.stream.as_mut()?.next();
        let item = self.runtime.block_on(next).unwrap_or_else(|refused| {
            self.stream = None;
            Some(Err(refused))
        });
        if item.is_none() {
            // A stream that has ended must not be asked again.
            self.stream = None;
        }
        item
    }
}

impl<T> std::iter::FusedIterator for BlockingStream<T> {}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[test]
    fn an_iterator_that_has_ended_is_asked_again_without_a_panic() {
        // Such a stream panics when it is polled after its end.
        let items = stream::unfold(0, |n| async move { (n < 2).then_some((Ok(n), n + 1)) });
        let mut items = BlockingStream::new(items.boxed(), Runtime::new().unwrap());
        assert_eq!(items.by_ref().filter_map(Result::ok).collect::<Vec<_>>(), [0, 1]);
        assert!(items.next().is_none() && items.next().is_none());
    }
}
