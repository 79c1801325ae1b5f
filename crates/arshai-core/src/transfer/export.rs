//! Out.

use std::{
    collections::{HashSet, VecDeque},
    fmt, mem,
    sync::Arc,
};

use futures_core::Stream;
use futures_util::stream;
use serde_json::Value;

use super::line::{Line, Totals, VERSION};
use crate::{
    Error, ErrorKind, Result,
    memory::{Envelope, KeyPrefix, MemoryKey, MemoryStore, PageRequest, Ttl},
    vector::{Consistency, Output, Row, RowQuery, VectorStore},
};

const PAGE: usize = 500;

/// What is exported.
#[derive(Debug, Clone, Default)]
pub struct Source {
    store: Option<Arc<dyn VectorStore>>,
    collections: VecDeque<String>,
    memory: Option<Arc<dyn MemoryStore>>,
    prefixes: VecDeque<KeyPrefix>,
    left_out: Option<Listener>,
}

/// Something that is not in an export.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeftOut {
    /// A memory whose stored value cannot be read, or not by this user.
    Memory {
        /// Its stored name.
        key: String,
        /// Why.
        error: Error,
    },
    /// A part of each record of a collection.
    OfCollection {
        /// The collection.
        name: String,
        /// What, for people to read.
        what: String,
    },
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { key, error } => write!(f, "{}: {error}", key.escape_debug()),
            Self::OfCollection { name, what } => write!(f, "{}: {what}", name.escape_debug()),
        }
    }
}

/// Who is told what is left out.
#[derive(Clone)]
struct Listener(Arc<dyn Fn(LeftOut) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl Source {
    /// The same with these collections of a store.
    #[must_use]
    pub fn with_collections<S: Into<String>>(
        mut self,
        store: Arc<dyn VectorStore>,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.store = Some(store);
        self.collections = names.into_iter().map(Into::into).collect();
        self
    }

    /// The same with the memories of these sets, such as [`KeyPrefix::every`]. One that is in several is exported once.
    #[must_use]
    pub fn with_memories(
        mut self,
        memory: Arc<dyn MemoryStore>,
        prefixes: impl IntoIterator<Item = KeyPrefix>,
    ) -> Self {
        self.memory = Some(memory);
        self.prefixes = prefixes.into_iter().collect();
        self
    }

    /// The same telling `told` what is left out, and going on behind a memory that cannot be read, or not by this user.
    /// Default: the export ends there with the error, and nobody is told of the rest.
    #[must_use]
    pub fn telling_what_is_left_out(mut self, told: impl Fn(LeftOut) + Send + Sync + 'static) -> Self {
        self.left_out = Some(Listener(Arc::new(told)));
        self
    }

    fn tell(&self, what: LeftOut) {
        if let Some(Listener(told)) = &self.left_out {
            told(what);
        }
    }
}

/// The lines of an export, without line ends. They are whole only when the stream ended without an error, and then the
/// last one says how many there are. What is written meanwhile may or may not be among them.
///
/// Of a record its key, text, metadata and dense vector are exported, and of what else a collection of others holds
/// nothing; [`Source::telling_what_is_left_out`] hears what is known of that.
pub fn export(source: Source) -> impl Stream<Item = Result<String>> + Send + 'static {
    let walk = Walk {
        source,
        totals: Totals::default(),
        step: Step::Begin,
        ready: VecDeque::new(),
        seen: HashSet::new(),
    };
    stream::try_unfold(walk, |mut walk| async move {
        while walk.ready.is_empty() {
            if matches!(walk.step, Step::Ended) {
                return Ok(None);
            }
            walk.advance().await?;
        }
        let line = walk.ready.pop_front().map(|line| line.encode()).transpose()?;
        Ok(line.map(|line| (line, walk)))
    })
}

struct Walk {
    source: Source,
    totals: Totals,
    step: Step,
    ready: VecDeque<Line>,
    /// Memories that were met: a listing may repeat them.
    seen: HashSet<MemoryKey>,
}

enum Step {
    Begin,
    NextCollection,
    Rows(String, Box<RowQuery>),
    NextPrefix,
    Keys(KeyPrefix, PageRequest),
    Ended,
}

impl Walk {
    /// Takes one step, which makes some lines ready or none.
    async fn advance(&mut self) -> Result<()> {
        self.step = match mem::replace(&mut self.step, Step::Ended) {
            Step::Begin => {
                self.ready.push_back(Line::Export { version: VERSION });
                Step::NextCollection
            }
            Step::NextCollection => match (&self.source.store, self.source.collections.pop_front()) {
                (Some(store), Some(name)) => {
                    let collection = store.describe(&name).await?.ok_or_else(|| {
                        Error::new(ErrorKind::NotFound, "there is no such collection")
                            .with_context("collection", name.escape_debug())
                    })?;
                    self.totals.collections += 1;
                    if collection.spec.sparse {
                        let what = "sparse vectors are not exported".to_owned();
                        self.source.tell(LeftOut::OfCollection { name: name.clone(), what });
                    }
                    self.ready.push_back(Line::Collection { spec: collection.spec });
                    let output = Output { dense: true, ..Output::default() };
                    let query = RowQuery::all().limit(PAGE).output(output).consistency(Consistency::Strong);
                    Step::Rows(name, Box::new(query))
                }
                _ => Step::NextPrefix,
            },
            Step::Rows(name, query) => self.rows(name, query).await?,
            Step::NextPrefix => match self.source.prefixes.pop_front() {
                Some(prefix) => Step::Keys(prefix, PageRequest { limit: PAGE, cursor: None }),
                None => {
                    self.ready.push_back(Line::End(self.totals));
                    Step::Ended
                }
            },
            Step::Keys(prefix, page) => self.keys(prefix, page).await?,
            Step::Ended => Step::Ended,
        };
        Ok(())
    }

    async fn rows(&mut self, name: String, query: Box<RowQuery>) -> Result<Step> {
        let Some(store) = &self.source.store else { return Ok(Step::NextPrefix) };
        let page = store.query(&name, &query).await?;
        self.totals.records += page.rows.len() as u64;
        self.ready.extend(page.rows.into_iter().map(|Row { id, text, metadata, dense, .. }| Line::Record {
            id,
            text,
            metadata,
            dense,
        }));
        Ok(match page.next {
            Some(next) => Step::Rows(name, Box::new(query.after(next))),
            None => Step::NextCollection,
        })
    }

    async fn keys(&mut self, prefix: KeyPrefix, mut page: PageRequest) -> Result<Step> {
        let Some(memory) = &self.source.memory else { return Ok(Step::NextPrefix) };
        let found = memory.list(&prefix, &page).await?;
        for key in found.keys {
            if self.seen.contains(&key) {
                continue;
            }
            match memory_line(memory.as_ref(), &key).await {
                Ok(Some(line)) => {
                    self.totals.memories += 1;
                    self.ready.push_back(line);
                }
                // It went meanwhile.
                Ok(None) => continue,
                // Somebody else's, perhaps: a listing gives names that the user may not read.
                Err(error) if concerns_one_key(&error) && self.source.left_out.is_some() => {
                    self.totals.unreadable += 1;
                    self.source.tell(LeftOut::Memory { key: key.stored(), error });
                }
                Err(error) => return Err(error),
            }
            self.seen.insert(key);
        }
        page.cursor = found.next;
        Ok(match page.cursor {
            Some(_) => Step::Keys(prefix, page),
            None => Step::NextPrefix,
        })
    }
}

fn concerns_one_key(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unauthorized)
}

async fn memory_line(memory: &dyn MemoryStore, key: &MemoryKey) -> Result<Option<Line>> {
    let Some(versioned) = memory.get(key).await? else { return Ok(None) };
    let ttl_seconds = match memory.ttl(key).await? {
        Some(Ttl::Remaining(left)) => Some(left.as_secs_f64()),
        Some(Ttl::Forever) => None,
        // It expired since it was read; without a time it would live for ever elsewhere.
        None => return Ok(None),
    };
    let value: Value = serde_json::from_slice(&Envelope::new(versioned.memory).encode())
        .map_err(|error| Error::internal("a memory could not be written").with_source(error))?;
    Ok(Some(Line::Memory { key: key.stored(), value, ttl_seconds }))
}
