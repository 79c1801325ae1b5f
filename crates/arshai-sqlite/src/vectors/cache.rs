//! What is kept in memory of each collection: lengths, coded vectors, and the entries of terms asked for lately.
//!
//! Every copy knows the generation it shows. A reader whose transaction sees a later one brings the copy up to date
//! first; one whose copy is later than its transaction begins again with a new transaction.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use arshai_core::{Error, ErrorKind};
use rusqlite::Connection;

use super::{
    collection::Stored,
    copied::{Copied, Refresh},
    dense::Vectors,
    terms::Posting,
};
use crate::error::Outcome;

/// How many entries of terms are kept per collection, 8 bytes each.
const MOST_POSTINGS: usize = 4_000_000;

/// Then the terms not used longest go until no more than this is kept.
const KEPT_POSTINGS: usize = MOST_POSTINGS / 8 * 7;

/// What a term takes beside its entries and its own bytes, in entries.
const TERM_WEIGHT: usize = 16;

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
    /// In entries.
    fn weight(&self, term: &str) -> usize {
        let postings = match self {
            Self::Common => 0,
            Self::All(postings) => postings.len(),
        };
        postings + TERM_WEIGHT + term.len() / 8
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
        self.weight += entry.weight(term);
        if let Some((_, old)) = self.entries.insert(term.to_owned(), (self.clock, entry.clone())) {
            self.weight -= old.weight(term);
        }
        if self.weight > MOST_POSTINGS {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        let mut by_use: Vec<(u64, String)> =
            self.entries.iter().map(|(term, (used, _))| (*used, term.clone())).collect();
        by_use.sort_unstable();
        for (_, term) in by_use {
            if self.weight <= KEPT_POSTINGS {
                return;
            }
            if let Some((_, old)) = self.entries.remove(&term) {
                self.weight -= old.weight(&term);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(length: usize) -> Entry {
        Entry::All(vec![Posting { doc: 0, count: 1 }; length].into())
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
    fn terms_that_nothing_holds_are_bounded_too() {
        let mut postings = Postings::default();
        let long = "x".repeat(80_000);
        for number in 0..1_000 {
            postings.put(0, &format!("{long}{number}"), &entry(0));
        }
        let bytes: usize = postings.entries.keys().map(String::len).sum();
        assert!(bytes <= 8 * MOST_POSTINGS && bytes > 2 * MOST_POSTINGS, "{bytes}");
        assert!(postings.get(0, &format!("{long}999")).is_some());
        assert!(postings.get(0, &format!("{long}0")).is_none());
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
