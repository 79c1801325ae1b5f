//! The knowledge base for programs without async.

use std::path::PathBuf;

use arshai_core::{Result, blocking::Blocking, vector::Collection};

use crate::{Document, FileOptions, IngestReport, KnowledgeBase, Progress, SearchOptions, SearchResult};

/// [`KnowledgeBase`] without async, for a [`Blocking`] one.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use arshai_core::{blocking::{Blocking, Runtime}, vector::InMemoryVectors};
/// use arshai_kb_tool::{BlockingKnowledgeBase as _, Document, KnowledgeBase, SearchOptions};
///
/// let base = KnowledgeBase::new(Arc::new(InMemoryVectors::new()), "docs");
/// let base = Blocking::new(Arc::new(base), Runtime::new()?);
/// base.ingest_documents(vec![Document::new("tea.md", "Green tea is steeped for two minutes.")], &())?;
/// assert_eq!(base.search("tea", &SearchOptions::default())?.hits.len(), 1);
/// # Ok::<(), arshai_core::Error>(())
/// ```
pub trait BlockingKnowledgeBase {
    /// As [`KnowledgeBase::open`], waiting for it.
    ///
    /// # Errors
    ///
    /// As the async method, and [`BlockingInAsync`](arshai_core::ErrorKind::BlockingInAsync) in async code.
    fn open(&self) -> Result<Collection>;

    /// As [`KnowledgeBase::ingest_documents`], waiting for it.
    ///
    /// # Errors
    ///
    /// As [`BlockingKnowledgeBase::open`].
    fn ingest_documents(&self, documents: Vec<Document>, progress: &dyn Progress) -> Result<IngestReport>;

    /// As [`KnowledgeBase::ingest_paths`], waiting for it.
    ///
    /// # Errors
    ///
    /// As [`BlockingKnowledgeBase::open`].
    fn ingest_paths(
        &self,
        paths: &[PathBuf],
        options: FileOptions,
        progress: &dyn Progress,
    ) -> Result<IngestReport>;

    /// As [`KnowledgeBase::search`], waiting for it.
    ///
    /// # Errors
    ///
    /// As [`BlockingKnowledgeBase::open`].
    fn search(&self, query: &str, options: &SearchOptions) -> Result<SearchResult>;
}

impl BlockingKnowledgeBase for Blocking<KnowledgeBase> {
    fn open(&self) -> Result<Collection> {
        self.wait(self.inner().open())
    }

    fn ingest_documents(&self, documents: Vec<Document>, progress: &dyn Progress) -> Result<IngestReport> {
        self.wait(self.inner().ingest_documents(documents, progress))
    }

    fn ingest_paths(
        &self,
        paths: &[PathBuf],
        options: FileOptions,
        progress: &dyn Progress,
    ) -> Result<IngestReport> {
        self.wait(self.inner().ingest_paths(paths, options, progress))
    }

    fn search(&self, query: &str, options: &SearchOptions) -> Result<SearchResult> {
        self.wait(self.inner().search(query, options))
    }
}
