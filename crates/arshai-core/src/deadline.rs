//! One deadline per operation.
//!
//! A deadline belongs to the whole operation, not to one attempt of it. It travels with the task:
//! [`Deadline::scope`] sets it, every wait inside reads it with [`Deadline::current`], and an inner scope can
//! only shorten it. Backends add their own default with [`Deadline::current_or`], so nothing waits for ever.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::{Effect, Error, ErrorKind, Result};

tokio::task_local! {
    static CURRENT: Deadline;
}

/// A point in time after which an operation gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    at: tokio::time::Instant,
}

impl Deadline {
    /// The deadline `timeout` from now.
    pub fn after(timeout: Duration) -> Self {
        let now = tokio::time::Instant::now();
        // An overflowing timeout means "practically never"; thirty years keeps it finite.
        let at = now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(30 * 365 * 86_400));
        Self { at }
    }

    /// The deadline of the operation this task is inside of, if there is one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|deadline| *deadline).ok()
    }

    /// The current deadline, or `default` from now when the caller set none or a later one.
    pub fn current_or(default: Duration) -> Self {
        let own = Self::after(default);
        Self::current().map_or(own, |outer| outer.min(own))
    }

    /// Time left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.at.saturating_duration_since(tokio::time::Instant::now())
    }

    /// Whether it has passed.
    pub fn is_past(self) -> bool {
        self.remaining().is_zero()
    }

    /// As a std instant, for code that waits without a runtime.
    pub fn instant(self) -> Instant {
        self.at.into_std()
    }

    /// Runs `future` with this deadline as the current one (never later than an outer one), without cutting it off.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        let deadline = Self::current().map_or(self, |outer| outer.min(self));
        CURRENT.scope(deadline, future).await
    }

    /// Runs `work`, which waits on this thread, with this deadline as the current one (never later than an outer one).
    ///
    /// ```
    /// use std::time::Duration;
    /// use arshai_core::Deadline;
    ///
    /// let left = Deadline::after(Duration::from_secs(5)).scope_blocking(|| Deadline::current().map(Deadline::remaining));
    /// assert!(left.is_some_and(|left| left <= Duration::from_secs(5)));
    /// ```
    pub fn scope_blocking<T>(self, work: impl FnOnce() -> T) -> T {
        let deadline = Self::current().map_or(self, |outer| outer.min(self));
        CURRENT.sync_scope(deadline, work)
    }

    /// Runs `future` and cuts it off at this deadline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] with `effect` when the deadline passes first; otherwise what `future` returns.
    pub async fn run<T>(
        self,
        operation: &'static str,
        effect: Effect,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let deadline = Self::current().map_or(self, |outer| outer.min(self));
        match tokio::time::timeout_at(deadline.at, CURRENT.scope(deadline, future)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Self::error(operation, effect)),
        }
    }

    /// Sleeps for `wait`, or fails at once when that would pass the deadline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] when less than `wait` is left.
    pub async fn sleep(self, operation: &'static str, wait: Duration) -> Result<()> {
        if self.remaining() <= wait {
            return Err(Self::error(operation, Effect::NotApplied));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The error of a passed deadline.
    pub fn error(operation: &'static str, effect: Effect) -> Error {
        Error::new(ErrorKind::Timeout, "the deadline of the operation passed")
            .with_operation(operation)
            .with_effect(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn inner_scope_cannot_lengthen_the_outer_one() {
        Deadline::after(Duration::from_secs(1))
            .scope(async {
                let inner = Deadline::current_or(Duration::from_secs(60));
                assert!(inner.remaining() <= Duration::from_secs(1));
            })
            .await;
        assert_eq!(Deadline::current(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn run_cuts_off_at_the_deadline() {
        let error = Deadline::after(Duration::from_millis(5))
            .run("test", Effect::Unknown, std::future::pending::<Result<()>>())
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    }
}
