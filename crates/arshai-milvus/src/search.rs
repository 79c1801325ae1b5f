//! Search: queries of one kind in one call, the legs of a hybrid query at once, one order everywhere.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use arshai_core::{
    Error, Result,
    text::share_held,
    vector::{Consistency, Fusion, Hit, Id, Leg, LegQuery, Output, Query, Search, SparseVector, fuse},
};
use bytes::Bytes;
use futures_util::future::try_join_all;
use prost::Message as _;

use crate::{
    columns::{Columns, plain_ids},
    connection::Safety,
    encode::{check_sparse, dense_bytes, sparse_bytes},
    engine::Engine,
    failure::Failure,
    filter::{Condition, Encoded},
    finding::Finding,
    hits::{Ranked, Rest, filled, is_open, read},
    inner::{Inner, Known},
    proto::{
        common::{DslType, PlaceholderGroup, PlaceholderType, PlaceholderValue},
        milvus::{SearchRequest, SearchResults},
        pair,
    },
    question::question,
    rows::{MOST_ROWS, encode, is_nameable, keys},
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

/// Everything the calls of one search have in common.
pub(crate) struct Asking<'a> {
    pub(crate) known: &'a Known,
    pub(crate) expression: String,
    pub(crate) search: &'a Search,
    /// Indexes of dense and of sparse vectors are asked in one search.
    pub(crate) mixed: bool,
    pub(crate) negative_bm25: bool,
    pub(crate) nan_without_words: bool,
}

impl Inner {
    pub(crate) async fn search(&self, known: &Known, search: &Search) -> Result<Vec<Vec<Hit>>, Failure> {
        let shape = &known.shape;
        search.validate(shape.spec.dimension)?;
        let engine = self.engine().await?;
        let wanted = search.limit.saturating_add(search.offset);
        check_depth("limit and offset", wanted)?;
        check_groups(search, engine)?;
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
        let probes: Vec<&Probe<'_>> = plans.iter().flat_map(|plan| &plan.probes).collect();
        let asks = |dense: bool| probes.iter().any(|probe| (probe.kind == Kind::Dense) == dense);
        let asking = Asking {
            known,
            expression,
            search,
            mixed: asks(true) && asks(false),
            negative_bm25: engine.negative_bm25,
            nan_without_words: engine.nan_without_words,
        };
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
        let open = |lists: &[Vec<Ranked>], most| {
            most < MOST_ROWS && lists.iter().any(|list| is_open(list, depth, most))
        };
        let mut lists = self.ask_once(asking, &probes, most, true).await?;
        if !open(&lists, most) {
            lists.iter_mut().for_each(|list| list.truncate(depth));
            return Ok(lists);
        }
        // There may be very many: their keys first, and the rest of those that are left.
        let had: HashMap<Id, Rest> = lists.into_iter().flatten().map(|hit| (hit.id, hit.rest)).collect();
        loop {
            most = most.saturating_mul(4).min(MOST_ROWS);
            lists = self.ask_once(asking, &probes, most, false).await?;
            if !open(&lists, most) {
                break;
            }
        }
        lists.iter_mut().for_each(|list| list.truncate(depth));
        if self.complete(asking, &probes, &mut lists, had).await? {
            return Ok(lists);
        }
        lists = self.ask_once(asking, &probes, most, true).await?;
        lists.iter_mut().for_each(|list| list.truncate(depth));
        Ok(lists)
    }

    /// Gives hits that came with their keys only the rest of them. Those that are gone meanwhile are left out. `false`
    /// when one of them cannot be asked for by its key.
    async fn complete(
        &self,
        asking: &Asking<'_>,
        probes: &[&Probe<'_>],
        lists: &mut [Vec<Ranked>],
        mut had: HashMap<Id, Rest>,
    ) -> Result<bool, Failure> {
        let output = probes.first().map_or_else(Output::ids, |probe| probe.output.clone());
        if output == Output::ids() {
            return Ok(true);
        }
        let missing: Vec<Id> = lists
            .iter()
            .flatten()
            .filter(|hit| !had.contains_key(&hit.id))
            .map(|hit| hit.id.clone())
            .collect();
        if !missing.iter().all(|id| is_nameable(&asking.known.shape, id)) {
            return Ok(false);
        }
        // Whoever answers this must know the hits that another node found.
        let consistency = Consistency::Strong;
        let mut finding = Finding::new(self, asking.known, Encoded::everything(), output, consistency);
        let rows = Box::pin(finding.by_keys(&missing, None, usize::MAX)).await?;
        had.extend(rows.into_iter().map(|row| (row.id.clone(), Rest::Row(Arc::new(row)))));
        for list in lists {
            list.retain_mut(|hit| match had.get(&hit.id) {
                Some(rest) => {
                    hit.rest = rest.clone();
                    true
                }
                None => false,
            });
        }
        Ok(true)
    }

    async fn ask_once(
        &self,
        asking: &Asking<'_>,
        probes: &[&Probe<'_>],
        most: usize,
        columns: bool,
    ) -> Result<Vec<Vec<Ranked>>, Failure> {
        let Some(first) = probes.first() else { return Ok(Vec::new()) };
        let request = question(asking, first, probes, most, columns);
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
        let reply: SearchResults = self.call("Search", &request, Safety::Read).await?;
        let results = reply.results.unwrap_or_default();
        let ids = plain_ids(results.ids, shape.escaped_keys)?;
        let columns = Columns::new(results.fields_data, ids.len())?;
        Ok((ids, columns))
    }
}

/// What a server would refuse, or cut without a word.
fn check_depth(what: &'static str, wanted: usize) -> Result<()> {
    if wanted <= MOST_ROWS {
        return Ok(());
    }
    Err(Error::invalid(
        "a search on Milvus goes no deeper than 16384 hits; ask for fewer, or read rows page by page",
    )
    .with_context("what", what)
    .with_context("wanted", wanted))
}

/// What a server would pass over without a word.
fn check_groups(search: &Search, engine: &Engine) -> Result<()> {
    for (name, able) in [
        ("group_by_field", engine.group_by),
        ("group_size", engine.group_by && engine.group_size),
        ("strict_group_size", engine.group_by && engine.group_size),
    ] {
        if search.params.contains_key(name) && !able {
            return Err(Error::unsupported("this server does not group hits so: leave the parameter out")
                .with_context("parameter", name)
                .with_context("server", &engine.version));
        }
    }
    Ok(())
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
                if let Some(limit) = leg.limit {
                    check_depth("a leg's limit", limit)?;
                }
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
    let mut found: HashMap<Id, Ranked> = HashMap::new();
    let mut ranked_legs = Vec::with_capacity(legs.len());
    for (leg, list) in legs.iter().zip(lists) {
        let terms = leg.wanted_terms();
        let mut hits = Vec::with_capacity(list.len());
        for ranked in list {
            if leg.min_score.is_some_and(|least| ranked.score < least) {
                continue;
            }
            if let (Some((terms, least)), Some(text)) = (&terms, &shape.text) {
                let text: Cow<'_, str> = match &ranked.rest {
                    Rest::Reply(columns, at) => columns.text(&text.name, *at)?.into(),
                    Rest::Row(row) => row.text.as_str().into(),
                };
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
