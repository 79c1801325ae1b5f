//! Counts what is in flight, so that closing can wait for it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use arshai_core::{Error, ErrorKind, Result};
use tokio::sync::Notify;

/// Open until it is closed.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    inside: AtomicUsize,
    left: Notify,
}

/// Something in flight.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Gate>);

impl Gate {
    /// Lets one in, unless the gate is closed.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Pass> {
        // Counted before looking: whoever closes either sees the count or is seen.
        self.inside.fetch_add(1, Ordering::SeqCst);
        let pass = Pass(Arc::clone(self));
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Closed, "the vector store was closed"));
        }
        Ok(pass)
    }

    /// Counts one more of those who are inside already, closed or not.
    pub(crate) fn follow(self: &Arc<Self>) -> Pass {
        self.inside.fetch_add(1, Ordering::SeqCst);
        Pass(Arc::clone(self))
    }

    /// Lets nobody in from now on, and waits for those inside.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.inside.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.0.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn closing_waits_for_what_is_inside_and_lets_nobody_in() {
        let gate = Arc::new(Gate::default());
        let pass = gate.enter().unwrap();
        let closing = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.close().await }
        });
        while gate.enter().is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!closing.is_finished());
        drop(pass);
        closing.await.unwrap();
        gate.close().await;
    }
}
