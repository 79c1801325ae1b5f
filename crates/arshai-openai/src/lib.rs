//! Chat and embeddings of arshai for any endpoint that speaks OpenAI's protocol: OpenAI, Azure OpenAI, and self-hosted
//! servers such as llama.cpp, vLLM, Ollama and LocalAI.
//!
//! * [`OpenAiConfig`]: where the server is and how it is spoken to; [`OpenAiConfig::from_env`]
//! * [`OpenAiEmbedder`]: an [`Embedder`](arshai_core::embed::Embedder) that batches, retries, and finds the one bad text
//! * [`OpenAiChat`]: a [`ChatModel`](arshai_core::chat::ChatModel), whole or streamed, with tools and structured output
//! * [`Transport`]: connections, limits and budget that several models share
//!
//! # What is retried
//!
//! Failing to connect, a connection that breaks, an attempt that takes too long, a reply that ends too early, and the
//! statuses 408, 409, 429 and 5xx (but 501), whatever their body. Not retried: a quota that is used up, and what the
//! server forbids to retry (`x-should-retry: false`, or a `retry-after` beyond [`OpenAiConfig::longest_retry_after`]).
//! Waits are what the server asks for, otherwise full jitter over a doubling window. A reply that streams is retried
//! until its headers only. An error inside a reply that began with 200 is retried when its code or type says that it
//! may go away.
//!
//! # What never happens
//!
//! Keys and prompts are in no error, log or span (content is in spans when [`OpenAiConfig::capture_content`] says so).
//! Redirects are not followed. A key does not travel in plaintext to another machine unless allowed by name. No wait is
//! without end, and no reply without bound.
//!
//! # Examples
//!
//! ```no_run
//! use arshai_core::{chat::ChatModelExt as _, embed::EmbedderExt as _};
//! use arshai_openai::{OpenAiChat, OpenAiConfig, OpenAiEmbedder, Transport};
//!
//! # async fn example() -> arshai_core::Result<()> {
//! let transport = Transport::new(OpenAiConfig::from_env()?)?;
//! let embedder = OpenAiEmbedder::new(transport.clone(), "text-embedding-3-small")?;
//! let vector = embedder.embed_query("How long is a conversation kept?").await?;
//! let model = OpenAiChat::new(transport, "gpt-4.1-mini")?;
//! let reply = model.ask("Answer in one sentence.", "What is a vector?").await?;
//! println!("{} values; {}", vector.len(), reply.text);
//! # Ok(())
//! # }
//! ```

mod chat;
mod config;
mod embed;
mod provider;
mod span;
mod transport;

pub use chat::{
    ChatConfig, DetailedReply, DetailedStream, Image, ImageDetail, OpenAiChat, StreamPart, Structured,
    TokenLimitField,
};
pub use config::{Azure, OpenAiConfig, RateBudget};
pub use embed::{EmbedderConfig, EmbeddingLimits, OpenAiEmbedder, TokenCounter, TooLong};
pub use provider::{embedder_provider, model_provider};
pub use transport::Transport;

#[doc(hidden)]
pub use chat::Events;
#[doc(hidden)]
pub use transport::{Api, Body, Call, Gate, Pass, Reply, Shape, opening};
