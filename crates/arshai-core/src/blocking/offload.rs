//! The way in for backends that have blocking methods only.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{ChatModel, Embedder, MemoryStore, Tool, VectorStore};
use crate::{
    Error, ErrorKind, Result, chat,
    chat::{ChatCapabilities, ChatReply, ChatRequest, ChatStream},
    config::Settings,
    embed,
    embed::{EmbeddingBatch, Input},
    memory,
    memory::{
        KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, PageRequest, Precondition, Put, Ttl,
        Versioned,
    },
    tool,
    tool::{ToolDefinition, ToolOutput},
    vector,
    vector::{
        Capabilities, Collection, CollectionSpec, CollectionStats, Hit, Record, RowPage, RowQuery, Search,
        Selection, WriteReport,
    },
};

/// A part that has blocking methods only, used as an async one: each call runs on tokio's threads for blocking work,
/// where it holds up no task.
///
/// # Cancel safety
///
/// Dropping a future does not stop the call that it waits for: a write may still happen.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use arshai_core::{
///     blocking::{self, Offload}, chat::{ChatModel as _, ChatModelExt as _}, config::Settings,
/// };
///
/// # fn as_async(model: Arc<dyn blocking::ChatModel>) -> arshai_core::Result<Arc<dyn arshai_core::chat::ChatModel>> {
/// Ok(Arc::new(Offload::new(model, &Settings::from_env()?)?))
/// # }
/// ```
#[derive(Debug)]
pub struct Offload<T: ?Sized> {
    inner: Arc<T>,
}

impl<T: ?Sized> Clone for Offload<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T: ?Sized> Offload<T> {
    /// Moves `inner`'s calls to threads for blocking work, and warns of it once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] when [`Settings::async_fallback_to_sync`] is false.
    pub fn new(inner: Arc<T>, settings: &Settings) -> Result<Self> {
        let part = std::any::type_name::<T>();
        if !settings.async_fallback_to_sync {
            return Err(Error::unsupported(
                "this part has blocking methods only, and ASYNC_FALLBACK_TO_SYNC=false keeps them from async code: \
                 give an async part, or set it to true",
            )
            .with_context("part", part));
        }
        tracing::warn!(part, "a part with blocking methods only is moved to threads for blocking work");
        Ok(Self { inner })
    }
}

impl<T: ?Sized + Send + Sync + 'static> Offload<T> {
    async fn run<O: Send + 'static>(&self, call: impl FnOnce(&T) -> Result<O> + Send + 'static) -> Result<O> {
        let inner = Arc::clone(&self.inner);
        let joined = tokio::task::spawn_blocking(move || call(&inner)).await;
        joined.map_err(|error| {
            Error::new(ErrorKind::Internal, "a blocking part panicked, or its runtime ended")
                .with_source(error)
        })?
    }
}

#[async_trait]
impl<T: MemoryStore + ?Sized + 'static> memory::MemoryStore for Offload<T> {
    fn capabilities(&self) -> MemoryCapabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        let key = key.clone();
        self.run(move |inner| inner.get(&key)).await
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        let (key, memory) = (key.clone(), memory.clone());
        self.run(move |inner| inner.put(&key, &memory, when)).await
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        let key = key.clone();
        self.run(move |inner| inner.delete(&key)).await
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        let (prefix, page) = (prefix.clone(), page.clone());
        self.run(move |inner| inner.list(&prefix, &page)).await
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        let prefix = prefix.clone();
        self.run(move |inner| inner.delete_all(&prefix)).await
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        let key = key.clone();
        self.run(move |inner| inner.ttl(&key)).await
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        let key = key.clone();
        self.run(move |inner| inner.touch(&key, ttl)).await
    }

    async fn health(&self) -> Result<()> {
        self.run(MemoryStore::health).await
    }

    async fn close(&self) -> Result<()> {
        self.run(MemoryStore::close).await
    }
}

#[async_trait]
impl<T: VectorStore + ?Sized + 'static> vector::VectorStore for Offload<T> {
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities> {
        let collection = collection.map(str::to_owned);
        self.run(move |inner| inner.capabilities(collection.as_deref())).await
    }

    async fn open(&self, spec: &CollectionSpec) -> Result<Collection> {
        let spec = spec.clone();
        self.run(move |inner| inner.open(&spec)).await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Collection>> {
        let collection = collection.to_owned();
        self.run(move |inner| inner.describe(&collection)).await
    }

    async fn collections(&self) -> Result<Vec<String>> {
        self.run(VectorStore::collections).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<bool> {
        let collection = collection.to_owned();
        self.run(move |inner| inner.drop_collection(&collection)).await
    }

    async fn stats(&self, collection: &str) -> Result<CollectionStats> {
        let collection = collection.to_owned();
        self.run(move |inner| inner.stats(&collection)).await
    }

    async fn insert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        let collection = collection.to_owned();
        self.run(move |inner| inner.insert(&collection, records)).await
    }

    async fn upsert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        let collection = collection.to_owned();
        self.run(move |inner| inner.upsert(&collection, records)).await
    }

    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64> {
        let (collection, selection) = (collection.to_owned(), selection.clone());
        self.run(move |inner| inner.delete(&collection, &selection)).await
    }

    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>> {
        let (collection, search) = (collection.to_owned(), search.clone());
        self.run(move |inner| inner.search(&collection, &search)).await
    }

    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage> {
        let (collection, query) = (collection.to_owned(), query.clone());
        self.run(move |inner| inner.query(&collection, &query)).await
    }

    async fn health(&self) -> Result<()> {
        self.run(VectorStore::health).await
    }

    async fn close(&self) -> Result<()> {
        self.run(VectorStore::close).await
    }
}

#[async_trait]
impl<T: Embedder + ?Sized + 'static> embed::Embedder for Offload<T> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn dimension(&self) -> Option<usize> {
        self.inner.dimension()
    }

    async fn embed(&self, texts: &[&str], input: Input) -> Result<EmbeddingBatch> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        self.run(move |inner| inner.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>(), input)).await
    }

    async fn health(&self) -> Result<()> {
        self.run(Embedder::health).await
    }

    async fn close(&self) -> Result<()> {
        self.run(Embedder::close).await
    }
}

#[async_trait]
impl<T: Tool + ?Sized + 'static> tool::Tool for Offload<T> {
    fn definition(&self) -> &ToolDefinition {
        self.inner.definition()
    }

    async fn call(&self, arguments: &Value) -> Result<ToolOutput> {
        let arguments = arguments.clone();
        self.run(move |inner| inner.call(&arguments)).await
    }
}

#[async_trait]
impl<T: ChatModel + ?Sized + 'static> chat::ChatModel for Offload<T> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn capabilities(&self) -> ChatCapabilities {
        self.inner.capabilities()
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatReply> {
        self.run(move |inner| inner.chat(request)).await
    }

    /// The events are taken from the iterator on a thread for blocking work; when this stream is dropped, the thread
    /// ends at the next event.
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream> {
        let events = self.run(move |inner| inner.stream(request)).await?;
        let (send, receive) = mpsc::channel(16);
        tokio::task::spawn_blocking(move || {
            for event in events {
                if send.blocking_send(event).is_err() {
                    return;
                }
            }
        });
        let events = stream::unfold(receive, |mut receive| async move {
            let event = receive.recv().await?;
            Some((event, receive))
        });
        Ok(events.boxed())
    }

    async fn health(&self) -> Result<()> {
        self.run(ChatModel::health).await
    }

    async fn close(&self) -> Result<()> {
        self.run(ChatModel::close).await
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::{
        blocking::{Blocking, Runtime},
        memory::{InMemoryMemory, MemoryStoreExt as _},
        tool::ToolDefinition,
    };

    /// A tool of somebody who knows no async.
    #[derive(Debug)]
    struct Slow(ToolDefinition);

    impl Tool for Slow {
        fn definition(&self) -> &ToolDefinition {
            &self.0
        }

        fn call(&self, arguments: &Value) -> Result<ToolOutput> {
            assert!(!arguments.is_null(), "a defect");
            thread::sleep(Duration::from_millis(50));
            Ok(ToolOutput::text(thread::current().name().unwrap_or_default()))
        }
    }

    fn slow() -> Arc<dyn Tool> {
        Arc::new(Slow(ToolDefinition {
            name: "slow".to_owned(),
            description: "Takes its time".to_owned(),
            parameters: serde_json::json!({}),
        }))
    }

    #[tokio::test]
    async fn a_blocking_part_holds_up_no_task_and_its_panic_is_an_error() {
        let tool = Offload::new(slow(), &Settings::default()).unwrap();
        let call = tool::Tool::call(&tool, &Value::Bool(true));
        let mut ticks = 0;
        let ticking = async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                ticks += 1;
            }
        };
        tokio::select! {
            output = call => drop(output.unwrap()),
            () = ticking => unreachable!(),
        }
        assert!(ticks > 1, "{ticks}");
        let error = tool::Tool::call(&tool, &Value::Null).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
    }

    #[test]
    fn it_is_refused_by_the_setting() {
        let settings = Settings { async_fallback_to_sync: false, ..Settings::default() };
        let error = Offload::new(slow(), &settings).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Unsupported && error.to_string().contains("ASYNC_FALLBACK_TO_SYNC")
        );
    }

    #[tokio::test]
    async fn there_and_back_again_is_the_same_memory() {
        let memory = Arc::new(InMemoryMemory::new());
        let blocking: Arc<dyn MemoryStore> = Arc::new(Blocking::new(memory.clone(), Runtime::new().unwrap()));
        let offloaded = Offload::new(blocking, &Settings::default()).unwrap();
        let key = MemoryKey::new("c").unwrap();
        offloaded.store(&key, "hello", serde_json::Map::new()).await.unwrap();
        assert_eq!(memory.retrieve(&key).await.unwrap().unwrap().text, "hello");
    }
}
