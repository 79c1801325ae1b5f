//! Search: the legs of a query, a filter on them, and their fusion.

use std::collections::HashMap;

use arshai_core::{
    Deadline, Effect, Error, Filter,
    text::{Bm25, is_common, query_terms, share_held},
    vector::{Hit, Id, Leg, LegQuery, Query, Search, fuse},
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, TransactionBehavior};

use super::{
    cache::{Cache, Entry, grow},
    codes::CodedQuery,
    collection::Stored,
    copied::{Later, Wait},
    dense::{Exact, Vectors},
    filter_sql::Condition,
    rank::{Candidate, Judge, Ranked, Ranking, best_first},
    rows::parse_metadata,
    scan,
    terms::{Posting, read_postings},
};
use crate::{
    error::{Failure, Outcome},
    pool::Pool,
    session::{Session, read_id},
};

/// After so many refused candidates the whole filter is evaluated once instead of row by row.
const MOST_REFUSED: usize = 2_000;

/// So often a search is made before it takes copies that show later writes than the rest of what it reads.
const ATTEMPTS: usize = 3;

pub(super) fn run(
    session: &mut Session,
    pool: &Pool,
    collection: &str,
    search: &Search,
    deadline: Deadline,
) -> Outcome<Vec<Vec<Hit>>> {
    for _ in 1..ATTEMPTS {
        let wait = Wait { deadline, later: Later::Refused };
        match attempt(session, pool, collection, search, wait) {
            Err(Failure::Overtaken) => {}
            done => return done,
        }
    }
    attempt(session, pool, collection, search, Wait { deadline, later: Later::Accepted })
}

fn attempt(
    session: &mut Session,
    pool: &Pool,
    collection: &str,
    search: &Search,
    wait: Wait,
) -> Outcome<Vec<Vec<Hit>>> {
    let filters = session.filters();
    // One transaction: everything below sees the same state of the file.
    let moment = session.connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let stored = Stored::load(&moment, collection)?;
    search.validate(stored.spec.dimension)?;
    let condition = search.filter.as_ref().map(Condition::new).transpose()?;
    filters.set(condition.as_ref().map(|condition| condition.matched.clone()).unwrap_or_default());
    let cache = pool.caches.of(stored.key, &moment)?;
    let searcher =
        Searcher { connection: &moment, stored: &stored, cache: &cache, condition: condition.as_ref(), wait };
    search
        .queries
        .iter()
        .map(|query| match wait.deadline.is_past() {
            true => Err(Deadline::error("vectors.search", Effect::NotApplied).into()),
            false => searcher.query(search, query),
        })
        .collect()
}

struct Searcher<'a> {
    connection: &'a Connection,
    stored: &'a Stored,
    cache: &'a Cache,
    condition: Option<&'a Condition>,
    wait: Wait,
}

impl Searcher<'_> {
    fn query(&self, search: &Search, query: &Query) -> Outcome<Vec<Hit>> {
        let wanted = search.limit.saturating_add(search.offset);
        let mut docs: HashMap<Id, u32> = HashMap::new();
        let mut hits = |ranked: Vec<Ranked>| -> Vec<Hit> {
            docs.extend(ranked.iter().map(|ranked| (ranked.id.clone(), ranked.doc)));
            ranked.into_iter().map(Ranked::hit).collect()
        };
        let mut found = match query {
            Query::Dense(vector) => hits(self.dense(vector, wanted, || Ok(()))?.0),
            Query::Text(text) => hits(self.text(text, wanted)?),
            Query::Sparse(_) => return Err(no_sparse()),
            Query::Hybrid { legs, fusion } => {
                let mut lists = self.legs(legs, wanted)?;
                for (ranked, leg) in lists.iter_mut().zip(legs) {
                    ranked.retain(|ranked| leg.min_score.is_none_or(|least| ranked.score >= least));
                }
                let lists = lists.into_iter().map(hits).collect();
                fuse(fusion, lists)
            }
            _ => return Err(unknown_query()),
        };
        found.drain(..search.offset.min(found.len()));
        found.truncate(search.limit);
        if search.output.text || search.output.metadata {
            self.fill(&mut found, &docs, search)?;
        }
        Ok(found)
    }

    /// What each leg finds. The first dense one is scanned for by idle cores while this thread sees to the others.
    fn legs(&self, legs: &[Leg], wanted: usize) -> Outcome<Vec<Vec<Ranked>>> {
        let all = |legs: &[Leg]| legs.iter().map(|leg| self.leg(leg, wanted)).collect::<Outcome<Vec<_>>>();
        for (position, leg) in legs.iter().enumerate() {
            let LegQuery::Dense(vector) = &leg.query else { continue };
            let (before, after) = legs.split_at(position);
            let others = || Ok((all(before)?, all(after.get(1..).unwrap_or_default())?));
            let (ranked, (mut lists, after)) = self.dense(vector, leg.depth(wanted), others)?;
            lists.push(ranked);
            lists.extend(after);
            return Ok(lists);
        }
        all(legs)
    }

    fn leg(&self, leg: &Leg, wanted: usize) -> Outcome<Vec<Ranked>> {
        let depth = leg.depth(wanted);
        match &leg.query {
            LegQuery::Dense(vector) => Ok(self.dense(vector, depth, || Ok(()))?.0),
            LegQuery::Text(text) => self.matching(leg, self.text(text, depth)?),
            LegQuery::Sparse(_) => Err(no_sparse()),
            _ => Err(unknown_query()),
        }
    }

    /// Of what a text leg found, the chunks that hold as many of the query's content terms as it asks for.
    fn matching(&self, leg: &Leg, mut ranked: Vec<Ranked>) -> Outcome<Vec<Ranked>> {
        let Some((terms, least)) = leg.wanted_terms() else { return Ok(ranked) };
        let mut postings = Vec::new();
        let mut common = 0;
        for term in &terms {
            match self.entry(term, false)? {
                Entry::All(found) => postings.push(found),
                Entry::Common => common += 1,
            }
        }
        let enough = |held: usize| held as f32 / terms.len() as f32 >= least;
        let mut text = self
            .connection
            .prepare_cached(&format!("SELECT text FROM chunk_{} WHERE doc = ?1", self.stored.key))?;
        let mut kept = Vec::with_capacity(ranked.len());
        for candidate in ranked.drain(..) {
            let holds = |found: &&std::sync::Arc<[Posting]>| {
                found.binary_search_by_key(&candidate.doc, |posting| posting.doc).is_ok()
            };
            let held = postings.iter().filter(holds).count();
            // Of common terms not every chunk is known; the text decides where they do.
            let keep = enough(held)
                || (enough(held + common)
                    && share_held(&terms, &text.query_row([candidate.doc], |row| row.get::<_, String>(0))?)
                        >= least);
            if keep {
                kept.push(candidate);
            }
        }
        Ok(kept)
    }

    /// The best `wanted`, and what `meanwhile` gives, which is done while others scan.
    fn dense<R>(
        &self,
        vector: &[f32],
        wanted: usize,
        meanwhile: impl FnOnce() -> Outcome<R>,
    ) -> Outcome<(Vec<Ranked>, R)> {
        let spec = &self.stored.spec;
        if spec.dimension.is_none() {
            return Err(Error::unsupported("the collection has no dense vectors")
                .with_context("collection", &spec.name)
                .into());
        }
        let query = CodedQuery::new(spec.metric, vector);
        let deadline = self.wait.deadline;
        self.cache.vectors.with(self.connection, self.stored, self.wait, |vectors| {
            let (bounds, other) = scan::bounds(vectors, &query, deadline, scan::helpers, meanwhile)?;
            let exact = Exact::new(self.connection, self.stored, vector, deadline)?;
            let mut judge = Nearest { acceptor: Acceptor::new(self)?, vectors, query: &query, exact };
            let mut ranked = Ranking::bounded(bounds, vectors.docs()).best(wanted, &mut judge)?;
            ranked.sort_by(best_first);
            ranked.truncate(wanted);
            Ok((ranked, other))
        })
    }

    fn text(&self, text: &str, wanted: usize) -> Outcome<Vec<Ranked>> {
        let spec = &self.stored.spec;
        if !spec.text_search {
            return Err(Error::unsupported("the collection has no text search")
                .with_context("collection", &spec.name)
                .into());
        }
        let total = self.stored.total();
        let terms = self.terms(&query_terms(text))?;
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        let average =
            if total > 0 { u64::try_from(self.stored.terms).unwrap_or(0) as f32 / total as f32 } else { 0.0 };
        let bm25 = Bm25 { total, average_length: average };
        self.cache.lengths.with(self.connection, self.stored, self.wait, |lengths| {
            let mut scores: Vec<f32> = Vec::new();
            grow(&mut scores, lengths.end(), 0.0)?;
            let mut touched: Vec<u32> = Vec::new();
            for postings in &terms {
                let idf = bm25.idf(postings.len() as u64);
                for Posting { doc, count } in postings.iter() {
                    let Some(length) = lengths.of(*doc) else { continue };
                    let Some(score) = scores.get_mut(*doc as usize) else { continue };
                    if *score == 0.0 {
                        touched.push(*doc);
                    }
                    *score += bm25.score(idf, *count, length);
                }
            }
            let candidates = touched.into_iter().filter_map(|doc| {
                let score = scores.get(doc as usize).copied()?;
                (score > 0.0).then_some(Candidate { score, doc, sharp: true })
            });
            let mut judge = Acceptor::new(self)?;
            let mut ranked = Ranking::scored(candidates.collect()).best(wanted, &mut judge)?;
            ranked.sort_by(best_first);
            ranked.truncate(wanted);
            Ok(ranked)
        })
    }

    /// The postings of the terms that count, in the order of the terms. Common ones are dropped unless all are.
    fn terms(&self, terms: &[String]) -> Outcome<Vec<std::sync::Arc<[Posting]>>> {
        let total = self.stored.total();
        let mut rare = Vec::new();
        let mut common = Vec::new();
        for term in terms {
            match self.entry(term, false)? {
                Entry::All(postings) if postings.is_empty() => {}
                Entry::All(postings) if !is_common(postings.len() as u64, total) => rare.push(postings),
                _ => common.push(term),
            }
        }
        if !rare.is_empty() {
            return Ok(rare);
        }
        let mut all = Vec::new();
        for term in common {
            if let Entry::All(postings) = self.entry(term, true)? {
                all.push(postings);
            }
        }
        Ok(all)
    }

    fn entry(&self, term: &str, to_the_end: bool) -> Outcome<Entry> {
        let generation = self.stored.generation;
        let known = self.postings().get(generation, term);
        match known {
            Some(Entry::Common) if to_the_end => {}
            Some(entry) => return Ok(entry),
            None => {}
        }
        let total = self.stored.total();
        let enough = |found| !to_the_end && is_common(found, total);
        let postings = read_postings(self.connection, self.stored, term, enough)?;
        let entry = match enough(postings.len() as u64) {
            true => Entry::Common,
            false => Entry::All(postings.into()),
        };
        self.postings().put(generation, term, &entry);
        Ok(entry)
    }

    fn postings(&self) -> std::sync::MutexGuard<'_, super::cache::Postings> {
        self.cache.postings.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The statement that gives the key of a chunk if it passes the condition.
    fn look(&self, condition: Option<&Condition>) -> Outcome<CachedStatement<'_>> {
        let passes = condition.map_or("1", |condition| condition.sql.as_str());
        let sql = format!("SELECT c.id FROM chunk_{} c WHERE c.doc = ?1 AND {passes}", self.stored.key);
        let mut statement = self.connection.prepare_cached(&sql)?;
        if let Some(condition) = condition {
            condition.bind(&mut statement)?;
        }
        Ok(statement)
    }

    fn fill(&self, hits: &mut [Hit], docs: &HashMap<Id, u32>, search: &Search) -> Outcome<()> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT text, json(metadata) FROM chunk_{} WHERE doc = ?1",
            self.stored.key
        ))?;
        for hit in hits {
            let Some(doc) = docs.get(&hit.id) else { continue };
            let found: Option<(String, String)> =
                statement.query_row([doc], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let Some((text, metadata)) = found else { continue };
            if search.output.text {
                hit.text = text;
            }
            if search.output.metadata {
                hit.metadata = parse_metadata(&metadata, &hit.id)?;
            }
        }
        Ok(())
    }
}

/// Says of a candidate whether it passes the filter, and its key.
struct Acceptor<'a> {
    searcher: &'a Searcher<'a>,
    look: CachedStatement<'a>,
    refused: usize,
    allowed: Option<Vec<bool>>,
}

impl<'a> Acceptor<'a> {
    fn new(searcher: &'a Searcher<'a>) -> Outcome<Self> {
        let look = searcher.look(searcher.condition)?;
        Ok(Self { searcher, look, refused: 0, allowed: None })
    }

    fn accept(&mut self, doc: u32) -> Outcome<Option<Id>> {
        self.look.raw_bind_parameter(1, doc)?;
        let mut rows = self.look.raw_query();
        let id = rows.next()?.map(|row| read_id(row.get_ref(0)?)).transpose()?;
        drop(rows);
        if id.is_none() {
            self.refused += 1;
        }
        if let (MOST_REFUSED, Some(condition)) = (self.refused, self.searcher.condition) {
            // From here on only keys are to be looked up.
            self.refused += 1;
            self.allowed = Some(self.all_allowed(condition)?);
            self.look = self.searcher.look(None)?;
        }
        Ok(id)
    }

    fn all_allowed(&self, condition: &Condition) -> Outcome<Vec<bool>> {
        let key = self.searcher.stored.key;
        let sql = format!("SELECT c.doc FROM chunk_{key} c WHERE {}", condition.sql);
        let mut statement = self.searcher.connection.prepare_cached(&sql)?;
        condition.bind(&mut statement)?;
        let mut rows = statement.raw_query();
        let mut allowed = Vec::new();
        while let Some(row) = rows.next()? {
            let place = row.get::<_, u32>(0)? as usize;
            if place >= allowed.len() {
                grow(&mut allowed, place + 1, false)?;
            }
            if let Some(slot) = allowed.get_mut(place) {
                *slot = true;
            }
        }
        Ok(allowed)
    }
}

/// Of candidates whose score is known.
impl Judge for Acceptor<'_> {
    fn may_pass(&self, doc: u32) -> bool {
        let allowed = |allowed: &Vec<bool>| allowed.get(doc as usize).copied().unwrap_or(false);
        self.allowed.as_ref().is_none_or(allowed)
    }

    fn sharpen(&self, _: u32) -> Option<f32> {
        None
    }

    fn judge(&mut self, candidate: Candidate) -> Outcome<Option<(Id, f32)>> {
        Ok(self.accept(candidate.doc)?.map(|id| (id, candidate.score)))
    }
}

/// Of candidates of which the copy in memory knows a bound.
struct Nearest<'a> {
    acceptor: Acceptor<'a>,
    vectors: &'a Vectors,
    query: &'a CodedQuery,
    exact: Exact<'a>,
}

impl Judge for Nearest<'_> {
    fn may_pass(&self, doc: u32) -> bool {
        self.acceptor.may_pass(doc)
    }

    fn sharpen(&self, doc: u32) -> Option<f32> {
        self.vectors.fine_bound(self.query, doc)
    }

    fn judge(&mut self, candidate: Candidate) -> Outcome<Option<(Id, f32)>> {
        let Some(id) = self.acceptor.accept(candidate.doc)? else { return Ok(None) };
        Ok(self.exact.score(candidate.doc)?.map(|score| (id, score)))
    }
}

/// Refuses a raw filter before anything is read.
pub(super) fn check_filter(filter: Option<&Filter>) -> arshai_core::Result<()> {
    Condition::optional(filter).map(|_| ())
}

fn no_sparse() -> Failure {
    Error::unsupported("the SQLite store has no sparse vectors; use dense, text or hybrid search").into()
}

fn unknown_query() -> Failure {
    Error::unsupported("the SQLite store does not know this kind of query").into()
}
