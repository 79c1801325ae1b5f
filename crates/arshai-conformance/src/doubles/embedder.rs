//! An embedder that counts character n-grams.

use arshai_core::{
    Error, ErrorKind, Result,
    embed::{Embedder, EmbeddingBatch, Input},
};
use async_trait::async_trait;

/// A test double of an [`Embedder`]: each text becomes the hashed counts of its words and character trigrams,
/// scaled to unit length. The same text gives the same vector on every machine, and texts that share words are near
/// each other; it knows nothing of meaning.
///
/// # Examples
///
/// ```
/// use arshai_conformance::doubles::HashEmbedder;
/// use arshai_core::embed::EmbedderExt as _;
///
/// # async fn example() -> arshai_core::Result<()> {
/// let embedder = HashEmbedder::new(64).with_poison("never embed this");
/// assert_eq!(embedder.embed_query("hello").await?.len(), 64);
/// assert!(embedder.embed_query("never embed this").await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HashEmbedder {
    id: String,
    dimension: usize,
    poison: Option<String>,
}

impl HashEmbedder {
    /// An embedder of this dimension (at least 1), with an id that names it.
    pub fn new(dimension: usize) -> Self {
        let dimension = dimension.max(1);
        Self { id: format!("hash-{dimension}"), dimension, poison: None }
    }

    /// The same under another id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The same failing, alone, every text that contains `poison`.
    #[must_use]
    pub fn with_poison(mut self, poison: impl Into<String>) -> Self {
        self.poison = Some(poison.into());
        self
    }

    fn vector(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0_f32; self.dimension];
        let mut count = |feature: &[char], weight: f32| {
            let hash = fnv1a(feature);
            let slot = usize::try_from(hash % self.dimension as u64).unwrap_or(0);
            if let Some(value) = vector.get_mut(slot) {
                // The sign from another bit keeps unrelated texts near a cosine of 0.
                *value += if hash >> 63 == 0 { weight } else { -weight };
            }
        };
        let lower = text.to_lowercase();
        for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let characters: Vec<char> = word.chars().collect();
            count(&characters, 2.0);
            characters.windows(3).for_each(|trigram| count(trigram, 0.5));
        }
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|value| *value /= length);
        } else if let Some(first) = vector.first_mut() {
            *first = 1.0;
        }
        vector
    }
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo), over code points: std's hashers may change between releases. The final
/// mixing (splitmix64) spreads short inputs over all bits.
fn fnv1a(characters: &[char]) -> u64 {
    let hash = characters
        .iter()
        .flat_map(|c| u32::from(*c).to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[async_trait]
impl Embedder for HashEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimension(&self) -> Option<usize> {
        Some(self.dimension)
    }

    async fn embed(&self, texts: &[&str], _input: Input) -> Result<EmbeddingBatch> {
        let mut values = Vec::with_capacity(texts.len().saturating_mul(self.dimension));
        let mut failures = Vec::with_capacity(texts.len());
        for text in texts {
            let poisoned = self.poison.as_ref().is_some_and(|poison| text.contains(poison.as_str()));
            values.extend(if poisoned { vec![0.0; self.dimension] } else { self.vector(text) });
            failures.push(
                poisoned
                    .then(|| Error::new(ErrorKind::InvalidInput, "the text is the poison of this double")),
            );
        }
        EmbeddingBatch::partial(self.dimension, values, failures)
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_words_are_nearer_than_none() {
        let embedder = HashEmbedder::new(256);
        let cosine = |a: &str, b: &str| {
            let (a, b) = (embedder.vector(a), embedder.vector(b));
            a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>()
        };
        let near = cosine("how long is a memory kept", "a memory is kept for twelve hours");
        let far = cosine("how long is a memory kept", "speech files become text");
        assert!(near > far + 0.2, "near {near}, far {far}");
        assert!((cosine("x", "x") - 1.0).abs() < 1e-5);
    }
}
