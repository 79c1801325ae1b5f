//! What a failed call means.

use std::error::Error as StdError;

use arshai_core::{Effect, Error, ErrorKind};
use tonic::{Code, ConnectError};

use crate::proto::common;

/// Why a call failed, and what its caller may make of it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) cause: Cause,
}

/// Failures that are answered with more than an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    NoCollection,
    NotLoaded,
    NoIndex,
    /// The server knows another schema than the one the call was made for.
    OtherSchema,
    /// The server does not know the method.
    NoMethod,
    /// The request or the reply is too large for the wire.
    TooLarge,
    Other,
}

impl Failure {
    fn new(kind: ErrorKind, message: &'static str, cause: Cause) -> Self {
        Self { error: Error::new(kind, message), cause }
    }

    fn map(mut self, change: impl FnOnce(Error) -> Error) -> Self {
        self.error = change(self.error);
        self
    }

    pub(crate) fn protocol(message: &'static str) -> Self {
        Self::new(ErrorKind::Protocol, message, Cause::Other)
    }

    /// Whether the call surely changed nothing, so that even a write that must not happen twice is sent again.
    pub(crate) fn is_harmless(&self) -> bool {
        self.error.effect() == Effect::NotApplied
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, cause: Cause::Other }
    }
}

/// What the server says of a call it answered.
///
/// Success is both codes 0: some servers fill in only one of them, and some give reasons for success.
pub(crate) fn judge(status: Option<&common::Status>) -> Result<(), Failure> {
    let Some(status) = status else {
        return Err(Failure::protocol("the server's reply does not say whether the call succeeded"));
    };
    match (status.code, status.error_code) {
        (0, 0) => Ok(()),
        (code, legacy) => Err(of_status(status).map(|error| {
            error
                .with_context("code", if code == 0 { legacy } else { code })
                .with_context("server", shortened(&status.reason))
        })),
    }
}

fn of_status(status: &common::Status) -> Failure {
    use ErrorKind::{Exhausted, InvalidInput, NotFound, Unauthorized, Unavailable};
    let fail = Failure::new;
    let other = |kind, message| fail(kind, message, Cause::Other);
    match (status.code, status.error_code) {
        (100, _) | (0 | 1, 4) => fail(NotFound, "the collection does not exist", Cause::NoCollection),
        (101, _) => fail(Unavailable, "the collection is not loaded", Cause::NotLoaded),
        (8, _) | (0, 49) => other(Exhausted, "the server limits the rate of calls; try again later"),
        (4 | 12, _) => other(Exhausted, "the server has too much to do; try again later"),
        (3 | 7 | 9, _) => other(Exhausted, "the server's memory, disk or quota is used up; free some")
            .map(|error| error.with_retryable(false)),
        (62, _) | (0, 62) => {
            fail(InvalidInput, "the collection has another schema by now; open it again", Cause::OtherSchema)
        }
        (700, _) => fail(NotFound, "the index does not exist", Cause::NoIndex),
        (800, _) => other(NotFound, "the database does not exist; create it, or correct its name"),
        (1400 | 1401, _) => other(Unauthorized, "the server refuses the credentials"),
        // 1 is "not ready" to a Milvus server, and anything unexpected to those that fill in the older code as well.
        (1, 1) => unexpected(status),
        (1 | 2 | 103 | 106 | 202 | 305 | 1002 | 1807 | 2200, _) | (0, 56 | 57) => {
            other(Unavailable, "the server is not ready")
        }
        (5 | 6 | 1100..=1199, _) => other(InvalidInput, "the server refuses the request"),
        _ if status.retriable => other(Unavailable, "the server failed for the moment"),
        _ => unexpected(status),
    }
}

/// Codes that say nothing; the words sometimes do.
fn unexpected(status: &common::Status) -> Failure {
    let reason = status.reason.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["not loaded"]) {
        return Failure::new(ErrorKind::Unavailable, "the collection is not loaded", Cause::NotLoaded);
    }
    if says(&["collection not found", "can't find collection", "collection not exist"]) {
        return Failure::new(ErrorKind::NotFound, "the collection does not exist", Cause::NoCollection);
    }
    if says(&["index not found", "index not exist", "no index"]) {
        return Failure::new(ErrorKind::NotFound, "the index does not exist", Cause::NoIndex);
    }
    if says(&["parse expression", "invalid", "illegal", "should be in range", "not supported"]) {
        return Failure::new(ErrorKind::InvalidInput, "the server refuses the request", Cause::Other);
    }
    Failure::new(ErrorKind::Unavailable, "the server failed", Cause::Other)
        .map(|error| error.with_retryable(false).with_effect(Effect::Unknown))
}

/// What it means that no answer came. `writes`: whether the call may have changed something on its way.
pub(crate) fn of_transport(status: &tonic::Status, writes: bool) -> Failure {
    use ErrorKind::{
        Exhausted, InvalidInput, OutcomeUnknown, Protocol, Timeout, Unauthorized, Unavailable, Unsupported,
    };
    let fail = Failure::new;
    let other = |kind, message| fail(kind, message, Cause::Other);
    let lost = || match writes {
        true => other(OutcomeUnknown, "the connection broke before the reply; the write may have happened"),
        false => other(Unavailable, "the connection broke before the reply"),
    };
    let failure = match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            other(Unauthorized, "the server refuses the credentials, or what they ask for")
        }
        Code::Unimplemented => fail(Unsupported, "the server does not know this call", Cause::NoMethod),
        Code::InvalidArgument => other(InvalidInput, "the server refuses the request"),
        Code::ResourceExhausted => {
            fail(Exhausted, "a message is larger than the server or a proxy lets through", Cause::TooLarge)
                .map(|error| error.with_retryable(false))
        }
        Code::OutOfRange => fail(
            Exhausted,
            "the reply is larger than max_reply_bytes: ask for less, or raise it",
            Cause::TooLarge,
        )
        .map(|error| error.with_retryable(false)),
        Code::DeadlineExceeded => other(Timeout, "the server's own deadline passed")
            .map(|error| error.with_effect(if writes { Effect::Unknown } else { Effect::NotApplied })),
        _ if is_not_connected(status) => other(Unavailable, "the server cannot be reached; is it running?"),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Aborted | Code::Internal => lost(),
        _ => other(Protocol, "the call failed"),
    };
    failure.map(|error| {
        let error = error.with_context("grpc", format!("{:?}", status.code()));
        match (status.message(), deepest(status)) {
            (_, Some(cause)) => error.with_context("because", shortened(&cause)),
            ("", None) => error,
            (message, None) => error.with_context("because", shortened(message)),
        }
    })
}

/// The connection was never made, so nothing was sent.
fn is_not_connected(status: &tonic::Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn deepest(status: &tonic::Status) -> Option<String> {
    let mut error: &dyn StdError = status.source()?;
    while let Some(source) = error.source() {
        error = source;
    }
    Some(error.to_string())
}

/// What a server says, short enough for one line.
fn shortened(text: &str) -> String {
    const MOST: usize = 300;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST + 1).collect();
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: i32, error_code: i32, reason: &str) -> common::Status {
        common::Status { code, error_code, reason: reason.into(), ..common::Status::default() }
    }

    fn failed(code: i32, error_code: i32, reason: &str) -> Failure {
        judge(Some(&status(code, error_code, reason))).unwrap_err()
    }

    #[test]
    fn a_reason_is_no_failure_and_a_missing_status_is_one() {
        judge(Some(&status(0, 0, "search result is empty"))).unwrap();
        assert_eq!(judge(None).unwrap_err().error.kind(), ErrorKind::Protocol);
    }

    #[test]
    fn what_may_pass_is_retried_and_what_will_not_is_not() {
        for (code, legacy, kind, retryable) in [
            (8, 49, ErrorKind::Exhausted, true),
            (0, 49, ErrorKind::Exhausted, true),
            (9, 0, ErrorKind::Exhausted, false),
            (2, 0, ErrorKind::Unavailable, true),
            (1, 0, ErrorKind::Unavailable, true),
            (1, 1, ErrorKind::Unavailable, false),
            (100, 4, ErrorKind::NotFound, false),
            (1400, 0, ErrorKind::Unauthorized, false),
            (1100, 1, ErrorKind::InvalidInput, false),
            (65535, 1, ErrorKind::Unavailable, false),
            (i32::MIN, i32::MAX, ErrorKind::Unavailable, false),
        ] {
            let error = failed(code, legacy, "").error;
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{code} {legacy}");
        }
    }

    #[test]
    fn both_ways_to_say_that_a_collection_is_missing_are_understood() {
        for (code, legacy) in [(100, 1), (100, 4), (0, 4), (100, 0)] {
            assert_eq!(failed(code, legacy, "").cause, Cause::NoCollection);
        }
        assert_eq!(failed(101, 0, "").cause, Cause::NotLoaded);
        assert_eq!(failed(65535, 1, "failed: collection not loaded[x]").cause, Cause::NotLoaded);
    }

    #[test]
    fn a_lost_reply_is_an_unknown_outcome_for_a_write_only() {
        let lost = tonic::Status::unavailable("transport error");
        assert_eq!(of_transport(&lost, true).error.kind(), ErrorKind::OutcomeUnknown);
        assert!(of_transport(&lost, false).error.is_retryable());
    }

    #[test]
    fn a_long_reason_is_cut_and_holds_no_control_character() {
        let text = failed(1100, 1, &"\u{1b}[31m日".repeat(500)).error.to_string();
        assert!(text.len() < 2000 && !text.contains('\u{1b}'), "{text}");
    }
}
