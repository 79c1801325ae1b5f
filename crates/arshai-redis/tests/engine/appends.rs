//! A writer that appends tokens to a conversation, remembers what it was told of each, and what stands there at the end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use arshai_core::{
    Deadline, Effect, ErrorKind, Result,
    memory::{Memory, MemoryKey, MemoryStoreExt as _},
};
use arshai_redis::RedisMemory;

/// How much later than its deadline a call may return on a loaded machine.
pub(crate) const SLACK: Duration = Duration::from_secs(2);

pub(crate) struct Appender {
    name: String,
    /// For each call.
    pub(crate) deadline: Duration,
    pub(crate) acknowledged: Vec<String>,
    pub(crate) unknown: Vec<String>,
    pub(crate) refused: Vec<String>,
    /// The last error of each kind.
    pub(crate) errors: BTreeMap<String, String>,
}

impl Appender {
    pub(crate) fn new(name: impl Into<String>, deadline: Duration) -> Self {
        Self {
            name: name.into(),
            deadline,
            acknowledged: Vec::new(),
            unknown: Vec::new(),
            refused: Vec::new(),
            errors: BTreeMap::new(),
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.acknowledged.len() + self.unknown.len() + self.refused.len()
    }

    /// Appends one more token; whether that was acknowledged.
    pub(crate) async fn append(&mut self, store: &RedisMemory, key: &MemoryKey) -> bool {
        self.append_after(store, key, || ()).await
    }

    /// The same, with something done between every read and write.
    pub(crate) async fn append_after(
        &mut self,
        store: &RedisMemory,
        key: &MemoryKey,
        mut before_write: impl FnMut() + Send,
    ) -> bool {
        let token = format!("{}{}", self.name, self.calls());
        let append = store.update_with(key, |old| {
            before_write();
            let text = old.map_or("", |memory| memory.text.as_str());
            Ok(Memory::new(format!("{text} {token}")))
        });
        let began = Instant::now();
        let outcome = Deadline::after(self.deadline).scope(append).await.map(drop);
        let took = began.elapsed();
        assert!(took < self.deadline + SLACK, "a call with {:?} took {took:?}: {outcome:?}", self.deadline);
        self.told(token, outcome)
    }

    fn told(&mut self, token: String, outcome: Result<()>) -> bool {
        let Err(error) = outcome else {
            self.acknowledged.push(token);
            return true;
        };
        if error.kind() == ErrorKind::OutcomeUnknown {
            self.unknown.push(token);
        } else {
            assert_eq!(error.effect(), Effect::NotApplied, "{error}");
            self.refused.push(token);
        }
        self.errors.insert(error.kind().to_string(), error.to_string());
        false
    }
}

/// Sees that what stands in the memory is what its writers were told.
pub(crate) async fn settle(what: &str, writers: &[Appender], reader: &RedisMemory, key: &MemoryKey) -> usize {
    let text = reader.retrieve(key).await.unwrap().map(|memory| memory.text).unwrap_or_default();
    let mut present: BTreeMap<&str, usize> = BTreeMap::new();
    for token in text.split_whitespace() {
        *present.entry(token).or_default() += 1;
    }
    let sum = |count: fn(&Appender) -> usize| writers.iter().map(count).sum::<usize>();
    let acknowledged = sum(|writer| writer.acknowledged.len());
    println!(
        "{what}: {} calls, {acknowledged} acknowledged, {} unknown, {} refused, {} present",
        sum(Appender::calls),
        sum(|writer| writer.unknown.len()),
        sum(|writer| writer.refused.len()),
        present.len(),
    );
    assert!(present.values().all(|times| *times == 1), "stored twice: {present:?}");
    for writer in writers {
        let errors = &writer.errors;
        let lost: Vec<_> =
            writer.acknowledged.iter().filter(|token| !present.contains_key(token.as_str())).collect();
        assert!(lost.is_empty(), "{what}: acknowledged and not there: {lost:?}; {errors:?}");
        let there: Vec<_> =
            writer.refused.iter().filter(|token| present.contains_key(token.as_str())).collect();
        assert!(there.is_empty(), "{what}: reported as not written and there: {there:?}; {errors:?}");
    }
    acknowledged
}
