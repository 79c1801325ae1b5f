//! Chat.

mod config;
mod form;
mod image;
mod loose;
mod reply;
mod request;
mod sse;
mod stream;
mod structured;
mod tools;

use std::{fmt, pin::Pin, sync::Arc};

use arshai_core::{
    Deadline, Error, ErrorKind, Result,
    chat::{ChatCapabilities, ChatEvent, ChatModel, ChatReply, ChatRequest, ChatStream, ToolChoice},
};
use async_trait::async_trait;
use futures_core::Stream;
use futures_util::StreamExt as _;
use serde_json::Value;
use tracing::Instrument as _;

pub use config::{ChatConfig, TokenLimitField};
pub use image::{Image, ImageDetail};
pub use reply::DetailedReply;
pub use sse::Events;
pub use stream::StreamPart;
pub use structured::Structured;

use crate::{
    span,
    transport::{Call, Gate, Refusal, Transport},
};

const CHAT: &str = "openai.chat";
const STREAM: &str = "openai.chat.stream";
const HEALTH: &str = "openai.chat.health";
const CLOSE: &str = "openai.chat.close";

/// A streamed reply with everything the server tells.
pub type DetailedStream = Pin<Box<dyn Stream<Item = Result<StreamPart>> + Send>>;

/// A language model on any server that speaks OpenAI's protocol.
///
/// Whole or streamed, with tools (several at once), images and structured output. What a model thinks before it answers
/// is kept apart from the answer: [`OpenAiChat::detailed`] and [`OpenAiChat::detailed_stream`] tell it. Why a model
/// declines they tell apart too; as a [`ChatModel`] it says it in place of the answer.
///
/// A stream that ends without its end marker (`[DONE]`, or a finish reason and the proper end of the body) is
/// [`ErrorKind::Truncated`]. A server that does not stream and sends a whole reply instead is understood: the reply comes
/// in one piece. Dropping a stream stops the request.
///
/// # Cancel safety
///
/// Dropping a call leaves the model usable; the server may bill what it has written.
///
/// # Examples
///
/// ```no_run
/// use arshai_core::chat::{ChatEvent, ChatMessage, ChatModel as _, ChatRequest, UserMessage};
/// use arshai_openai::{OpenAiChat, OpenAiConfig, Transport};
/// use futures_util::StreamExt as _;
///
/// # async fn example() -> arshai_core::Result<()> {
/// let model = OpenAiChat::new(Transport::new(OpenAiConfig::from_env()?)?, "gpt-4.1-mini")?;
/// let question = ChatMessage::User(UserMessage::new("What is a vector?"));
/// let mut reply = model.stream(ChatRequest::new(vec![question])).await?;
/// while let Some(event) = reply.next().await {
///     if let ChatEvent::Text(text) = event? {
///         print!("{text}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct OpenAiChat {
    transport: Transport,
    model: String,
    id: String,
    config: ChatConfig,
    gate: Arc<Gate>,
}

impl OpenAiChat {
    /// A model of this name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for an empty model.
    pub fn new(transport: Transport, model: impl Into<String>) -> Result<Self> {
        Self::with_config(transport, model, ChatConfig::default())
    }

    /// A model of this name with other settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the setting that is wrong.
    pub fn with_config(transport: Transport, model: impl Into<String>, config: ChatConfig) -> Result<Self> {
        let model = model.into();
        if model.trim().is_empty() {
            return Err(crate::config::bad("model", "the model must have a name"));
        }
        let id = format!("openai:{model}");
        Ok(Self { transport, model, id, config, gate: Arc::new(Gate::new()) })
    }

    /// The transport it sends through.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// A whole reply with everything the server tells. `images` go with the last message of the person.
    ///
    /// # Errors
    ///
    /// As [`ChatModel::chat`].
    ///
    /// # Cancel safety
    ///
    /// As [`OpenAiChat`].
    pub async fn detailed(&self, request: ChatRequest, images: &[Image]) -> Result<DetailedReply> {
        let deadline = Deadline::current_or(self.transport.config().total_timeout);
        let _pass = self.gate.enter(CHAT, deadline).await?;
        let span = self.span(&request);
        let asked = Box::pin(deadline.scope(self.ask(&request, images))).instrument(span.clone());
        let outcome = asked.await.map_err(|error| error.with_operation(CHAT));
        match &outcome {
            Ok(reply) => {
                let finish = Some(reply.finish_reason.as_str());
                span::replied(&span, reply.id.as_deref(), reply.model.as_deref(), finish, reply.reply.usage);
                if self.transport.config().capture_content {
                    span.record("gen_ai.output.messages", reply.reply.text.as_str());
                }
            }
            Err(error) => span::failed(&span, error),
        }
        outcome
    }

    /// A reply as it is written, with everything the server tells. `images` go with the last message of the person.
    ///
    /// # Errors
    ///
    /// As [`ChatModel::stream`].
    ///
    /// # Cancel safety
    ///
    /// As [`OpenAiChat`]. The stream itself loses nothing when the future of its next item is dropped.
    pub async fn detailed_stream(&self, request: ChatRequest, images: &[Image]) -> Result<DetailedStream> {
        let deadline = Deadline::current_or(self.transport.config().total_timeout);
        let pass = self.gate.enter(STREAM, deadline).await?;
        let span = self.span(&request);
        let opened = Box::pin(self.open(&request, images, deadline)).instrument(span.clone()).await;
        let body = opened.map_err(|error| error.with_operation(STREAM)).inspect_err(|error| {
            span::failed(&span, error);
        })?;
        let forbids_tools = request.tool_choice == ToolChoice::None || request.tools.is_empty();
        let reader = stream::Reader::new(body, self.transport.clone(), span, pass, forbids_tools);
        Ok(reader.into_stream())
    }

    fn span(&self, request: &ChatRequest) -> tracing::Span {
        let endpoint = self.transport.endpoint();
        let max_tokens = request.max_tokens.or(self.config.max_tokens);
        let temperature = request.temperature.or(self.config.temperature);
        let span = span::chat(endpoint, &self.model, temperature, max_tokens);
        if self.transport.config().capture_content && !span.is_disabled() {
            // An image is left out: it would be the larger part of the span.
            let body = request::body(request, &[], &self.config, &self.model, true);
            let messages = body.ok().and_then(|body| body.get("messages").map(Value::to_string));
            span.record("gen_ai.input.messages", messages.unwrap_or_default());
        }
        span
    }

    async fn ask(&self, request: &ChatRequest, images: &[Image]) -> Result<DetailedReply> {
        let mut body = request::body(request, images, &self.config, &self.model, self.new_field())?;
        body.insert("stream".to_owned(), false.into());
        let forbids_tools = request.tool_choice == ToolChoice::None || request.tools.is_empty();
        let transport = self.transport.clone();
        let decode = move |reply: crate::transport::Reply| {
            reply::decode(&reply.body, forbids_tools, |error| transport.reported(error))
        };
        let make = |api: crate::transport::Api| async move { api.chat().create_byot::<_, ()>(body).await };
        Box::pin(self.transport.call(self.call(CHAT, request), decode, make)).await
    }

    /// Opens a stream. A server that refuses to be asked for usage is asked again without, now and from then on.
    async fn open(
        &self,
        request: &ChatRequest,
        images: &[Image],
        deadline: Deadline,
    ) -> Result<crate::transport::Body> {
        let quirks = self.transport.quirks();
        let mut asks_usage = quirks.takes_stream_options();
        loop {
            let mut body = request::body(request, images, &self.config, &self.model, self.new_field())?;
            body.insert("stream".to_owned(), true.into());
            if asks_usage {
                body.insert("stream_options".to_owned(), serde_json::json!({ "include_usage": true }));
            }
            let make =
                |api: crate::transport::Api| async move { api.chat().create_byot::<_, ()>(body).await };
            let mut call = self.call(STREAM, request);
            // The headers of a stream come at once; it is the whole reply that takes long.
            call.timeout = Some(self.transport.config().request_timeout.min(deadline.remaining()));
            match Box::pin(self.transport.open(call, make)).await {
                Err(error) if asks_usage && is_about(&error, "stream_options") => asks_usage = false,
                Ok(body) if !asks_usage => {
                    // Only now: words of the prompt that the server repeated may have named the field.
                    quirks.refuse_stream_options();
                    return Ok(body);
                }
                outcome => return outcome,
            }
        }
    }

    fn call(&self, operation: &'static str, request: &ChatRequest) -> Call {
        let mut call = Call::new(operation, &self.model);
        call.tokens = request::tokens(request, &self.config);
        call
    }

    fn new_field(&self) -> bool {
        match self.config.token_limit_field {
            TokenLimitField::MaxTokens => false,
            TokenLimitField::MaxCompletionTokens => true,
            TokenLimitField::Auto => self.transport.endpoint().is_first_party,
        }
    }
}

fn is_about(error: &Error, field: &str) -> bool {
    error.kind() == ErrorKind::InvalidInput
        && Refusal::of(error).is_some_and(|refusal| refusal.is_about(field))
}

#[async_trait]
impl ChatModel for OpenAiChat {
    fn id(&self) -> &str {
        &self.id
    }

    fn capabilities(&self) -> ChatCapabilities {
        self.config.capabilities
    }

    async fn stream(&self, request: ChatRequest) -> Result<ChatStream> {
        let parts = self.detailed_stream(request, &[]).await?;
        let events = parts.filter_map(|part| async move {
            match part {
                // A person is to read why there is no answer.
                Ok(StreamPart::Text(text) | StreamPart::Refusal(text)) => Some(Ok(ChatEvent::Text(text))),
                Ok(StreamPart::ToolCall(call)) => Some(Ok(ChatEvent::ToolCall(call))),
                Ok(StreamPart::Done { usage, finish, .. }) => Some(Ok(ChatEvent::Done { usage, finish })),
                Ok(StreamPart::Reasoning(_)) => None,
                Err(error) => Some(Err(error)),
            }
        });
        Ok(Box::pin(events))
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatReply> {
        let mut detailed = self.detailed(request, &[]).await?;
        if detailed.reply.text.is_empty() {
            // A person is to read why there is no answer.
            detailed.reply.text = detailed.refusal.unwrap_or_default();
        }
        Ok(detailed.reply)
    }

    async fn health(&self) -> Result<()> {
        let deadline = Deadline::current_or(self.transport.config().request_timeout);
        let _pass = self.gate.enter(HEALTH, deadline).await?;
        self.transport.health(HEALTH).await
    }

    async fn close(&self) -> Result<()> {
        let deadline = Deadline::current_or(self.transport.config().total_timeout);
        self.gate.close(CLOSE, deadline).await
    }
}

impl fmt::Debug for OpenAiChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiChat")
            .field("id", &self.id)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
