//! From a document to the chunks that are missing: hashing and cutting, on a blocking thread.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arshai_core::{
    Error, Result,
    vector::{Id, Record},
};
use serde_json::{Map, Value};

use super::{SkipReason, SourceFailure, State};
use crate::{
    ChunkSettings, Document, Format,
    chunk::{Chunk, chunk},
    html, ident, metadata,
};

/// What becomes of one source.
#[derive(Debug)]
pub(crate) enum Item {
    /// To be written, or found complete.
    Document(Arc<Prepared>),
    /// Left out.
    Skipped(SkipReason, String),
    /// It could not be read.
    Failed(SourceFailure),
    /// The run ended before its turn.
    NotAttempted(String),
}

/// A document with what is missing of it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) source: String,
    /// How many chunks it has.
    pub(crate) count: usize,
    /// Whether text and settings are stored completely already (vectors may be missing).
    pub(crate) unchanged: bool,
    /// The numbers of the chunks to write.
    pub(crate) missing: Vec<usize>,
    /// Keys of its chunks that must go once the missing ones are in.
    pub(crate) stale: Vec<Id>,
    /// Set when a chunk failed: the others need not be written.
    pub(crate) failed: AtomicBool,
    text: String,
    base: Map<String, Value>,
    chunks: Vec<Chunk>,
    ids: Vec<String>,
}

impl Prepared {
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// The text of chunk `number`.
    pub(crate) fn text(&self, number: usize) -> &str {
        self.chunks.get(number).map_or("", |chunk| chunk.text(&self.text))
    }

    /// The key of chunk `number`.
    pub(crate) fn id(&self, number: usize) -> Id {
        Id::Text(self.ids.get(number).cloned().unwrap_or_default())
    }

    /// The record of chunk `number`.
    pub(crate) fn record(&self, number: usize, dense: Option<Vec<f32>>) -> Record {
        let mut fields = self.base.clone();
        fields.insert(metadata::CHUNK.to_owned(), number.into());
        if let Some(heading) = self.chunks.get(number).and_then(|chunk| chunk.heading.as_deref()) {
            fields.insert(metadata::HEADING.to_owned(), heading.into());
        }
        let mut record = Record::new(self.text(number)).with_id(self.id(number)).with_metadata(fields);
        record.dense = dense;
        record
    }
}

/// Prepares the documents of one run.
#[derive(Debug)]
pub(crate) struct Prepare {
    settings: ChunkSettings,
    wants_vectors: bool,
    state: Arc<State>,
}

impl Prepare {
    pub(crate) fn new(settings: ChunkSettings, wants_vectors: bool, state: Arc<State>) -> Self {
        Self { settings, wants_vectors, state }
    }

    /// Compares a document with what is stored. Takes as long as hashing and cutting takes: not for async threads.
    pub(crate) fn document(&self, document: Document) -> Item {
        let source = document.source.clone();
        match self.prepare(document) {
            Ok(Some(prepared)) => Item::Document(Arc::new(prepared)),
            Ok(None) => Item::Skipped(SkipReason::Empty, source),
            Err(error) => Item::Failed(SourceFailure::new(source, error)),
        }
    }

    fn prepare(&self, document: Document) -> Result<Option<Prepared>> {
        let Document { source, text, format, metadata: mut fields } = document;
        for reserved in [metadata::CHUNK, metadata::HEADING] {
            fields.remove(reserved);
        }
        if source.trim().is_empty() {
            return Err(Error::invalid("a document needs a source that names it"));
        }
        let content = ident::content_hash(&text);
        let settings = ident::settings_hash(format, &self.settings, &fields);
        let stored = self.state.get(&source);
        let present = stored.and_then(|stored| stored.present(&content, &settings));
        let unchanged = present.as_ref().is_some_and(|present| present.is_complete());
        let current = present
            .as_ref()
            .filter(|present| present.is_complete() && (!self.wants_vectors || present.has_vectors()));
        let mut prepared = Prepared {
            source,
            count: 0,
            unchanged,
            missing: Vec::new(),
            stale: Vec::new(),
            failed: AtomicBool::new(false),
            text: String::new(),
            base: fields,
            chunks: Vec::new(),
            ids: Vec::new(),
        };
        if let Some(current) = current {
            let kept: HashSet<&Id> = current.chunks.values().map(|(id, _)| id).collect();
            prepared.count = current.count;
            prepared.stale = stored
                .into_iter()
                .flat_map(|stored| stored.ids())
                .filter(|id| !kept.contains(id))
                .cloned()
                .collect();
            return Ok(Some(prepared));
        }
        prepared.text = if format == Format::Html { html::to_text(&text)? } else { text };
        prepared.chunks = chunk(&prepared.text, format, &self.settings);
        if prepared.chunks.is_empty() {
            return Ok(None);
        }
        prepared.count = prepared.chunks.len();
        prepared.ids = prepared
            .chunks
            .iter()
            .enumerate()
            .map(|(number, chunk)| ident::chunk_id(&prepared.source, number, chunk.text(&prepared.text)))
            .collect();
        prepared.missing = (0..prepared.count)
            .zip(&prepared.ids)
            .filter(|(number, id)| !present.as_ref().is_some_and(|p| p.has(*number, id, self.wants_vectors)))
            .map(|(number, _)| number)
            .collect();
        let kept: HashSet<&str> = prepared.ids.iter().map(String::as_str).collect();
        prepared.stale = stored
            .into_iter()
            .flat_map(|stored| stored.ids())
            .filter(|id| !matches!(id, Id::Text(id) if kept.contains(id.as_str())))
            .cloned()
            .collect();
        let own = [
            (metadata::SOURCE, Value::from(prepared.source.as_str())),
            (metadata::CONTENT_HASH, content.into()),
            (metadata::SETTINGS_HASH, settings.into()),
            (metadata::CHUNKS, prepared.count.into()),
        ];
        prepared.base.extend(own.map(|(key, value)| (key.to_owned(), value)));
        Ok(Some(prepared))
    }
}

/// The sources that a run has met.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashSet<String>>);

impl Seen {
    pub(crate) fn first_time(&self, source: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(source.to_owned())
    }
}
