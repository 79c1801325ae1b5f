//! What lets a model be closed while calls are under way.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const PLACES: u32 = 1 << 20;

/// Counts the calls under way.
#[doc(hidden)]
#[derive(Debug)]
pub struct Gate {
    passes: Arc<Semaphore>,
    is_closed: AtomicBool,
}

/// One call under way.
#[doc(hidden)]
pub type Pass = OwnedSemaphorePermit;

impl Gate {
    /// An open gate.
    #[expect(clippy::new_without_default, reason = "an open gate is no default")]
    pub fn new() -> Self {
        Self { passes: Arc::new(Semaphore::new(PLACES as usize)), is_closed: AtomicBool::new(false) }
    }

    /// Counts a call until its pass is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the gate was closed.
    pub async fn enter(&self, operation: &'static str, deadline: Deadline) -> Result<Pass> {
        let closed = || Error::new(ErrorKind::Closed, "the model was closed; open another");
        let pass = async {
            let is_open = || !self.is_closed.load(Ordering::SeqCst);
            if !is_open() {
                return Err(closed());
            }
            let pass = Arc::clone(&self.passes).acquire_owned().await.map_err(|_| closed())?;
            // It may have been closed while this one waited for its pass.
            if is_open() { Ok(pass) } else { Err(closed()) }
        };
        deadline
            .run(operation, Effect::NotApplied, pass)
            .await
            .map_err(|error| error.with_operation(operation))
    }

    /// Lets nobody in any more, and waits for those inside.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`](arshai_core::ErrorKind::Timeout) when they take too long; the gate is closed nevertheless,
    /// and closing it again waits for them again.
    pub async fn close(&self, operation: &'static str, deadline: Deadline) -> Result<()> {
        self.is_closed.store(true, Ordering::SeqCst);
        let all = async {
            let _all = self.passes.acquire_many(PLACES).await;
            Ok(())
        };
        deadline.run(operation, Effect::Unknown, all).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_calls_and_then_lets_nobody_in() {
        let gate = Gate::new();
        let soon = || Deadline::after(Duration::from_secs(1));
        let pass = gate.enter("test", soon()).await.unwrap();
        for _ in 0..2 {
            let error = gate.close("test", soon()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "the call is still under way");
            assert_eq!(gate.enter("test", soon()).await.unwrap_err().kind(), ErrorKind::Closed);
        }
        drop(pass);
        gate.close("test", soon()).await.unwrap();
        assert_eq!(gate.enter("test", soon()).await.unwrap_err().kind(), ErrorKind::Closed);
    }
}
