//! Conversation memory in the file.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arshai_core::{
    Error, Result,
    memory::{
        Envelope, KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, MemoryStore, PageRequest,
        Precondition, Put, Revision, Ttl, Versioned,
    },
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    error::Outcome,
    file::{self, Handle},
};

/// Conversation memory in a [`SqliteFile`](crate::SqliteFile). Clones share it.
///
/// Values are kept until deleted, unless [`SqliteConfig::memory_ttl`](crate::SqliteConfig::memory_ttl) or
/// [`MemoryStore::touch`] says otherwise; a put begins the configured time anew.
#[derive(Debug, Clone)]
pub struct SqliteMemory {
    handle: Handle,
    recent: Recent,
}

impl SqliteMemory {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, recent: Recent::default() }
    }
}

/// Keys written lately. An update reads its key just before and just after it writes it; the pages are then in
/// memory, and going to another thread and back would take several times as long as the lookup.
#[derive(Debug, Clone, Default)]
struct Recent(Arc<Mutex<HashSet<String>>>);

impl Recent {
    const MOST: usize = 4_096;

    fn add(&self, key: String) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= Self::MOST {
            keys.clear();
        }
        keys.insert(key);
    }

    fn has(&self, key: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}

const CURRENT: &str = "SELECT value FROM memory WHERE key = ?1 AND (expires_ms IS NULL OR expires_ms > ?2)";

/// Milliseconds since 1970, as expiry is stored.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn expiry(ttl: Option<Duration>, now: i64) -> Option<i64> {
    ttl.map(|ttl| now.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)))
}

fn decode(key: &str, stored: &[u8]) -> Result<Versioned> {
    let memory =
        Envelope::decode(stored).map_err(|error| error.with_context("key", key.escape_debug()))?.memory;
    Ok(Versioned { memory, revision: Revision::of_bytes(stored) })
}

fn current(connection: &Connection, key: &str, now: i64) -> Outcome<Option<Vec<u8>>> {
    Ok(connection.prepare_cached(CURRENT)?.query_row(params![key, now], |row| row.get(0)).optional()?)
}

fn purge(connection: &Connection, now: i64) -> Outcome<()> {
    connection.prepare_cached("DELETE FROM memory WHERE expires_ms <= ?1")?.execute([now])?;
    Ok(())
}

/// The first text after every text that begins with `prefix`; `None` when there is none.
pub(crate) fn successor(prefix: &str) -> Option<String> {
    let mut start = prefix.to_owned();
    while let Some(last) = start.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            start.push(next);
            return Some(start);
        }
    }
    None
}

#[async_trait]
impl MemoryStore for SqliteMemory {
    fn capabilities(&self) -> MemoryCapabilities {
        let mut can = MemoryCapabilities::minimal();
        can.persistent = true;
        can.shared = true;
        can.expiry = true;
        can
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        let name = key.stored();
        let pool = self.handle.pool("memory.get")?;
        let known = match self.recent.has(&name) {
            true => pool.peek(|connection| current(connection, &name, now_ms())),
            false => None,
        };
        if let Some(stored) = known {
            return stored.map(|stored| decode(&name, &stored)).transpose();
        }
        pool.read("memory.get", move |session, _| {
            let stored = current(&session.connection, &name, now_ms())?;
            Ok(stored.map(|stored| decode(&name, &stored)).transpose()?)
        })
        .await
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        let name = key.stored();
        memory.validate().map_err(|error| error.with_operation("memory.put").with_context("key", &name))?;
        let stored = Envelope::new(memory.clone()).encode();
        let pool = self.handle.pool("memory.put")?;
        let ttl = pool.config.memory_ttl;
        self.recent.add(name.clone());
        pool.write("memory.put", move |transaction, _| {
            let now = now_ms();
            let found = match when {
                Precondition::Any => None,
                _ => current(transaction, &name, now)?,
            };
            let holds = match &when {
                Precondition::Any => true,
                Precondition::Absent => found.is_none(),
                Precondition::Matches(revision) => {
                    found.as_ref().is_some_and(|found| Revision::of_bytes(found) == *revision)
                }
            };
            if !holds {
                return Ok(Put::Conflict(found.map(|found| decode(&name, &found)).transpose()?));
            }
            purge(transaction, now)?;
            transaction
                .prepare_cached(
                    "INSERT INTO memory(key, value, expires_ms) VALUES (?1, ?2, ?3)
                     ON CONFLICT(key) DO UPDATE SET value = excluded.value, expires_ms = excluded.expires_ms",
                )?
                .execute(params![name, stored, expiry(ttl, now)])?;
            Ok(Put::Stored(Revision::of_bytes(&stored)))
        })
        .await
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        let name = key.stored();
        self.handle
            .pool("memory.delete")?
            .write("memory.delete", move |transaction, _| {
                purge(transaction, now_ms())?;
                Ok(transaction.prepare_cached("DELETE FROM memory WHERE key = ?1")?.execute([name])? > 0)
            })
            .await
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        let start = prefix.stored();
        let (limit, cursor) = (page.limit.max(1), page.cursor.clone());
        self.handle
            .pool("memory.list")?
            .read("memory.list", move |session, _| {
                let mut statement = session.connection.prepare_cached(
                    "SELECT key FROM memory WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) AND (?3 IS NULL OR key > ?3)
                     AND (expires_ms IS NULL OR expires_ms > ?4) ORDER BY key LIMIT ?5",
                )?;
                let most = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
                let begin = cursor.as_ref().map_or(&start, |cursor| cursor.max(&start));
                let mut names: Vec<String> = statement
                    .query_map(params![begin, successor(&start), cursor, now_ms(), most], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
                let more = names.len() > limit;
                names.truncate(limit);
                let next = if more { names.last().cloned() } else { None };
                Ok(KeyPage { keys: names.iter().filter_map(|name| MemoryKey::parse(name)).collect(), next })
            })
            .await
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        let start = prefix.stored();
        self.handle
            .pool("memory.delete_all")?
            .write("memory.delete_all", move |transaction, _| {
                purge(transaction, now_ms())?;
                let removed = transaction
                    .prepare_cached("DELETE FROM memory WHERE key >= ?1 AND (?2 IS NULL OR key < ?2)")?
                    .execute(params![start, successor(&start)])?;
                Ok(removed as u64)
            })
            .await
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        let name = key.stored();
        self.handle
            .pool("memory.ttl")?
            .read("memory.ttl", move |session, _| {
                let now = now_ms();
                let expires: Option<Option<i64>> = session
                    .connection
                    .prepare_cached(
                        "SELECT expires_ms FROM memory WHERE key = ?1 AND (expires_ms IS NULL OR expires_ms > ?2)",
                    )?
                    .query_row(params![name, now], |row| row.get(0))
                    .optional()?;
                Ok(expires.map(|expires| match expires {
                    None => Ttl::Forever,
                    Some(at) => {
                        let left = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
                        Ttl::Remaining(Duration::from_millis(left))
                    }
                }))
            })
            .await
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        let name = key.stored();
        self.handle
            .pool("memory.touch")?
            .write("memory.touch", move |transaction, _| {
                let now = now_ms();
                purge(transaction, now)?;
                let expires = match ttl {
                    Ttl::Forever => None,
                    Ttl::Remaining(left) => expiry(Some(left), now),
                };
                let touched = transaction
                    .prepare_cached("UPDATE memory SET expires_ms = ?2 WHERE key = ?1")?
                    .execute(params![name, expires])?;
                Ok(touched > 0)
            })
            .await
    }

    async fn health(&self) -> Result<()> {
        file::health(&self.handle.pool("memory.health")?, "memory.health").await
    }

    async fn close(&self) -> Result<(), Error> {
        self.handle.close("memory.close").await
    }
}
