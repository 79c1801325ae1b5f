//! Search: queries of one kind in one call, the legs of a hybrid query at once, one order everywhere.

use std::{cmp::Ordering, sync::Arc};

use arshai_core::{
    Error, Result,
    text::share_held,
    vector::{
        Consistency, Fusion, Hit, Id, Leg, LegQuery, Metric, Output, Query, Search, SparseVector, fuse,
    },
};
use bytes::Bytes;
use futures_util::future::try_join_all;
use prost::Message as _;

use crate::{
    columns::{Columns, plain_ids, protocol},
    connection::Safety,
    encode::{check_sparse, dense_bytes, sparse_bytes},
    failure::Failure,
    filter::Condition,
    inner::{Inner, Known},
    proto::{
        common::{DslType, PlaceholderGroup, PlaceholderType, PlaceholderValue},
        milvus::{SearchRequest, SearchResults},
        pair,
    },
    question::question,
    rows::{MOST_ROWS, encode, fill, keys},
    shape::{MOST_TEXT_BYTES, PLACEHOLDER_DIMENSION, Shape},
    terms,
};

/// What a vector field is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Dense,
    Sparse,
    Text,
}

/// A query of one kind.
#[derive(Debug)]
pub(crate) struct Probe<'a> {
    pub(crate) kind: Kind,
    /// `None` for a text in which nothing can be searched for.
    pub(crate) asked: Option<Asked<'a>>,
    depth: usize,
    pub(crate) output: Output,
}

/// What is sent of it.
#[derive(Debug)]
pub(crate) enum Asked<'a> {
    Dense(&'a [f32]),
    /// Encoded.
    Bytes(Bytes),
}

/// One hit of a reply whose columns are read when it is needed.
#[derive(Debug, Clone)]
struct Ranked {
    id: Id,
    score: f32,
    at: usize,
    columns: Arc<Columns>,
}

/// Everything the calls of one search have in common.
pub(crate) struct Asking<'a> {
    pub(crate) known: &'a Known,
    pub(crate) expression: String,
    pub(crate) search: &'a Search,
    negative_bm25: bool,
    nan_without_words: bool,
}

impl Inner {
    pub(crate) async fn search(&self, known: &Known, search: &Search) -> Result<Vec<Vec<Hit>>, Failure> {
        let shape = &known.shape;
        search.validate(shape.spec.dimension)?;
        let engine = self.engine().await?;
        let wanted = search.limit.saturating_add(search.offset);
        let plans = search
            .queries
            .iter()
            .map(|query| plan(query, shape, search, wanted))
            .collect::<Result<Vec<_>>>()?;
        let encoded = encode(search.filter.as_ref(), shape, engine.dialect)?;
        let mut condition = encoded.condition.clone();
        if encoded.rest.is_some() {
            let ids = Box::pin(self.matches(known, encoded, search.consistency)).await?;
            let named = keys(shape, &ids)?.map_or(Condition::False, Condition::Expression);
            // The keys alone say it all: the expression they were found by holds for them.
            condition = named;
        }
        let expression = match condition {
            Condition::True => String::new(),
            Condition::False => return Ok(vec![Vec::new(); search.queries.len()]),
            Condition::Expression(expression) => expression,
        };
        let asking = Asking {
            known,
            expression,
            search,
            negative_bm25: engine.negative_bm25,
            nan_without_words: engine.nan_without_words,
        };
        let probes: Vec<&Probe<'_>> = plans.iter().flat_map(|plan| &plan.probes).collect();
        let mut lists = self.ask_all(&asking, &probes).await?.into_iter();
        let mut answers = Vec::with_capacity(plans.len());
        for plan in plans {
            let lists: Vec<Vec<Ranked>> = lists.by_ref().take(plan.probes.len()).collect();
            answers.push(finish(&plan, lists, shape, search)?);
        }
        Ok(answers)
    }

    /// The hits of every probe, in order. Probes of one kind and depth share a call; the calls run at once.
    async fn ask_all(&self, asking: &Asking<'_>, probes: &[&Probe<'_>]) -> Result<Vec<Vec<Ranked>>, Failure> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (position, probe) in probes.iter().enumerate() {
            if probe.asked.is_none() {
                continue;
            }
            let same = |group: &&mut Vec<usize>| {
                group.first().and_then(|first| probes.get(*first)).is_some_and(|first| {
                    (first.kind, first.depth, &first.output) == (probe.kind, probe.depth, &probe.output)
                })
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(position),
                None => groups.push(vec![position]),
            }
        }
        let calls = groups.iter().map(|group| {
            let group: Vec<&Probe<'_>> =
                group.iter().filter_map(|position| probes.get(*position).copied()).collect();
            self.ask_group(asking, group)
        });
        let answers = try_join_all(calls).await?;
        let mut lists = vec![Vec::new(); probes.len()];
        for (group, answers) in groups.into_iter().zip(answers) {
            for (position, answer) in group.into_iter().zip(answers) {
                if let Some(slot) = lists.get_mut(position) {
                    *slot = answer;
                }
            }
        }
        Ok(lists)
    }

    /// Asks until it is certain which hits of equal score come last.
    async fn ask_group(
        &self,
        asking: &Asking<'_>,
        probes: Vec<&Probe<'_>>,
    ) -> Result<Vec<Vec<Ranked>>, Failure> {
        let depth = probes.first().map_or(1, |probe| probe.depth).min(MOST_ROWS);
        let mut most = (depth + 1).min(MOST_ROWS);
        loop {
            let mut lists = self.ask_once(asking, &probes, most).await?;
            let open = most < MOST_ROWS && lists.iter().any(|list| is_open(list, depth, most));
            if open {
                most = most.saturating_mul(4).min(MOST_ROWS);
                continue;
            }
            lists.iter_mut().for_each(|list| list.truncate(depth));
            return Ok(lists);
        }
    }

    async fn ask_once(
        &self,
        asking: &Asking<'_>,
        probes: &[&Probe<'_>],
        most: usize,
    ) -> Result<Vec<Vec<Ranked>>, Failure> {
        let Some(first) = probes.first() else { return Ok(Vec::new()) };
        let request = question(asking, first, probes, most);
        let _whole = self.reading().await?;
        let reply: SearchResults = match self.connection.send("Search", request, Safety::Read).await {
            Err(failure) if first.kind == Kind::Text && asking.nan_without_words && says_nan(&failure) => {
                return Ok(vec![Vec::new(); probes.len()]);
            }
            reply => reply?,
        };
        Ok(read(reply, probes.len(), first.kind, asking)?)
    }
}

impl Inner {
    /// One row that an expression finds, by way of its vector.
    pub(crate) async fn any_one(
        &self,
        known: &Known,
        expr: String,
        fields: &[String],
        consistency: Consistency,
    ) -> Result<(Vec<Id>, Columns), Failure> {
        let shape = &known.shape;
        let (name, dimension) = match (&shape.dense, &shape.placeholder) {
            (Some(dense), _) => (&dense.name, dense.dimension),
            (None, Some(placeholder)) => (placeholder, PLACEHOLDER_DIMENSION),
            (None, None) => return Ok((Vec::new(), Columns::default())),
        };
        let query = vec![1.0_f32; dimension];
        let group = PlaceholderGroup {
            placeholders: vec![PlaceholderValue {
                tag: "$0".to_owned(),
                r#type: PlaceholderType::FloatVector.into(),
                values: vec![dense_bytes(&query)],
            }],
        };
        let (level, guarantee_timestamp) = known.read_at(consistency);
        let request = SearchRequest {
            collection_name: shape.spec.name.clone(),
            dsl: expr,
            placeholder_group: group.encode_to_vec().into(),
            dsl_type: DslType::BoolExprV1.into(),
            output_fields: fields.to_vec(),
            search_params: vec![pair("anns_field", name), pair("topk", "1"), pair("params", "{}")],
            guarantee_timestamp,
            nq: 1,
            consistency_level: level.into(),
            ..SearchRequest::default()
        };
        let reply: SearchResults = self.connection.call("Search", &request, Safety::Read).await?;
        let results = reply.results.unwrap_or_default();
        let ids = plain_ids(results.ids, shape.escaped_keys)?;
        let columns = Columns::new(results.fields_data, ids.len())?;
        Ok((ids, columns))
    }
}

/// The server divided by the mean length of texts, which is 0. Its weights are its own: nothing that we sent is NaN.
fn says_nan(failure: &Failure) -> bool {
    failure.error.context().any(|(name, value)| name == "server" && value.contains("NaN or Inf"))
}

/// What a query needs asked, and how the answers become one.
struct Plan<'a> {
    probes: Vec<Probe<'a>>,
    legs: Option<(&'a [Leg], &'a Fusion)>,
}

fn plan<'a>(query: &'a Query, shape: &Shape, search: &Search, wanted: usize) -> Result<Plan<'a>> {
    let probe = |kind: Kind, asked: Option<Asked<'a>>| Probe {
        kind,
        asked,
        depth: wanted,
        output: search.output.clone(),
    };
    let (probes, legs) = match query {
        Query::Dense(vector) => (vec![probe(Kind::Dense, Some(dense(vector, shape)?))], None),
        Query::Sparse(vector) => (vec![probe(Kind::Sparse, sparse(vector, shape)?)], None),
        Query::Text(text) => (vec![probe(Kind::Text, words(text, shape)?)], None),
        Query::Hybrid { legs, fusion } => {
            let probes = legs.iter().map(|leg| {
                let (kind, asked) = match &leg.query {
                    LegQuery::Dense(vector) => (Kind::Dense, Some(dense(vector, shape)?)),
                    LegQuery::Sparse(vector) => (Kind::Sparse, sparse(vector, shape)?),
                    LegQuery::Text(text) => (Kind::Text, words(text, shape)?),
                    _ => return Err(refused("this kind of query is not known to the Milvus store", shape)),
                };
                let mut probe = Probe { depth: leg.depth(wanted), ..probe(kind, asked) };
                // What a leg must hold is read from its text.
                probe.output.text |= leg.wanted_terms().is_some();
                Ok(probe)
            });
            (probes.collect::<Result<_>>()?, Some((legs.as_slice(), fusion)))
        }
        _ => return Err(refused("this kind of query is not known to the Milvus store", shape)),
    };
    Ok(Plan { probes, legs })
}

fn refused(what: &'static str, shape: &Shape) -> Error {
    Error::unsupported(what).with_context("collection", &shape.spec.name)
}

fn dense<'a>(vector: &'a [f32], shape: &Shape) -> Result<Asked<'a>> {
    shape.dense.as_ref().ok_or_else(|| refused("the collection has no dense vectors", shape))?;
    Ok(Asked::Dense(vector))
}

fn sparse(vector: &SparseVector, shape: &Shape) -> Result<Option<Asked<'static>>> {
    shape.sparse.as_ref().ok_or_else(|| refused("the collection has no sparse vectors", shape))?;
    check_sparse(vector)?;
    Ok((!vector.is_empty()).then(|| Asked::Bytes(sparse_bytes(vector.iter()))))
}

fn words(text: &str, shape: &Shape) -> Result<Option<Asked<'static>>> {
    let bm25 = shape.bm25.as_ref().ok_or_else(|| refused("the collection has no text search", shape))?;
    let asked = match bm25.ours {
        true => terms::query(text, MOST_TEXT_BYTES),
        false => Some(text.to_owned()).filter(|text| !text.trim().is_empty()),
    };
    Ok(asked.map(|asked| Asked::Bytes(asked.into())))
}

/// From the lists of a query's probes to its hits.
fn finish(plan: &Plan<'_>, lists: Vec<Vec<Ranked>>, shape: &Shape, search: &Search) -> Result<Vec<Hit>> {
    let Some((legs, fusion)) = plan.legs else {
        let list = lists.into_iter().next().unwrap_or_default();
        let page = list.into_iter().skip(search.offset).take(search.limit);
        return page
            .map(|ranked| filled(Hit::new(ranked.id.clone(), ranked.score), &ranked, shape, search))
            .collect();
    };
    let mut found: std::collections::HashMap<Id, Ranked> = std::collections::HashMap::new();
    let mut ranked_legs = Vec::with_capacity(legs.len());
    for (leg, list) in legs.iter().zip(lists) {
        let terms = leg.wanted_terms();
        let mut hits = Vec::with_capacity(list.len());
        for ranked in list {
            if leg.min_score.is_some_and(|least| ranked.score < least) {
                continue;
            }
            if let (Some((terms, least)), Some(text)) = (&terms, &shape.text) {
                let text = ranked.columns.text(&text.name, ranked.at)?;
                if share_held(terms, &text) < *least {
                    continue;
                }
            }
            hits.push(Hit::new(ranked.id.clone(), ranked.score));
            found.entry(ranked.id.clone()).or_insert(ranked);
        }
        ranked_legs.push(hits);
    }
    let fused = fuse(fusion, ranked_legs).into_iter().skip(search.offset).take(search.limit);
    fused
        .map(|hit| match found.get(&hit.id) {
            Some(ranked) => filled(hit, ranked, shape, search),
            None => Ok(hit),
        })
        .collect()
}

fn filled(mut hit: Hit, ranked: &Ranked, shape: &Shape, search: &Search) -> Result<Hit> {
    (hit.text, hit.metadata, hit.fields) = fill(shape, &ranked.columns, ranked.at, &search.output)?;
    Ok(hit)
}

/// Hits beyond the list may score as much as the last one that is wanted.
fn is_open(list: &[Ranked], depth: usize, most: usize) -> bool {
    if list.len() < most {
        return false;
    }
    let score = |at: usize| list.get(at).map(|ranked| ranked.score);
    score(depth.saturating_sub(1)) == score(list.len().saturating_sub(1))
}

/// The hits of each query, best first, equal scores by key.
fn read(reply: SearchResults, queries: usize, kind: Kind, asking: &Asking<'_>) -> Result<Vec<Vec<Ranked>>> {
    let Some(results) = reply.results else {
        return Err(protocol("the server answers a search without results"));
    };
    let ids = plain_ids(results.ids, asking.known.shape.escaped_keys)?;
    let scores = results.scores;
    let topks = match results.topks.as_slice() {
        // Nothing found.
        [] if ids.is_empty() => vec![0; queries],
        topks => topks
            .iter()
            .map(|count| {
                usize::try_from(*count).map_err(|_| protocol("a search has a negative number of hits"))
            })
            .collect::<Result<Vec<_>>>()?,
    };
    let total = topks.iter().try_fold(0_usize, |sum, count| sum.checked_add(*count));
    if topks.len() != queries || total != Some(ids.len()) || ids.len() != scores.len() {
        return Err(protocol("keys, scores and counts of a search do not fit each other")
            .with_context("queries", queries)
            .with_context("counts", topks.len())
            .with_context("keys", ids.len())
            .with_context("scores", scores.len()));
    }
    let columns = Arc::new(Columns::new(results.fields_data, ids.len())?);
    let negative = match kind {
        Kind::Dense => asking.known.shape.spec.metric == Metric::L2,
        Kind::Sparse => false,
        Kind::Text => asking.negative_bm25,
    };
    let mut flat = ids.into_iter().zip(scores).enumerate();
    let mut lists = Vec::with_capacity(queries);
    for count in topks {
        let mut list = Vec::with_capacity(count);
        for (at, (id, score)) in flat.by_ref().take(count) {
            if !score.is_finite() {
                return Err(protocol("a score is not a finite number").with_context("key", id));
            }
            // Adding 0 turns −0 into 0.
            let score = if negative { -score } else { score } + 0.0;
            if kind == Kind::Dense || score > 0.0 {
                list.push(Ranked { id, score, at, columns: Arc::clone(&columns) });
            }
        }
        list.sort_by(best_first);
        list.dedup_by(|a, b| a.id == b.id);
        lists.push(list);
    }
    Ok(lists)
}

fn best_first(a: &Ranked, b: &Ranked) -> Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id))
}
