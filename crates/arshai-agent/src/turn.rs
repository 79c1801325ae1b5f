//! One turn, from message to memory.

use std::{sync::Arc, time::Duration};

use arshai_core::{
    Deadline, Effect, Error, ErrorKind, Result,
    chat::{
        ChatEvent, ChatMessage, ChatReply, ChatRequest, Finish, ToolCall, ToolChoice, ToolResult, Usage,
        UserMessage,
    },
    memory::{MemoryKey, MemoryStoreExt as _, Turn},
    tool::{Tool, ToolDefinition, ToolOutput},
};
use futures_util::{StreamExt as _, future::join_all};
use serde_json::json;

use crate::{
    AgentBuilder, AgentInput, AgentReply, DEFAULT_CONVERSATION, Retrieval, citation::citations,
    events::Events, passages::Passages,
};

const MEMORY_READ_TIMEOUT: Duration = Duration::from_secs(10);
const MEMORY_WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs one turn.
pub(crate) async fn run(parts: Arc<AgentBuilder>, input: AgentInput, events: Events) -> Result<AgentReply> {
    let conversation = input.conversation.unwrap_or_else(|| DEFAULT_CONVERSATION.to_owned());
    let key = MemoryKey::new(&conversation).map_err(|error| error.with_operation("agent.process"))?;
    if input.message.trim().is_empty() {
        return Err(Error::invalid("the message is empty").with_operation("agent.process"));
    }
    let previous_context = recall(&parts, &key).await;
    let turn =
        Running { parts: &parts, events: &events, passages: Passages::default(), usage: Usage::default() };
    let answered = turn.answer(&input.message, previous_context);
    let answer =
        Deadline::after(parts.timeout).run("agent.process", Effect::NotApplied, Box::pin(answered)).await?;
    let memory_error = remember(&parts, &key, input.message, &answer.text).await.err();
    Ok(AgentReply {
        citations: citations(&answer.text, answer.passages.all()),
        text: answer.text,
        usage: answer.usage,
        conversation,
        finish: answer.finish,
        memory_error,
    })
}

/// The memory so far. An answer without memory is better than none.
async fn recall(parts: &AgentBuilder, key: &MemoryKey) -> String {
    let Some(memory) = &parts.memory else { return String::new() };
    let read =
        Deadline::after(MEMORY_READ_TIMEOUT).run("memory.get", Effect::NotApplied, memory.retrieve(key));
    match read.await {
        Ok(found) => found.map(|memory| memory.text).unwrap_or_default(),
        Err(error) => {
            tracing::warn!(conversation = key.conversation(), %error, "the memory could not be read; answering without it");
            String::new()
        }
    }
}

/// Adds the turn to whatever the memory holds by now, in one step.
async fn remember(parts: &AgentBuilder, key: &MemoryKey, message: String, reply: &str) -> Result<()> {
    let Some(memory) = &parts.memory else { return Ok(()) };
    let turns = [Turn::user(message), Turn::assistant(reply)];
    let write = memory.append(key, &turns, parts.trim);
    let written =
        Deadline::after(MEMORY_WRITE_TIMEOUT).run("memory.update", Effect::Unknown, Box::pin(write)).await;
    written.map(|_| ()).inspect_err(|error| {
        tracing::warn!(conversation = key.conversation(), %error, "the turn could not be kept in memory");
    })
}

struct Running<'a> {
    parts: &'a AgentBuilder,
    events: &'a Events,
    passages: Passages,
    usage: Usage,
}

struct Answer {
    text: String,
    finish: Finish,
    usage: Usage,
    passages: Passages,
}

impl Running<'_> {
    async fn answer(mut self, message: &str, previous_context: String) -> Result<Answer> {
        let can_call_tools = self.parts.model.capabilities().tools;
        let retrieve_first = match self.parts.retrieval {
            Retrieval::Always => true,
            Retrieval::Auto => !can_call_tools,
            Retrieval::Tool if can_call_tools => false,
            Retrieval::Tool => {
                return Err(Error::unsupported(
                    "the model cannot call tools; let passages be retrieved first",
                )
                .with_operation("agent.process")
                .with_context("model", self.parts.model.id()));
            }
        };
        let mut user = UserMessage::new(message);
        user.previous_context = previous_context;
        if retrieve_first {
            (user.passages, user.retrieved) = self.retrieve(message).await;
        }
        let mut messages = vec![ChatMessage::User(user)];
        if !self.parts.system_prompt.is_empty() {
            messages.insert(0, ChatMessage::System(self.parts.system_prompt.clone()));
        }
        let tools = if can_call_tools { self.tools(!retrieve_first) } else { Vec::new() };
        self.converse(messages, &tools).await
    }

    /// Passages for the message, before the model is asked: for its words alone, not for what was said before.
    async fn retrieve(&mut self, message: &str) -> (Vec<arshai_core::tool::Passage>, String) {
        let Some(retriever) = &self.parts.retriever else { return Default::default() };
        let output = call(retriever.as_ref(), &json!({ "query": message })).await;
        self.passages.hand_out(output)
    }

    fn tools(&self, with_retriever: bool) -> Vec<Arc<dyn Tool>> {
        let retriever = self.parts.retriever.iter().filter(|_| with_retriever);
        retriever.chain(&self.parts.tools).cloned().collect()
    }

    /// Asks the model, calls the tools it wants, and asks again, until it answers.
    async fn converse(mut self, mut messages: Vec<ChatMessage>, tools: &[Arc<dyn Tool>]) -> Result<Answer> {
        let definitions: Vec<ToolDefinition> = tools.iter().map(|tool| tool.definition().clone()).collect();
        for round in 0..=self.parts.max_tool_rounds {
            let is_last = round == self.parts.max_tool_rounds;
            let choice = if is_last { ToolChoice::None } else { ToolChoice::Auto };
            let request = ChatRequest::new(messages.clone())
                .with_tools(definitions.clone())
                .with_tool_choice(if tools.is_empty() { ToolChoice::default() } else { choice });
            let reply = self.ask(request).await?;
            if let Some(usage) = reply.usage {
                self.usage += usage;
            }
            if reply.tool_calls.is_empty() || is_last {
                return self.finish(reply);
            }
            let results = join_all(reply.tool_calls.iter().map(|wanted| call_by_name(tools, wanted))).await;
            let calls = reply.tool_calls.clone();
            messages.push(ChatMessage::Assistant { text: reply.text, tool_calls: reply.tool_calls });
            for (wanted, output) in calls.into_iter().zip(results) {
                let (passages, content) = self.passages.hand_out(output);
                let result = ToolResult { call_id: wanted.id, name: wanted.name, content, passages };
                messages.push(ChatMessage::Tool(result));
            }
        }
        Err(Error::internal("the turn ended without an answer").with_operation("agent.process"))
    }

    fn finish(self, reply: ChatReply) -> Result<Answer> {
        if reply.text.trim().is_empty() {
            let why = match (reply.finish, reply.tool_calls.is_empty()) {
                (Finish::ContentFilter, _) => "the provider's filter withheld the answer; ask differently",
                (Finish::Length, _) => "the token limit was reached before the first word; allow more tokens",
                (_, false) => {
                    "the model kept calling tools instead of answering; allow more rounds or offer fewer tools"
                }
                _ => "the model answered nothing; ask again",
            };
            return Err(Error::new(ErrorKind::Protocol, why)
                .with_operation("agent.process")
                .with_context("model", self.parts.model.id()));
        }
        Ok(Answer { text: reply.text, finish: reply.finish, usage: self.usage, passages: self.passages })
    }

    async fn ask(&self, request: ChatRequest) -> Result<ChatReply> {
        if !self.events.are_heard() {
            return self.parts.model.chat(request).await;
        }
        let mut stream = self.parts.model.stream(request).await?;
        let mut reply =
            ChatReply { text: String::new(), tool_calls: Vec::new(), usage: None, finish: Finish::Other };
        while let Some(event) = stream.next().await {
            match event? {
                ChatEvent::Text(text) => {
                    reply.text.push_str(&text);
                    self.events.text(text).await;
                }
                ChatEvent::ToolCall(call) => {
                    self.events.tool_call(&call).await;
                    reply.tool_calls.push(call);
                }
                ChatEvent::Done { usage, finish } => {
                    return Ok(ChatReply { usage, finish, ..reply });
                }
                _ => {}
            }
        }
        Err(Error::new(ErrorKind::Truncated, "the reply ended before its end")
            .with_operation("agent.process"))
    }
}

async fn call_by_name(tools: &[Arc<dyn Tool>], wanted: &ToolCall) -> ToolOutput {
    match tools.iter().find(|tool| tool.definition().name == wanted.name) {
        Some(tool) => call(tool.as_ref(), &wanted.arguments).await,
        None => {
            let names: Vec<&str> = tools.iter().map(|tool| tool.definition().name.as_str()).collect();
            ToolOutput::error(format!(
                "Error: there is no tool `{}`. The tools are: {}.",
                wanted.name,
                names.join(", ")
            ))
        }
    }
}

/// Calls a tool; a failure becomes something the model can read.
async fn call(tool: &dyn Tool, arguments: &serde_json::Value) -> ToolOutput {
    tool.call(arguments).await.unwrap_or_else(|error| {
        let name = &tool.definition().name;
        tracing::warn!(tool = name, %error, "a tool failed");
        ToolOutput::error(format!("Error: the tool `{name}` failed: {error}"))
    })
}
