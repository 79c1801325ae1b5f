//! Settings of a chat model.

use arshai_core::chat::ChatCapabilities;
use serde_json::{Map, Value};

/// Settings of an [`OpenAiChat`](crate::OpenAiChat).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChatConfig {
    /// Randomness of requests that do not say. Default: the model's own.
    pub temperature: Option<f32>,
    /// Tokens of a reply at most, for requests that do not say. Default: the model's own.
    pub max_tokens: Option<u32>,
    /// Under which name that is sent. Default: [`TokenLimitField::Auto`].
    pub token_limit_field: TokenLimitField,
    /// Whether the model may ask for several tools at once. Default: as the server likes.
    pub parallel_tool_calls: Option<bool>,
    /// Whether the server is asked to follow a schema to the letter; OpenAI then takes only schemas in which every
    /// property is required and nothing else is allowed. Default: true.
    pub strict_schema: bool,
    /// What the model can do; what it cannot is refused unsent. Default: tools, streaming, structured output.
    pub capabilities: ChatCapabilities,
    /// Further fields of every request, such as `seed` or `reasoning_effort`. They win over arshai's own, but for
    /// `stream` and `stream_options`. Default: none.
    pub extra: Map<String, Value>,
}

/// The name of the limit of a reply's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TokenLimitField {
    /// `max_completion_tokens` for OpenAI and Azure, whose newer models take nothing else; `max_tokens` for others.
    #[default]
    Auto,
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

impl Default for ChatConfig {
    fn default() -> Self {
        Self {
            temperature: None,
            max_tokens: None,
            token_limit_field: TokenLimitField::default(),
            parallel_tool_calls: None,
            strict_schema: true,
            capabilities: ChatCapabilities::default().with_tools().with_streaming().with_structured_output(),
            extra: Map::new(),
        }
    }
}

impl ChatConfig {
    /// The same with a limit of the reply's tokens.
    #[must_use]
    pub fn with_max_tokens(mut self, tokens: u32) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// The same with another randomness.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// The same with other capabilities, for a model that has no tools, say.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: ChatCapabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The same with one more field in every request.
    #[must_use]
    pub fn with_extra(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(name.into(), value.into());
        self
    }
}
