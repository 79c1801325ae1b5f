//! What SQLite reports, as arshai's error. The one place where the two meet.

use std::path::Path;

use arshai_core::{Effect, Error, ErrorKind};
use rusqlite::ErrorCode;

/// Why work on a connection failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// SQLite said no.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// We said no.
    #[error(transparent)]
    Ours(#[from] Error),
    /// A copy in memory shows later writes than the transaction sees; a new transaction will see them too.
    #[error("others wrote while this was read")]
    Overtaken,
}

/// `Result` inside the crate.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// Why a COMMIT failed. When the system failed at it, what was written may be in the journal all the same.
    pub(crate) fn commit(error: rusqlite::Error, path: &Path) -> Self {
        if error.sqlite_error_code() != Some(ErrorCode::SystemIoFailure) {
            return error.into();
        }
        Error::new(
            ErrorKind::OutcomeUnknown,
            "the system failed while a write was made durable, and it may have happened or not; read before writing again",
        )
        .with_context("path", path.display())
        .with_source(error)
        .into()
    }

    /// The error for a caller. Transactions are all or nothing, so a failed one has changed nothing; a COMMIT of which
    /// that is not certain is [`Failure::commit`]'s.
    pub(crate) fn into_error(self, operation: &'static str, path: &Path) -> Error {
        match self {
            Self::Ours(error) => error.with_operation(operation),
            Self::Overtaken => {
                Error::new(ErrorKind::Conflict, "others wrote to the collection while it was read; try again")
                    .with_operation(operation)
            }
            Self::Sqlite(error) => {
                let (kind, message) = describe(&error);
                Error::new(kind, message)
                    .with_operation(operation)
                    .with_context("path", path.display())
                    .with_effect(Effect::NotApplied)
                    .with_source(error)
            }
        }
    }
}

fn describe(error: &rusqlite::Error) -> (ErrorKind, &'static str) {
    const UNREADABLE: &str =
        "the SQLite file holds something this version cannot read; restore it from a backup";
    let code = match error {
        rusqlite::Error::SqliteFailure(failure, _) => failure.code,
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::UserFunctionError(_) => return (ErrorKind::Corrupt, UNREADABLE),
        _ => {
            return (
                ErrorKind::Internal,
                "a statement failed in a way that should not happen; please report it",
            );
        }
    };
    match code {
        ErrorCode::NotADatabase => {
            (ErrorKind::Corrupt, "the file is not a SQLite database; name another file or move this one away")
        }
        ErrorCode::DatabaseCorrupt => (
            ErrorKind::Corrupt,
            "the SQLite file is damaged or cut short; restore it from a backup, or move it away and ingest again",
        ),
        ErrorCode::DiskFull => (
            ErrorKind::Io,
            "the disk (or the size limit of the file) is full; nothing of this step was written, free space and repeat it",
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => (
            ErrorKind::Timeout,
            "another program kept the SQLite file locked until the deadline; try again later",
        ),
        ErrorCode::OperationInterrupted => (
            ErrorKind::Timeout,
            "the deadline of the operation passed and it was rolled back; allow more time",
        ),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            (ErrorKind::Io, "the SQLite file may not be written; look at its permissions and its folder's")
        }
        ErrorCode::CannotOpen => {
            (ErrorKind::Io, "the SQLite file cannot be opened; look at its folder and permissions")
        }
        ErrorCode::SystemIoFailure => (ErrorKind::Io, "the system could not read or write the SQLite file"),
        ErrorCode::OutOfMemory => (ErrorKind::Exhausted, "SQLite ran out of memory"),
        ErrorCode::TooBig => (ErrorKind::InvalidInput, "a value is larger than SQLite can store (1 GB)"),
        _ => (ErrorKind::Internal, "SQLite refused a statement; please report it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_commit_at_which_the_system_failed_leaves_its_outcome_open() {
        let failed = |code| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let error = Failure::commit(error, Path::new("a.db")).into_error("x.put", Path::new("a.db"));
            assert!(error.to_string().contains("a.db"), "{error}");
            (error.kind(), error.effect())
        };
        let fsync = rusqlite::ffi::SQLITE_IOERR | (4 << 8);
        assert_eq!(failed(fsync), (ErrorKind::OutcomeUnknown, Effect::Unknown));
        assert_eq!(failed(rusqlite::ffi::SQLITE_FULL), (ErrorKind::Io, Effect::NotApplied));
        assert_eq!(failed(rusqlite::ffi::SQLITE_BUSY), (ErrorKind::Timeout, Effect::NotApplied));
    }
}
