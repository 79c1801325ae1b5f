//! Memories and vector stores.

use async_trait::async_trait;

use super::{
    super::{MemoryStore, VectorStore},
    Offload,
};
use crate::{
    Result, memory,
    memory::{
        KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, PageRequest, Precondition, Put, Ttl,
        Versioned,
    },
    vector,
    vector::{
        Capabilities, Collection, CollectionSpec, CollectionStats, Hit, Record, RowPage, RowQuery, Search,
        Selection, WriteReport,
    },
};

#[async_trait]
impl<T: MemoryStore + ?Sized + 'static> memory::MemoryStore for Offload<T> {
    fn capabilities(&self) -> MemoryCapabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        let key = key.clone();
        self.read(move |inner| inner.get(&key)).await
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        let (key, memory) = (key.clone(), memory.clone());
        self.write(move |inner| inner.put(&key, &memory, when)).await
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        let key = key.clone();
        self.write(move |inner| inner.delete(&key)).await
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        let (prefix, page) = (prefix.clone(), page.clone());
        self.read(move |inner| inner.list(&prefix, &page)).await
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        let prefix = prefix.clone();
        self.write(move |inner| inner.delete_all(&prefix)).await
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        let key = key.clone();
        self.read(move |inner| inner.ttl(&key)).await
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        let key = key.clone();
        self.write(move |inner| inner.touch(&key, ttl)).await
    }

    async fn health(&self) -> Result<()> {
        self.read(MemoryStore::health).await
    }

    async fn close(&self) -> Result<()> {
        self.write(MemoryStore::close).await
    }
}

#[async_trait]
impl<T: VectorStore + ?Sized + 'static> vector::VectorStore for Offload<T> {
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities> {
        let collection = collection.map(str::to_owned);
        self.read(move |inner| inner.capabilities(collection.as_deref())).await
    }

    async fn open(&self, spec: &CollectionSpec) -> Result<Collection> {
        let spec = spec.clone();
        self.write(move |inner| inner.open(&spec)).await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Collection>> {
        let collection = collection.to_owned();
        self.read(move |inner| inner.describe(&collection)).await
    }

    async fn collections(&self) -> Result<Vec<String>> {
        self.read(VectorStore::collections).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<bool> {
        let collection = collection.to_owned();
        self.write(move |inner| inner.drop_collection(&collection)).await
    }

    async fn stats(&self, collection: &str) -> Result<CollectionStats> {
        let collection = collection.to_owned();
        self.read(move |inner| inner.stats(&collection)).await
    }

    async fn insert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        let collection = collection.to_owned();
        self.write(move |inner| inner.insert(&collection, records)).await
    }

    async fn upsert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        let collection = collection.to_owned();
        self.write(move |inner| inner.upsert(&collection, records)).await
    }

    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64> {
        let (collection, selection) = (collection.to_owned(), selection.clone());
        self.write(move |inner| inner.delete(&collection, &selection)).await
    }

    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>> {
        let (collection, search) = (collection.to_owned(), search.clone());
        self.read(move |inner| inner.search(&collection, &search)).await
    }

    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage> {
        let (collection, query) = (collection.to_owned(), query.clone());
        self.read(move |inner| inner.query(&collection, &query)).await
    }

    async fn health(&self) -> Result<()> {
        self.read(VectorStore::health).await
    }

    async fn close(&self) -> Result<()> {
        self.write(VectorStore::close).await
    }
}
