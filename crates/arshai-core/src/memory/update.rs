//! The update loop, written once for every backend.

use std::{future::Future, time::Duration};

use serde_json::{Map, Value};

use super::{Memory, MemoryKey, MemoryStore, Precondition, Put, TrimPolicy, Turn, Versioned, timestamp::now};
use crate::{Deadline, Error, ErrorKind, Result};

const UPDATE_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// What callers use: the guide's operations on top of the conditional put.
///
/// Implemented for every [`MemoryStore`], trait objects included.
pub trait MemoryStoreExt: MemoryStore {
    /// Reads the memory, lets `change` make the new one, and writes it if nobody else wrote in between; otherwise
    /// again with the value that won, at once and then with jittered backoff, until the operation's deadline (default 30 s).
    ///
    /// `change` runs in the caller's task, may run several times, and must have no side effects. `created_at` is
    /// kept from the old memory and `last_update` set to now, whatever `change` returns.
    ///
    /// # Errors
    ///
    /// What `change` returns, unchanged, with nothing written. [`ErrorKind::Conflict`] when the deadline passed while others kept
    /// winning. [`ErrorKind::OutcomeUnknown`] as it comes from the backend: `change` never runs again after it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the old or the new value.
    ///
    /// # Examples
    ///
    /// ```
    /// use arshai_core::memory::{InMemoryMemory, Memory, MemoryKey, MemoryStoreExt};
    ///
    /// # async fn example() -> arshai_core::Result<()> {
    /// let store = InMemoryMemory::new();
    /// let key = MemoryKey::new("counter")?;
    /// store
    ///     .update_with(&key, |old| {
    ///         let count: u64 = old.and_then(|memory| memory.text.parse().ok()).unwrap_or(0);
    ///         Ok(Memory::new((count + 1).to_string()))
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    fn update_with<F>(&self, key: &MemoryKey, mut change: F) -> impl Future<Output = Result<Versioned>> + Send
    where
        F: FnMut(Option<&Memory>) -> Result<Memory> + Send,
    {
        async move {
            let deadline = Deadline::current_or(UPDATE_TIMEOUT);
            let mut current = deadline.scope(self.get(key)).await?;
            let mut attempts = 0_u32;
            loop {
                attempts = attempts.saturating_add(1);
                let mut next = change(current.as_ref().map(|versioned| &versioned.memory))?;
                next.last_update = now();
                let when = match &current {
                    Some(versioned) => {
                        next.created_at = versioned.memory.created_at;
                        Precondition::Matches(versioned.revision.clone())
                    }
                    None => {
                        next.created_at = next.last_update;
                        Precondition::Absent
                    }
                };
                match deadline.scope(self.put(key, &next, when)).await? {
                    Put::Stored(revision) => return Ok(Versioned { memory: next, revision }),
                    Put::Conflict(winner) => current = winner,
                }
                // The winner's value is here already, so the second attempt comes at once.
                if attempts == 1 && !deadline.is_past() {
                    continue;
                }
                if deadline.sleep("memory.update", backoff(attempts.saturating_sub(1))).await.is_err() {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        "other writers kept winning until the deadline",
                    )
                    .with_operation("memory.update")
                    .with_context("key", key.stored())
                    .with_attempts(attempts));
                }
            }
        }
    }

    /// The memory under `key`, without its revision.
    ///
    /// # Errors
    ///
    /// As [`MemoryStore::get`].
    fn retrieve(&self, key: &MemoryKey) -> impl Future<Output = Result<Option<Memory>>> + Send {
        async move { Ok(self.get(key).await?.map(|versioned| versioned.memory)) }
    }

    /// Replaces the text, whatever is there. The creation time stays; `metadata` is merged into the old one, key by key.
    ///
    /// # Errors
    ///
    /// As [`MemoryStoreExt::update_with`].
    fn store(
        &self,
        key: &MemoryKey,
        text: &str,
        metadata: Map<String, Value>,
    ) -> impl Future<Output = Result<Versioned>> + Send {
        self.update_with(key, move |old| {
            let mut merged = old.map(|memory| memory.metadata.clone()).unwrap_or_default();
            merged.extend(metadata.clone());
            Ok(Memory::new(text).with_metadata(merged))
        })
    }

    /// Replaces the text and keeps the metadata; creates the memory when there is none.
    ///
    /// # Errors
    ///
    /// As [`MemoryStoreExt::update_with`].
    fn update(&self, key: &MemoryKey, text: &str) -> impl Future<Output = Result<Versioned>> + Send {
        self.store(key, text, Map::new())
    }

    /// Adds `turns` at the end and trims, in one atomic step per attempt.
    ///
    /// # Errors
    ///
    /// As [`MemoryStoreExt::update_with`].
    fn append(
        &self,
        key: &MemoryKey,
        turns: &[Turn],
        trim: TrimPolicy,
    ) -> impl Future<Output = Result<Versioned>> + Send {
        self.update_with(key, move |old| {
            let mut memory = old.cloned().unwrap_or_else(Memory::empty);
            for turn in turns {
                memory.push(turn.clone());
            }
            trim.apply(&mut memory);
            Ok(memory)
        })
    }
}

impl<S: MemoryStore + ?Sized> MemoryStoreExt for S {}

/// Full jitter over an exponentially growing window.
fn backoff(attempts: u32) -> Duration {
    let window =
        FIRST_WAIT.saturating_mul(1_u32.checked_shl(attempts.min(16)).unwrap_or(u32::MAX)).min(LONGEST_WAIT);
    window.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::InMemoryMemory;

    #[tokio::test]
    async fn created_at_and_metadata_survive_an_update() {
        let store = InMemoryMemory::new();
        let key = MemoryKey::new("c").unwrap();
        let metadata = Map::from_iter([("a".to_owned(), Value::from(1))]);
        let first = store.store(&key, "one", metadata).await.unwrap();
        let second = store.update(&key, "two").await.unwrap();
        assert_eq!(second.memory.created_at, first.memory.created_at);
        assert_eq!(second.memory.metadata, first.memory.metadata);
        assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "two");
    }

    #[tokio::test]
    async fn an_error_of_the_closure_writes_nothing() {
        let store = InMemoryMemory::new();
        let key = MemoryKey::new("c").unwrap();
        let error = store.update_with(&key, |_| Err(Error::invalid("no"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(store.get(&key).await.unwrap(), None);
    }
}
