//! The reference backend and oracle: collections in this process.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{
    Capabilities, Collection, CollectionSpec, CollectionStats, Hit, Id, ItemOutcome, LegQuery, Output, Query,
    Record, Row, RowPage, RowQuery, Search, Selection, VectorStore, WriteReport,
    fusion::{best_first, fuse},
};
use crate::{
    Error, ErrorKind, Filter, Result,
    filter::Subject,
    text::{Bm25, is_common, is_single_cjk, query_terms, share_held, term_counts},
};

/// Collections in this process, gone when it ends. Clones share the same collections.
///
/// Search is exact and linear. It defines what the other engines are compared with, so it stays simple.
#[derive(Debug, Clone, Default)]
pub struct InMemoryVectors {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    collections: BTreeMap<String, Stored>,
    closed: bool,
}

#[derive(Debug)]
struct Stored {
    spec: CollectionSpec,
    rows: BTreeMap<Id, Indexed>,
    next_id: i64,
}

#[derive(Debug)]
struct Indexed {
    record: Record,
    counts: HashMap<String, u32>,
    length: u32,
}

impl InMemoryVectors {
    /// No collections.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self, operation: &'static str) -> Result<MutexGuard<'_, State>> {
        let state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(
                Error::new(ErrorKind::Closed, "the vector store was closed").with_operation(operation)
            );
        }
        Ok(state)
    }

    fn write(
        &self,
        operation: &'static str,
        name: &str,
        records: Vec<Record>,
        replace: bool,
    ) -> Result<WriteReport> {
        let mut state = self.state(operation)?;
        let stored = state.collection_mut(name)?;
        let items = records
            .into_iter()
            .map(|record| match stored.write(record, replace) {
                Ok(id) => ItemOutcome::Written(id),
                Err(error) => ItemOutcome::Failed(error.with_operation(operation)),
            })
            .collect();
        Ok(WriteReport { items })
    }
}

impl State {
    fn collection(&self, name: &str) -> Result<&Stored> {
        self.collections.get(name).ok_or_else(|| no_such_collection(name))
    }

    fn collection_mut(&mut self, name: &str) -> Result<&mut Stored> {
        self.collections.get_mut(name).ok_or_else(|| no_such_collection(name))
    }
}

fn no_such_collection(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "the collection does not exist")
        .with_context("collection", name.escape_debug())
}

fn refuse_raw(filter: Option<&Filter>) -> Result<()> {
    match filter.is_some_and(Filter::has_raw) {
        true => Err(Error::unsupported("raw filter expressions are not supported by the in-memory store")),
        false => Ok(()),
    }
}

impl Stored {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            dense: self.spec.dimension.is_some(),
            sparse: self.spec.sparse,
            text: self.spec.text_search,
            ..store_capabilities()
        }
    }

    fn write(&mut self, record: Record, replace: bool) -> Result<Id> {
        record.validate()?;
        let id = self.spec.key_for(&record, self.next_id)?;
        if !replace && self.rows.contains_key(&id) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                "a record with this key exists; upsert replaces it",
            )
            .with_context("key", &id));
        }
        if let Id::Int(number) = id {
            self.next_id = self.next_id.max(number.saturating_add(1));
        }
        let (counts, length) = term_counts(&record.text);
        self.rows.insert(id.clone(), Indexed { record, counts, length });
        Ok(id)
    }

    fn accepted<'a>(&'a self, filter: Option<&'a Filter>) -> impl Iterator<Item = (&'a Id, &'a Indexed)> {
        self.rows.iter().filter(move |(id, row)| {
            filter.is_none_or(|filter| {
                let subject = Subject { id, text: &row.record.text, metadata: &row.record.metadata };
                filter.matches(&subject)
            })
        })
    }

    fn run(&self, search: &Search, query: &Query) -> Result<Vec<Hit>> {
        let wanted = search.limit.saturating_add(search.offset);
        let filter = search.filter.as_ref();
        let mut hits = match query {
            Query::Dense(vector) => self.leg(&LegQuery::Dense(vector.clone()), filter)?,
            Query::Sparse(vector) => self.leg(&LegQuery::Sparse(vector.clone()), filter)?,
            Query::Text(text) => self.leg(&LegQuery::Text(text.clone()), filter)?,
            Query::Hybrid { legs, fusion } => {
                let lists = legs.iter().map(|leg| {
                    let mut hits = self.leg(&leg.query, filter)?;
                    hits.retain(|hit| leg.min_score.is_none_or(|least| hit.score >= least));
                    hits.truncate(leg.depth(wanted));
                    if let Some((terms, least)) = leg.wanted_terms() {
                        hits.retain(|hit| self.share_held(&hit.id, &terms) >= least);
                    }
                    Ok(hits)
                });
                fuse(fusion, lists.collect::<Result<_>>()?)
            }
        };
        hits.drain(..search.offset.min(hits.len()));
        hits.truncate(search.limit);
        for hit in &mut hits {
            if let Some(row) = self.rows.get(&hit.id) {
                (hit.text, hit.metadata) = output(&row.record, &search.output);
            }
        }
        Ok(hits)
    }

    fn leg(&self, query: &LegQuery, filter: Option<&Filter>) -> Result<Vec<Hit>> {
        let can = self.capabilities();
        let refuse =
            |what: &'static str| Err(Error::unsupported(what).with_context("collection", &self.spec.name));
        let mut hits: Vec<Hit> = match query {
            LegQuery::Dense(_) if !can.dense => return refuse("the collection has no dense vectors"),
            LegQuery::Sparse(_) if !can.sparse => return refuse("the collection has no sparse vectors"),
            LegQuery::Text(_) if !can.text => return refuse("the collection has no text search"),
            LegQuery::Dense(vector) => self
                .accepted(filter)
                .filter_map(|(id, row)| {
                    let stored = row.record.dense.as_ref()?;
                    Some(Hit::new(id.clone(), self.spec.metric.score(vector, stored)))
                })
                .collect(),
            LegQuery::Sparse(vector) => self
                .accepted(filter)
                .filter_map(|(id, row)| {
                    let score = vector.dot(row.record.sparse.as_ref()?);
                    (score > 0.0).then(|| Hit::new(id.clone(), score))
                })
                .collect(),
            LegQuery::Text(text) => self.text(text, filter),
        };
        hits.sort_by(best_first);
        Ok(hits)
    }

    fn share_held(&self, id: &Id, terms: &[String]) -> f32 {
        self.rows.get(id).map_or(0.0, |row| share_held(terms, &row.record.text))
    }

    fn text(&self, query: &str, filter: Option<&Filter>) -> Vec<Hit> {
        let total = self.rows.len() as u64;
        let lengths: u64 = self.rows.values().map(|row| u64::from(row.length)).sum();
        let bm25 =
            Bm25 { total, average_length: if total > 0 { lengths as f32 / total as f32 } else { 0.0 } };
        let mut terms: Vec<(String, u64)> = query_terms(query)
            .into_iter()
            .map(|term| {
                let frequency = self.rows.values().filter(|row| count(row, &term) > 0).count() as u64;
                (term, frequency)
            })
            .filter(|(_, frequency)| *frequency > 0)
            .collect();
        if terms.iter().any(|(_, frequency)| !is_common(*frequency, total)) {
            terms.retain(|(_, frequency)| !is_common(*frequency, total));
        }
        self.accepted(filter)
            .filter_map(|(id, row)| {
                let score: f32 = terms
                    .iter()
                    .map(|(term, frequency)| bm25.score(bm25.idf(*frequency), count(row, term), row.length))
                    .sum();
                (score > 0.0).then(|| Hit::new(id.clone(), score))
            })
            .collect()
    }
}

fn count(row: &Indexed, term: &str) -> u32 {
    if is_single_cjk(term) {
        return row.counts.iter().filter(|(other, _)| other.starts_with(term)).map(|(_, count)| count).sum();
    }
    row.counts.get(term).copied().unwrap_or(0)
}

fn output(record: &Record, output: &Output) -> (String, serde_json::Map<String, serde_json::Value>) {
    (
        if output.text { record.text.clone() } else { String::new() },
        if output.metadata { record.metadata.clone() } else { serde_json::Map::new() },
    )
}

fn store_capabilities() -> Capabilities {
    Capabilities {
        dense: true,
        sparse: true,
        text: true,
        hybrid: true,
        filter: true,
        raw_filter: false,
        upsert: true,
        delete_by_filter: true,
        optional_dense: true,
        gain_dense: true,
        persistent: false,
        shared: false,
    }
}

#[async_trait]
impl VectorStore for InMemoryVectors {
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities> {
        let state = self.state("vectors.capabilities")?;
        collection.map_or(Ok(store_capabilities()), |name| Ok(state.collection(name)?.capabilities()))
    }

    async fn open(&self, spec: &CollectionSpec) -> Result<Collection> {
        spec.validate()?;
        let mut state = self.state("vectors.open")?;
        match state.collections.get_mut(&spec.name) {
            Some(stored) => {
                let collection = Collection::adopt(stored.spec.clone(), spec, true)?;
                stored.spec = collection.spec.clone();
                Ok(collection)
            }
            None => {
                let stored = Stored { spec: spec.clone(), rows: BTreeMap::new(), next_id: 1 };
                state.collections.insert(spec.name.clone(), stored);
                Ok(Collection::new(spec.clone()))
            }
        }
    }

    async fn describe(&self, collection: &str) -> Result<Option<Collection>> {
        let state = self.state("vectors.describe")?;
        Ok(state.collections.get(collection).map(|stored| Collection::new(stored.spec.clone())))
    }

    async fn collections(&self) -> Result<Vec<String>> {
        Ok(self.state("vectors.collections")?.collections.keys().cloned().collect())
    }

    async fn drop_collection(&self, collection: &str) -> Result<bool> {
        Ok(self.state("vectors.drop")?.collections.remove(collection).is_some())
    }

    async fn stats(&self, collection: &str) -> Result<CollectionStats> {
        let state = self.state("vectors.stats")?;
        let rows = &state.collection(collection)?.rows;
        let dense = rows.values().filter(|row| row.record.dense.is_some()).count();
        Ok(CollectionStats::new(rows.len() as u64, dense as u64))
    }

    async fn insert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        self.write("vectors.insert", collection, records, false)
    }

    async fn upsert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        self.write("vectors.upsert", collection, records, true)
    }

    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64> {
        let mut state = self.state("vectors.delete")?;
        let stored = state.collection_mut(collection)?;
        let ids: Vec<Id> = match selection {
            Selection::Ids(ids) => ids.clone(),
            Selection::Filter(filter) => {
                refuse_raw(Some(filter))?;
                stored.accepted(Some(filter)).map(|(id, _)| id.clone()).collect()
            }
        };
        Ok(ids.iter().filter(|id| stored.rows.remove(id).is_some()).count() as u64)
    }

    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>> {
        let state = self.state("vectors.search")?;
        let stored = state.collection(collection)?;
        search.validate(stored.spec.dimension)?;
        refuse_raw(search.filter.as_ref())?;
        search.queries.iter().map(|query| stored.run(search, query)).collect()
    }

    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage> {
        let state = self.state("vectors.query")?;
        let stored = state.collection(collection)?;
        refuse_raw(query.filter.as_ref())?;
        let limit = query.limit.max(1);
        let mut rows: Vec<Row> = stored
            .accepted(query.filter.as_ref())
            .filter(|(id, _)| query.cursor.as_ref().is_none_or(|cursor| *id > cursor))
            .filter(|(id, _)| query.ids.as_ref().is_none_or(|ids| ids.contains(id)))
            .take(limit.saturating_add(1))
            .map(|(id, row)| {
                let mut out = Row::new(id.clone());
                (out.text, out.metadata) = output(&row.record, &query.output);
                out.has_dense = row.record.dense.is_some();
                out.dense = row.record.dense.clone().filter(|_| query.output.dense);
                out
            })
            .collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(|row| row.id.clone()) } else { None };
        Ok(RowPage { rows, next })
    }

    async fn health(&self) -> Result<()> {
        self.state("vectors.health").map(|_| ())
    }

    async fn close(&self) -> Result<()> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        Ok(())
    }
}
