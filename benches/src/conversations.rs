//! What a memory store does for many conversations at once, the same for every backend.

use std::sync::{Arc, LazyLock};

use anyhow::{Context as _, Result, ensure};
use arshai_core::memory::{Memory, MemoryKey, MemoryStore, MemoryStoreExt as _, Precondition, Put};
use serde_json::Map;

use crate::measure::Bench;

/// As many conversations take turns.
pub(crate) const CONVERSATIONS: usize = 256;
/// The text of each.
pub(crate) const VALUE_BYTES: usize = 1_500;

/// The memories of the conversations in one store.
#[derive(Clone)]
pub(crate) struct Conversations {
    store: Arc<dyn MemoryStore>,
    keys: Arc<[MemoryKey]>,
}

impl Conversations {
    /// Writes all of them once.
    pub(crate) async fn fill(store: Arc<dyn MemoryStore>) -> Result<Self> {
        let keys = (0..CONVERSATIONS).map(|number| MemoryKey::new(format!("bench-{number}")));
        let all = Self { store, keys: keys.collect::<Result<_, _>>()? };
        for number in 0..CONVERSATIONS {
            all.clone().put(number).await?;
        }
        Ok(all)
    }

    /// Measures `put`, `store`, `retrieve` and `update` for one side, `total` calls of each.
    pub(crate) async fn measure(
        &self,
        bench: &Bench,
        side: &str,
        concurrency: usize,
        total: usize,
    ) -> Result<()> {
        let all = self.clone();
        let call = move |number| all.clone().put(number);
        bench.calls(side, "put", concurrency, total, call).await?;
        let all = self.clone();
        let call = move |number| all.clone().store(number);
        bench.calls(side, "store", concurrency, total, call).await?;
        let all = self.clone();
        let call = move |number| all.clone().retrieve(number);
        bench.calls(side, "retrieve", concurrency, total, call).await?;
        let all = self.clone();
        let call = move |number| all.clone().update(number);
        bench.calls(side, "update", concurrency, total, call).await?;
        Ok(())
    }

    fn key(&self, number: usize) -> &MemoryKey {
        &self.keys[number % CONVERSATIONS]
    }

    /// Writes whatever is there: as little as a write can be.
    async fn put(self, number: usize) -> Result<()> {
        let memory = Memory::new(text(number));
        let put = self.store.put(self.key(number), &memory, Precondition::Any).await?;
        ensure!(matches!(put, Put::Stored(_)), "an unconditional write met a conflict");
        Ok(())
    }

    /// Replaces the text, whatever is there, and keeps when it was created.
    async fn store(self, number: usize) -> Result<()> {
        self.store.store(self.key(number), text(number), Map::new()).await?;
        Ok(())
    }

    async fn retrieve(self, number: usize) -> Result<()> {
        let found = self.store.retrieve(self.key(number)).await?.context("a memory is missing")?;
        ensure!(found.text.len() == VALUE_BYTES, "a memory is not the one that was stored");
        Ok(())
    }

    /// Reads, changes and writes, in one atomic step.
    async fn update(self, number: usize) -> Result<()> {
        let change = |old: Option<&Memory>| {
            let metadata = old.map(|old| old.metadata.clone()).unwrap_or_default();
            Ok(Memory::new(text(number)).with_metadata(metadata))
        };
        self.store.update_with(self.key(number), change).await?;
        Ok(())
    }
}

/// A text of [`VALUE_BYTES`], for each conversation another one in turn. They are made beforehand: making one takes a
/// tenth of the time of the operations that are measured.
pub(crate) fn text(number: usize) -> &'static str {
    static TEXTS: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..=CONVERSATIONS).map(|number| format!("{number:0VALUE_BYTES$}")).collect());
    &TEXTS[number % TEXTS.len()]
}
