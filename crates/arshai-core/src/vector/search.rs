//! What can be asked of a collection.

use serde_json::{Map, Value};

use super::{Fusion, Id, Row, SparseVector};
use crate::{Error, Filter, Result, text::content_terms};

/// One or several searches of the same shape.
///
/// # Examples
///
/// ```
/// use arshai_core::vector::{Query, Search};
///
/// let search = Search::new(Query::text("how long is a memory kept?")).limit(3);
/// assert_eq!(search.queries.len(), 1);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Search {
    /// The queries; the answer has one list of hits for each.
    pub queries: Vec<Query>,
    /// Only records for which this holds.
    pub filter: Option<Filter>,
    /// At most this many hits per query. Default: 3.
    pub limit: usize,
    /// Skip this many of the best hits. Default: 0.
    pub offset: usize,
    /// What a hit carries. Default: text and metadata.
    pub output: Output,
    /// Parameters only this engine knows, such as Milvus's `ef`. Default: none.
    pub params: Map<String, Value>,
    /// What is visible. Default: [`Consistency::Session`].
    pub consistency: Consistency,
}

impl Search {
    /// A search for one query.
    pub fn new(query: Query) -> Self {
        Self::many(vec![query])
    }

    /// A search for several queries in one call.
    pub fn many(queries: Vec<Query>) -> Self {
        Self {
            queries,
            filter: None,
            limit: 3,
            offset: 0,
            output: Output::default(),
            params: Map::new(),
            consistency: Consistency::default(),
        }
    }

    /// The same with another limit.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The same skipping the best `offset` hits.
    #[must_use]
    pub fn offset(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// The same with a filter.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<Option<Filter>>) -> Self {
        self.filter = filter.into();
        self
    }

    /// The same with another output.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// The same with another consistency.
    #[must_use]
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }

    /// Checks limits and vectors against the collection's dimension. Backends call it before anything is sent.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidInput`] saying what is wrong: no query, a limit of 0, a wrong dimension, a value
    /// that is not finite, a hybrid query without legs, a share of words below 0 or above 1.
    pub fn validate(&self, dimension: Option<usize>) -> Result<()> {
        if self.queries.is_empty() {
            return Err(Error::invalid("a search needs at least one query"));
        }
        if self.limit == 0 {
            return Err(Error::invalid("a search limit is at least 1"));
        }
        self.queries.iter().try_for_each(|query| query.validate(dimension))
    }
}

/// One query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Query {
    /// Nearest dense vectors.
    Dense(Vec<f32>),
    /// Largest inner product with a sparse vector.
    Sparse(SparseVector),
    /// Best BM25 score for a text. The text is data: nothing in it is an operator.
    Text(String),
    /// Several of these at once, fused into one order.
    Hybrid {
        /// The legs.
        legs: Vec<Leg>,
        /// How their orders become one.
        fusion: Fusion,
    },
}

impl Query {
    /// A dense query.
    pub fn dense(vector: impl Into<Vec<f32>>) -> Self {
        Self::Dense(vector.into())
    }

    /// A text query.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A hybrid query.
    pub fn hybrid(legs: Vec<Leg>, fusion: Fusion) -> Self {
        Self::Hybrid { legs, fusion }
    }

    fn validate(&self, dimension: Option<usize>) -> Result<()> {
        match self {
            Self::Dense(vector) => validate_dense(vector, dimension),
            Self::Sparse(_) | Self::Text(_) => Ok(()),
            Self::Hybrid { legs, fusion } => {
                if legs.is_empty() {
                    return Err(Error::invalid("a hybrid query needs at least one leg"));
                }
                fusion.validate(legs.len())?;
                legs.iter().try_for_each(|leg| leg.validate(dimension))
            }
        }
    }
}

/// Checks a dense vector against a collection's dimension.
///
/// # Errors
///
/// [`crate::ErrorKind::InvalidInput`] for a wrong length or a value that is not finite.
fn validate_dense(vector: &[f32], dimension: Option<usize>) -> Result<()> {
    if let Some(dimension) = dimension {
        check_dimension(vector, dimension)?;
    }
    check_finite(vector)
}

pub(super) fn check_dimension(vector: &[f32], dimension: usize) -> Result<()> {
    if vector.len() == dimension {
        return Ok(());
    }
    Err(Error::invalid("the vector has the wrong dimension")
        .with_context("given", vector.len())
        .with_context("collection", dimension))
}

pub(super) fn check_finite(vector: &[f32]) -> Result<()> {
    if vector.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(Error::invalid("the vector holds a value that is not finite (NaN or infinity)"))
}

/// One leg of a hybrid query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Leg {
    /// What it asks.
    pub query: LegQuery,
    /// Hits below this score of the leg are left out before fusing. Default: none.
    pub min_score: Option<f32>,
    /// Of the best hits of a text leg, those that hold less than this share (0 to 1) of the query's
    /// [content terms](crate::text::content_terms) are left out before fusing: a few common words in common must not
    /// outweigh what the other legs say. Default: none.
    pub min_match: Option<f32>,
    /// How many hits the leg contributes. Default: the larger of 50 and 4 × (limit + offset).
    pub limit: Option<usize>,
}

/// The query of one leg.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LegQuery {
    /// As [`Query::Dense`].
    Dense(Vec<f32>),
    /// As [`Query::Sparse`].
    Sparse(SparseVector),
    /// As [`Query::Text`].
    Text(String),
}

impl Leg {
    fn validate(&self, dimension: Option<usize>) -> Result<()> {
        if self.min_match.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(Error::invalid("the share of words that a hit must hold is from 0 to 1"));
        }
        match &self.query {
            LegQuery::Dense(vector) => validate_dense(vector, dimension),
            LegQuery::Sparse(_) | LegQuery::Text(_) => Ok(()),
        }
    }

    /// A leg.
    pub fn new(query: LegQuery) -> Self {
        Self { query, min_score: None, min_match: None, limit: None }
    }

    /// A dense leg.
    pub fn dense(vector: impl Into<Vec<f32>>) -> Self {
        Self::new(LegQuery::Dense(vector.into()))
    }

    /// A sparse leg.
    pub fn sparse(vector: SparseVector) -> Self {
        Self::new(LegQuery::Sparse(vector))
    }

    /// A text leg.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(LegQuery::Text(text.into()))
    }

    /// The same without hits below `score`.
    #[must_use]
    pub fn min_score(mut self, score: f32) -> Self {
        self.min_score = Some(score);
        self
    }

    /// The same without hits that hold less than this share of a text query's content terms.
    #[must_use]
    pub fn min_match(mut self, share: f32) -> Self {
        self.min_match = Some(share);
        self
    }

    /// The content terms of which each hit holds at least the returned share; `None` when nothing is asked of its words.
    pub fn wanted_terms(&self) -> Option<(Vec<String>, f32)> {
        match (&self.query, self.min_match) {
            (LegQuery::Text(text), Some(share)) if share > 0.0 => Some((content_terms(text), share)),
            _ => None,
        }
    }

    /// The same contributing at most `limit` hits.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How many hits this leg contributes to a search for `wanted` (limit + offset) hits.
    pub fn depth(&self, wanted: usize) -> usize {
        self.limit.unwrap_or_else(|| wanted.saturating_mul(4).max(50)).max(1)
    }
}

/// What hits and rows carry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// The text. Default: yes.
    pub text: bool,
    /// The metadata. Default: yes.
    pub metadata: bool,
    /// The dense vector (rows only). Default: no.
    pub dense: bool,
    /// Further fields of the engine, by name. Default: none.
    pub fields: Vec<String>,
}

impl Default for Output {
    fn default() -> Self {
        Self { text: true, metadata: true, dense: false, fields: Vec::new() }
    }
}

impl Output {
    /// Only ids and scores.
    pub fn ids() -> Self {
        Self { text: false, metadata: false, dense: false, fields: Vec::new() }
    }

    /// Ids and metadata.
    pub fn metadata() -> Self {
        Self { metadata: true, ..Self::ids() }
    }

    /// Everything, vectors included.
    pub fn all() -> Self {
        Self { dense: true, ..Self::default() }
    }
}

/// Which writes a search sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Consistency {
    /// Every write acknowledged before the search, by anyone.
    Strong,
    /// Every write acknowledged to this handle. Nothing is promised about others' writes.
    #[default]
    Session,
    /// Everything older than the engine's staleness bound.
    Bounded,
    /// Whatever is there.
    Eventually,
}

/// Reads rows by filter or key, a page at a time, ordered by key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RowQuery {
    /// Only rows for which this holds. Default: all.
    pub filter: Option<Filter>,
    /// Only these keys. Default: all.
    pub ids: Option<Vec<Id>>,
    /// What a row carries. Default: text and metadata.
    pub output: Output,
    /// At most this many rows. Default: 1000.
    pub limit: usize,
    /// Where the last page ended. Default: the beginning.
    pub cursor: Option<Id>,
    /// What is visible. Default: [`Consistency::Session`].
    pub consistency: Consistency,
}

impl Default for RowQuery {
    fn default() -> Self {
        Self {
            filter: None,
            ids: None,
            output: Output::default(),
            limit: 1000,
            cursor: None,
            consistency: Consistency::default(),
        }
    }
}

impl RowQuery {
    /// All rows, with text and metadata.
    pub fn all() -> Self {
        Self::default()
    }

    /// The rows with these keys.
    pub fn ids(ids: Vec<Id>) -> Self {
        Self { ids: Some(ids), ..Self::default() }
    }

    /// The same with a filter.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<Option<Filter>>) -> Self {
        self.filter = filter.into();
        self
    }

    /// The same with another page size.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The same with another output.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// The same going on after `cursor`.
    #[must_use]
    pub fn after(mut self, cursor: impl Into<Option<Id>>) -> Self {
        self.cursor = cursor.into();
        self
    }

    /// The same with another consistency.
    #[must_use]
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }
}

/// One page of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct RowPage {
    /// The rows, ordered by key.
    pub rows: Vec<Row>,
    /// Pass it to [`RowQuery::after`] to get the next page; `None` after the last.
    pub next: Option<Id>,
}
