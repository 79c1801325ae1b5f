//! Dropping an operation at every point where it waits.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use crate::Failure;

const CHECK: &str = "drop_harness";
const CONTRACT: &str = "# Cancel safety of the operation's trait in arshai_core";
const MOST_POLLS: usize = 10_000;
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// How one run of the operation ended.
#[derive(Debug)]
pub enum Dropped<T> {
    /// It was dropped after this many polls, while it waited.
    AtPoll(usize),
    /// It completed with this value.
    Completed(T),
}

/// Runs `operation` again and again, dropping it after its first, second, … poll, until a run completes; after each
/// run `check` looks whether the next operation succeeds and the state is old or new. Returns n, the number of polls
/// the complete run took.
///
/// Both closures get the number of the run (from 1), so that each run can have its own key. `check` returns what is
/// wrong.
///
/// # Errors
///
/// The first run whose check failed, or a run that still waits after 60 s or 10,000 polls.
///
/// # Cancel safety
///
/// Dropping the future drops the operation that is being run.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let polls = arshai_conformance::drop_harness(
///     |_run| async {
///         tokio::task::yield_now().await;
///         tokio::task::yield_now().await;
///     },
///     |_run, _dropped| async { Ok(()) },
/// )
/// .await
/// .unwrap();
/// assert_eq!(polls, 3);
/// # });
/// ```
pub async fn drop_harness<T, O, OFuture, C, CFuture>(mut operation: O, mut check: C) -> Result<usize, Failure>
where
    O: FnMut(usize) -> OFuture,
    OFuture: Future<Output = T>,
    C: FnMut(usize, Dropped<T>) -> CFuture,
    CFuture: Future<Output = Result<(), String>>,
{
    for run in 1..=MOST_POLLS {
        let dropped = tokio::time::timeout(RUN_TIMEOUT, poll_at_most(run, operation(run)))
            .await
            .map_err(|_elapsed| failure(&format!("run {run} goes on within 60 s"), "it was never woken"))?;
        let done = matches!(dropped, Dropped::Completed(_));
        check(run, dropped).await.map_err(|problem| {
            let how = if done { "completed".to_owned() } else { format!("was dropped at poll {run}") };
            failure(&format!("the state is old or new after the operation {how}"), &problem)
        })?;
        if done {
            return Ok(run);
        }
    }
    Err(failure(&format!("the operation completes within {MOST_POLLS} polls"), "it still waits"))
}

/// Polls at most `most` times, each time when woken, and drops the future when it still waits then.
async fn poll_at_most<F: Future>(most: usize, future: F) -> Dropped<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|context| {
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Dropped::Completed(value)),
            Poll::Pending if polls >= most => Poll::Ready(Dropped::AtPoll(polls)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn failure(expected: &str, found: &str) -> Failure {
    Failure::new(CHECK, CONTRACT, expected, found)
}

impl<T: fmt::Debug> Dropped<T> {
    /// The value of a complete run.
    pub fn completed(self) -> Option<T> {
        match self {
            Self::Completed(value) => Some(value),
            Self::AtPoll(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Writes two halves with a wait between: half a state when dropped there.
    async fn torn(left: &AtomicU32, right: &AtomicU32) {
        left.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        right.fetch_add(1, Ordering::Relaxed);
    }

    #[tokio::test]
    async fn half_a_write_is_found() {
        let (left, right) = (AtomicU32::new(0), AtomicU32::new(0));
        let outcome = drop_harness(
            |_run| torn(&left, &right),
            |_run, _dropped| {
                let (l, r) = (left.load(Ordering::Relaxed), right.load(Ordering::Relaxed));
                async move { if l == r { Ok(()) } else { Err(format!("left {l}, right {r}")) } }
            },
        )
        .await;
        let failure = outcome.unwrap_err();
        assert!(failure.expected.contains("dropped at poll 1") && failure.found.contains("left 1, right 0"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_that_is_never_woken_fails() {
        let outcome = drop_harness(|_| std::future::pending::<()>(), |_, _| async { Ok(()) });
        assert!(outcome.await.unwrap_err().found.contains("never woken"));
    }
}
