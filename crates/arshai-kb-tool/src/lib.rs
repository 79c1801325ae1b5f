//! A knowledge base: documents go in, passages come out, and a model can call it as a tool.
//!
//! * [`KnowledgeBase::ingest_paths`] and [`KnowledgeBase::ingest`] read, chunk, embed and store documents. The state
//!   of ingestion lives in the store alone: a run that was killed is finished by the next one.
//! * [`KnowledgeBase::search`] finds passages by words, by meaning, or both.
//! * [`KnowledgeBaseTool`] is `knowledge_base_search`, for a model.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use arshai_core::vector::InMemoryVectors;
//! use arshai_kb_tool::{Document, Format, KnowledgeBase, SearchOptions};
//!
//! # async fn example() -> arshai_core::Result<()> {
//! let base = KnowledgeBase::new(Arc::new(InMemoryVectors::new()), "default");
//! let document = Document::new("tea.md", "# Tea\n\nGreen tea is steeped for two minutes.").with_format(Format::Markdown);
//! let report = base.ingest_documents([document], &()).await?;
//! assert_eq!((report.documents, report.written), (1, 1));
//!
//! let found = base.search("How long is green tea steeped?", &SearchOptions::default()).await?;
//! assert_eq!(found.hits[0].source, "tea.md");
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
//! ```

mod base;
mod blocking;
pub mod chunk;
mod document;
pub mod files;
mod html;
mod ident;
mod ingest;
mod search;
mod tool;

pub use base::KnowledgeBase;
pub use blocking::BlockingKnowledgeBase;
pub use chunk::ChunkSettings;
pub use document::{Document, Format};
pub use files::FileOptions;
pub use ident::metadata;
pub use ingest::{Failure, IngestReport, Progress, SkipReason, Skipped, SourceFailure};
pub use search::{DEFAULT_MIN_MATCH, Mode, SearchHit, SearchOptions, SearchResult, default_fusion};
pub use tool::{KnowledgeBaseTool, TOOL_NAME};
