//! The contract of a chat model.

use std::{fmt, pin::Pin};

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ChatMessage, ToolCall};
use crate::{Error, ErrorKind, Result, tool::ToolDefinition};

/// What a model is asked.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ChatRequest {
    /// The conversation, oldest first.
    pub messages: Vec<ChatMessage>,
    /// The tools it may call. Default: none.
    pub tools: Vec<ToolDefinition>,
    /// Whether it may, must or must not call them. Default: may.
    pub tool_choice: ToolChoice,
    /// Randomness, 0 to 2. Default: the model's own.
    pub temperature: Option<f32>,
    /// At most this many tokens in the reply. Default: the model's own.
    pub max_tokens: Option<u32>,
    /// A JSON Schema the reply must follow. Default: free text.
    pub response_schema: Option<Value>,
}

impl ChatRequest {
    /// A request of these messages.
    pub fn new(messages: Vec<ChatMessage>) -> Self {
        Self { messages, ..Self::default() }
    }

    /// The same with tools.
    #[must_use]
    pub fn with_tools(mut self, tools: Vec<ToolDefinition>) -> Self {
        self.tools = tools;
        self
    }

    /// The same with another tool choice.
    #[must_use]
    pub fn with_tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = choice;
        self
    }
}

/// Whether a model may call tools.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must call some tool.
    Required,
}

/// What using a model cost, in its own tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

impl Usage {
    /// Tokens read and written.
    pub fn total_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// It was done.
    Stop,
    /// It wants tools called.
    ToolCalls,
    /// It reached the token limit; the text is incomplete.
    Length,
    /// A filter of the provider stopped it.
    ContentFilter,
    /// Something the provider names otherwise.
    Other,
}

/// A whole reply.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatReply {
    /// The words.
    pub text: String,
    /// The tools it wants called.
    pub tool_calls: Vec<ToolCall>,
    /// What it cost, where the model tells.
    pub usage: Option<Usage>,
    /// Why it stopped.
    pub finish: Finish,
}

/// One piece of a streamed reply.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ChatEvent {
    /// More words.
    Text(String),
    /// A whole tool call.
    ToolCall(ToolCall),
    /// The end of a complete reply; nothing follows.
    Done {
        /// What it cost, where the model tells.
        usage: Option<Usage>,
        /// Why it stopped.
        finish: Finish,
    },
}

/// A reply as it is written. It ends well only with [`ChatEvent::Done`]; a stream that ends without it was
/// truncated, which its last item says as [`ErrorKind::Truncated`].
pub type ChatStream = Pin<Box<dyn Stream<Item = Result<ChatEvent>> + Send>>;

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ChatCapabilities {
    /// It can call tools.
    pub tools: bool,
    /// Its reply arrives in pieces as it is written.
    pub streaming: bool,
    /// It can follow a JSON Schema.
    pub structured_output: bool,
}

impl ChatCapabilities {
    /// The same with tools.
    #[must_use]
    pub fn with_tools(mut self) -> Self {
        self.tools = true;
        self
    }

    /// The same with streaming.
    #[must_use]
    pub fn with_streaming(mut self) -> Self {
        self.streaming = true;
        self
    }

    /// The same with structured output.
    #[must_use]
    pub fn with_structured_output(mut self) -> Self {
        self.structured_output = true;
        self
    }
}

/// A language model.
///
/// # Cancel safety
///
/// Dropping any of these futures or streams leaves the model usable; tokens already written may still be billed.
#[async_trait]
pub trait ChatModel: Send + Sync + fmt::Debug {
    /// Identifies the model, such as `extractive` or `openai:gpt-…`.
    fn id(&self) -> &str;

    /// What it can do.
    fn capabilities(&self) -> ChatCapabilities;

    /// A reply as it is written. A model that cannot stream sends it in one piece.
    ///
    /// # Errors
    ///
    /// What kept the reply from beginning; later failures are items of the stream.
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream>;

    /// A whole reply. By default, the collected stream.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Truncated`] when the reply broke off.
    async fn chat(&self, request: ChatRequest) -> Result<ChatReply> {
        let mut stream = self.stream(request).await?;
        let mut reply =
            ChatReply { text: String::new(), tool_calls: Vec::new(), usage: None, finish: Finish::Other };
        while let Some(event) = stream.next().await {
            match event? {
                ChatEvent::Text(text) => reply.text.push_str(&text),
                ChatEvent::ToolCall(call) => reply.tool_calls.push(call),
                ChatEvent::Done { usage, finish } => {
                    reply.usage = usage;
                    reply.finish = finish;
                    return Ok(reply);
                }
            }
        }
        Err(Error::new(ErrorKind::Truncated, "the reply ended before its end").with_operation("chat"))
    }

    /// Whether the model answers, for a readiness probe.
    async fn health(&self) -> Result<()>;

    /// Waits for what is in flight and releases connections. Closing twice is fine.
    async fn close(&self) -> Result<()>;
}

/// Sugar on top of [`ChatModel`].
#[async_trait]
pub trait ChatModelExt: ChatModel {
    /// Asks one question with a system prompt.
    ///
    /// # Errors
    ///
    /// As [`ChatModel::chat`].
    async fn ask(&self, system: &str, question: &str) -> Result<ChatReply> {
        let messages = vec![
            ChatMessage::System(system.to_owned()),
            ChatMessage::User(super::UserMessage::new(question)),
        ];
        self.chat(ChatRequest::new(messages)).await
    }
}

impl<M: ChatModel + ?Sized> ChatModelExt for M {}
