//! Settings of an embedder.

use std::{fmt, sync::Arc};

use arshai_core::Result;

use super::tokens;

/// Settings of an [`OpenAiEmbedder`](crate::OpenAiEmbedder).
///
/// # Examples
///
/// ```
/// use arshai_openai::{EmbedderConfig, TooLong};
///
/// let config = EmbedderConfig::minilm().with_too_long(TooLong::Truncate);
/// assert_eq!(config.limits.tokens_per_input, 512);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmbedderConfig {
    /// Texts in one request. Default: 100.
    pub batch_size: usize,
    /// Batches of one call in flight at once. Default: that of the transport
    /// ([`OpenAiConfig::batch_concurrency`](crate::OpenAiConfig::batch_concurrency)).
    pub batch_concurrency: Option<usize>,
    /// What the server accepts. Default: [`EmbeddingLimits::OPENAI`].
    pub limits: EmbeddingLimits,
    /// What happens to a text that is too long. Default: [`TooLong::Error`].
    pub too_long: TooLong,
    /// How tokens are counted. Default: an estimate that knows no model.
    pub tokens: TokenCounter,
    /// The length of vectors to ask for, where the model can shorten them. Default: the model's own.
    pub dimensions: Option<usize>,
    /// Put before every document, such as `passage: ` for E5. Default: nothing.
    pub document_prefix: String,
    /// Put before every question, such as `query: ` for E5. Default: nothing.
    pub query_prefix: String,
    /// The embedder's id. Default: `openai:` and the model, with the dimensions and prefixes when they are set.
    pub id: Option<String>,
}

/// What a server accepts at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddingLimits {
    /// Tokens of one text.
    pub tokens_per_input: usize,
    /// Texts of one request.
    pub inputs_per_request: usize,
    /// Tokens of all texts of one request.
    pub tokens_per_request: usize,
}

impl EmbeddingLimits {
    /// OpenAI and Azure: 8,192 tokens a text, 2,048 texts and 300,000 tokens a request.
    pub const OPENAI: Self =
        Self { tokens_per_input: 8192, inputs_per_request: 2048, tokens_per_request: 300_000 };
    /// MiniLM and its like on a server of one's own: 512 tokens a text.
    pub const MINILM: Self =
        Self { tokens_per_input: 512, inputs_per_request: 2048, tokens_per_request: 65_536 };
}

/// What happens to a text with more tokens than the model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TooLong {
    /// It fails alone. It is sent when it might fit, and the server decides.
    #[default]
    Error,
    /// Its beginning is embedded.
    Truncate,
    /// Its parts are embedded; its vector is their mean, weighted by tokens and normalised.
    SplitAndMean,
}

/// How the tokens of a text are counted.
#[derive(Clone)]
pub struct TokenCounter(Arc<dyn Fn(&str) -> usize + Send + Sync>);

impl TokenCounter {
    /// An exact count by the model's own tokenizer.
    pub fn new(count: impl Fn(&str) -> usize + Send + Sync + 'static) -> Self {
        Self(Arc::new(count))
    }

    pub(super) fn count(&self, text: &str) -> usize {
        (self.0)(text)
    }
}

impl Default for TokenCounter {
    fn default() -> Self {
        Self::new(tokens::estimate)
    }
}

impl fmt::Debug for TokenCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCounter")
    }
}

impl Default for EmbedderConfig {
    fn default() -> Self {
        Self {
            batch_size: 100,
            batch_concurrency: None,
            limits: EmbeddingLimits::OPENAI,
            too_long: TooLong::default(),
            tokens: TokenCounter::default(),
            dimensions: None,
            document_prefix: String::new(),
            query_prefix: String::new(),
            id: None,
        }
    }
}

impl EmbedderConfig {
    /// For MiniLM and its like on a server of one's own.
    pub fn minilm() -> Self {
        Self { limits: EmbeddingLimits::MINILM, ..Self::default() }
    }

    /// The same with another batch size.
    #[must_use]
    pub fn with_batch_size(mut self, texts: usize) -> Self {
        self.batch_size = texts;
        self
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: EmbeddingLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with another way of treating long texts.
    #[must_use]
    pub fn with_too_long(mut self, too_long: TooLong) -> Self {
        self.too_long = too_long;
        self
    }

    /// The same with vectors of this length.
    #[must_use]
    pub fn with_dimensions(mut self, dimensions: usize) -> Self {
        self.dimensions = Some(dimensions);
        self
    }

    /// The same with texts put before documents and questions.
    #[must_use]
    pub fn with_prefixes(mut self, document: impl Into<String>, query: impl Into<String>) -> Self {
        (self.document_prefix, self.query_prefix) = (document.into(), query.into());
        self
    }

    /// The same with an id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        let limits = &self.limits;
        let counts = [
            ("batch_size", self.batch_size),
            ("batch_concurrency", self.batch_concurrency.unwrap_or(1)),
            ("dimensions", self.dimensions.unwrap_or(1)),
            ("limits.tokens_per_input", limits.tokens_per_input),
            ("limits.inputs_per_request", limits.inputs_per_request),
            ("limits.tokens_per_request", limits.tokens_per_request),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(crate::config::bad(name, "it must be at least 1")),
            None if self.id.as_deref() == Some("") => Err(crate::config::bad("id", "it must not be empty")),
            None => Ok(()),
        }
    }

    /// Vectors of another length or behind another prefix are not to be compared.
    pub(super) fn default_id(&self, model: &str) -> String {
        let mut id = format!("openai:{model}");
        if let Some(dimensions) = self.dimensions {
            id.push_str(&format!("@{dimensions}"));
        }
        if !self.document_prefix.is_empty() || !self.query_prefix.is_empty() {
            id.push_str(&format!("+{:?}+{:?}", self.document_prefix, self.query_prefix));
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_vectors_changes_the_id() {
        let plain = EmbedderConfig::default();
        let ids = [
            plain.default_id("m"),
            plain.clone().with_dimensions(256).default_id("m"),
            plain.clone().with_prefixes("passage: ", "query: ").default_id("m"),
        ];
        assert_eq!(ids.first().map(String::as_str), Some("openai:m"));
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    }

    #[test]
    fn zero_is_refused_by_name() {
        let error = EmbedderConfig::default().with_batch_size(0).validate().unwrap_err();
        assert!(error.to_string().contains("batch_size"), "{error}");
    }
}
