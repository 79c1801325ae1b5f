//! One connection with what belongs to it.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arshai_core::{Deadline, Filter, filter::Subject, vector::Id};
use rusqlite::{
    Connection, OpenFlags,
    functions::{Context, FunctionFlags},
    types::ValueRef,
};
use serde_json::{Map, Value};

use crate::error::Outcome;

/// How many steps of SQLite's machine pass between two looks at the clock.
const STEPS_PER_LOOK: i32 = 10_000;
const STATEMENTS: usize = 128;
/// SQLite counts milliseconds in 32 bits; a day is longer than anyone waits for a lock.
const LONGEST_BUSY: Duration = Duration::from_secs(86_400);

/// A connection, the deadline of what runs on it, and the filters its function `arshai_match` looks at.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Connection,
    until: Arc<Mutex<Option<Instant>>>,
    filters: Filters,
}

/// The filters that `arshai_match(0, …)`, `arshai_match(1, …)` … of one connection ask about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters(Arc<Mutex<Vec<Filter>>>);

impl Filters {
    /// Replaces them.
    pub(crate) fn set(&self, filters: Vec<Filter>) {
        *lock(&self.0) = filters;
    }
}

impl Session {
    /// Opens a file that exists.
    pub(crate) fn open(path: &Path) -> Outcome<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        let until = Arc::new(Mutex::new(None));
        let clock = Arc::clone(&until);
        connection.progress_handler(STEPS_PER_LOOK, Some(move || is_past(&clock)))?;
        let filters = Filters::default();
        let known = filters.clone();
        connection.create_scalar_function(
            "arshai_match",
            4,
            FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY,
            move |context| matches(&known, context),
        )?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self { connection, until, filters })
    }

    /// From here on nothing on this connection goes on past `deadline`.
    pub(crate) fn arm(&self, deadline: Deadline) -> Outcome<()> {
        *lock(&self.until) = Some(deadline.instant());
        self.connection.busy_timeout(deadline.remaining().min(LONGEST_BUSY))?;
        Ok(())
    }

    /// From here on nothing on this connection waits for a lock.
    pub(crate) fn refuse_to_wait(&self) -> Outcome<()> {
        *lock(&self.until) = None;
        self.connection.busy_timeout(Duration::ZERO)?;
        Ok(())
    }

    /// The filters of this connection.
    pub(crate) fn filters(&self) -> Filters {
        self.filters.clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_past(until: &Mutex<Option<Instant>>) -> bool {
    lock(until).is_some_and(|until| Instant::now() >= until)
}

/// `arshai_match(filter number, id, text or NULL, metadata as JSON or NULL)`: core's own answer.
fn matches(filters: &Filters, context: &Context<'_>) -> rusqlite::Result<bool> {
    let number: i64 = context.get(0)?;
    let id = read_id(context.get_raw(1))?;
    let text = match context.get_raw(2) {
        ValueRef::Null => "",
        other => other.as_str()?,
    };
    let metadata: Map<String, Value> = match context.get_raw(3) {
        ValueRef::Null => Map::new(),
        other => serde_json::from_slice(other.as_bytes()?)
            .map_err(|error| rusqlite::Error::UserFunctionError(error.into()))?,
    };
    let filters = lock(&filters.0);
    let filter = usize::try_from(number).ok().and_then(|number| filters.get(number));
    Ok(filter.is_some_and(|filter| filter.matches(&Subject { id: &id, text, metadata: &metadata })))
}

/// A primary key as it is stored.
pub(crate) fn read_id(value: ValueRef<'_>) -> rusqlite::Result<Id> {
    match value {
        ValueRef::Integer(id) => Ok(Id::Int(id)),
        other => Ok(Id::Text(other.as_str()?.to_owned())),
    }
}
