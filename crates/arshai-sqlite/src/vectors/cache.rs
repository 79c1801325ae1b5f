//! What is kept in memory of each collection: lengths, vectors, and the entries of terms asked for lately.
//!
//! Every copy knows the generation it shows. A reader whose transaction sees a later one brings the copy up to date
//! first; one whose copy is later than its transaction begins again with a new transaction.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock, TryLockError, TryLockResult},
    time::Duration,
};

use arshai_core::{Deadline, Effect, Error, ErrorKind};
use rusqlite::Connection;

use super::{collection::Stored, dense::Vectors, terms::Posting};
use crate::error::{Failure, Outcome};

/// How many entries of terms are kept per collection, 8 bytes each.
const MOST_POSTINGS: usize = 4_000_000;
/// How long a thread sleeps before it tries again to get a lock.
const NAP: Duration = Duration::from_millis(1);

/// The copies of every collection of a file.
#[derive(Debug, Default)]
pub(crate) struct Caches(Mutex<HashMap<i64, Arc<Cache>>>);

impl Caches {
    /// The copies of a collection. When there are none yet, those of collections that are no more, as another
    /// process may have dropped them, go.
    pub(super) fn of(&self, collection: i64, connection: &Connection) -> Outcome<Arc<Cache>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&collection).map(Arc::clone);
        if let Some(cache) = known {
            return Ok(cache);
        }
        let mut statement = connection.prepare_cached("SELECT id FROM collection")?;
        let living: HashSet<i64> =
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut caches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        caches.retain(|key, _| living.contains(key));
        Ok(Arc::clone(caches.entry(collection).or_default()))
    }

    pub(super) fn forget(&self, collection: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&collection);
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The copies of one collection.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) lengths: Copied<Lengths>,
    pub(super) vectors: Copied<Vectors>,
    pub(super) postings: Mutex<Postings>,
}

/// A copy that can be brought up to a later generation.
pub(super) trait Refresh: Default {
    /// The generation it shows; −1 for one that was never filled.
    fn generation(&self) -> i64;

    /// Brings it to the generation that `connection`'s transaction sees. The generation changes last. After an
    /// error of SQLite, what was applied may be applied again; after any other it is thrown away.
    fn refresh(&mut self, connection: &Connection, stored: &Stored) -> Outcome<()>;
}

/// How long to wait for a copy, and which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    pub(super) deadline: Deadline,
    pub(super) later: Later,
}

/// What becomes of a copy that shows later writes than the reader's transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Later {
    /// [`Failure::Overtaken`].
    Refused,
    /// It is used.
    Accepted,
}

#[derive(Debug, Default)]
pub(super) struct Copied<T>(RwLock<Held<T>>);

#[derive(Debug, Default)]
struct Held<T> {
    copy: T,
    /// The latest generation of which it shows anything; later than the copy's own after a refresh that was interrupted.
    latest: i64,
}

impl<T: Refresh> Copied<T> {
    /// Runs `work` with a copy that shows at least what `connection`'s transaction sees.
    pub(super) fn with<R>(
        &self,
        connection: &Connection,
        stored: &Stored,
        wait: Wait,
        work: impl FnOnce(&T) -> Outcome<R>,
    ) -> Outcome<R> {
        loop {
            {
                let held = lock(wait.deadline, || self.0.try_read())?;
                if held.copy.generation() >= stored.generation {
                    if held.latest > stored.generation && wait.later == Later::Refused {
                        return Err(Failure::Overtaken);
                    }
                    return work(&held.copy);
                }
            }
            lock(wait.deadline, || self.0.try_write())?.refresh(connection, stored)?;
        }
    }
}

impl<T: Refresh> Held<T> {
    fn refresh(&mut self, connection: &Connection, stored: &Stored) -> Outcome<()> {
        let before = self.copy.generation();
        // Somebody else may have done it while we waited.
        if before >= stored.generation {
            return Ok(());
        }
        self.latest = self.latest.max(stored.generation);
        let refreshed = self.copy.refresh(connection, stored);
        if let Err(failure) = &refreshed {
            let filled = before >= 0 && self.copy.generation() == before;
            if !filled || !matches!(failure, Failure::Sqlite(_)) {
                *self = Self { copy: T::default(), latest: 0 };
            }
        }
        refreshed
    }
}

/// Waits for a lock, but not past the deadline.
fn lock<G>(deadline: Deadline, mut attempt: impl FnMut() -> TryLockResult<G>) -> Outcome<G> {
    loop {
        match attempt() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if deadline.is_past() => {
                return Err(Deadline::error("vectors.search", Effect::NotApplied).into());
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(NAP),
        }
    }
}

/// The length of every chunk, by document number.
#[derive(Debug)]
pub(super) struct Lengths {
    generation: i64,
    by_doc: Vec<u32>,
}

/// Stands for a document number without a chunk.
const NO_CHUNK: u32 = u32::MAX;

impl Default for Lengths {
    fn default() -> Self {
        Self { generation: -1, by_doc: Vec::new() }
    }
}

impl Lengths {
    /// The length of a chunk; `None` when there is no such chunk.
    pub(super) fn of(&self, doc: u32) -> Option<u32> {
        self.by_doc.get(doc as usize).copied().filter(|length| *length != NO_CHUNK)
    }

    /// One more than the largest document number.
    pub(super) fn end(&self) -> usize {
        self.by_doc.len()
    }
}

impl Refresh for Lengths {
    fn generation(&self) -> i64 {
        self.generation
    }

    fn refresh(&mut self, connection: &Connection, stored: &Stored) -> Outcome<()> {
        if self.generation < stored.cleared {
            *self = Self::default();
        }
        // Read from the index on (changed, length) alone.
        let mut statement = connection
            .prepare_cached(&format!("SELECT doc, length FROM chunk_{} WHERE changed > ?1", stored.key))?;
        let mut rows = statement.query([self.generation])?;
        while let Some(row) = rows.next()? {
            let (doc, length): (u32, u32) = (row.get(0)?, row.get(1)?);
            let place = doc as usize;
            if place >= self.by_doc.len() {
                grow(&mut self.by_doc, place + 1, NO_CHUNK)?;
            }
            if let Some(slot) = self.by_doc.get_mut(place) {
                *slot = length;
            }
        }
        self.generation = stored.generation;
        Ok(())
    }
}

/// Makes a list longer, as an error and not an abort when memory does not suffice.
pub(super) fn grow<T: Clone>(list: &mut Vec<T>, length: usize, fill: T) -> Outcome<()> {
    list.try_reserve(length.saturating_sub(list.len())).map_err(|error| {
        Error::new(ErrorKind::Exhausted, "there is not enough memory to search this collection")
            .with_source(error)
    })?;
    list.resize(length, fill);
    Ok(())
}

/// What is known about a term.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// It is in too many chunks to be searched for; its postings were not read to the end.
    Common,
    /// Every chunk that holds it.
    All(Arc<[Posting]>),
}

impl Entry {
    fn weight(&self) -> usize {
        match self {
            Self::Common => 1,
            Self::All(postings) => postings.len() + 1,
        }
    }
}

/// The terms asked for lately, all of one generation.
#[derive(Debug, Default)]
pub(super) struct Postings {
    generation: i64,
    entries: HashMap<String, (u64, Entry)>,
    clock: u64,
    weight: usize,
}

impl Postings {
    pub(super) fn get(&mut self, generation: i64, term: &str) -> Option<Entry> {
        if generation != self.generation {
            return None;
        }
        self.clock += 1;
        let (used, entry) = self.entries.get_mut(term)?;
        *used = self.clock;
        Some(entry.clone())
    }

    pub(super) fn put(&mut self, generation: i64, term: &str, entry: &Entry) {
        if generation < self.generation {
            return;
        }
        if generation > self.generation {
            *self = Self { generation, ..Self::default() };
        }
        self.clock += 1;
        self.weight += entry.weight();
        if let Some((_, old)) = self.entries.insert(term.to_owned(), (self.clock, entry.clone())) {
            self.weight -= old.weight();
        }
        while self.weight > MOST_POSTINGS {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(term, _)| term.clone());
            let Some((_, old)) = oldest.and_then(|term| self.entries.remove(&term)) else { break };
            self.weight -= old.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(length: usize) -> Entry {
        Entry::All(vec![Posting { doc: 0, count: 1 }; length].into())
    }

    /// A copy of nothing that can be told to fail.
    #[derive(Debug)]
    struct Fake {
        generation: i64,
        refreshed: u32,
        failure: Option<fn() -> Failure>,
    }

    impl Default for Fake {
        fn default() -> Self {
            Self { generation: -1, refreshed: 0, failure: None }
        }
    }

    impl Refresh for Fake {
        fn generation(&self) -> i64 {
            self.generation
        }

        fn refresh(&mut self, _: &Connection, stored: &Stored) -> Outcome<()> {
            if self.generation < stored.cleared {
                *self = Self { failure: self.failure.take(), ..Self::default() };
            }
            self.refreshed += 1;
            match self.failure.take() {
                Some(failure) => Err(failure()),
                None => {
                    self.generation = stored.generation;
                    Ok(())
                }
            }
        }
    }

    fn stored(generation: i64, cleared: i64) -> Stored {
        let spec = arshai_core::vector::CollectionSpec::new("c");
        Stored { key: 1, spec, generation, cleared, chunks: 0, dense_chunks: 0, terms: 0, next_id: 1 }
    }

    /// How often what is read now was refreshed since it was empty.
    fn read(copied: &Copied<Fake>, stored: &Stored, later: Later) -> Outcome<u32> {
        let connection = Connection::open_in_memory().unwrap();
        let wait = Wait { deadline: Deadline::after(Duration::from_millis(50)), later };
        copied.with(&connection, stored, wait, |fake| Ok(fake.refreshed))
    }

    fn fail(copied: &Copied<Fake>, failure: fn() -> Failure) {
        copied.0.write().unwrap().copy.failure = Some(failure);
    }

    #[test]
    fn an_interrupted_refresh_keeps_a_good_copy_and_no_other() {
        let interrupted = || {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
            Failure::Sqlite(rusqlite::Error::SqliteFailure(code, None))
        };
        let copied = Copied::default();
        assert_eq!(read(&copied, &stored(1, 0), Later::Refused).unwrap(), 1);
        fail(&copied, interrupted);
        assert!(read(&copied, &stored(2, 0), Later::Refused).is_err());
        // It shows something of 2 by now.
        assert!(matches!(read(&copied, &stored(1, 0), Later::Refused), Err(Failure::Overtaken)));
        assert_eq!(read(&copied, &stored(2, 0), Later::Refused).unwrap(), 3);
        fail(&copied, interrupted);
        assert!(read(&copied, &stored(3, 3), Later::Refused).is_err());
        assert_eq!(read(&copied, &stored(3, 3), Later::Refused).unwrap(), 1, "it had been emptied");
        fail(&copied, || Error::new(ErrorKind::Exhausted, "full").into());
        assert!(read(&copied, &stored(4, 3), Later::Refused).is_err());
        assert_eq!(read(&copied, &stored(4, 3), Later::Refused).unwrap(), 1, "half a record may be in it");
    }

    #[test]
    fn a_later_copy_is_refused_until_it_is_accepted() {
        let copied = Copied::default();
        read(&copied, &stored(2, 0), Later::Refused).unwrap();
        assert!(matches!(read(&copied, &stored(1, 0), Later::Refused), Err(Failure::Overtaken)));
        assert_eq!(read(&copied, &stored(1, 0), Later::Accepted).unwrap(), 1);
    }

    #[test]
    fn a_lock_is_waited_for_until_the_deadline() {
        let copied = Copied::default();
        let _writing = copied.0.write().unwrap();
        match read(&copied, &stored(0, 0), Later::Refused) {
            Err(Failure::Ours(error)) => {
                assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn copies_of_dropped_collections_go_when_another_one_is_read() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE collection(id); INSERT INTO collection VALUES (1), (2)")
            .unwrap();
        let caches = Caches::default();
        let (one, two) = (caches.of(1, &connection).unwrap(), caches.of(2, &connection).unwrap());
        connection
            .execute_batch("DELETE FROM collection WHERE id = 1; INSERT INTO collection VALUES (3)")
            .unwrap();
        caches.of(3, &connection).unwrap();
        assert_eq!((Arc::strong_count(&one), Arc::strong_count(&two)), (1, 2));
    }

    #[test]
    fn terms_of_an_older_generation_are_never_given_out() {
        let mut postings = Postings::default();
        postings.put(3, "cat", &entry(1));
        assert!(postings.get(3, "cat").is_some());
        assert!(postings.get(4, "cat").is_none());
        postings.put(4, "dog", &entry(1));
        assert!(postings.get(3, "cat").is_none() && postings.get(4, "cat").is_none());
        postings.put(3, "cat", &entry(1));
        assert!(postings.get(4, "cat").is_none());
    }

    #[test]
    fn the_term_not_used_longest_goes_first() {
        let mut postings = Postings::default();
        postings.put(0, "a", &entry(MOST_POSTINGS / 2));
        postings.put(0, "b", &entry(MOST_POSTINGS / 4));
        assert!(postings.get(0, "a").is_some());
        postings.put(0, "c", &entry(MOST_POSTINGS / 3));
        assert!(postings.get(0, "b").is_none());
        assert!(postings.get(0, "a").is_some() && postings.get(0, "c").is_some());
        assert!(postings.weight <= MOST_POSTINGS);
    }
}
