//! What a collection is, and what a store can do with it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Id, Record, search::check_dimension};
use crate::{Error, ErrorKind, Result};

/// How two dense vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Metric {
    /// Cosine similarity, −1 to 1.
    Cosine,
    /// Inner product.
    #[serde(rename = "IP")]
    InnerProduct,
    /// Squared Euclidean distance; the score is its negative.
    L2,
}

impl Metric {
    /// The score of two vectors of equal length, higher is better. A zero vector has cosine 0 to everything.
    ///
    /// Vectors of finite values have a finite score, however large or small the values are, and never −0.
    pub fn score(self, a: &[f32], b: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (score, sound) = match self {
            Self::InnerProduct => (dot(a, b), true),
            Self::L2 => (-a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>(), true),
            Self::Cosine => {
                let norms = dot(a, a) * dot(b, b);
                (dot(a, b) / norms.sqrt(), norms.is_normal())
            }
        };
        // Adding 0 turns −0 into 0, so that equal scores are equal in every order.
        if sound && score.is_finite() { score + 0.0 } else { self.wide_score(a, b) }
    }

    /// The same where 32 bits are too narrow on the way.
    fn wide_score(self, a: &[f32], b: &[f32]) -> f32 {
        let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let dot = pairs().map(|(a, b)| a * b).sum::<f64>();
        let score = match self {
            Self::InnerProduct => dot,
            Self::L2 => -pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>(),
            Self::Cosine => {
                let norm = |vector: &[f32]| vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
                let norms = norm(a) * norm(b);
                if norms > 0.0 { dot / norms } else { 0.0 }
            }
        };
        score.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32 + 0.0
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cosine => "COSINE",
            Self::InnerProduct => "IP",
            Self::L2 => "L2",
        })
    }
}

/// What kind of primary key a collection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdKind {
    /// Integers chosen by the store.
    AutoInt,
    /// Integers given by the caller.
    Int,
    /// Texts given by the caller.
    Text,
}

/// A collection as a caller wants it.
///
/// # Examples
///
/// ```
/// use arshai_core::vector::CollectionSpec;
///
/// let spec = CollectionSpec::new("docs").with_dense(384).with_embedder("all-MiniLM-L6-v2");
/// assert_eq!(spec.metric, arshai_core::vector::Metric::Cosine);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CollectionSpec {
    /// The name: a letter or `_`, then letters, digits and `_`, at most 255 characters.
    pub name: String,
    /// The dense dimension; `None` for a collection without dense vectors. Default: none.
    pub dimension: Option<usize>,
    /// How dense vectors are compared. Default: cosine.
    pub metric: Metric,
    /// The kind of primary key. Default: texts given by the caller.
    pub id: IdKind,
    /// Whether records carry sparse vectors of the caller's. Default: no.
    pub sparse: bool,
    /// Whether the text can be searched (BM25). Default: yes, where the store can.
    pub text_search: bool,
    /// The id of the embedder whose vectors it holds, `Embedder::id`. Default: none.
    pub embedder: Option<String>,
    /// Field names, for engines with a schema.
    pub fields: FieldNames,
}

/// The names of a collection's fields, for engines with a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldNames {
    /// The primary key. Default: `id`.
    pub id: String,
    /// The text. Default: `text`.
    pub text: String,
    /// The dense vector. Default: `dense_vector`.
    pub dense: String,
    /// The sparse vector. Default: `sparse_vector`.
    pub sparse: String,
    /// The metadata. Default: `metadata`.
    pub metadata: String,
}

impl Default for FieldNames {
    fn default() -> Self {
        Self {
            id: "id".into(),
            text: "text".into(),
            dense: "dense_vector".into(),
            sparse: "sparse_vector".into(),
            metadata: "metadata".into(),
        }
    }
}

impl CollectionSpec {
    /// A collection of texts with text keys and no vectors.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            dimension: None,
            metric: Metric::Cosine,
            id: IdKind::Text,
            sparse: false,
            text_search: true,
            embedder: None,
            fields: FieldNames::default(),
        }
    }

    /// The same with dense vectors of `dimension`.
    #[must_use]
    pub fn with_dense(mut self, dimension: usize) -> Self {
        self.dimension = Some(dimension);
        self
    }

    /// The same with another metric.
    #[must_use]
    pub fn with_metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// The same with another kind of key.
    #[must_use]
    pub fn with_id(mut self, id: IdKind) -> Self {
        self.id = id;
        self
    }

    /// The same with sparse vectors.
    #[must_use]
    pub fn with_sparse(mut self) -> Self {
        self.sparse = true;
        self
    }

    /// The same without text search.
    #[must_use]
    pub fn without_text_search(mut self) -> Self {
        self.text_search = false;
        self
    }

    /// The same recording whose vectors it holds.
    #[must_use]
    pub fn with_embedder(mut self, id: impl Into<String>) -> Self {
        self.embedder = Some(id.into());
        self
    }

    /// Checks name and dimension.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidInput`] saying which part is wrong.
    pub fn validate(&self) -> Result<()> {
        let mut characters = self.name.chars();
        let first = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !first || self.name.len() > 255 || !characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Error::invalid(
                "a collection name is a letter or _, then letters, digits and _, at most 255 characters",
            )
            .with_context("name", self.name.escape_debug()));
        }
        if self.dimension.is_some_and(|dimension| dimension == 0 || dimension > 32_768) {
            return Err(
                Error::invalid("a dense dimension is 1 to 32768").with_context("collection", &self.name)
            );
        }
        Ok(())
    }

    /// The key under which a record that is valid in itself ([`Record::validate`]) is written here: its own, or
    /// `next_id` where the store chooses. Backends call it for each record, so that all refuse the same ones.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when its key or vectors do not fit the collection; [`ErrorKind::Exhausted`] when
    /// `next_id` is the last integer, which may be taken.
    pub fn key_for(&self, record: &Record, next_id: i64) -> Result<Id> {
        self.check_vectors(record)?;
        match (record.id.clone(), self.id) {
            (Some(Id::Text(id)), IdKind::Text) if !id.is_empty() => Ok(Id::Text(id)),
            (Some(Id::Int(id)), IdKind::Int | IdKind::AutoInt) => Ok(Id::Int(id)),
            (None, IdKind::AutoInt) if next_id == i64::MAX => {
                Err(Error::new(ErrorKind::Exhausted, "no integer key is left").with_retryable(false))
            }
            (None, IdKind::AutoInt) => Ok(Id::Int(next_id)),
            (id, kind) => Err(Error::invalid("the record's key does not fit the collection")
                .with_context(
                    "key",
                    id.map_or("none".to_owned(), |id| id.to_string().escape_debug().to_string()),
                )
                .with_context("collection", format!("{kind:?}"))),
        }
    }

    /// Whether a record's vectors fit the collection: what [`CollectionSpec::key_for`] asks beside the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when they do not.
    pub fn check_vectors(&self, record: &Record) -> Result<()> {
        match (&record.dense, self.dimension) {
            (Some(vector), Some(dimension)) => check_dimension(vector, dimension)?,
            (Some(_), None) => return Err(Error::invalid("the collection has no dense vectors")),
            (None, _) => {}
        }
        if record.sparse.is_some() && !self.sparse {
            return Err(Error::invalid("the collection has no sparse vectors"));
        }
        Ok(())
    }
}

/// A collection as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collection {
    /// Its shape. Where it differs from what was asked without being incompatible (metric, index), the store's own.
    pub spec: CollectionSpec,
    /// What was adopted from the store instead of the caller's wish, for people to read.
    pub notes: Vec<String>,
}

impl Collection {
    /// A collection of exactly this shape.
    pub fn new(spec: CollectionSpec) -> Self {
        Self { spec, notes: Vec::new() }
    }

    /// What opening an existing collection with `wanted` gives: the existing one with notes about what was
    /// adopted, or an error that shows both sides. Every backend applies this same rule.
    ///
    /// A collection that has no dense vectors yet takes the wanted dimension and embedder when
    /// `can_gain_dense` (the caller then records that); one without an embedder id adopts the caller's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`] when the dimension, the kind of key or the embedder differ.
    pub fn adopt(existing: CollectionSpec, wanted: &CollectionSpec, can_gain_dense: bool) -> Result<Self> {
        let mut this = Self::new(existing);
        // The embedder first: whether it is news depends on there being vectors.
        this.adopt_embedder(wanted)?;
        this.adopt_dimension(wanted, can_gain_dense)?;
        let differs = |what: &str, ours: &dyn fmt::Display, theirs: &dyn fmt::Display| {
            Error::new(ErrorKind::AlreadyExists, format!("the collection exists with another {what}"))
                .with_context("collection", &wanted.name)
                .with_context("asked", ours)
                .with_context("existing", theirs)
        };
        let have = &mut this.spec;
        let text_key = |kind: IdKind| kind == IdKind::Text;
        if text_key(have.id) != text_key(wanted.id) {
            return Err(differs(
                "kind of primary key",
                &format!("{:?}", wanted.id),
                &format!("{:?}", have.id),
            ));
        }
        if have.dimension.is_some() && have.metric != wanted.metric && wanted.dimension.is_some() {
            this.notes
                .push(format!("the existing metric {} is used instead of {}", have.metric, wanted.metric));
        }
        if wanted.text_search && !have.text_search {
            this.notes.push("the existing collection has no text search".into());
        }
        if wanted.sparse && !have.sparse {
            return Err(differs("set of fields", &"a sparse vector", &"no sparse vector"));
        }
        Ok(this)
    }

    fn adopt_dimension(&mut self, wanted: &CollectionSpec, can_gain_dense: bool) -> Result<()> {
        match (self.spec.dimension, wanted.dimension) {
            (Some(have), Some(want)) if have != want => {
                Err(Error::new(ErrorKind::AlreadyExists, "the collection exists with another dimension")
                    .with_context("collection", &wanted.name)
                    .with_context("asked", want)
                    .with_context("existing", have))
            }
            (None, Some(_)) if can_gain_dense => {
                self.spec.dimension = wanted.dimension;
                self.spec.metric = wanted.metric;
                Ok(())
            }
            (None, Some(want)) => {
                Err(Error::new(ErrorKind::AlreadyExists, "the collection exists without dense vectors")
                    .with_context("collection", &wanted.name)
                    .with_context("asked", want))
            }
            _ => Ok(()),
        }
    }

    fn adopt_embedder(&mut self, wanted: &CollectionSpec) -> Result<()> {
        match (&self.spec.embedder, &wanted.embedder) {
            (Some(have), Some(want)) if have != want => Err(Error::new(
                ErrorKind::AlreadyExists,
                "the collection holds vectors of another embedder; use that embedder, another collection, \
                 or drop the collection and ingest again",
            )
            .with_context("collection", &wanted.name)
            .with_context("asked", want)
            .with_context("existing", have)),
            (None, Some(want)) => {
                if self.spec.dimension.is_some() {
                    self.notes.push(format!("the collection named no embedder; it is taken to be {want}"));
                }
                self.spec.embedder = Some(want.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Numbers about a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CollectionStats {
    /// Records that a query would find.
    pub rows: u64,
    /// Of these, how many have a dense vector.
    pub dense_rows: u64,
}

impl CollectionStats {
    /// Numbers of a collection.
    pub fn new(rows: u64, dense_rows: u64) -> Self {
        Self { rows, dense_rows }
    }
}

/// What a store (or one collection of it) can do. Whatever is `false` here is refused with
/// [`crate::ErrorKind::Unsupported`] before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Dense vector search.
    pub dense: bool,
    /// Sparse vector search.
    pub sparse: bool,
    /// BM25 text search.
    pub text: bool,
    /// Hybrid search of the legs above.
    pub hybrid: bool,
    /// Typed filters.
    pub filter: bool,
    /// The engine's own filter expressions ([`crate::Filter::raw`]).
    pub raw_filter: bool,
    /// Insert-or-replace by primary key.
    pub upsert: bool,
    /// Deleting by filter, beside by id.
    pub delete_by_filter: bool,
    /// Records without a dense vector in a collection that has them.
    pub optional_dense: bool,
    /// A collection without dense vectors can gain them later.
    pub gain_dense: bool,
    /// Values survive a restart of the program.
    pub persistent: bool,
    /// Other processes see the same collections.
    pub shared: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_vectors_have_a_finite_score() {
        let [large, small, one] = [[1e30_f32, -1e30], [1e-30, -1e-30], [1.0, -1.0]];
        for (a, b) in [(large, large), (small, small), (large, small), (large, one), (small, one)] {
            assert!((Metric::Cosine.score(&a, &b) - 1.0).abs() < 1e-6, "{a:?} {b:?}");
        }
        assert_eq!(Metric::InnerProduct.score(&large, &large), f32::MAX);
        assert_eq!(Metric::L2.score(&large, &small), f32::MIN);
        assert_eq!(Metric::Cosine.score(&[0.0, 0.0], &one), 0.0);
    }

    #[test]
    fn no_score_is_negative_zero() {
        assert!(Metric::L2.score(&[1.0], &[1.0]).is_sign_positive());
        assert!(Metric::InnerProduct.score(&[-0.0], &[1.0]).is_sign_positive());
        assert!(Metric::Cosine.score(&[-0.0, 1.0], &[1.0, 0.0]).is_sign_positive());
    }

    #[test]
    fn the_last_integer_key_is_never_given_out() {
        let spec = CollectionSpec::new("c").with_id(IdKind::AutoInt);
        let record = Record::new("text");
        assert_eq!(spec.key_for(&record, 7).unwrap(), Id::Int(7));
        assert_eq!(spec.key_for(&record, i64::MAX).unwrap_err().kind(), ErrorKind::Exhausted);
    }
}
