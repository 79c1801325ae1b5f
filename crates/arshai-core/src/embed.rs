//! Turning text into dense vectors.

use std::fmt;

use async_trait::async_trait;

use crate::{Error, ErrorKind, Result};

/// What a text is for. Some models embed a question differently from a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// A text to be found.
    Document,
    /// A text to find others with.
    Query,
}

/// The embeddings of a batch of n texts: one contiguous n × dimension buffer and an outcome per text.
#[derive(Debug)]
pub struct EmbeddingBatch {
    dimension: usize,
    values: Vec<f32>,
    failures: Vec<Option<Error>>,
    /// Tokens the model counted, where it tells.
    pub tokens: Option<u64>,
}

impl EmbeddingBatch {
    /// A batch in which every text succeeded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when `values` is not `texts × dimension` long or holds a value that is not finite.
    pub fn new(texts: usize, dimension: usize, values: Vec<f32>) -> Result<Self> {
        Self::partial(dimension, values, (0..texts).map(|_| None).collect())
    }

    /// A batch in which the texts with `Some(error)` failed; their rows in `values` are ignored.
    ///
    /// # Errors
    ///
    /// As [`EmbeddingBatch::new`].
    pub fn partial(dimension: usize, values: Vec<f32>, failures: Vec<Option<Error>>) -> Result<Self> {
        let expected = failures.len().saturating_mul(dimension);
        if values.len() != expected || (dimension == 0 && failures.iter().any(Option::is_none)) {
            return Err(Error::new(ErrorKind::Protocol, "the embedder returned the wrong number of values")
                .with_context("expected", expected)
                .with_context("returned", values.len()));
        }
        let this = Self { dimension, values, failures, tokens: None };
        // Without a way out in the middle of a row, so that it is done many values at a time.
        let is_finite = |row: &[f32]| row.iter().fold(true, |all, value| all & value.is_finite());
        if !this.rows().flatten().all(is_finite) {
            return Err(Error::new(ErrorKind::Protocol, "the embedder returned a value that is not finite"));
        }
        Ok(this)
    }

    /// How many texts it covers.
    pub fn len(&self) -> usize {
        self.failures.len()
    }

    /// Whether it covers no text.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }

    /// The length of every vector; 0 only when no text succeeded.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The vector of text `position`, or why there is none; `None` past the end.
    pub fn row(&self, position: usize) -> Option<Result<&[f32], &Error>> {
        let failure = self.failures.get(position)?;
        if let Some(error) = failure {
            return Some(Err(error));
        }
        let start = position.checked_mul(self.dimension)?;
        self.values.get(start..start.checked_add(self.dimension)?).map(Ok)
    }

    /// The outcome of every text, in order.
    pub fn rows(&self) -> impl Iterator<Item = Result<&[f32], &Error>> {
        (0..self.len()).filter_map(|position| self.row(position))
    }

    /// The whole buffer, n × dimension.
    ///
    /// # Errors
    ///
    /// The first failure, when a text failed.
    pub fn into_values(self) -> Result<Vec<f32>> {
        match self.failures.into_iter().flatten().next() {
            Some(error) => Err(error),
            None => Ok(self.values),
        }
    }
}

/// A model that embeds text.
///
/// # Cancel safety
///
/// Dropping any of these futures leaves the embedder usable; work already sent to a model may still be done there.
#[async_trait]
pub trait Embedder: Send + Sync + fmt::Debug {
    /// Identifies model and weights. Vectors of two embedders with different ids are never compared.
    fn id(&self) -> &str;

    /// The length of its vectors; `None` before the first reply of a server that does not tell.
    fn dimension(&self) -> Option<usize>;

    /// Embeds `texts`, in order. One bad text fails alone; no texts is an empty batch and sends nothing.
    ///
    /// # Errors
    ///
    /// Only what concerns the whole call, such as [`ErrorKind::Unavailable`].
    async fn embed(&self, texts: &[&str], input: Input) -> Result<EmbeddingBatch>;

    /// Whether the model answers, for a readiness probe.
    async fn health(&self) -> Result<()>;

    /// Waits for what is in flight and releases connections. Closing twice is fine.
    async fn close(&self) -> Result<()>;
}

/// Strict sugar on top of [`Embedder`]; implemented for every embedder, trait objects included.
#[async_trait]
pub trait EmbedderExt: Embedder {
    /// One vector per document.
    ///
    /// # Errors
    ///
    /// The first failure of any text.
    async fn embed_documents(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let batch = self.embed(texts, Input::Document).await?;
        let dimension = batch.dimension().max(1);
        Ok(batch.into_values()?.chunks(dimension).map(<[f32]>::to_vec).collect())
    }

    /// The vector of one question.
    ///
    /// # Errors
    ///
    /// As [`Embedder::embed`], or the text's own failure.
    async fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        self.embed(&[text], Input::Query).await?.into_values()
    }
}

impl<E: Embedder + ?Sized> EmbedderExt for E {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked() {
        assert!(EmbeddingBatch::new(2, 3, vec![0.0; 6]).is_ok());
        assert!(EmbeddingBatch::new(2, 3, vec![0.0; 5]).is_err());
        assert!(EmbeddingBatch::new(1, 1, vec![f32::NAN]).is_err());
        assert!(EmbeddingBatch::new(0, 0, Vec::new()).is_ok());
    }

    #[test]
    fn a_failed_text_does_not_fail_its_neighbours() {
        let failures = vec![None, Some(Error::invalid("too long")), None];
        let batch = EmbeddingBatch::partial(1, vec![1.0, 0.0, 3.0], failures).unwrap();
        let values: Vec<_> = batch.rows().map(|row| row.ok().map(<[f32]>::to_vec)).collect();
        assert_eq!(values, [Some(vec![1.0]), None, Some(vec![3.0])]);
        assert!(batch.into_values().is_err());
    }
}
