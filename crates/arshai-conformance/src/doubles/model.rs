//! A chat model that follows a script.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arshai_core::{
    Error, ErrorKind, Result,
    chat::{
        ChatCapabilities, ChatEvent, ChatModel, ChatRequest, ChatStream, Finish, ToolCall, ToolChoice, Usage,
    },
};
use async_trait::async_trait;
use futures_util::stream;
use serde_json::Value;

/// One reply of a script.
#[derive(Debug)]
pub struct ScriptedReply {
    refusal: Option<Error>,
    events: Vec<Result<ChatEvent>>,
    done: Option<(Option<Usage>, Finish)>,
}

const USAGE: Usage = Usage { prompt_tokens: 7, completion_tokens: 3 };

impl ScriptedReply {
    /// A whole reply of these words, streamed word by word, with a usage of 7 + 3 tokens.
    pub fn text(text: impl AsRef<str>) -> Self {
        let pieces = text.as_ref().split_inclusive(' ').map(|piece| Ok(ChatEvent::Text(piece.to_owned())));
        Self { refusal: None, events: pieces.collect(), done: Some((Some(USAGE), Finish::Stop)) }
    }

    /// A reply that asks for one tool call.
    pub fn tool_call(name: impl Into<String>, arguments: Value) -> Self {
        Self::tool_calls(vec![ToolCall { id: "call-1".into(), name: name.into(), arguments }])
    }

    /// A reply that asks for these tool calls.
    pub fn tool_calls(calls: Vec<ToolCall>) -> Self {
        let events = calls.into_iter().map(|call| Ok(ChatEvent::ToolCall(call))).collect();
        Self { refusal: None, events, done: Some((Some(USAGE), Finish::ToolCalls)) }
    }

    /// A reply that does not begin: `stream` and `chat` fail with `error`.
    pub fn refused(error: Error) -> Self {
        Self { refusal: Some(error), events: Vec::new(), done: None }
    }

    /// The same reply breaking with `error` instead of its end.
    #[must_use]
    pub fn then_error(mut self, error: Error) -> Self {
        self.events.push(Err(error));
        self.done = None;
        self
    }

    /// The same reply breaking off before its end, said as the contract demands.
    #[must_use]
    pub fn then_truncated(self) -> Self {
        self.then_error(Error::new(ErrorKind::Truncated, "the scripted reply breaks off"))
    }

    /// The same reply ending without [`ChatEvent::Done`] and without an error: a model that breaks the contract.
    #[must_use]
    pub fn then_silence(mut self) -> Self {
        self.done = None;
        self
    }

    /// The same reply with another end.
    #[must_use]
    pub fn with_finish(mut self, usage: Option<Usage>, finish: Finish) -> Self {
        self.done = Some((usage, finish));
        self
    }
}

/// A test double of a [`ChatModel`]: answers with the replies of its script, one per request, and records the
/// requests. Clones share script and record.
///
/// Past the end of the script it repeats the words of the last user message, or, when tools are required, calls the
/// first tool with `{"query": …}`; so an empty script is an echo.
///
/// # Examples
///
/// ```
/// use arshai_conformance::doubles::{ScriptedModel, ScriptedReply};
/// use arshai_core::chat::ChatModelExt as _;
///
/// # async fn example() -> arshai_core::Result<()> {
/// let model = ScriptedModel::new([ScriptedReply::text("hello there")]);
/// assert_eq!(model.ask("be kind", "hi").await?.text, "hello there");
/// assert_eq!(model.requests().len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ScriptedModel {
    capabilities: ChatCapabilities,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    script: VecDeque<ScriptedReply>,
    requests: Vec<ChatRequest>,
    closed: bool,
}

impl ScriptedModel {
    /// A model that gives these replies, can call tools and streams.
    pub fn new(replies: impl IntoIterator<Item = ScriptedReply>) -> Self {
        let shared = Shared { script: replies.into_iter().collect(), ..Shared::default() };
        let capabilities = ChatCapabilities::default().with_tools().with_streaming();
        Self { capabilities, shared: Arc::new(Mutex::new(shared)) }
    }

    /// A model without a script: an echo.
    pub fn echo() -> Self {
        Self::new([])
    }

    /// The same with other capabilities. Without tools, a request that offers any is refused.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: ChatCapabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Adds a reply at the end of the script.
    pub fn push(&self, reply: ScriptedReply) {
        self.shared().script.push_back(reply);
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<ChatRequest> {
        self.shared().requests.clone()
    }

    /// How many replies of the script are left.
    pub fn remaining(&self) -> usize {
        self.shared().script.len()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn echoed(request: &ChatRequest) -> ScriptedReply {
    let last = request.messages.iter().rev().find_map(|message| match message {
        arshai_core::chat::ChatMessage::User(user) => Some(user.text.as_str()),
        _ => None,
    });
    let words = last.unwrap_or_default();
    match (&request.tool_choice, request.tools.first()) {
        (ToolChoice::Required, Some(tool)) => {
            ScriptedReply::tool_call(tool.name.clone(), serde_json::json!({ "query": words }))
        }
        _ => ScriptedReply::text(words),
    }
}

#[async_trait]
impl ChatModel for ScriptedModel {
    fn id(&self) -> &str {
        "scripted"
    }

    fn capabilities(&self) -> ChatCapabilities {
        self.capabilities
    }

    async fn stream(&self, request: ChatRequest) -> Result<ChatStream> {
        let mut shared = self.shared();
        if shared.closed {
            return Err(Error::new(ErrorKind::Closed, "the model was closed").with_operation("chat"));
        }
        if request.tool_choice == ToolChoice::Required && request.tools.is_empty() {
            return Err(Error::invalid("tools are required and none is offered").with_operation("chat"));
        }
        if !request.tools.is_empty() && !self.capabilities.tools {
            return Err(Error::unsupported("the model cannot call tools").with_operation("chat"));
        }
        if request.response_schema.is_some() && !self.capabilities.structured_output {
            return Err(Error::unsupported("the model cannot follow a schema").with_operation("chat"));
        }
        let reply = shared.script.pop_front().unwrap_or_else(|| echoed(&request));
        shared.requests.push(request);
        if let Some(error) = reply.refusal {
            return Err(error);
        }
        let done = reply.done.map(|(usage, finish)| Ok(ChatEvent::Done { usage, finish }));
        Ok(Box::pin(stream::iter(reply.events.into_iter().chain(done))))
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.shared().closed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arshai_core::chat::ChatModelExt as _;

    use super::*;

    #[tokio::test]
    async fn a_broken_stream_is_an_error_however_it_breaks() {
        let broken = [
            (ScriptedReply::text("half of").then_truncated(), ErrorKind::Truncated),
            (ScriptedReply::text("half of").then_silence(), ErrorKind::Truncated),
            (
                ScriptedReply::text("half of").then_error(Error::new(ErrorKind::Exhausted, "429")),
                ErrorKind::Exhausted,
            ),
            (ScriptedReply::refused(Error::new(ErrorKind::Unavailable, "down")), ErrorKind::Unavailable),
        ];
        for (reply, kind) in broken {
            let model = ScriptedModel::new([reply]);
            assert_eq!(model.ask("", "hi").await.unwrap_err().kind(), kind);
            assert_eq!(model.ask("", "again").await.unwrap().text, "again");
        }
    }
}
