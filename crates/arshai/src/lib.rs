//! What an assistant needs around a language model: a knowledge base, conversation memory, and an agent.
//!
//! This crate re-exports the crates of the project behind features; each of them can be taken alone. Its own are
//! [`Backends`], which opens them by name or URL, and [`Config`], which reads from the environment which to open.
//!
//! | feature | gives | default |
//! |---|---|---|
//! | `sqlite` | [`sqlite`]: collections and memory in one SQLite file | yes |
//! | `local` | [`local`]: models that need no server | yes |
//! | `minilm` | `local::MiniLmEmbedder`: embeddings in this process | yes |
//! | `kb-tool` | [`kb_tool`]: ingestion, search and the tool a model calls | yes |
//! | `agent` | [`agent`]: one turn from message to reply, with memory and citations | yes |
//! | `milvus` | [`milvus`]: collections in Milvus | no |
//! | `redis` | [`redis`]: conversation memory in Redis, single, Cluster or Sentinel | no |
//! | `openai` | [`openai`]: chat and embeddings of OpenAI-compatible servers | no |
//! | `speech` | in [`speech`]: speech to text and back, by OpenAI-compatible servers and Azure | no |
//! | `blocking` | `blocking`: every trait for programs without async | no |
//! | `full` | all of these | no |
//!
//! Whatever is on, the contracts of `arshai-core` are at the root: [`memory`], [`vector`], [`chat`], [`embed`],
//! [`speech`], [`tool`], [`filter`], [`wrap`], [`config`], [`registry`] and [`Error`].
//!
//! # Examples
//!
//! Ingest a folder, ask a question, print the answer with its citations:
//!
//! ```no_run
#![cfg_attr(
    all(feature = "sqlite", feature = "local", feature = "kb-tool", feature = "agent"),
    doc = include_str!("../examples/quickstart.rs")
)]
//! ```

mod backends;
mod configuration;
#[cfg(feature = "speech")]
mod speaking;

#[cfg(feature = "agent")]
pub use arshai_agent as agent;
#[cfg(feature = "blocking")]
pub use arshai_core::blocking;
pub use arshai_core::{
    Deadline, Effect, Error, ErrorKind, Filter, Result, chat, config, embed, filter, memory, registry, text,
    tool, transfer, vector, wrap,
};
#[cfg(feature = "kb-tool")]
pub use arshai_kb_tool as kb_tool;
#[cfg(feature = "local")]
pub use arshai_local as local;
#[cfg(feature = "minilm")]
pub use arshai_local::{MiniLmConfig, MiniLmEmbedder, Weights};
#[cfg(feature = "milvus")]
pub use arshai_milvus as milvus;
#[cfg(feature = "openai")]
pub use arshai_openai as openai;
#[cfg(feature = "redis")]
pub use arshai_redis as redis;
#[cfg(feature = "sqlite")]
pub use arshai_sqlite as sqlite;
pub use backends::Backends;
pub use configuration::{Config, InForce, Origin};

/// Speech to text and back: the contracts, and with the feature `speech` the models.
pub mod speech {
    pub use arshai_core::speech::*;
    #[cfg(feature = "speech")]
    pub use arshai_speech::*;
}

/// What most programs import: `use arshai::prelude::*;`.
pub mod prelude {
    #[cfg(all(feature = "agent", feature = "blocking"))]
    pub use arshai_agent::BlockingAgent as _;
    #[cfg(feature = "agent")]
    pub use arshai_agent::{Agent, AgentEvent, AgentInput, AgentReply, Citation, Retrieval};
    #[cfg(feature = "speech")]
    pub use arshai_core::speech::{
        Audio, SpeakOptions, Synthesizer, SynthesizerExt as _, Timestamps, TranscribeOptions, Transcriber,
    };
    pub use arshai_core::{
        Deadline, Error, ErrorKind, Filter,
        chat::{ChatModel, ChatModelExt as _},
        embed::{Embedder, EmbedderExt as _},
        memory::{Memory, MemoryKey, MemoryStore, MemoryStoreExt as _, Turn},
        tool::Tool,
        vector::{VectorStore, VectorStoreExt as _},
    };
    #[cfg(all(feature = "kb-tool", feature = "blocking"))]
    pub use arshai_kb_tool::BlockingKnowledgeBase as _;
    #[cfg(feature = "kb-tool")]
    pub use arshai_kb_tool::{FileOptions, KnowledgeBase, KnowledgeBaseTool, SearchOptions};
    #[cfg(feature = "local")]
    pub use arshai_local::ExtractiveModel;
    #[cfg(feature = "minilm")]
    pub use arshai_local::{MiniLmConfig, MiniLmEmbedder, Weights};
    #[cfg(feature = "milvus")]
    pub use arshai_milvus::{MilvusConfig, MilvusStore};
    #[cfg(feature = "openai")]
    pub use arshai_openai::{OpenAiChat, OpenAiConfig, OpenAiEmbedder, Transport};
    #[cfg(feature = "redis")]
    pub use arshai_redis::{RedisConfig, RedisMemory};
    #[cfg(feature = "speech")]
    pub use arshai_speech::{OpenAiSynthesizer, OpenAiTranscriber, SpeechConfig};
    #[cfg(feature = "sqlite")]
    pub use arshai_sqlite::{SqliteConfig, SqliteFile};
}
