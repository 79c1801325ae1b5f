//! The reference backend: a map in this process.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    Envelope, KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, MemoryStore, PageRequest,
    Precondition, Put, Revision, Ttl, Versioned,
};
use crate::{Error, ErrorKind, Result};

/// Conversation memory in this process, gone when it ends. Clones share the same memories.
///
/// Values are kept encoded, exactly as a database would keep them, so that what works here works there.
#[derive(Debug, Clone, Default)]
pub struct InMemoryMemory {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    default_ttl: Option<Duration>,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    stored: Vec<u8>,
    expires: Option<Instant>,
}

impl InMemoryMemory {
    /// An empty store whose values are kept until deleted.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose values expire `ttl` after their last write.
    pub fn with_ttl(ttl: Duration) -> Self {
        let state = State { default_ttl: Some(ttl), ..State::default() };
        Self { shared: Arc::new(Mutex::new(state)) }
    }

    fn state(&self, operation: &'static str) -> Result<MutexGuard<'_, State>> {
        let mut state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(
                Error::new(ErrorKind::Closed, "the memory store was closed").with_operation(operation)
            );
        }
        let now = Instant::now();
        state.entries.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
        Ok(state)
    }
}

fn decode(key: &MemoryKey, stored: &[u8]) -> Result<Versioned> {
    let memory = Envelope::decode(stored).map_err(|error| error.with_context("key", key.stored()))?.memory;
    Ok(Versioned { memory, revision: Revision::of_bytes(stored) })
}

#[async_trait]
impl MemoryStore for InMemoryMemory {
    fn capabilities(&self) -> MemoryCapabilities {
        MemoryCapabilities { expiry: true, ..MemoryCapabilities::minimal() }
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        let state = self.state("memory.get")?;
        state.entries.get(&key.stored()).map(|entry| decode(key, &entry.stored)).transpose()
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        memory
            .validate()
            .map_err(|error| error.with_operation("memory.put").with_context("key", key.stored()))?;
        let stored = Envelope::new(memory.clone()).encode();
        let mut state = self.state("memory.put")?;
        let name = key.stored();
        let current = state.entries.get(&name);
        let holds = match &when {
            Precondition::Any => true,
            Precondition::Absent => current.is_none(),
            Precondition::Matches(revision) => {
                current.is_some_and(|entry| Revision::of_bytes(&entry.stored) == *revision)
            }
        };
        if !holds {
            return Ok(Put::Conflict(current.map(|entry| decode(key, &entry.stored)).transpose()?));
        }
        let revision = Revision::of_bytes(&stored);
        let expires = state.default_ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        state.entries.insert(name, Entry { stored, expires });
        Ok(Put::Stored(revision))
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        Ok(self.state("memory.delete")?.entries.remove(&key.stored()).is_some())
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        let state = self.state("memory.list")?;
        let start = prefix.stored();
        let from = match &page.cursor {
            Some(cursor) => Bound::Excluded(cursor.clone()),
            None => Bound::Included(start.clone()),
        };
        let limit = page.limit.max(1);
        let mut names: Vec<&String> = state
            .entries
            .range((from, Bound::Unbounded))
            .map(|(name, _)| name)
            .take_while(|name| name.starts_with(&start))
            .take(limit.saturating_add(1))
            .collect();
        let more = names.len() > limit;
        names.truncate(limit);
        let next = if more { names.last().map(|name| (*name).clone()) } else { None };
        Ok(KeyPage { keys: names.into_iter().filter_map(|name| MemoryKey::parse(name)).collect(), next })
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        let start = prefix.stored();
        let mut state = self.state("memory.delete_all")?;
        let before = state.entries.len();
        state.entries.retain(|name, _| !name.starts_with(&start));
        Ok((before - state.entries.len()) as u64)
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        let state = self.state("memory.ttl")?;
        Ok(state.entries.get(&key.stored()).map(|entry| match entry.expires {
            None => Ttl::Forever,
            Some(expires) => Ttl::Remaining(expires.saturating_duration_since(Instant::now())),
        }))
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        let mut state = self.state("memory.touch")?;
        let Some(entry) = state.entries.get_mut(&key.stored()) else { return Ok(false) };
        entry.expires = match ttl {
            Ttl::Forever => None,
            Ttl::Remaining(duration) => Instant::now().checked_add(duration),
        };
        Ok(true)
    }

    async fn health(&self) -> Result<()> {
        self.state("memory.health").map(|_| ())
    }

    async fn close(&self) -> Result<()> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        Ok(())
    }
}
