//! How one check is run and judged.

use std::{fmt, panic::AssertUnwindSafe, time::Duration};

use arshai_core::{Error, ErrorKind};
use futures_util::{FutureExt as _, future::BoxFuture};

use crate::{Failure, Report, Skipped};

/// Longer than any check needs on a slow machine; a backend that hangs fails instead of hanging its tests.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);

/// What a check found against the contract.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// How a check ends.
pub(crate) type Outcome<T = ()> = Result<T, Problem>;

impl Problem {
    pub(crate) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }

    /// Says where in the check it was found.
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Self {
        self.expected = format!("{what}: {}", self.expected);
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::new("the operation succeeds", error.to_string())
    }
}

/// Runs checks one after another and keeps what they found.
#[derive(Debug)]
pub(crate) struct Checks {
    report: Report,
}

impl Checks {
    pub(crate) fn new(suite: &'static str) -> Self {
        Self { report: Report::new(suite) }
    }

    pub(crate) async fn run(
        &mut self,
        check: &'static str,
        contract: &'static str,
        body: BoxFuture<'_, Outcome>,
    ) {
        self.judge(check, contract, body).await;
    }

    /// The same for a check that has a number to tell.
    pub(crate) async fn run_noted(
        &mut self,
        check: &'static str,
        contract: &'static str,
        body: BoxFuture<'_, Outcome<String>>,
    ) {
        if let Some(note) = self.judge(check, contract, body).await {
            self.note(format!("{check}: {note}"));
        }
    }

    pub(crate) fn skip(&mut self, check: &'static str, missing: &'static str) {
        self.report.skipped.push(Skipped { check, missing });
    }

    pub(crate) fn note(&mut self, note: String) {
        self.report.notes.push(note);
    }

    pub(crate) fn fail(&mut self, check: &'static str, contract: &'static str, problem: Problem) {
        self.report.failures.push(Failure::new(check, contract, problem.expected, problem.found));
    }

    pub(crate) fn finish(self) -> Report {
        self.report.published()
    }

    async fn judge<T>(
        &mut self,
        check: &'static str,
        contract: &'static str,
        body: BoxFuture<'_, Outcome<T>>,
    ) -> Option<T> {
        let outcome = tokio::time::timeout(CHECK_TIMEOUT, AssertUnwindSafe(body).catch_unwind()).await;
        let problem = match outcome {
            Ok(Ok(Ok(value))) => {
                self.report.passed.push(check);
                return Some(value);
            }
            Ok(Ok(Err(problem))) => problem,
            Ok(Err(panic)) => Problem::new("no operation panics", panic_message(panic.as_ref())),
            Err(_elapsed) => Problem::new(
                format!("the check ends within {} s", CHECK_TIMEOUT.as_secs()),
                "it was still waiting: an operation has no finite deadline, or is very slow",
            ),
        };
        self.fail(check, contract, problem);
        None
    }
}

/// Writes the calls of a suite, one `name: contract => body` each. `if able, "ability"` skips a check the backend is
/// not able to pass; `unless able` is for what only backends without an ability must refuse.
macro_rules! checks {
    ($checks:expr; $(
        $name:literal $(if $able:expr, $ability:literal)? $(unless ($unless:expr))?: $contract:expr => $body:expr;
    )*) => {
        $(
            let (skipped, applies): (Option<&'static str>, bool) = (
                None$(.or((!$able).then_some($ability)))?,
                true$( && !$unless)?,
            );
            match skipped {
                Some(ability) => $checks.skip($name, ability),
                None if applies => $checks.run($name, $contract, Box::pin($body)).await,
                None => {}
            }
        )*
    };
}
pub(crate) use checks;

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a panic: {}", text.unwrap_or("without a message"))
}

/// `found` is `expected`.
pub(crate) fn equal<T: PartialEq + fmt::Debug>(what: impl fmt::Display, found: &T, expected: &T) -> Outcome {
    if found == expected {
        return Ok(());
    }
    Err(Problem::new(format!("{what}: {}", shown(expected)), shown(found)))
}

/// Something holds; `found` is shown when it does not.
pub(crate) fn holds(expected: impl fmt::Display, holds: bool, found: &dyn fmt::Debug) -> Outcome {
    if holds { Ok(()) } else { Err(Problem::new(expected.to_string(), shown(&found))) }
}

/// The operation fails with this kind.
pub(crate) fn fails<T: fmt::Debug>(
    what: impl fmt::Display,
    result: arshai_core::Result<T>,
    kind: ErrorKind,
) -> Outcome<Error> {
    match result {
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => Err(Problem::new(format!("{what} fails with {kind}"), error.to_string())),
        Ok(value) => {
            Err(Problem::new(format!("{what} fails with {kind}"), format!("success: {}", shown(&value))))
        }
    }
}

/// There is a value.
pub(crate) fn present<T>(what: impl fmt::Display, value: Option<T>) -> Outcome<T> {
    value.ok_or_else(|| Problem::new(format!("{what} is there"), "nothing"))
}

/// A value as a report shows it: whole when short.
pub(crate) fn shown(value: &dyn fmt::Debug) -> String {
    const MOST: usize = 1200;
    let text = format!("{value:?}");
    match text.char_indices().nth(MOST) {
        None => text,
        Some((end, _)) => {
            format!("{}… ({} bytes in all)", text.get(..end).unwrap_or_default(), text.len())
        }
    }
}

/// A name no other run has: letters and digits only.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}{:012x}", fastrand::u64(..) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hang_and_a_panic_are_failures_of_their_check_alone() {
        let mut checks = Checks::new("test");
        checks!(checks;
            "hangs": "x" => std::future::pending();
            "panics": "x" => async { panic!("on purpose") };
            "passes": "x" => async { Ok(()) };
            "skipped" if false, "wings": "x" => async { Ok(()) };
            "of no concern" unless (true): "x" => async { Ok(()) };
        );
        let report = checks.finish();
        assert!(report.failed("hangs") && report.failed("panics"));
        assert_eq!((report.passed.len(), report.skipped.len()), (1, 1));
        assert!(report.to_string().contains("on purpose"));
    }
}
