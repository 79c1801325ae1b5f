//! Operations pass while it is open; who closes it waits until those inside have left.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

const CLOSED: usize = 1 << (usize::BITS - 1);

#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// How many are inside, and whether it is [`CLOSED`].
    state: AtomicUsize,
    left: Notify,
}

/// Being inside, until it is dropped.
#[must_use]
pub(crate) struct Inside<'a>(&'a Gate);

impl Gate {
    /// `None` when it is closed.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        let inside = Inside(self);
        (before & CLOSED == 0).then_some(inside)
    }

    /// Lets nobody in from now on, and waits for those inside.
    pub(crate) async fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            // Before looking, so that nobody leaves between looking and waiting.
            left.as_mut().enable();
            if self.state.load(Ordering::Acquire) == CLOSED {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.0.state.fetch_sub(1, Ordering::AcqRel) == CLOSED + 1 {
            self.0.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, future::join};

    use super::*;

    #[tokio::test]
    async fn closing_waits_for_all_inside_and_lets_nobody_in() {
        let gate = Gate::default();
        let (one, two) = (gate.enter(), gate.enter());
        let mut closing = Box::pin(gate.close());
        let mut again = Box::pin(gate.close());
        assert!(one.is_some() && two.is_some());
        assert!(closing.as_mut().now_or_never().is_none() && again.as_mut().now_or_never().is_none());
        assert!(gate.enter().is_none());
        drop(one);
        assert!(closing.as_mut().now_or_never().is_none());
        drop(two);
        join(closing, again).await;
        gate.close().await;
        assert!(gate.enter().is_none());
    }

    #[tokio::test]
    async fn a_closing_that_was_given_up_leaves_it_closed() {
        let gate = Gate::default();
        let inside = gate.enter();
        assert!(inside.is_some() && gate.close().now_or_never().is_none());
        drop(inside);
        assert!(gate.enter().is_none());
        gate.close().await;
    }
}
