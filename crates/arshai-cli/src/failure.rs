//! What ends a command early, and how it is told.

use arshai_core::{Error, ErrorKind};
use serde_json::{Map, Value, json};

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong: exit status 2.
    Usage(String),
    /// The work failed: exit status 1.
    Work(Error),
    /// The work failed in part, and the output says how: exit status 1.
    Reported,
    /// Ctrl-C: exit status 130, as a shell expects.
    Interrupted,
}

/// Operations that touch no database begin so.
const OF_NO_FILE: [&str; 4] = ["weights.", "minilm.", "openai.", "speech."];

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Work(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Work(error.into())
    }
}

impl Failure {
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Work(_) | Self::Reported => 1,
            Self::Interrupted => 130,
        }
    }

    /// One line for people; `None` when the output has said it.
    pub(crate) fn to_text(&self) -> Option<String> {
        match self {
            Self::Usage(message) => Some(format!("error: {message}")),
            Self::Work(error) => Some(match advice(error) {
                Some(advice) => format!("error: {error}\n  {advice}"),
                None => format!("error: {error}"),
            }),
            Self::Reported | Self::Interrupted => None,
        }
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> Option<Value> {
        match self {
            Self::Usage(message) => Some(json!({ "error": { "kind": "usage", "message": message } })),
            Self::Work(error) => Some(json!({ "error": error_json(error) })),
            Self::Reported | Self::Interrupted => None,
        }
    }
}

pub(crate) fn error_json(error: &Error) -> Value {
    let context: Map<String, Value> =
        error.context().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    json!({
        "kind": error.kind().name(),
        "message": error.message(),
        "operation": error.operation(),
        "context": context,
        "retryable": error.is_retryable(),
        "cause": std::error::Error::source(error).map(ToString::to_string),
    })
}

/// What to do about a failure of the database. Others say it themselves.
fn advice(error: &Error) -> Option<&'static str> {
    let of_no_file =
        error.operation().is_some_and(|operation| OF_NO_FILE.iter().any(|of| operation.starts_with(of)));
    // What a server says of itself names the server's address.
    if of_no_file || error.context().any(|(name, _)| name == "address") {
        return None;
    }
    match error.kind() {
        ErrorKind::Corrupt => Some("Restore the file from a backup, or move it away and ingest again."),
        ErrorKind::Exhausted => {
            Some("Free space or wait, then run the same command again: nothing written is lost.")
        }
        ErrorKind::Timeout | ErrorKind::Unavailable => {
            Some("Another process may hold the file; run the command again.")
        }
        _ => None,
    }
}
