//! What lets a model be closed while calls are under way.

use std::sync::Arc;

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const PLACES: u32 = 1 << 20;

/// Counts the calls under way.
#[doc(hidden)]
#[derive(Debug)]
pub struct Gate {
    passes: Arc<Semaphore>,
}

/// One call under way.
#[doc(hidden)]
pub type Pass = OwnedSemaphorePermit;

impl Gate {
    /// An open gate.
    #[expect(clippy::new_without_default, reason = "an open gate is no default")]
    pub fn new() -> Self {
        Self { passes: Arc::new(Semaphore::new(PLACES as usize)) }
    }

    /// Counts a call until its pass is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the gate was closed.
    pub async fn enter(&self, operation: &'static str, deadline: Deadline) -> Result<Pass> {
        let pass = async {
            let closed = |_| Error::new(ErrorKind::Closed, "the model was closed; open another");
            Arc::clone(&self.passes).acquire_owned().await.map_err(closed)
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
    /// [`ErrorKind::Timeout`](arshai_core::ErrorKind::Timeout) when they take too long.
    pub async fn close(&self, operation: &'static str, deadline: Deadline) -> Result<()> {
        let all = async {
            // Closed already is fine.
            let _all = self.passes.acquire_many(PLACES).await;
            Ok(())
        };
        let waited = deadline.run(operation, Effect::Unknown, all).await;
        self.passes.close();
        waited
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
        let error = gate.close("test", soon()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        drop(pass);
        gate.close("test", soon()).await.unwrap();
        assert_eq!(gate.enter("test", soon()).await.unwrap_err().kind(), ErrorKind::Closed);
    }
}
