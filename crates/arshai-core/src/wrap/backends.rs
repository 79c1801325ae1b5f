//! Every backend trait for [`Wrapped`], and for `Arc`s of backends.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Call, Policy, Wrapped};
use crate::{
    Result,
    chat::{ChatCapabilities, ChatModel, ChatReply, ChatRequest, ChatStream},
    embed::{Embedder, EmbeddingBatch, Input},
    memory::{
        KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, MemoryStore, PageRequest, Precondition,
        Put, Ttl, Versioned,
    },
    vector::{
        Capabilities, Collection, CollectionSpec, CollectionStats, Hit, Record, RowPage, RowQuery, Search,
        Selection, VectorStore, WriteReport,
    },
};

fn once(operation: &'static str) -> Call {
    Call { operation, idempotent: false, reads: false }
}

fn again(operation: &'static str) -> Call {
    Call { operation, idempotent: true, reads: false }
}

fn read(operation: &'static str) -> Call {
    Call { operation, idempotent: true, reads: true }
}

/// The value for one attempt: a copy while more attempts may follow, the value itself for the last.
fn for_attempt<T: Clone + Default>(value: &mut T, more: bool) -> T {
    if more { value.clone() } else { std::mem::take(value) }
}

macro_rules! forward_arc {
    ($trait:ident { $($body:tt)* }) => {
        #[async_trait]
        impl<T: $trait + ?Sized> $trait for Arc<T> { $($body)* }
    };
}

#[async_trait]
impl<B: MemoryStore, P: Policy> MemoryStore for Wrapped<B, P> {
    fn capabilities(&self) -> MemoryCapabilities {
        self.backend.capabilities()
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        self.policy.run(read("memory.get"), |_| self.backend.get(key)).await
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        self.policy.run(once("memory.put"), |_| self.backend.put(key, memory, when.clone())).await
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        self.policy.run(once("memory.delete"), |_| self.backend.delete(key)).await
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        self.policy.run(read("memory.list"), |_| self.backend.list(prefix, page)).await
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        self.policy.run(once("memory.delete_all"), |_| self.backend.delete_all(prefix)).await
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        self.policy.run(read("memory.ttl"), |_| self.backend.ttl(key)).await
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        self.policy.run(again("memory.touch"), |_| self.backend.touch(key, ttl)).await
    }

    async fn health(&self) -> Result<()> {
        self.policy.run(read("memory.health"), |_| self.backend.health()).await
    }

    async fn close(&self) -> Result<()> {
        self.backend.close().await
    }
}

#[async_trait]
impl<B: VectorStore, P: Policy> VectorStore for Wrapped<B, P> {
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities> {
        self.policy.run(read("vectors.capabilities"), |_| self.backend.capabilities(collection)).await
    }

    async fn open(&self, spec: &CollectionSpec) -> Result<Collection> {
        self.policy.run(again("vectors.open"), |_| self.backend.open(spec)).await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Collection>> {
        self.policy.run(read("vectors.describe"), |_| self.backend.describe(collection)).await
    }

    async fn collections(&self) -> Result<Vec<String>> {
        self.policy.run(read("vectors.collections"), |_| self.backend.collections()).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<bool> {
        self.policy.run(once("vectors.drop"), |_| self.backend.drop_collection(collection)).await
    }

    async fn stats(&self, collection: &str) -> Result<CollectionStats> {
        self.policy.run(read("vectors.stats"), |_| self.backend.stats(collection)).await
    }

    async fn insert(&self, collection: &str, mut records: Vec<Record>) -> Result<WriteReport> {
        let attempt = |more| self.backend.insert(collection, for_attempt(&mut records, more));
        self.policy.run(once("vectors.insert"), attempt).await
    }

    async fn upsert(&self, collection: &str, mut records: Vec<Record>) -> Result<WriteReport> {
        // Without keys of the caller's, a repeated upsert adds the records a second time.
        let keyed = records.iter().all(|record| record.id.is_some());
        let call = if keyed { again("vectors.upsert") } else { once("vectors.upsert") };
        let attempt = |more| self.backend.upsert(collection, for_attempt(&mut records, more));
        self.policy.run(call, attempt).await
    }

    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64> {
        self.policy.run(once("vectors.delete"), |_| self.backend.delete(collection, selection)).await
    }

    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>> {
        self.policy.run(read("vectors.search"), |_| self.backend.search(collection, search)).await
    }

    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage> {
        self.policy.run(read("vectors.query"), |_| self.backend.query(collection, query)).await
    }

    async fn health(&self) -> Result<()> {
        self.policy.run(read("vectors.health"), |_| self.backend.health()).await
    }

    async fn close(&self) -> Result<()> {
        self.backend.close().await
    }
}

#[async_trait]
impl<B: Embedder, P: Policy> Embedder for Wrapped<B, P> {
    fn id(&self) -> &str {
        self.backend.id()
    }

    fn dimension(&self) -> Option<usize> {
        self.backend.dimension()
    }

    async fn embed(&self, texts: &[&str], input: Input) -> Result<EmbeddingBatch> {
        self.policy.run(read("embed"), |_| self.backend.embed(texts, input)).await
    }

    async fn health(&self) -> Result<()> {
        self.policy.run(read("embed.health"), |_| self.backend.health()).await
    }

    async fn close(&self) -> Result<()> {
        self.backend.close().await
    }
}

#[async_trait]
impl<B: ChatModel, P: Policy> ChatModel for Wrapped<B, P> {
    fn id(&self) -> &str {
        self.backend.id()
    }

    fn capabilities(&self) -> ChatCapabilities {
        self.backend.capabilities()
    }

    async fn stream(&self, mut request: ChatRequest) -> Result<ChatStream> {
        let attempt = |more| self.backend.stream(for_attempt(&mut request, more));
        self.policy.run_stream(read("chat.stream"), attempt).await
    }

    async fn chat(&self, mut request: ChatRequest) -> Result<ChatReply> {
        let attempt = |more| self.backend.chat(for_attempt(&mut request, more));
        self.policy.run(read("chat"), attempt).await
    }

    async fn health(&self) -> Result<()> {
        self.policy.run(read("chat.health"), |_| self.backend.health()).await
    }

    async fn close(&self) -> Result<()> {
        self.backend.close().await
    }
}

forward_arc!(MemoryStore {
    fn capabilities(&self) -> MemoryCapabilities {
        (**self).capabilities()
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        (**self).get(key).await
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        (**self).put(key, memory, when).await
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        (**self).delete(key).await
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        (**self).list(prefix, page).await
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        (**self).delete_all(prefix).await
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        (**self).ttl(key).await
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        (**self).touch(key, ttl).await
    }

    async fn health(&self) -> Result<()> {
        (**self).health().await
    }

    async fn close(&self) -> Result<()> {
        (**self).close().await
    }
});

forward_arc!(VectorStore {
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities> {
        (**self).capabilities(collection).await
    }

    async fn open(&self, spec: &CollectionSpec) -> Result<Collection> {
        (**self).open(spec).await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Collection>> {
        (**self).describe(collection).await
    }

    async fn collections(&self) -> Result<Vec<String>> {
        (**self).collections().await
    }

    async fn drop_collection(&self, collection: &str) -> Result<bool> {
        (**self).drop_collection(collection).await
    }

    async fn stats(&self, collection: &str) -> Result<CollectionStats> {
        (**self).stats(collection).await
    }

    async fn insert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        (**self).insert(collection, records).await
    }

    async fn upsert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        (**self).upsert(collection, records).await
    }

    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64> {
        (**self).delete(collection, selection).await
    }

    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>> {
        (**self).search(collection, search).await
    }

    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage> {
        (**self).query(collection, query).await
    }

    async fn health(&self) -> Result<()> {
        (**self).health().await
    }

    async fn close(&self) -> Result<()> {
        (**self).close().await
    }
});

forward_arc!(Embedder {
    fn id(&self) -> &str {
        (**self).id()
    }

    fn dimension(&self) -> Option<usize> {
        (**self).dimension()
    }

    async fn embed(&self, texts: &[&str], input: Input) -> Result<EmbeddingBatch> {
        (**self).embed(texts, input).await
    }

    async fn health(&self) -> Result<()> {
        (**self).health().await
    }

    async fn close(&self) -> Result<()> {
        (**self).close().await
    }
});

forward_arc!(ChatModel {
    fn id(&self) -> &str {
        (**self).id()
    }

    fn capabilities(&self) -> ChatCapabilities {
        (**self).capabilities()
    }

    async fn stream(&self, request: ChatRequest) -> Result<ChatStream> {
        (**self).stream(request).await
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatReply> {
        (**self).chat(request).await
    }

    async fn health(&self) -> Result<()> {
        (**self).health().await
    }

    async fn close(&self) -> Result<()> {
        (**self).close().await
    }
});
