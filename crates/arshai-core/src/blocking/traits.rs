//! The sync twins of the async traits.

use serde_json::{Map, Value};

use super::{Blocking, Runtime};
use crate::{
    Result, chat,
    chat::{ChatCapabilities, ChatEvent, ChatReply, ChatRequest, ChatStream},
    embed,
    embed::{EmbeddingBatch, Input},
    memory,
    memory::{
        KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, MemoryStoreExt as _, PageRequest,
        Precondition, Put, TrimPolicy, Ttl, Turn, Versioned,
    },
    tool,
    tool::{ToolDefinition, ToolOutput},
    vector,
    vector::{
        Capabilities, Collection, CollectionSpec, CollectionStats, Hit, Record, RowPage, RowQuery, Search,
        Selection, WriteReport,
    },
};

/// Declares a sync trait and implements it for [`Blocking`]: `async` methods wait, the others are passed on.
macro_rules! blocking_twin {
    (
        $(#[$doc:meta])*
        trait $name:ident of $inner:path {
            $(direct fn $direct:ident(&self $(, $darg:ident: $dtype:ty)*) -> $dout:ty;)*
            $(async fn $method:ident(&self $(, $arg:ident: $type:ty)*) -> $out:ty;)*
        }
    ) => {
        $(#[$doc])*
        pub trait $name: Send + Sync + std::fmt::Debug {
            $(
                #[doc = concat!("As `", stringify!($inner), "::", stringify!($direct), "`.")]
                fn $direct(&self $(, $darg: $dtype)*) -> $dout;
            )*
            $(
                #[doc = concat!("As `", stringify!($inner), "::", stringify!($method), "`, waiting for it.")]
                ///
                /// # Errors
                ///
                /// As the async method, and [`BlockingInAsync`](crate::ErrorKind::BlockingInAsync) in async code.
                fn $method(&self $(, $arg: $type)*) -> Result<$out>;
            )*
        }

        impl<T: $inner + ?Sized> $name for Blocking<T> {
            $(fn $direct(&self $(, $darg: $dtype)*) -> $dout { self.inner.$direct($($darg),*) })*
            $(fn $method(&self $(, $arg: $type)*) -> Result<$out> { self.wait(self.inner.$method($($arg),*)) })*
        }
    };
}

blocking_twin! {
    /// [`memory::MemoryStore`] without async.
    trait MemoryStore of memory::MemoryStore {
        direct fn capabilities(&self) -> MemoryCapabilities;
        async fn get(&self, key: &MemoryKey) -> Option<Versioned>;
        async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Put;
        async fn delete(&self, key: &MemoryKey) -> bool;
        async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> KeyPage;
        async fn delete_all(&self, prefix: &KeyPrefix) -> u64;
        async fn ttl(&self, key: &MemoryKey) -> Option<Ttl>;
        async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> bool;
        async fn health(&self) -> ();
        async fn close(&self) -> ();
    }
}

blocking_twin! {
    /// [`vector::VectorStore`] without async.
    trait VectorStore of vector::VectorStore {
        async fn capabilities(&self, collection: Option<&str>) -> Capabilities;
        async fn open(&self, spec: &CollectionSpec) -> Collection;
        async fn describe(&self, collection: &str) -> Option<Collection>;
        async fn collections(&self) -> Vec<String>;
        async fn drop_collection(&self, collection: &str) -> bool;
        async fn stats(&self, collection: &str) -> CollectionStats;
        async fn insert(&self, collection: &str, records: Vec<Record>) -> WriteReport;
        async fn upsert(&self, collection: &str, records: Vec<Record>) -> WriteReport;
        async fn delete(&self, collection: &str, selection: &Selection) -> u64;
        async fn search(&self, collection: &str, search: &Search) -> Vec<Vec<Hit>>;
        async fn query(&self, collection: &str, query: &RowQuery) -> RowPage;
        async fn health(&self) -> ();
        async fn close(&self) -> ();
    }
}

blocking_twin! {
    /// [`embed::Embedder`] without async.
    trait Embedder of embed::Embedder {
        direct fn id(&self) -> &str;
        direct fn dimension(&self) -> Option<usize>;
        async fn embed(&self, texts: &[&str], input: Input) -> EmbeddingBatch;
        async fn health(&self) -> ();
        async fn close(&self) -> ();
    }
}

blocking_twin! {
    /// [`tool::Tool`] without async.
    trait Tool of tool::Tool {
        direct fn definition(&self) -> &ToolDefinition;
        async fn call(&self, arguments: &Value) -> ToolOutput;
    }
}

/// [`chat::ChatModel`] without async.
pub trait ChatModel: Send + Sync + std::fmt::Debug {
    /// As [`chat::ChatModel::id`].
    fn id(&self) -> &str;

    /// As [`chat::ChatModel::capabilities`].
    fn capabilities(&self) -> ChatCapabilities;

    /// As [`chat::ChatModel::chat`], waiting for it.
    ///
    /// # Errors
    ///
    /// As the async method, and [`BlockingInAsync`](crate::ErrorKind::BlockingInAsync) in async code.
    fn chat(&self, request: ChatRequest) -> Result<ChatReply>;

    /// As [`chat::ChatModel::stream`], as an iterator that waits for each event.
    ///
    /// # Errors
    ///
    /// As [`ChatModel::chat`].
    fn stream(&self, request: ChatRequest) -> Result<BlockingStream>;
}

impl<T: chat::ChatModel + ?Sized> ChatModel for Blocking<T> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn capabilities(&self) -> ChatCapabilities {
        self.inner.capabilities()
    }

    fn chat(&self, request: ChatRequest) -> Result<ChatReply> {
        self.wait(self.inner.chat(request))
    }

    fn stream(&self, request: ChatRequest) -> Result<BlockingStream> {
        let stream = self.wait(self.inner.stream(request))?;
        Ok(BlockingStream { stream: Some(stream), runtime: self.runtime.clone() })
    }
}

/// A streamed reply as an iterator. It ends well only after [`ChatEvent::Done`].
pub struct BlockingStream {
    stream: Option<ChatStream>,
    runtime: Runtime,
}

impl std::fmt::Debug for BlockingStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingStream").finish_non_exhaustive()
    }
}

impl Iterator for BlockingStream {
    type Item = Result<ChatEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = futures_util::StreamExt::next(self.stream.as_mut()?);
        self.runtime.block_on(next).unwrap_or_else(|refused| {
            self.stream = None;
            Some(Err(refused))
        })
    }
}

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
