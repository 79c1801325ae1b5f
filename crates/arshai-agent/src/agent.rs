//! The agent as a caller sees it.

use std::{fmt, pin::Pin, sync::Arc};

use arshai_core::{
    Error, Result,
    chat::{ChatModel, Finish, ToolCall, Usage},
};
use futures_core::Stream;

use crate::{
    AgentBuilder, Citation,
    events::{Events, streamed},
    turn,
};

/// The conversation of an input that names none.
pub const DEFAULT_CONVERSATION: &str = "default";

/// A person's message to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentInput {
    /// The words.
    pub message: String,
    /// The conversation. Default: [`DEFAULT_CONVERSATION`].
    pub conversation: Option<String>,
}

impl AgentInput {
    /// A message in the default conversation.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), conversation: None }
    }

    /// The same in another conversation.
    #[must_use]
    pub fn conversation(mut self, id: impl Into<String>) -> Self {
        self.conversation = Some(id.into());
        self
    }
}

impl From<&str> for AgentInput {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for AgentInput {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// An agent's answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct AgentReply {
    /// The words. What a model says beside a tool call is streamed but not part of them.
    pub text: String,
    /// What the turn cost in all, as far as the model tells.
    pub usage: Usage,
    /// The passages that the words cite, in the order of their first citation. A number that was not handed out in
    /// this turn is no citation.
    pub citations: Vec<Citation>,
    /// The conversation.
    pub conversation: String,
    /// Why the model stopped. With [`Finish::Length`] the words are incomplete.
    pub finish: Finish,
    /// Why the turn is not in memory (or, when its effect is unknown, perhaps not). `None` when it is, or when the
    /// agent has no memory.
    pub memory_error: Option<Error>,
}

/// One step of a streamed answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum AgentEvent {
    /// More words.
    Text(String),
    /// The model calls a tool; what it said before this was no answer.
    ToolCall(ToolCall),
    /// The whole answer; the turn is in memory. Nothing follows.
    Done(AgentReply),
}

/// An answer as it is written. It ends with [`AgentEvent::Done`] or with an error.
pub type AgentStream = Pin<Box<dyn Stream<Item = Result<AgentEvent>> + Send>>;

/// A model with a memory and tools. Clones are cheap and share everything; any number of turns, also of one
/// conversation, may run at once.
#[derive(Clone)]
pub struct Agent {
    pub(crate) parts: Arc<AgentBuilder>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Agent").field(&self.parts).finish()
    }
}

impl Agent {
    /// An agent around `model`, with nothing else yet.
    pub fn builder(model: Arc<dyn ChatModel>) -> AgentBuilder {
        AgentBuilder::new(model)
    }

    /// Answers a message and keeps the turn in memory.
    ///
    /// A memory that cannot be read is logged and the answer comes without it. A memory that cannot be written is
    /// logged and reported in [`AgentReply::memory_error`]; the answer still comes. Only what was said enters the
    /// memory: the person's words and the answer, never passages or what tools returned.
    ///
    /// # Errors
    ///
    /// [`arshai_core::ErrorKind::InvalidInput`] for an empty message or a conversation id that cannot be one;
    /// [`arshai_core::ErrorKind::Unsupported`] when [`Retrieval::Tool`](crate::Retrieval::Tool) is asked of a model
    /// without tools; otherwise what the model fails with. Nothing is in memory then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the answer is complete leaves the memory as it was; during the last step, the
    /// memory is old or new, never half.
    pub async fn process(&self, input: impl Into<AgentInput>) -> Result<AgentReply> {
        let input = input.into();
        Box::pin(turn::run(Arc::clone(&self.parts), input, Events::unheard())).await
    }

    /// As [`Agent::process`], with the words as they come. Errors are items of the stream.
    ///
    /// # Cancel safety
    ///
    /// As [`Agent::process`]: a stream that is dropped before its end leaves no turn in memory.
    pub fn stream(&self, input: impl Into<AgentInput>) -> AgentStream {
        let input = input.into();
        let parts = Arc::clone(&self.parts);
        Box::pin(streamed(|events| turn::run(parts, input, events)))
    }
}
