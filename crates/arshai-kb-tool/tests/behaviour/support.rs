//! What the tests of this crate share: a store that can be told to fail, and a look at what is stored.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use arshai_core::{
    Error, ErrorKind, Result,
    embed::{Embedder, EmbeddingBatch, Input},
    vector::{
        Capabilities, Collection, CollectionSpec, CollectionStats, Hit, InMemoryVectors, ItemOutcome, Output,
        Record, RowPage, RowQuery, Search, Selection, VectorStore, WriteReport,
    },
};
use arshai_kb_tool::{ChunkSettings, KnowledgeBase};
use async_trait::async_trait;
use serde_json::Value;

pub(crate) const COLLECTION: &str = "default";

/// A store in this process that counts calls and fails on demand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) inner: InMemoryVectors,
    pub(crate) calls: Arc<Mutex<Vec<String>>>,
    /// Upserts that still succeed; `usize::MAX` for all.
    pub(crate) upserts_left: Arc<Mutex<Option<usize>>>,
    /// Records whose text contains this fail alone.
    pub(crate) poison: Option<String>,
    pub(crate) without_text: bool,
    pub(crate) queries: Arc<AtomicUsize>,
}

impl Watched {
    pub(crate) fn fail_after(&self, upserts: usize) {
        *self.upserts_left.lock().unwrap() = Some(upserts);
    }

    pub(crate) fn heal(&self) {
        *self.upserts_left.lock().unwrap() = None;
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn forget_calls(&self) {
        self.calls.lock().unwrap().clear();
    }

    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }
}

#[async_trait]
impl VectorStore for Watched {
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities> {
        let mut capabilities = self.inner.capabilities(collection).await?;
        if self.without_text {
            capabilities.text = false;
        }
        Ok(capabilities)
    }

    async fn open(&self, spec: &CollectionSpec) -> Result<Collection> {
        self.inner.open(spec).await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Collection>> {
        self.inner.describe(collection).await
    }

    async fn collections(&self) -> Result<Vec<String>> {
        self.inner.collections().await
    }

    async fn drop_collection(&self, collection: &str) -> Result<bool> {
        self.inner.drop_collection(collection).await
    }

    async fn stats(&self, collection: &str) -> Result<CollectionStats> {
        self.inner.stats(collection).await
    }

    async fn insert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        self.inner.insert(collection, records).await
    }

    async fn upsert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        if let Some(left) = self.upserts_left.lock().unwrap().as_mut() {
            if *left == 0 {
                return Err(Error::new(ErrorKind::Unavailable, "the store is down"));
            }
            *left -= 1;
        }
        self.note(format!("upsert {}", records.len()));
        // Every record on its own, so that poisoned ones fail alone.
        let mut items = Vec::new();
        for record in records {
            if self.poison.as_ref().is_some_and(|poison| record.text.contains(poison.as_str())) {
                items.push(ItemOutcome::Failed(Error::invalid("this record is refused")));
            } else {
                items.extend(self.inner.upsert(collection, vec![record]).await?.items);
            }
        }
        Ok(WriteReport { items })
    }

    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64> {
        self.note("delete");
        self.inner.delete(collection, selection).await
    }

    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>> {
        self.inner.search(collection, search).await
    }

    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage> {
        self.queries.fetch_add(1, Ordering::SeqCst);
        self.inner.query(collection, query).await
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// Two numbers per text; a text with `poison` in it fails alone; all fail when it is down.
#[derive(Debug, Clone, Default)]
pub(crate) struct TinyEmbedder {
    pub(crate) down: bool,
    pub(crate) texts: Arc<AtomicUsize>,
}

#[async_trait]
impl Embedder for TinyEmbedder {
    fn id(&self) -> &str {
        "tiny"
    }

    fn dimension(&self) -> Option<usize> {
        Some(2)
    }

    async fn embed(&self, texts: &[&str], _input: Input) -> Result<EmbeddingBatch> {
        if self.down {
            return Err(Error::new(ErrorKind::Unavailable, "the embedder is down"));
        }
        self.texts.fetch_add(texts.len(), Ordering::SeqCst);
        let values = texts.iter().flat_map(|text| [1.0, text.len() as f32]).collect();
        let failures = texts
            .iter()
            .map(|text| text.contains("poison").then(|| Error::invalid("the text cannot be embedded")))
            .collect();
        EmbeddingBatch::partial(2, values, failures)
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A knowledge base with short chunks and small batches.
pub(crate) fn base(store: &Watched) -> KnowledgeBase {
    KnowledgeBase::new(Arc::new(store.clone()), COLLECTION)
        .with_chunking(ChunkSettings::new(60, 0))
        .with_batch(4, 2)
}

/// Everything that is stored: key → (text, metadata, has a vector).
pub(crate) async fn stored(store: &dyn VectorStore) -> BTreeMap<String, (String, Value, bool)> {
    let page =
        store.query(COLLECTION, &RowQuery::all().limit(100_000).output(Output::default())).await.unwrap();
    let row = |row: arshai_core::vector::Row| {
        (row.id.to_string(), (row.text, Value::Object(row.metadata), row.has_dense))
    };
    page.rows.into_iter().map(row).collect()
}

/// The sources that are stored, in order.
pub(crate) async fn sources(store: &dyn VectorStore) -> Vec<String> {
    let mut sources: Vec<String> = stored(store)
        .await
        .into_values()
        .map(|(_, metadata, _)| metadata["source"].as_str().unwrap_or_default().to_owned())
        .collect();
    sources.sort();
    sources.dedup();
    sources
}

/// A text of so many sentences, each a chunk of its own.
pub(crate) fn sentences(word: &str, count: usize) -> String {
    (0..count).map(|n| format!("The {word} number {n} stands in a sentence of its own. ")).collect()
}
