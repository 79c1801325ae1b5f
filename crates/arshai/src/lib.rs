//! What an assistant needs around a language model: a knowledge base, conversation memory, and an agent.
//!
//! This crate holds no code of its own: it re-exports the crates of the project behind features. Each of them can be
//! taken alone.
//!
//! | feature | gives | default |
//! |---|---|---|
//! | `sqlite` | [`sqlite`]: collections and memory in one SQLite file | yes |
//! | `local` | [`local`]: models that need no server | yes |
//! | `minilm` | `local::MiniLmEmbedder`: embeddings in this process | yes |
//! | `kb-tool` | [`kb_tool`]: ingestion, search and the tool a model calls | yes |
//! | `agent` | [`agent`]: one turn from message to reply, with memory and citations | yes |
//! | `blocking` | `blocking`: every trait for programs without async | no |
//! | `full` | all of these | no |
//!
//! Whatever is on, the contracts of `arshai-core` are at the root: [`memory`], [`vector`], [`chat`], [`embed`],
//! [`tool`], [`filter`], [`wrap`], [`config`] and [`Error`].
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

#[cfg(feature = "agent")]
pub use arshai_agent as agent;
#[cfg(feature = "blocking")]
pub use arshai_core::blocking;
pub use arshai_core::{
    Deadline, Effect, Error, ErrorKind, Filter, Result, chat, config, embed, filter, memory, text, tool,
    vector, wrap,
};
#[cfg(feature = "kb-tool")]
pub use arshai_kb_tool as kb_tool;
#[cfg(feature = "local")]
pub use arshai_local as local;
#[cfg(feature = "minilm")]
pub use arshai_local::{MiniLmConfig, MiniLmEmbedder, Weights};
#[cfg(feature = "sqlite")]
pub use arshai_sqlite as sqlite;

/// What most programs import: `use arshai::prelude::*;`.
pub mod prelude {
    #[cfg(feature = "agent")]
    pub use arshai_agent::{Agent, AgentEvent, AgentInput, AgentReply, Citation, Retrieval};
    pub use arshai_core::{
        Deadline, Error, ErrorKind, Filter,
        chat::{ChatModel, ChatModelExt as _},
        embed::{Embedder, EmbedderExt as _},
        memory::{Memory, MemoryKey, MemoryStore, MemoryStoreExt as _, Turn},
        tool::Tool,
        vector::{VectorStore, VectorStoreExt as _},
    };
    #[cfg(feature = "kb-tool")]
    pub use arshai_kb_tool::{FileOptions, KnowledgeBase, KnowledgeBaseTool, SearchOptions};
    #[cfg(feature = "local")]
    pub use arshai_local::ExtractiveModel;
    #[cfg(feature = "minilm")]
    pub use arshai_local::{MiniLmConfig, MiniLmEmbedder, Weights};
    #[cfg(feature = "sqlite")]
    pub use arshai_sqlite::{SqliteConfig, SqliteFile};
}
