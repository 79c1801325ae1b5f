//! Finding passages.

use arshai_core::{
    Error, Filter, Result,
    embed::EmbedderExt as _,
    text::{content_terms, query_terms},
    tool::LegScores,
    vector::{Consistency, Fusion, Hit, Leg, Metric, Query, Search},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{KnowledgeBase, base::View, metadata};

/// How the orders by words and by meaning become one in a hybrid search: reciprocal rank fusion with equal weights and
/// k = 5, so that the best passage of either stays near the top even when the other does not find it. The best of those
/// tried by `cargo xtask bench retrieval` on manual pages, whose titles were the questions.
pub fn default_fusion() -> Fusion {
    Fusion::Rrf { k: 5.0, weights: Vec::new() }
}

/// In a hybrid search with an English question, words count for a passage that holds at least this share of the
/// question's content words. Passages that share one word by chance would otherwise push aside what the meaning finds.
/// Of other languages the words without content are not known, so there every hit counts.
pub const DEFAULT_MIN_MATCH: f32 = 0.5;

/// How passages are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// By words and by meaning.
    Hybrid,
    /// By meaning: dense vectors.
    Dense,
    /// By words: BM25.
    Lexical,
}

impl Mode {
    /// `hybrid`, `dense` or `lexical`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Dense => "dense",
            Self::Lexical => "lexical",
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Hybrid, Self::Dense, Self::Lexical].into_iter().find(|mode| mode.name() == text).ok_or_else(
            || {
                Error::invalid("a search mode is hybrid, dense or lexical")
                    .with_context("given", text.escape_debug())
            },
        )
    }
}

/// What is searched, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchOptions {
    /// At most this many hits. Default: 5.
    pub limit: usize,
    /// How. Default: hybrid where the collection and the embedder can, else what they can.
    pub mode: Option<Mode>,
    /// Only chunks for which this holds. Default: all.
    pub filter: Option<Filter>,
    /// How the orders by words (first) and by meaning (second) become one in a hybrid search.
    /// Default: [`default_fusion`].
    pub fusion: Fusion,
    /// Which writes are seen. Default: [`Consistency::Session`].
    pub consistency: Consistency,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            limit: 5,
            mode: None,
            filter: None,
            fusion: default_fusion(),
            consistency: Consistency::default(),
        }
    }
}

impl SearchOptions {
    /// The same with another limit.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The same with a mode, or with the choice left open.
    #[must_use]
    pub fn with_mode(mut self, mode: impl Into<Option<Mode>>) -> Self {
        self.mode = mode.into();
        self
    }

    /// The same with a filter.
    #[must_use]
    pub fn with_filter(mut self, filter: impl Into<Option<Filter>>) -> Self {
        self.filter = filter.into();
        self
    }

    /// The same with another fusion of words (first) and meaning (second).
    #[must_use]
    pub fn with_fusion(mut self, fusion: Fusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// The same with another consistency.
    #[must_use]
    pub fn with_consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }
}

/// What was found. Serialises to what `arshai search --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SearchResult {
    /// The mode that was used.
    pub mode: Mode,
    /// Best first.
    pub hits: Vec<SearchHit>,
    /// One line for people, when the choice of the mode was not the best one.
    #[serde(skip)]
    pub note: Option<String>,
}

/// A passage that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SearchHit {
    /// The chunk's key.
    pub id: String,
    /// The document; empty when the record names none.
    pub source: String,
    /// Higher is better. Comparable within one search only.
    pub score: f32,
    /// What each way of searching said of it.
    pub legs: LegScores,
    /// The chunk.
    pub text: String,
    /// The chunk's metadata.
    pub metadata: Map<String, Value>,
}

impl SearchHit {
    fn new(hit: Hit, mode: Mode, metric: Metric) -> Self {
        let source =
            hit.metadata.get(metadata::SOURCE).and_then(Value::as_str).unwrap_or_default().to_owned();
        let leg = |position| hit.leg_scores.get(position).copied().flatten();
        let legs = match mode {
            Mode::Lexical => LegScores { lexical: Some(hit.score), dense: None },
            Mode::Dense => LegScores { lexical: None, dense: Some(hit.score) },
            // In the order in which [`KnowledgeBase::query`] asks them.
            Mode::Hybrid => LegScores { lexical: leg(0), dense: leg(1) },
        };
        let legs = LegScores { dense: legs.dense.filter(|_| metric == Metric::Cosine), ..legs };
        let Hit { id, score, text, metadata, .. } = hit;
        Self { id: id.to_string(), source, score, legs, text, metadata }
    }
}

impl KnowledgeBase {
    /// Finds the passages that answer `query` best. The query is data: nothing in it is an operator.
    ///
    /// # Errors
    ///
    /// [`arshai_core::ErrorKind::NotFound`] when the collection does not exist;
    /// [`arshai_core::ErrorKind::Unsupported`] naming what is missing when the mode asked for, or any mode, is not
    /// possible; [`arshai_core::ErrorKind::InvalidInput`] for an empty query or a limit of 0;
    /// [`arshai_core::ErrorKind::AlreadyExists`] when the collection holds vectors of another embedder.
    ///
    /// # Cancel safety
    ///
    /// Reads only.
    pub async fn search(&self, query: &str, options: &SearchOptions) -> Result<SearchResult> {
        if query.trim().is_empty() {
            return Err(Error::invalid("the query is empty; say what to look for")
                .with_operation("knowledge_base.search"));
        }
        let view = self.view().await?;
        let (mode, note) = self.choose(&view, options.mode)?;
        let metric = view.collection.spec.metric;
        let query = self.query(query, mode, &options.fusion).await?;
        let search = Search::new(query)
            .limit(options.limit)
            .filter(options.filter.clone())
            .consistency(options.consistency);
        let mut lists = self.store.search(&self.collection, &search).await?;
        let hits = lists
            .pop()
            .unwrap_or_default()
            .into_iter()
            .map(|hit| SearchHit::new(hit, mode, metric))
            .collect();
        Ok(SearchResult { mode, hits, note })
    }

    fn choose(&self, view: &View, wanted: Option<Mode>) -> Result<(Mode, Option<String>)> {
        let can = &view.capabilities;
        let lexical = if can.text { Ok(()) } else { Err("the collection has no text search") };
        let dense = match (&self.embedder, view.collection.spec.dimension) {
            (None, _) => Err("no embedder is set"),
            (_, None) => Err("the collection holds no vectors; ingest again with the embedder"),
            (Some(_), Some(_)) if !can.dense => Err("the collection has no dense search"),
            (Some(_), Some(_)) => Ok(()),
        };
        let fused = if can.hybrid { Ok(()) } else { Err("the store has no hybrid search") };
        let hybrid = dense.and(lexical).and(fused);
        let refused = |missing: &'static str| {
            Error::unsupported(missing)
                .with_operation("knowledge_base.search")
                .with_context("collection", &self.collection)
                .with_context("mode", wanted.map_or("any", Mode::name))
        };
        match (wanted, hybrid, dense, lexical) {
            (Some(Mode::Hybrid), result, _, _)
            | (Some(Mode::Dense), _, result, _)
            | (Some(Mode::Lexical), _, _, result) => {
                result.map_err(refused)?;
                Ok((wanted.unwrap_or(Mode::Hybrid), None))
            }
            (None, Ok(()), _, _) => Ok((Mode::Hybrid, None)),
            (None, Err(missing), Ok(()), _) => {
                Ok((Mode::Dense, Some(format!("searched by meaning only: {missing}"))))
            }
            (None, Err(missing), _, Ok(())) => {
                Ok((Mode::Lexical, Some(format!("searched by words only: {missing}"))))
            }
            (None, _, Err(no_dense), Err(no_text)) => {
                Err(refused("the collection cannot be searched by words nor by meaning")
                    .with_context("words", no_text)
                    .with_context("meaning", no_dense))
            }
        }
    }

    async fn query(&self, query: &str, mode: Mode, fusion: &Fusion) -> Result<Query> {
        let Some(embedder) = self.embedder.as_ref().filter(|_| mode != Mode::Lexical) else {
            return Ok(Query::text(query));
        };
        let vector = embedder.embed_query(query).await?;
        Ok(match mode {
            Mode::Dense => Query::dense(vector),
            _ => Query::hybrid(vec![words(query), Leg::dense(vector)], fusion.clone()),
        })
    }
}

/// The leg that looks for words.
fn words(query: &str) -> Leg {
    let leg = Leg::text(query);
    match reads_as_english(query) {
        true => leg.min_match(DEFAULT_MIN_MATCH),
        false => leg,
    }
}

/// Whether the words that carry no content are known, as those of English are: some were found, and nothing but ASCII.
fn reads_as_english(query: &str) -> bool {
    let terms = query_terms(query);
    terms.iter().all(|term| term.is_ascii()) && content_terms(query).len() < terms.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_must_match_only_where_it_is_known_which_ones_matter() {
        assert_eq!(words("How long is green tea steeped?").min_match, Some(DEFAULT_MIN_MATCH));
        for other in ["工资什么时候到账？", "Où est la clé ?", "ZQ-4471", "green tea"] {
            assert_eq!(words(other).min_match, None, "{other}");
        }
    }
}
