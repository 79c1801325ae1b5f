//! Files and folders as documents.

mod name;
mod read;
mod remove;
mod walk;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arshai_core::{Error, Filter, Result, filter::Field};
use futures_core::Stream;
use futures_util::stream;
use tokio::sync::mpsc;

use crate::{
    IngestReport, KnowledgeBase, Progress, SkipReason, SourceFailure,
    ingest::{Item, Prepare, Run, State},
    metadata,
};
use walk::{Found, Listing};

/// How many files are prepared ahead of the writes.
const PREPARED_AHEAD: usize = 4;

/// How files are chosen and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileOptions {
    /// Read hidden files and folders too (never `.git`). Default: no.
    pub hidden: bool,
    /// Remove what is gone from a folder even when that is more than half of what is known of it. Default: no.
    pub prune: bool,
    /// A larger file fails. Default: 64 MiB.
    pub max_bytes: u64,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { hidden: false, prune: false, max_bytes: 64 << 20 }
    }
}

impl FileOptions {
    /// The same with hidden files read or not.
    #[must_use]
    pub fn with_hidden(mut self, hidden: bool) -> Self {
        self.hidden = hidden;
        self
    }

    /// The same with large removals allowed or not.
    #[must_use]
    pub fn with_prune(mut self, prune: bool) -> Self {
        self.prune = prune;
        self
    }

    /// The same with another limit on the size of a file.
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }
}

/// The filter that keeps to the documents at or below a path, given as it was given to ingestion.
///
/// # Errors
///
/// [`arshai_core::ErrorKind::InvalidInput`] for a path that is not UTF-8.
pub fn filter_for(path: impl AsRef<Path>) -> Result<Filter> {
    let name = name::of(path.as_ref())?;
    let source = || Field::metadata(metadata::SOURCE);
    let starts = |prefix: String| Filter::StartsWith(source(), prefix);
    // What climbs out of the folder again is not below it: `docs/../other`.
    let (inside, literal) = match name.as_str() {
        "" => (!starts("/".into()), String::new()),
        folder => {
            let prefix = name::join(folder, "");
            (starts(prefix.clone()), literal_pattern(&prefix))
        }
    };
    let climbs = Filter::Like(source(), format!("{literal}../%"))
        .or(Filter::Like(source(), format!("{literal}%/../%")));
    Ok(Filter::eq(source(), name).or(inside.and(!climbs)))
}

/// A pattern of `like` that matches exactly this text.
fn literal_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

impl KnowledgeBase {
    /// Ingests files and folders, as [`KnowledgeBase::ingest`] does documents, and removes documents whose file is
    /// gone from a folder that was listed without error.
    ///
    /// Folders are read for `.txt .md .markdown .rst .html .htm`; a file that is named itself is read whatever its
    /// extension. Hidden files and what a `.gitignore` below a given path names are left out and counted; neither
    /// rule applies to a given path itself. Symbolic links are followed to files below the same given path only.
    ///
    /// # Errors
    ///
    /// As [`KnowledgeBase::ingest`]. A path that does not exist or cannot be read is a failure in the report.
    ///
    /// # Cancel safety
    ///
    /// As [`KnowledgeBase::ingest`].
    pub async fn ingest_paths(
        &self,
        paths: &[PathBuf],
        options: FileOptions,
        progress: &dyn Progress,
    ) -> Result<IngestReport> {
        let collection = self.open().await?;
        let wants_vectors = self.embedder.is_some() && collection.spec.dimension.is_some();
        // The state is read before the folders: what another process adds in between is then in neither.
        let below = Filter::Or(paths.iter().filter_map(|path| filter_for(path).ok()).collect());
        let state = Arc::new(State::read(self, Some(below)).await?);
        let listing = list(paths, &options).await?;
        progress.found(Some(listing.files.len()));
        let Listing { files, roots, skipped, failed, notes } = listing;
        let files = Arc::new(files);
        let stop = Arc::new(AtomicBool::new(false));
        let prepare = Prepare::new(self.chunking, wants_vectors, Arc::clone(&state));
        let items = read_ahead(Arc::clone(&files), options.max_bytes, prepare, Arc::clone(&stop));

        let mut run = Run::new(self, wants_vectors, Arc::clone(&state), stop, progress);
        let report = run.report();
        skipped.into_iter().for_each(|(reason, path)| report.skip(reason, path));
        failed.into_iter().for_each(|failure| report.fail(failure));
        run.write(items).await;

        let gone = remove::gone(&state, &roots, &files, run.report(), options.prune);
        run.remove(gone.sources).await;
        let mut report = run.finish();
        report.notes.extend(collection.notes.into_iter().chain(notes).chain(gone.notes));
        Ok(report)
    }
}

async fn list(paths: &[PathBuf], options: &FileOptions) -> Result<Listing> {
    let (paths, hidden) = (paths.to_vec(), options.hidden);
    tokio::task::spawn_blocking(move || walk::list(&paths, hidden))
        .await
        .map_err(|error| Error::internal("listing the folders was interrupted").with_source(error))
}

/// Reads, hashes and cuts files on a blocking thread while others are written. The thread ends when the stream
/// is dropped.
fn read_ahead(
    files: Arc<Vec<Found>>,
    max_bytes: u64,
    prepare: Prepare,
    stop: Arc<AtomicBool>,
) -> impl Stream<Item = Item> + Send {
    let (sender, receiver) = mpsc::channel(PREPARED_AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        for file in files.iter() {
            let item = if stop.load(Ordering::Relaxed) {
                Item::NotAttempted(file.source.clone())
            } else {
                prepare_file(file, max_bytes, &prepare)
            };
            if sender.blocking_send(item).is_err() {
                return;
            }
        }
    });
    stream::unfold((receiver, Some(reading)), |(mut receiver, mut reading)| async move {
        if let Some(item) = receiver.recv().await {
            return Some((item, (receiver, reading)));
        }
        // The channel closed: either all is read, or the thread died and the rest is missing.
        let error = reading.take()?.await.err()?;
        let error = Error::internal("reading the files was interrupted").with_source(error);
        Some((Item::Failed(SourceFailure::new("", error)), (receiver, reading)))
    })
}

fn prepare_file(file: &Found, max_bytes: u64, prepare: &Prepare) -> Item {
    match read::read(file, max_bytes) {
        Ok(Ok(document)) => prepare.document(document),
        Ok(Err(reason)) => Item::Skipped(reason, file.source.clone()),
        Err(error) => Item::Failed(SourceFailure::new(&file.source, error)),
    }
}

/// What reading a file gives: a document, or why it is left out.
type Reading = std::result::Result<crate::Document, SkipReason>;
