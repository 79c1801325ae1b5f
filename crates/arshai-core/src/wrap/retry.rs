//! Trying again.

use std::{future::Future, time::Duration};

use super::{Call, Policy};
use crate::{Deadline, Effect, Error, Result};

/// Tries again after an error that says it may help.
///
/// An error is *not* retried when it is not [retryable](Error::is_retryable); when its backend has already retried
/// ([`Error::attempts`] above 1); or when its [effect](Error::effect) is unknown and the operation is not idempotent.
/// The wait is what the error asks for ([`Error::retry_after`]), otherwise full jitter over a doubling window; no wait
/// passes the operation's deadline.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Retry {
    /// Attempts at most, the first included. Default: 4.
    pub max_attempts: u32,
    /// The first window of the jitter. Default: 100 ms.
    pub first_wait: Duration,
    /// The longest window of the jitter, and the longest wait accepted from a server. Default: 5 s.
    pub longest_wait: Duration,
    /// The deadline of the whole operation when the caller set none. Default: 60 s.
    pub timeout: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
        }
    }
}

impl Retry {
    /// The same with another number of attempts (at least 1).
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// How long to wait before the next attempt; `None` when there must be none.
    fn wait(&self, call: Call, attempt: u32, error: &Error) -> Option<Duration> {
        let safe = call.idempotent || error.effect() == Effect::NotApplied;
        if attempt >= self.max_attempts || !error.is_retryable() || error.attempts() > 1 || !safe {
            return None;
        }
        match error.retry_after() {
            Some(asked) => (asked <= self.longest_wait).then_some(asked),
            None => {
                let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
                let window = self.first_wait.saturating_mul(doubled).min(self.longest_wait);
                Some(window.mul_f64(fastrand::f64()))
            }
        }
    }
}

impl Policy for Retry {
    async fn run<T, F, A>(&self, call: Call, mut attempt: A) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
        A: FnMut(bool) -> F + Send,
    {
        let deadline = Deadline::current_or(self.timeout);
        let mut number = 0;
        loop {
            number += 1;
            let error = match deadline.scope(attempt(number < self.max_attempts)).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(wait) = self.wait(call, number, &error) else {
                return Err(if number > 1 { error.with_attempts(number) } else { error });
            };
            tracing::debug!(operation = call.operation, attempt = number, ?wait, %error, "trying again");
            if deadline.sleep(call.operation, wait).await.is_err() {
                return Err(error.with_attempts(number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::ErrorKind;

    async fn attempts(retry: &Retry, idempotent: bool, error: impl Fn() -> Error + Send + Sync) -> u32 {
        let count = AtomicU32::new(0);
        let call = Call { operation: "test", idempotent, reads: false };
        let outcome: Result<()> = retry
            .run(call, |_| {
                count.fetch_add(1, Ordering::Relaxed);
                let error = error();
                async move { Err(error) }
            })
            .await;
        assert!(outcome.is_err());
        count.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_help_is_repeated() {
        let retry = Retry::default();
        let down = || Error::new(ErrorKind::Unavailable, "down");
        assert_eq!(attempts(&retry, false, down).await, 4);
        assert_eq!(attempts(&retry, false, || Error::invalid("bad")).await, 1);
        assert_eq!(attempts(&retry, true, move || down().with_attempts(3)).await, 1);
        assert_eq!(attempts(&retry, false, move || down().with_effect(Effect::Unknown)).await, 1);
        assert_eq!(attempts(&retry, true, move || down().with_effect(Effect::Unknown)).await, 4);
        assert_eq!(
            attempts(&retry, true, move || down().with_retry_after(Duration::from_secs(3600))).await,
            1
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_passes_the_deadline() {
        let down = || Error::new(ErrorKind::Exhausted, "wait").with_retry_after(Duration::from_secs(2));
        let count =
            Deadline::after(Duration::from_secs(3)).scope(attempts(&Retry::default(), true, down)).await;
        assert_eq!(count, 2);
    }
}
