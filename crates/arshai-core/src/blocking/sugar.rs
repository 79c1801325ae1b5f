//! What the extension traits add, without async.

use serde_json::{Map, Value};

use super::{Blocking, BlockingStream};
use crate::{
    Result,
    chat::{self, ChatModelExt as _, ChatReply},
    embed::{self, EmbedderExt as _},
    memory::{self, Memory, MemoryKey, MemoryStoreExt as _, TrimPolicy, Turn, Versioned},
    vector::{self, Hit, Query, Row, RowQuery, VectorStoreExt as _},
};

impl<T: memory::MemoryStore + ?Sized> Blocking<T> {
    /// As [`memory::MemoryStoreExt::update_with`].
    ///
    /// # Errors
    ///
    /// As the async method, and [`BlockingInAsync`](crate::ErrorKind::BlockingInAsync) in async code.
    pub fn update_with<F>(&self, key: &MemoryKey, change: F) -> Result<Versioned>
    where
        F: FnMut(Option<&Memory>) -> Result<Memory> + Send,
    {
        self.wait(self.inner.update_with(key, change))
    }

    /// As [`memory::MemoryStoreExt::retrieve`].
    ///
    /// # Errors
    ///
    /// As [`Blocking::update_with`].
    pub fn retrieve(&self, key: &MemoryKey) -> Result<Option<Memory>> {
        self.wait(self.inner.retrieve(key))
    }

    /// As [`memory::MemoryStoreExt::store`].
    ///
    /// # Errors
    ///
    /// As [`Blocking::update_with`].
    pub fn store(&self, key: &MemoryKey, text: &str, metadata: Map<String, Value>) -> Result<Versioned> {
        self.wait(self.inner.store(key, text, metadata))
    }

    /// As [`memory::MemoryStoreExt::update`].
    ///
    /// # Errors
    ///
    /// As [`Blocking::update_with`].
    pub fn update(&self, key: &MemoryKey, text: &str) -> Result<Versioned> {
        self.wait(self.inner.update(key, text))
    }

    /// As [`memory::MemoryStoreExt::append`].
    ///
    /// # Errors
    ///
    /// As [`Blocking::update_with`].
    pub fn append(&self, key: &MemoryKey, turns: &[Turn], trim: TrimPolicy) -> Result<Versioned> {
        self.wait(self.inner.append(key, turns, trim))
    }
}

impl<T: vector::VectorStore + ?Sized + 'static> Blocking<T> {
    /// As [`vector::VectorStoreExt::search_one`].
    ///
    /// # Errors
    ///
    /// As the async method, and [`BlockingInAsync`](crate::ErrorKind::BlockingInAsync) in async code.
    pub fn search_one(&self, collection: &str, query: Query, limit: usize) -> Result<Vec<Hit>> {
        self.wait(self.inner.search_one(collection, query, limit))
    }

    /// As [`vector::VectorStoreExt::scan`], as an iterator that waits for each page.
    pub fn scan(&self, collection: &str, query: RowQuery) -> BlockingStream<Row> {
        let (store, collection) = (std::sync::Arc::clone(&self.inner), collection.to_owned());
        self.iterate(Box::pin(vector::scan_owned(store, collection, query)))
    }
}

impl<T: embed::Embedder + ?Sized> Blocking<T> {
    /// As [`embed::EmbedderExt::embed_documents`].
    ///
    /// # Errors
    ///
    /// As the async method, and [`BlockingInAsync`](crate::ErrorKind::BlockingInAsync) in async code.
    pub fn embed_documents(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.wait(self.inner.embed_documents(texts))
    }

    /// As [`embed::EmbedderExt::embed_query`].
    ///
    /// # Errors
    ///
    /// As [`Blocking::embed_documents`].
    pub fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        self.wait(self.inner.embed_query(text))
    }
}

impl<T: chat::ChatModel + ?Sized> Blocking<T> {
    /// As [`chat::ChatModelExt::ask`].
    ///
    /// # Errors
    ///
    /// As the async method, and [`BlockingInAsync`](crate::ErrorKind::BlockingInAsync) in async code.
    pub fn ask(&self, system: &str, question: &str) -> Result<ChatReply> {
        self.wait(self.inner.ask(system, question))
    }
}
