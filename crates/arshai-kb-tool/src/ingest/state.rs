//! What is in the store already, read once per run.

use std::collections::HashMap;

use arshai_core::{
    ErrorKind, Filter, Result,
    vector::{Consistency, Id, Output, Row, RowQuery, VectorStoreExt as _},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Map, Value};

use crate::{KnowledgeBase, metadata};

const PAGE: usize = 5_000;

/// The value of [`metadata::ORIGIN`] for documents read from files.
pub(crate) const FILE: &str = "file";

/// The chunks of every source, without their text.
#[derive(Debug, Default)]
pub(crate) struct State {
    sources: HashMap<String, Stored>,
}

/// The chunks of one source.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    versions: Vec<Version>,
    chunks: Vec<StoredChunk>,
    from_file: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Version {
    content: String,
    settings: String,
    count: u64,
}

#[derive(Debug)]
struct StoredChunk {
    id: Id,
    version: usize,
    number: u64,
    has_dense: bool,
}

/// What is stored of one version of a document.
#[derive(Debug)]
pub(crate) struct Present {
    /// How many chunks the version has.
    pub(crate) count: usize,
    /// Per chunk number: the key under which it is stored, and whether it has a vector.
    pub(crate) chunks: HashMap<usize, (Id, bool)>,
}

impl State {
    /// Reads keys and metadata of the chunks for which `filter` holds; of all when the store cannot filter so.
    pub(crate) async fn read(base: &KnowledgeBase, filter: Option<Filter>) -> Result<Self> {
        match Self::scan(base, filter.clone()).await {
            Err(error) if error.kind() == ErrorKind::Unsupported && filter.is_some() => {
                Self::scan(base, None).await
            }
            result => result,
        }
    }

    async fn scan(base: &KnowledgeBase, filter: Option<Filter>) -> Result<Self> {
        let query = RowQuery::all()
            .filter(filter)
            .output(Output::metadata())
            .limit(PAGE)
            .consistency(Consistency::Strong);
        let mut state = Self::default();
        let mut rows = base.store.scan(&base.collection, query).boxed();
        while let Some(row) = rows.try_next().await? {
            state.add(row);
        }
        Ok(state)
    }

    /// Records that we did not write lack our metadata; they are nobody's document.
    fn add(&mut self, mut row: Row) {
        let Some(Value::String(source)) = row.metadata.remove(metadata::SOURCE) else { return };
        let Some(version) = version(&mut row.metadata) else { return };
        let Some(number) = row.metadata.get(metadata::CHUNK).and_then(Value::as_u64) else { return };
        let stored = self.sources.entry(source).or_default();
        stored.from_file |= row.metadata.get(metadata::ORIGIN).is_some_and(|origin| origin == FILE);
        let known = stored.versions.iter().position(|other| *other == version);
        let version = known.unwrap_or_else(|| {
            stored.versions.push(version);
            stored.versions.len() - 1
        });
        stored.chunks.push(StoredChunk { id: row.id, version, number, has_dense: row.has_dense });
    }

    pub(crate) fn get(&self, source: &str) -> Option<&Stored> {
        self.sources.get(source)
    }

    /// The sources that were read from files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter(|(_, stored)| stored.from_file).map(|(source, _)| source.as_str())
    }
}

impl Stored {
    /// Every key.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &Id> {
        self.chunks.iter().map(|chunk| &chunk.id)
    }

    /// What is there of this version.
    pub(crate) fn present(&self, content: &str, settings: &str) -> Option<Present> {
        let version = self.versions.iter().position(|v| v.content == content && v.settings == settings)?;
        let count = usize::try_from(self.versions.get(version)?.count).ok()?;
        let chunks = self
            .chunks
            .iter()
            .filter(|chunk| chunk.version == version)
            .filter_map(|chunk| {
                let number = usize::try_from(chunk.number).ok().filter(|number| *number < count)?;
                Some((number, (chunk.id.clone(), chunk.has_dense)))
            })
            .collect();
        Some(Present { count, chunks })
    }
}

impl Present {
    /// Whether every chunk is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.count > 0 && self.count == self.chunks.len()
    }

    /// Whether every chunk that is there has a vector.
    pub(crate) fn has_vectors(&self) -> bool {
        self.chunks.values().all(|(_, has_dense)| *has_dense)
    }

    /// Whether chunk `number` is there under `id`, and with a vector if one is wanted.
    pub(crate) fn has(&self, number: usize, id: &str, wants_vectors: bool) -> bool {
        self.chunks.get(&number).is_some_and(|(stored, has_dense)| {
            matches!(stored, Id::Text(stored) if stored == id) && (*has_dense || !wants_vectors)
        })
    }
}

fn version(fields: &mut Map<String, Value>) -> Option<Version> {
    let (Some(Value::String(content)), Some(Value::String(settings))) =
        (fields.remove(metadata::CONTENT_HASH), fields.remove(metadata::SETTINGS_HASH))
    else {
        return None;
    };
    let count = fields.get(metadata::CHUNKS).and_then(Value::as_u64)?;
    Some(Version { content, settings, count })
}
