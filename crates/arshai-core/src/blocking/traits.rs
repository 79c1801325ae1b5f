//! The sync twins of the async traits.

use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

use super::{Blocking, BlockingStream};
use crate::{
    Result, chat,
    chat::{ChatCapabilities, ChatEvent, ChatReply, ChatRequest},
    embed,
    embed::{EmbeddingBatch, Input},
    memory,
    memory::{
        KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, PageRequest, Precondition, Put, Ttl,
        Versioned,
    },
    speech,
    speech::{
        Audio, SpeakOptions, Speech, SynthesizerExt as _, TranscribeOptions, Transcript, TranscriptEvent,
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
    fn stream(&self, request: ChatRequest) -> Result<BlockingStream<ChatEvent>>;

    /// As [`chat::ChatModel::health`], waiting for it.
    ///
    /// # Errors
    ///
    /// As [`ChatModel::chat`].
    fn health(&self) -> Result<()>;

    /// As [`chat::ChatModel::close`], waiting for it.
    ///
    /// # Errors
    ///
    /// As [`ChatModel::chat`].
    fn close(&self) -> Result<()>;
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

    fn stream(&self, request: ChatRequest) -> Result<BlockingStream<ChatEvent>> {
        Ok(self.iterate(self.wait(self.inner.stream(request))?))
    }

    fn health(&self) -> Result<()> {
        self.wait(self.inner.health())
    }

    fn close(&self) -> Result<()> {
        self.wait(self.inner.close())
    }
}

/// [`speech::Transcriber`] without async.
pub trait Transcriber: Send + Sync + std::fmt::Debug {
    /// As [`speech::Transcriber::id`].
    fn id(&self) -> &str;

    /// As [`speech::Transcriber::transcribe`], waiting for it.
    ///
    /// # Errors
    ///
    /// As the async method, and [`BlockingInAsync`](crate::ErrorKind::BlockingInAsync) in async code.
    fn transcribe(&self, audio: Audio, options: &TranscribeOptions) -> Result<Transcript>;

    /// As [`speech::Transcriber::stream`], as an iterator that waits for each event.
    ///
    /// # Errors
    ///
    /// As [`Transcriber::transcribe`].
    fn stream(&self, audio: Audio, options: &TranscribeOptions) -> Result<BlockingStream<TranscriptEvent>>;

    /// As [`speech::Transcriber::health`], waiting for it.
    ///
    /// # Errors
    ///
    /// As [`Transcriber::transcribe`].
    fn health(&self) -> Result<()>;

    /// As [`speech::Transcriber::close`], waiting for it.
    ///
    /// # Errors
    ///
    /// As [`Transcriber::transcribe`].
    fn close(&self) -> Result<()>;
}

impl<T: speech::Transcriber + ?Sized> Transcriber for Blocking<T> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn transcribe(&self, audio: Audio, options: &TranscribeOptions) -> Result<Transcript> {
        self.wait(self.inner.transcribe(audio, options))
    }

    fn stream(&self, audio: Audio, options: &TranscribeOptions) -> Result<BlockingStream<TranscriptEvent>> {
        Ok(self.iterate(self.wait(self.inner.stream(audio, options))?))
    }

    fn health(&self) -> Result<()> {
        self.wait(self.inner.health())
    }

    fn close(&self) -> Result<()> {
        self.wait(self.inner.close())
    }
}

/// [`speech::Synthesizer`] without async.
pub trait Synthesizer: Send + Sync + std::fmt::Debug {
    /// As [`speech::Synthesizer::id`].
    fn id(&self) -> &str;

    /// As [`speech::Synthesizer::synthesize`], waiting for it.
    ///
    /// # Errors
    ///
    /// As the async method, and [`BlockingInAsync`](crate::ErrorKind::BlockingInAsync) in async code.
    fn synthesize(&self, text: &str, options: &SpeakOptions) -> Result<Speech>;

    /// As [`speech::SynthesizerExt::synthesize_to_file`], waiting for it.
    ///
    /// # Errors
    ///
    /// As [`Synthesizer::synthesize`], and [`Io`](crate::ErrorKind::Io) naming the file.
    fn synthesize_to_file(&self, text: &str, options: &SpeakOptions, path: &Path) -> Result<u64>;

    /// As [`speech::Synthesizer::stream`]: an iterator over the sound that waits for each block.
    ///
    /// # Errors
    ///
    /// As [`Synthesizer::synthesize`].
    fn stream(&self, text: &str, options: &SpeakOptions) -> Result<BlockingStream<Bytes>>;

    /// As [`speech::Synthesizer::health`], waiting for it.
    ///
    /// # Errors
    ///
    /// As [`Synthesizer::synthesize`].
    fn health(&self) -> Result<()>;

    /// As [`speech::Synthesizer::close`], waiting for it.
    ///
    /// # Errors
    ///
    /// As [`Synthesizer::synthesize`].
    fn close(&self) -> Result<()>;
}

impl<T: speech::Synthesizer + ?Sized> Synthesizer for Blocking<T> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn synthesize(&self, text: &str, options: &SpeakOptions) -> Result<Speech> {
        self.wait(self.inner.synthesize(text, options))
    }

    fn synthesize_to_file(&self, text: &str, options: &SpeakOptions, path: &Path) -> Result<u64> {
        self.wait(self.inner.synthesize_to_file(text, options, path))
    }

    fn stream(&self, text: &str, options: &SpeakOptions) -> Result<BlockingStream<Bytes>> {
        Ok(self.iterate(self.wait(self.inner.stream(text, options))?.audio))
    }

    fn health(&self) -> Result<()> {
        self.wait(self.inner.health())
    }

    fn close(&self) -> Result<()> {
        self.wait(self.inner.close())
    }
}
