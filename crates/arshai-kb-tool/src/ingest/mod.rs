//! Documents in: what is there already is read once, what is missing is written in batches, and what is stale goes
//! last.

mod batches;
mod prepare;
mod progress;
mod report;
mod run;
mod state;
mod write;

use std::sync::{Arc, atomic::AtomicBool};

use arshai_core::{Error, Filter, Result, filter::Field, vector::VectorStore};
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};

pub(crate) use prepare::{Item, Prepare};
pub use progress::Progress;
pub use report::{Failure, IngestReport, SkipReason, Skipped, SourceFailure};
pub(crate) use run::Run;
pub(crate) use state::{FILE, State};

use crate::{Document, KnowledgeBase, metadata};

/// How many documents are prepared ahead of the writes.
const PREPARED_AHEAD: usize = 4;

/// A run over this many documents or fewer looks up only their own state, not the whole collection's.
const FEW: usize = 200;

impl KnowledgeBase {
    /// Ingests documents that a program has at hand. Otherwise as [`KnowledgeBase::ingest`].
    ///
    /// # Errors
    ///
    /// As [`KnowledgeBase::ingest`].
    ///
    /// # Cancel safety
    ///
    /// As [`KnowledgeBase::ingest`].
    pub async fn ingest_documents(
        &self,
        documents: impl IntoIterator<Item = Document, IntoIter: Send>,
        progress: &dyn Progress,
    ) -> Result<IngestReport> {
        self.ingest(stream::iter(documents.into_iter().map(Ok)), progress).await
    }

    /// Ingests a stream of documents. A document that is stored completely already is left alone; of a changed one,
    /// the new chunks are in before the old ones go. Documents that are not in the stream are not touched.
    ///
    /// A document that fails costs only itself and is in the report, as is one that could not be tried because the
    /// store or the embedder failed for all.
    ///
    /// # Errors
    ///
    /// Only what kept the run from beginning: the collection cannot be opened or its state cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or killing the process, leaves whole chunks; the next run of the same documents finishes
    /// what is missing and removes what is stale.
    pub async fn ingest(
        &self,
        documents: impl Stream<Item = Result<Document, SourceFailure>> + Send,
        progress: &dyn Progress,
    ) -> Result<IngestReport> {
        let collection = self.open().await?;
        let wants_vectors = self.embedder.is_some() && collection.spec.dimension.is_some();
        let mut documents = Box::pin(documents);
        let mut first = Vec::new();
        while first.len() <= FEW {
            match documents.next().await {
                Some(document) => first.push(document),
                None => break,
            }
        }
        progress.found(documents.size_hint().1.map(|rest| rest.saturating_add(first.len())));
        let filter = (first.len() <= FEW).then(|| {
            let sources = first.iter().map(|item| match item {
                Ok(document) => document.source.clone(),
                Err(failure) => failure.source.clone(),
            });
            Filter::is_in(Field::metadata(metadata::SOURCE), sources)
        });
        let state = Arc::new(State::read(self, filter).await?);
        let stop = Arc::new(AtomicBool::new(false));
        let prepare = Arc::new(Prepare::new(self.chunking, wants_vectors, state.clone()));
        let seen = Arc::new(prepare::Seen::default());
        let items = stream::iter(first)
            .chain(documents)
            .map(|document| prepare_one(document, prepare.clone(), seen.clone(), stop.clone()))
            .buffered(PREPARED_AHEAD);
        let mut run = Run::new(self, wants_vectors, state, stop.clone(), progress);
        run.write(items).await;
        run.remove_emptied().await;
        let mut report = run.finish();
        report.notes.extend(collection.notes);
        Ok(report)
    }
}

async fn prepare_one(
    document: Result<Document, SourceFailure>,
    prepare: Arc<Prepare>,
    seen: Arc<prepare::Seen>,
    stop: Arc<AtomicBool>,
) -> Item {
    let document = match document {
        Ok(document) => document,
        Err(failure) => return Item::Failed(failure),
    };
    if stop.load(std::sync::atomic::Ordering::Relaxed) {
        return Item::NotAttempted(document.source);
    }
    if !seen.first_time(&document.source) {
        let error = Error::invalid("two documents of one run have the same source; give each its own");
        return Item::Failed(SourceFailure::new(document.source, error));
    }
    let source = document.source.clone();
    tokio::task::spawn_blocking(move || prepare.document(document)).await.unwrap_or_else(|error| {
        let error = Error::internal("preparing the document was interrupted").with_source(error);
        Item::Failed(SourceFailure::new(source, error))
    })
}

/// Whether an error is about the store or the model and not about one document, so that going on is useless.
fn ends_the_run(error: &Error) -> bool {
    use arshai_core::ErrorKind as Kind;
    !matches!(error.kind(), Kind::InvalidInput | Kind::AlreadyExists | Kind::Truncated | Kind::Protocol)
}

/// Deletes chunks by key, in calls of bounded size.
async fn delete(store: &dyn VectorStore, collection: &str, ids: Vec<arshai_core::vector::Id>) -> Result<()> {
    const AT_ONCE: usize = 1_000;
    for ids in ids.chunks(AT_ONCE) {
        store.delete(collection, &arshai_core::vector::Selection::Ids(ids.to_vec())).await?;
    }
    Ok(())
}
