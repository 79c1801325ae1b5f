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
    /// The server says that it has lost vectors, as Milvus Lite 2.5.1 does of a collection without a row.
    NoVectors,
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

    /// The call was sent; `writes`: so that it may have changed something.
    pub(crate) fn after(self, writes: bool) -> Self {
        self.map(|error| error.with_effect(effect(!writes)))
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
/// Success is both codes 0: some servers fill in only one of them, and some give reasons for success. `writes`: the call
/// may have changed something before it failed, unless its code says otherwise.
pub(crate) fn judge(status: Option<&common::Status>, writes: bool) -> Result<(), Failure> {
    let Some(status) = status else {
        let failure = Failure::protocol("the server's reply does not say whether the call succeeded");
        return Err(failure.map(|error| error.with_effect(effect(!writes))));
    };
    match (status.code, status.error_code) {
        (0, 0) => Ok(()),
        (code, legacy) => Err(of_status(status).map(|error| {
            error
                .with_effect(effect(!writes || is_kept_out(status)))
                .with_context("code", if code == 0 { legacy } else { code })
                .with_context("server", shortened(&status.reason))
        })),
    }
}

fn effect(nothing_changed: bool) -> Effect {
    if nothing_changed { Effect::NotApplied } else { Effect::Unknown }
}

/// Codes that a server gives before it does anything: its limits (4, 8, 9 and 49), another schema (62), a collection or
/// database that is not there or not loaded (100, 101, 800), a request it refuses (1100 and above), credentials.
fn is_kept_out(status: &common::Status) -> bool {
    matches!(
        (status.code, status.error_code),
        (4 | 8 | 9 | 62 | 100 | 101 | 800 | 1100..=1199 | 1400 | 1401, _) | (0, 4 | 49 | 62)
    )
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
        (800, _) => no_database(),
        (6, 6) if misses_database(&status.reason) => no_database(),
        (200, _) => other(NotFound, "the partition does not exist"),
        (1600, _) => other(NotFound, "the alias does not exist"),
        (1400 | 1401, _) => other(Unauthorized, "the server refuses the credentials"),
        // 1 is "not ready" to a Milvus server, which gives 56 with it and calls it retriable, and anything unexpected to
        // Milvus Lite in Python, which gives it alone or twice.
        (1, 0 | 1) if !status.retriable => unexpected(status),
        (1 | 2 | 103 | 106 | 202 | 305 | 1002 | 1807 | 2200, _) | (0, 56 | 57) => {
            other(Unavailable, "the server is not ready")
        }
        // The older codes of illegal arguments, which stand alone, and the one that Milvus Lite in Python gives as both.
        (1100..=1199, _) | (0, 5 | 7..=12) | (6, 6) => other(InvalidInput, "the server refuses the request"),
        // Beside any other older code they are the server's own trouble: an error inside, another cluster asked. What it
        // says of that is about itself, so no word of it makes the request a bad one.
        (5 | 6, _) if !status.retriable => {
            other(Unavailable, "the server failed").map(|error| error.with_retryable(false))
        }
        _ if status.retriable => other(Unavailable, "the server failed for the moment"),
        _ => unexpected(status),
    }
}

/// Milvus Lite in Python has no code for it but those of illegal arguments and of anything unexpected.
fn misses_database(reason: &str) -> bool {
    reason.starts_with("database ") && reason.ends_with("does not exist")
}

fn no_database() -> Failure {
    let message = "the database does not exist; create it, or correct its name";
    Failure::new(ErrorKind::NotFound, message, Cause::Other)
}

/// Codes that say nothing; the words sometimes do.
fn unexpected(status: &common::Status) -> Failure {
    let reason = status.reason.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if misses_database(&reason) {
        return no_database();
    }
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
    let cause = if says(&["segment loss raw data"]) { Cause::NoVectors } else { Cause::Other };
    Failure::new(ErrorKind::Unavailable, "the server failed", cause).map(|error| error.with_retryable(false))
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
        Code::InvalidArgument => other(InvalidInput, "the server refuses the request").after(writes),
        Code::ResourceExhausted if is_about_size(status.message()) => {
            fail(Exhausted, "a message is larger than the server or a proxy lets through", Cause::TooLarge)
                .map(|error| error.with_retryable(false))
                .after(writes)
        }
        Code::ResourceExhausted => {
            other(Exhausted, "the server or a proxy limits the rate of calls; try again later").after(writes)
        }
        Code::OutOfRange => fail(
            Exhausted,
            "the reply is larger than max_reply_bytes: ask for less, or raise it",
            Cause::TooLarge,
        )
        .map(|error| error.with_retryable(false))
        .after(writes),
        Code::DeadlineExceeded => other(Timeout, "the server's own deadline passed").after(writes),
        _ if is_not_connected(status) => other(Unavailable, "the server cannot be reached; is it running?"),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Aborted | Code::Internal => lost(),
        _ => other(Protocol, "the call failed").after(writes),
    };
    with_words(failure, status)
}

/// Whether it is a message's size that is too much. The same status tells of rates, and only words tell them apart: those
/// of gRPC in Go ("received message larger than max"), in C++ and Python (the same), in Java ("gRPC message exceeds maximum
/// size"), in .NET ("Received message exceeds the maximum configured message size"), here ("Cannot return body with more than
/// 4GB of data"), and of proxies ("payload too large").
fn is_about_size(words: &str) -> bool {
    let words = words.to_lowercase();
    let says = |word: &str| words.contains(word);
    let thing = ["message", "payload", "body"].into_iter().any(says);
    let measure = ["larger than", "too large", "too big", "with more than 4gb"].into_iter().any(says);
    thing && (measure || (says("exceed") && says("size")))
}

fn with_words(failure: Failure, status: &tonic::Status) -> Failure {
    failure.map(|error| {
        let error = error.with_context("grpc", format!("{:?}", status.code()));
        match (status.message(), deepest(status)) {
            (_, Some(cause)) => error.with_context("because", shortened(&cause)),
            ("", None) => error,
            (message, None) => error.with_context("because", shortened(message)),
        }
    })
}

/// TLS could not be agreed on, or the server did not take the client for who it says it is. Trying again would not help.
pub(crate) fn of_tls(status: &tonic::Status) -> Failure {
    let message = "no encrypted connection: the certificate is not for this name, is not of a trusted authority or is \
                   asked of the client, or the server speaks no TLS; see the settings of tls";
    with_words(Failure::new(ErrorKind::Config, message, Cause::Other), status)
}

/// Whether there is no connection because of what was said in TLS, which its library tells as invalid data. Some servers
/// say what they think of the client's certificate when the client believes itself connected.
pub(crate) fn is_tls(status: &tonic::Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData) {
            return is_not_connected(status)
                || deepest(status).is_some_and(|cause| cause.contains("fatal alert"));
        }
        source = error.source();
    }
    false
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
        judge(Some(&status(code, error_code, reason)), false).unwrap_err()
    }

    #[test]
    fn a_reason_is_no_failure_and_a_missing_status_is_one() {
        judge(Some(&status(0, 0, "search result is empty")), true).unwrap();
        assert_eq!(judge(None, false).unwrap_err().error.kind(), ErrorKind::Protocol);
        assert_eq!(judge(None, true).unwrap_err().error.effect(), Effect::Unknown);
    }

    #[test]
    fn what_may_pass_is_retried_and_what_will_not_is_not() {
        for (code, legacy, kind, retryable) in [
            (8, 49, ErrorKind::Exhausted, true),
            (0, 49, ErrorKind::Exhausted, true),
            (9, 0, ErrorKind::Exhausted, false),
            (2, 0, ErrorKind::Unavailable, true),
            (1, 56, ErrorKind::Unavailable, true),
            (1, 0, ErrorKind::Unavailable, false),
            (1, 1, ErrorKind::Unavailable, false),
            (100, 4, ErrorKind::NotFound, false),
            (1400, 0, ErrorKind::Unauthorized, false),
            (1100, 1, ErrorKind::InvalidInput, false),
            (0, 5, ErrorKind::InvalidInput, false),
            (0, 7, ErrorKind::InvalidInput, false),
            (6, 6, ErrorKind::InvalidInput, false),
            (5, 1, ErrorKind::Unavailable, false),
            (6, 1, ErrorKind::Unavailable, false),
            (5, 0, ErrorKind::Unavailable, false),
            (200, 1, ErrorKind::NotFound, false),
            (1600, 1, ErrorKind::NotFound, false),
            (65535, 1, ErrorKind::Unavailable, false),
            (i32::MIN, i32::MAX, ErrorKind::Unavailable, false),
        ] {
            let error = failed(code, legacy, "").error;
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{code} {legacy}");
        }
    }

    #[test]
    fn what_a_server_says_of_its_own_trouble_does_not_make_the_request_a_bad_one() {
        for (code, legacy) in [(5, 1), (6, 1), (5, 0)] {
            let error = failed(code, legacy, "service internal error: invalid segment, not supported").error;
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{code} {legacy}: {error}");
        }
        // Milvus Lite in Python says with one code what it lacks and what it refuses.
        for (code, legacy) in [(1, 0), (1, 1)] {
            let error = failed(code, legacy, "database 'x' does not exist").error;
            assert_eq!(error.kind(), ErrorKind::NotFound, "{code} {legacy}: {error}");
        }
        for (reason, kind) in [
            ("database 'x' does not exist", ErrorKind::NotFound),
            ("database 'x' is not empty", ErrorKind::InvalidInput),
            ("field 'x' does not exist", ErrorKind::InvalidInput),
        ] {
            assert_eq!(failed(6, 6, reason).error.kind(), kind, "{reason}");
        }
    }

    #[test]
    fn of_two_kinds_of_exhaustion_words_tell_which_it_is() {
        for (words, size) in [
            ("grpc: received message larger than max (70000000 vs. 67108864)", true),
            ("grpc: trying to send message larger than max (70000000 vs. 67108864)", true),
            ("SERVER: Received message larger than max (70000000 vs. 67108864)", true),
            ("gRPC message exceeds maximum size 4194304: 5000000", true),
            ("Received message exceeds the maximum configured message size.", true),
            ("Cannot return body with more than 4GB of data but got 5000000000 bytes", true),
            ("Payload Too Large", true),
            ("", false),
            ("resource exhausted", false),
            ("rate limit exceeded", false),
            ("message rate exceeds the limit of 100 a second", false),
            ("too many requests: more than 100 messages a second", false),
        ] {
            let failure = of_transport(&tonic::Status::resource_exhausted(words), false);
            assert_eq!(failure.cause == Cause::TooLarge, size, "{words}");
            assert_eq!((failure.error.kind(), failure.error.is_retryable()), (ErrorKind::Exhausted, !size));
        }
    }

    #[test]
    fn only_codes_given_before_anything_is_done_say_that_a_write_did_not_happen() {
        for (code, legacy, reason, nothing_changed) in [
            (8, 49, "", true),
            (0, 49, "", true),
            (4, 0, "", true),
            (9, 0, "", true),
            (100, 1, "", true),
            (101, 0, "", true),
            (1100, 1, "", true),
            (1400, 0, "", true),
            (1, 0, "", false),
            (2, 0, "", false),
            (3, 0, "", false),
            (5, 0, "", false),
            (12, 0, "", false),
            (103, 0, "", false),
            (1002, 0, "", false),
            (2200, 0, "", false),
            (0, 56, "", false),
            (65535, 1, "invalid", false),
            (1, 1, "not supported", false),
        ] {
            let status = common::Status { retriable: true, ..status(code, legacy, reason) };
            let error = judge(Some(&status), true).unwrap_err().error;
            let expected = if nothing_changed { Effect::NotApplied } else { Effect::Unknown };
            assert_eq!(error.effect(), expected, "{code} {legacy} {error}");
            assert_eq!(judge(Some(&status), false).unwrap_err().error.effect(), Effect::NotApplied);
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
