//! What the file looks like inside, and how an older one becomes a current one.
//!
//! `user_version` counts the steps that were applied. Tables of a collection are made when it is opened; see
//! `vectors/collection.rs`.

use std::{path::Path, time::Duration};

use arshai_core::{Deadline, Error, ErrorKind};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::error::{Failure, Outcome};

/// "arsh", so that tools can tell whose file it is.
const APPLICATION_ID: i32 = 0x6172_7368;

/// Each step brings the file from the version that is its position to the next one. Steps are never edited.
const STEPS: &[&str] = &[
    "CREATE TABLE collection(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        spec TEXT NOT NULL,
        generation INTEGER NOT NULL DEFAULT 0,
        cleared INTEGER NOT NULL DEFAULT 0,
        chunks INTEGER NOT NULL DEFAULT 0,
        dense_chunks INTEGER NOT NULL DEFAULT 0,
        terms INTEGER NOT NULL DEFAULT 0,
        next_id INTEGER NOT NULL DEFAULT 1
    ) STRICT;
    CREATE TABLE memory(key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;",
    // Memories may expire.
    "ALTER TABLE memory ADD COLUMN expires_ms INTEGER;
    CREATE INDEX memory_expiry ON memory(expires_ms) WHERE expires_ms IS NOT NULL;",
];

/// Sets up the connection that writes: journal, durability, and the tables.
pub(crate) fn prepare_writer(connection: &mut Connection, path: &Path, deadline: Deadline) -> Outcome<()> {
    // Reading comes first: a file that is not ours must not be changed, not even its journal mode.
    check_owner(connection, path)?;
    use_wal(connection, deadline)?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -32768;
         PRAGMA wal_autocheckpoint = 1000;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    migrate(connection, path)
}

/// Sets up a connection that only reads.
pub(crate) fn prepare_reader(connection: &Connection) -> Outcome<()> {
    connection.execute_batch(
        "PRAGMA query_only = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -16384;",
    )?;
    Ok(())
}

fn number(connection: &Connection, pragma: &str) -> Outcome<i32> {
    Ok(connection.pragma_query_value(None, pragma, |row| row.get(0))?)
}

/// The version of the file's schema; 0 for one without tables.
fn check_owner(connection: &Connection, path: &Path) -> Outcome<usize> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let owner = number(connection, "application_id")?;
    let version = number(connection, "user_version")?;
    if tables == 0 {
        return Ok(0);
    }
    if owner != APPLICATION_ID {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            "the file is a SQLite database of another program; name another file",
        )
        .with_context("path", path.display())
        .into());
    }
    match usize::try_from(version) {
        Ok(version) if version <= STEPS.len() => Ok(version),
        _ => Err(Error::unsupported(
            "the file was written by a newer version of arshai; update arshai to open it",
        )
        .with_context("path", path.display())
        .with_context("file_version", version)
        .with_context("known_version", STEPS.len())
        .into()),
    }
}

/// Switching to WAL needs the file alone for a moment, and SQLite does not wait for that by itself.
fn use_wal(connection: &Connection, deadline: Deadline) -> Outcome<()> {
    loop {
        let mode =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => {
                return Err(Error::new(
                    ErrorKind::Io,
                    "the file system cannot share a SQLite file between processes",
                )
                .with_context("journal_mode", mode)
                .into());
            }
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && !deadline.is_past() =>
            {
                std::thread::sleep(Duration::from_millis(2 + fastrand::u64(..8)));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn migrate(connection: &mut Connection, path: &Path) -> Outcome<()> {
    if check_owner(connection, path)? == STEPS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been here before us.
    let version = check_owner(&transaction, path)?;
    for step in STEPS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    let current = i64::try_from(STEPS.len()).map_err(|_| Failure::Ours(Error::internal("too many steps")))?;
    transaction.pragma_update(None, "user_version", current)?;
    transaction.commit()?;
    if version > 0 {
        tracing::info!(path = %path.display(), from = version, to = current, "migrated the SQLite file");
    }
    Ok(())
}
