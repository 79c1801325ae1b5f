//! One run: batches in flight, documents completed, stale chunks removed last.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arshai_core::{Error, vector::Id};
use futures_core::Stream;
use futures_util::StreamExt as _;

use super::{
    IngestReport, Item, Progress, SkipReason, SourceFailure, State,
    batches::{Piece, batches},
    delete, ends_the_run,
    prepare::Prepared,
    write::{Done, Outcome, Sink},
};
use crate::KnowledgeBase;

/// Stale chunks are removed when there are this many, and at the end.
const STALE_AT_ONCE: usize = 1_000;

pub(crate) struct Run<'a> {
    sink: Sink,
    batch: usize,
    in_flight: usize,
    state: Arc<State>,
    progress: &'a dyn Progress,
    report: IngestReport,
    open: HashMap<String, Tracking>,
    /// Written documents whose stale chunks are still there.
    waiting: Vec<Tally>,
    waiting_ids: Vec<Id>,
    /// What ended the run.
    fatal: Option<Error>,
}

/// A document of which some chunks are under way.
#[derive(Default)]
struct Tracking {
    answered: usize,
    written: Vec<usize>,
    error: Option<Error>,
}

/// A document to be counted.
struct Tally {
    source: String,
    chunks: u64,
    written: u64,
    unchanged: bool,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        base: &KnowledgeBase,
        wants_vectors: bool,
        state: Arc<State>,
        stop: Arc<AtomicBool>,
        progress: &'a dyn Progress,
    ) -> Self {
        let sink = Sink {
            store: Arc::clone(&base.store),
            collection: base.collection.clone(),
            embedder: base.embedder.clone().filter(|_| wants_vectors),
            stop,
        };
        Self {
            sink,
            batch: base.batch,
            in_flight: base.in_flight,
            state,
            progress,
            report: IngestReport::default(),
            open: HashMap::new(),
            waiting: Vec::new(),
            waiting_ids: Vec::new(),
            fatal: None,
        }
    }

    pub(crate) fn report(&mut self) -> &mut IngestReport {
        &mut self.report
    }

    /// Writes what is missing of `items`, several batches at a time.
    pub(crate) async fn write(&mut self, items: impl Stream<Item = Item> + Send) {
        let sink = self.sink.clone();
        let mut done = Box::pin(
            batches(items, self.batch).map(|work| sink.perform(work)).buffer_unordered(self.in_flight),
        );
        while let Some(done) = done.next().await {
            match done {
                Done::Note(item) => self.note(item).await,
                Done::Batch(outcomes, fatal) => {
                    self.fatal = self.fatal.take().or(fatal);
                    let written = outcomes.iter().filter(|(_, o)| matches!(o, Outcome::Written)).count();
                    self.progress.written(written);
                    for (piece, outcome) in outcomes {
                        self.answer(piece, outcome).await;
                    }
                }
            }
        }
        self.remove_stale().await;
    }

    /// Removes the documents that turned out to be empty.
    pub(crate) async fn remove_emptied(&mut self) {
        let empty = self.report.skipped_paths.iter().filter(|(reason, _)| *reason == SkipReason::Empty);
        let gone: Vec<String> = empty.map(|(_, source)| source.clone()).collect();
        self.remove(gone).await;
    }

    /// Removes documents; nothing when the run ended early.
    pub(crate) async fn remove(&mut self, sources: Vec<String>) {
        for source in sources {
            let Some(stored) = self.state.get(&source).filter(|_| self.fatal.is_none()) else { continue };
            let ids: Vec<Id> = stored.ids().cloned().collect();
            match delete(self.sink.store.as_ref(), &self.sink.collection, ids).await {
                Ok(()) => self.report.removed += 1,
                Err(error) => {
                    self.report.fail(SourceFailure::new(source, error.duplicate()));
                    self.end_if_fatal(error);
                }
            }
        }
    }

    pub(crate) fn finish(mut self) -> IngestReport {
        self.report.failed.sort_by(|a, b| a.source.cmp(&b.source));
        self.report.not_attempted.sort();
        self.report
    }

    async fn note(&mut self, item: Item) {
        match item {
            Item::Document(document) => self.stored(&document, 0).await,
            Item::Skipped(reason, source) => {
                self.progress.document(&source);
                self.report.skip(reason, source);
            }
            Item::Failed(failure) => {
                self.progress.document(&failure.source);
                self.report.fail(failure);
            }
            Item::NotAttempted(source) => self.report.not_attempted.push(source),
        }
    }

    async fn answer(&mut self, piece: Piece, outcome: Outcome) {
        let document = &piece.document;
        let tracking = self.open.entry(document.source.clone()).or_default();
        tracking.answered += 1;
        match outcome {
            Outcome::Written => tracking.written.push(piece.number),
            Outcome::Failed(error) => tracking.error = tracking.error.take().or(Some(error)),
            Outcome::NotAttempted => {}
        }
        if tracking.answered < document.missing.len() {
            return;
        }
        let tracking = self.open.remove(&document.source).unwrap_or_default();
        let written = tracking.written.len();
        match tracking.error {
            Some(error) => self.undo(document, &tracking.written, error).await,
            None if written == document.missing.len() => self.stored(document, written).await,
            None if written == 0 => self.report.not_attempted.push(document.source.clone()),
            None => {
                let cause = self.fatal.as_ref().map(Error::duplicate);
                let error = cause.unwrap_or_else(|| Error::internal("the run ended inside this document"));
                self.report.fail(SourceFailure::new(
                    &document.source,
                    error.with_context("chunks_written", written),
                ));
            }
        }
    }

    /// All its chunks are in: the stale ones may go.
    async fn stored(&mut self, document: &Prepared, written: usize) {
        self.waiting.push(Tally {
            source: document.source.clone(),
            chunks: document.count as u64,
            written: written as u64,
            unchanged: document.unchanged,
        });
        self.waiting_ids.extend(document.stale.iter().cloned());
        if self.waiting_ids.is_empty() || self.waiting_ids.len() >= STALE_AT_ONCE {
            self.remove_stale().await;
        }
    }

    async fn remove_stale(&mut self) {
        let ids = std::mem::take(&mut self.waiting_ids);
        let removed = delete(self.sink.store.as_ref(), &self.sink.collection, ids).await;
        for tally in std::mem::take(&mut self.waiting) {
            self.progress.document(&tally.source);
            match &removed {
                Ok(()) => self.count(&tally),
                Err(error) => self.report.fail(SourceFailure::new(tally.source, error.duplicate())),
            }
        }
        if let Err(error) = removed {
            self.end_if_fatal(error);
        }
    }

    fn count(&mut self, tally: &Tally) {
        self.report.documents += 1;
        self.report.chunks += tally.chunks;
        self.report.written += tally.written;
        self.report.unchanged += u64::from(tally.unchanged);
        if self.sink.embedder.is_some() {
            self.report.embedded += tally.written;
        }
    }

    /// A document failed in part: what was new of it goes again, so that the old version alone is found.
    async fn undo(&mut self, document: &Prepared, written: &[usize], error: Error) {
        let old: Vec<&Id> =
            self.state.get(&document.source).into_iter().flat_map(|stored| stored.ids()).collect();
        let new: Vec<Id> =
            written.iter().map(|number| document.id(*number)).filter(|id| !old.contains(&id)).collect();
        if self.fatal.is_none() {
            let undone = delete(self.sink.store.as_ref(), &self.sink.collection, new).await;
            if let Err(error) = undone {
                tracing::warn!(source = document.source, %error, "the chunks of a failed document stay until the next run");
            }
        }
        self.progress.document(&document.source);
        self.report.fail(SourceFailure::new(&document.source, error));
    }

    fn end_if_fatal(&mut self, error: Error) {
        if ends_the_run(&error) {
            self.sink.stop.store(true, Ordering::Relaxed);
            self.fatal.get_or_insert(error);
        }
    }
}
