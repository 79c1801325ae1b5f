//! Records going in, rows and hits coming out.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::search::check_finite;
use crate::{Error, Result};

/// A record's primary key. Integers sort before texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// A 64-bit integer, usually chosen by the store.
    Int(i64),
    /// A text, usually chosen by the caller.
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(id) => id.fmt(f),
            Self::Text(id) => id.fmt(f),
        }
    }
}

impl From<&str> for Id {
    fn from(id: &str) -> Self {
        Self::Text(id.to_owned())
    }
}

impl From<String> for Id {
    fn from(id: String) -> Self {
        Self::Text(id)
    }
}

impl From<i64> for Id {
    fn from(id: i64) -> Self {
        Self::Int(id)
    }
}

/// A sparse vector: parallel lists of dimension indices (strictly ascending) and values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SparseVector {
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseVector {
    /// A sparse vector from (index, value) pairs in any order.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidInput`] for an index given twice, an index of `u32::MAX` or a value that is not finite.
    pub fn new(mut pairs: Vec<(u32, f32)>) -> Result<Self> {
        pairs.sort_unstable_by_key(|(index, _)| *index);
        if pairs.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return Err(Error::invalid("a sparse vector names an index twice"));
        }
        if pairs.iter().any(|(index, value)| *index == u32::MAX || !value.is_finite()) {
            return Err(Error::invalid("a sparse vector needs finite values and indices below 2^32 - 1"));
        }
        let (indices, values) = pairs.into_iter().unzip();
        Ok(Self { indices, values })
    }

    /// The (index, value) pairs, indices ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> {
        self.indices.iter().copied().zip(self.values.iter().copied())
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The inner product with another sparse vector.
    pub fn dot(&self, other: &Self) -> f32 {
        let mut others = other.iter().peekable();
        let mut sum = 0.0;
        for (index, value) in self.iter() {
            while others.next_if(|(other, _)| *other < index).is_some() {}
            if let Some((_, other)) = others.next_if(|(other, _)| *other == index) {
                sum += value * other;
            }
        }
        sum
    }
}

/// One record to write.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Record {
    /// The primary key; `None` lets a collection with integer keys choose one.
    pub id: Option<Id>,
    /// The text, found by text search and returned with hits.
    pub text: String,
    /// The dense vector; its length is the collection's dimension. May be absent where
    /// [`Capabilities::optional_dense`](super::Capabilities::optional_dense) holds.
    pub dense: Option<Vec<f32>>,
    /// The sparse vector, where the collection has one.
    pub sparse: Option<SparseVector>,
    /// Free-form metadata, reachable by filters.
    pub metadata: Map<String, Value>,
}

impl Record {
    /// A record holding `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The same under a primary key.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Id>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The same with a dense vector.
    #[must_use]
    pub fn with_dense(mut self, dense: Vec<f32>) -> Self {
        self.dense = Some(dense);
        self
    }

    /// The same with a sparse vector.
    #[must_use]
    pub fn with_sparse(mut self, sparse: SparseVector) -> Self {
        self.sparse = Some(sparse);
        self
    }

    /// The same with metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = metadata;
        self
    }

    /// Checks what can be known without the collection. Backends call it for each record before it is sent; a record
    /// that fails fails alone.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidInput`] when the metadata is nested deeper than 100 levels, or the dense vector
    /// holds a value that is not finite.
    pub fn validate(&self) -> Result<()> {
        validate_metadata(&self.metadata)?;
        self.dense.as_deref().map_or(Ok(()), check_finite)
    }
}

/// Metadata nested deeper than this cannot be read back from JSON everywhere (serde_json stops at 128).
const MAX_METADATA_DEPTH: usize = 100;

/// Checks that metadata can be read again once it is stored as JSON.
pub(crate) fn validate_metadata(metadata: &Map<String, Value>) -> Result<()> {
    /// Never recurses deeper than `levels`.
    fn is_deeper(value: &Value, levels: usize) -> bool {
        let Some(below) = levels.checked_sub(1) else { return value.is_array() || value.is_object() };
        match value {
            Value::Array(elements) => elements.iter().any(|value| is_deeper(value, below)),
            Value::Object(members) => members.values().any(|value| is_deeper(value, below)),
            _ => false,
        }
    }
    if metadata.values().any(|value| is_deeper(value, MAX_METADATA_DEPTH - 1)) {
        return Err(Error::invalid("the metadata is nested deeper than 100 levels"));
    }
    Ok(())
}

/// One search result. Higher scores are better on every engine: cosine and inner product as they are,
/// L2 = −d², BM25 ≥ 0, fused scores as [`fuse`](super::fuse) computes them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// The record's primary key.
    pub id: Id,
    /// The score by which hits are ordered.
    pub score: f32,
    /// The score in each leg of the query, in the order of the legs; `None` where that leg did not return it.
    /// One entry for a query without legs; empty when a server fuses and does not tell.
    pub leg_scores: Vec<Option<f32>>,
    /// The record's text; empty when not asked for.
    pub text: String,
    /// The record's metadata; empty when not asked for.
    pub metadata: Map<String, Value>,
    /// Further fields that only this engine has.
    pub fields: Map<String, Value>,
}

impl Hit {
    /// A hit of a query without legs.
    pub fn new(id: Id, score: f32) -> Self {
        Self {
            id,
            score,
            leg_scores: vec![Some(score)],
            text: String::new(),
            metadata: Map::new(),
            fields: Map::new(),
        }
    }
}

/// One stored record as a query returns it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The primary key.
    pub id: Id,
    /// The text; empty when not asked for.
    pub text: String,
    /// The metadata; empty when not asked for.
    pub metadata: Map<String, Value>,
    /// The dense vector, when asked for and present.
    pub dense: Option<Vec<f32>>,
    /// Whether the record has a dense vector (known even when the vector was not asked for).
    pub has_dense: bool,
    /// Further fields that only this engine has.
    pub fields: Map<String, Value>,
}

impl Row {
    /// A row with a key and nothing else.
    pub fn new(id: Id) -> Self {
        Self {
            id,
            text: String::new(),
            metadata: Map::new(),
            dense: None,
            has_dense: false,
            fields: Map::new(),
        }
    }
}
