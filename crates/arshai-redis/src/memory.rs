//! The memory store on top of the wire.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arshai_core::{
    Effect, Error, ErrorKind, Result,
    memory::{
        Envelope, KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, MemoryStore, OperationId,
        PageRequest, Precondition, Put, Revision, Ttl, Versioned,
    },
};
use async_trait::async_trait;
use fred::{bytes::Bytes, types::Value};
use futures_util::{StreamExt as _, stream};

use crate::{
    config::{RedisConfig, TtlPolicy},
    connection::Command,
    oddity,
    revision::{Base, revision_of},
    scan, script,
    wire::{Call, Make, Wire},
};

/// A hundred years: more than anybody means, less than the server's counter overflows at.
const LONGEST_TTL: Duration = Duration::from_secs(100 * 365 * 86_400);
const DELETE_PAGE: usize = 500;
const DELETES_AT_ONCE: usize = 64;

/// Conversation memory in Redis. Clones share its connections.
///
/// Absent is `None`; a server that is down, refuses or is silent is always an error, within
/// [`RedisConfig::timeout`] or the caller's [`Deadline`](arshai_core::Deadline).
///
/// When the answer to a delete was lost, it is sent again, and the result is `true` although the memory may have been
/// removed by somebody else.
#[derive(Debug, Clone)]
pub struct RedisMemory {
    wire: Arc<Wire>,
}

impl RedisMemory {
    /// A memory that connects when it is first used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] as [`RedisConfig::validate`] says, and when the file of authorities cannot be used.
    pub fn new(config: RedisConfig) -> Result<Self> {
        Ok(Self { wire: Arc::new(Wire::new(config)?) })
    }

    /// Its settings.
    pub fn config(&self) -> &RedisConfig {
        &self.wire.config
    }

    /// Reads the stored bytes.
    async fn read(&self, call: &Call, name: &str) -> Result<Option<Bytes>> {
        let config = &self.wire.config;
        let command = || match (config.ttl_policy, config.ttl) {
            (TtlPolicy::SlidingOnRead, Some(ttl)) => {
                Command::on_key("GETEX", name, [Value::from("PX"), Value::from(millis(ttl).to_string())])
            }
            _ => Command::on_key("GET", name, []),
        };
        let answer = self
            .wire
            .run(call, &command)
            .await
            .map_err(|error| error.with_context("key", name.escape_debug()))?;
        bytes(answer.value)
    }

    async fn write(&self, call: &Call, name: &str, memory: &Memory, when: &Precondition) -> Result<Put> {
        let operation = OperationId::random();
        // Also a write without condition is made by compare-and-set: one that the network delivers late must not
        // overwrite what was acknowledged after it.
        let mut base = match when {
            Precondition::Any => {
                let reading = Call { writes: false, ..*call };
                self.read(&reading, name).await?.map(|stored| Base::of_any(&stored))
            }
            Precondition::Absent => None,
            Precondition::Matches(revision) => Some(Base::of_revision(revision)),
        };
        loop {
            match self.replace(call, name, memory, base.as_ref(), &operation).await? {
                Replaced::Yes(new) => return Ok(Put::Stored(new)),
                Replaced::No(current) if *when == Precondition::Any => {
                    base = current.map(|stored| Base::of_any(&stored));
                }
                Replaced::No(current) => {
                    return Ok(Put::Conflict(current.map(|stored| decode(name, stored)).transpose()?));
                }
            }
        }
    }

    /// Replaces the value of which `base` tells, `None` for no value, by `memory` in one step.
    async fn replace(
        &self,
        call: &Call,
        name: &str,
        memory: &Memory,
        base: Option<&Base>,
        operation: &OperationId,
    ) -> Result<Replaced> {
        let operations = base.map_or_else(|| vec![*operation], |base| base.with(*operation));
        let stored = Bytes::from(Envelope::encode_parts(memory, &operations));
        let most = self.wire.config.max_value_bytes;
        if stored.len() as u64 > most {
            return Err(Error::invalid(
                "the memory is larger than max_value_bytes: trim it, or raise the limit",
            )
            .with_context("key", name.escape_debug())
            .with_context("bytes", stored.len())
            .with_context("max_value_bytes", most));
        }
        let new = revision_of(stored.clone(), operations);
        let answer = self.wire.run(call, &|| self.compare_and_set(name, base, stored.clone())).await;
        let answer = answer.map_err(|error| error.with_context("key", name.escape_debug()))?;
        let Some(current) = applied(answer.value)? else { return Ok(Replaced::Yes(new)) };
        if answer.lost == 0 {
            return Ok(Replaced::No(current));
        }
        // An answer was lost, and the value is not the one to be replaced: because the first attempt replaced it?
        let operations = current.as_deref().map(Envelope::operations_in).unwrap_or_default();
        if operations.contains(operation) {
            return Ok(Replaced::Yes(new));
        }
        if base.is_some_and(|base| base.precedes(&operations)) {
            // Every write since the base is listed, and ours is not among them.
            return Ok(Replaced::No(current));
        }
        Err(Error::new(
            ErrorKind::OutcomeUnknown,
            "the answer to the write was lost and the value has changed since: read before writing again",
        )
        .with_context("key", name.escape_debug())
        .with_attempts(answer.lost.saturating_add(1)))
    }

    fn compare_and_set(&self, name: &str, base: Option<&Base>, stored: Bytes) -> Command {
        let config = &self.wire.config;
        let ttl = config.ttl.map(|ttl| millis(ttl).to_string()).unwrap_or_default();
        let keep = if config.ttl_policy == TtlPolicy::Fixed { "1" } else { "" };
        Command {
            name: "EVALSHA",
            args: vec![
                Value::from_static_str(script::COMPARE_AND_SET_SHA.as_str()),
                Value::from(1_i64),
                Value::from(name),
                Value::from(base.map(Base::expected).unwrap_or_default()),
                Value::Bytes(stored),
                Value::from(ttl),
                Value::from(keep),
            ],
            key: Some(2),
            node: None,
        }
    }

    /// Whether a command that answers with a number of keys found its key.
    async fn found(&self, call: &Call, command: &Make<'_>) -> Result<bool> {
        Ok(number(&self.wire.run(call, command).await?.value)? > 0)
    }

    /// Removes every key that begins so, and counts those that were there.
    async fn remove_all(&self, call: &Call, start: &str, removed: &mut u64) -> Result<()> {
        let reading = Call { writes: false, ..*call };
        let mut request = PageRequest { limit: DELETE_PAGE, cursor: None };
        loop {
            let page = scan::names(&self.wire, &reading, start, &request).await?;
            self.remove(call, page.names, removed).await?;
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Removes these keys. After a failure no further ones, but those under way are waited for: they may be removed.
    async fn remove(&self, call: &Call, names: Vec<String>, removed: &mut u64) -> Result<()> {
        let failing = AtomicBool::new(false);
        let failing = &failing;
        let mut found = stream::iter(names)
            .map(|name| async move {
                if failing.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                let unlinked = self.unlinked(call, &name).await;
                if unlinked.is_err() {
                    failing.store(true, Ordering::Relaxed);
                }
                unlinked
            })
            .buffer_unordered(DELETES_AT_ONCE);
        let mut failure: Option<Error> = None;
        while let Some(found) = found.next().await {
            match found {
                Ok(found) => *removed += u64::from(found),
                // One that may have been applied says more than one that was not.
                Err(error) if failure.as_ref().is_none_or(|known| known.effect() == Effect::NotApplied) => {
                    failure = Some(error);
                }
                Err(_) => {}
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn unlinked(&self, call: &Call, name: &str) -> Result<bool> {
        let answer = self.wire.run(call, &|| Command::on_key("UNLINK", name, [])).await?;
        Ok(number(&answer.value)? > 0 || answer.lost > 0)
    }
}

/// Whether a value was replaced.
enum Replaced {
    Yes(Revision),
    /// It was not the expected one; the current one.
    No(Option<Bytes>),
}

#[async_trait]
impl MemoryStore for RedisMemory {
    fn capabilities(&self) -> MemoryCapabilities {
        let mut can = MemoryCapabilities::minimal();
        can.persistent = true;
        can.shared = true;
        can.expiry = true;
        can.max_value_bytes = Some(self.wire.config.max_value_bytes);
        can
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        let name = key.stored();
        let (_inside, call) = self.wire.begin("memory.get", false)?;
        let stored = self.read(&call, &name).await;
        let versioned = stored.and_then(|stored| stored.map(|stored| decode(&name, stored)).transpose());
        versioned.map_err(|error| error.with_operation(call.operation))
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        let name = key.stored();
        memory
            .validate()
            .map_err(|error| error.with_operation("memory.put").with_context("key", name.escape_debug()))?;
        let (_inside, call) = self.wire.begin("memory.put", true)?;
        let written = self.write(&call, &name, memory, &when).await;
        written.map_err(|error| error.with_operation(call.operation))
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        let name = key.stored();
        self.wire.operation("memory.delete", true, async |call| self.unlinked(&call, &name).await).await
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        self.wire
            .operation("memory.list", false, async |call| scan::page(&self.wire, &call, prefix, page).await)
            .await
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        let start = prefix.stored();
        self.wire
            .operation("memory.delete_all", true, async |call| {
                let mut removed = 0_u64;
                self.remove_all(&call, &start, &mut removed).await.map_err(|error| match removed {
                    0 => error,
                    _ => error.with_effect(Effect::Unknown).with_context("removed", removed),
                })?;
                Ok(removed)
            })
            .await
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        let name = key.stored();
        self.wire
            .operation("memory.ttl", false, async |call| {
                let answer = self.wire.run(&call, &|| Command::on_key("PTTL", &name, [])).await?;
                Ok(match number(&answer.value)? {
                    -2 => None,
                    -1 => Some(Ttl::Forever),
                    left => Some(Ttl::Remaining(Duration::from_millis(u64::try_from(left).unwrap_or(0)))),
                })
            })
            .await
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        let name = key.stored();
        self.wire
            .operation("memory.touch", true, async |call| match ttl {
                Ttl::Remaining(left) => {
                    let left = || Value::from(millis(left).to_string());
                    self.found(&call, &|| Command::on_key("PEXPIRE", &name, [left()])).await
                }
                // It answers 0 also for a key that has no end anyway.
                Ttl::Forever => Ok(self.found(&call, &|| Command::on_key("PERSIST", &name, [])).await?
                    || self.found(&call, &|| Command::on_key("EXISTS", &name, [])).await?),
            })
            .await
    }

    async fn health(&self) -> Result<()> {
        self.wire
            .operation("memory.health", false, async |call| {
                self.wire.run(&call, &|| Command::anywhere("PING", Vec::new())).await.map(|_| ())
            })
            .await
    }

    async fn close(&self) -> Result<()> {
        self.wire.close("memory.close").await
    }
}

fn decode(name: &str, stored: Bytes) -> Result<Versioned> {
    let envelope = Envelope::decode(&stored).map_err(|error| {
        let error = error.with_context("key", name.escape_debug());
        match oddity::named(&stored) {
            Some(named) => error.with_context("cause", named),
            None => error,
        }
    })?;
    Ok(Versioned { memory: envelope.memory, revision: revision_of(stored, envelope.operations) })
}

/// At least one millisecond, as the server takes zero for "delete".
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.min(LONGEST_TTL).as_millis()).unwrap_or(u64::MAX).max(1)
}

fn bytes(value: Value) -> Result<Option<Bytes>> {
    match value {
        Value::Null => Ok(None),
        Value::Bytes(bytes) => Ok(Some(bytes)),
        Value::String(text) => Ok(Some(text.into_inner())),
        _ => Err(Error::new(ErrorKind::Protocol, "the server's answer is not a value")),
    }
}

fn number(value: &Value) -> Result<i64> {
    match value {
        Value::Integer(number) => Ok(*number),
        _ => Err(Error::new(ErrorKind::Protocol, "the server's answer is not a number")),
    }
}

/// `None` when the script wrote the value, else the current one.
fn applied(value: Value) -> Result<Option<Option<Bytes>>> {
    let odd = || {
        Error::new(ErrorKind::Protocol, "the script's answer is not understood").with_effect(Effect::Unknown)
    };
    // One element in an array may arrive without it.
    let Value::Array(parts) = value else {
        return if number(&value).is_ok_and(|done| done == 1) { Ok(None) } else { Err(odd()) };
    };
    let mut parts = parts.into_iter();
    match parts.next() {
        Some(Value::Integer(1)) => Ok(None),
        Some(Value::Integer(0)) => Ok(Some(bytes(parts.next().unwrap_or(Value::Null))?)),
        _ => Err(odd()),
    }
}
