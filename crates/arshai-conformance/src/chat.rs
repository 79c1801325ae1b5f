//! The suite of [`ChatModel`].

use std::sync::Arc;

use arshai_core::{
    ErrorKind,
    chat::{ChatEvent, ChatMessage, ChatModel, ChatReply, ChatRequest, Finish, ToolChoice, UserMessage},
    tool::ToolDefinition,
};
use futures_util::StreamExt as _;
use serde_json::json;

use crate::{
    Report,
    check::{Checks, Outcome, Problem, checks, equal, fails, holds, shown},
};

const STREAM: &str = "arshai_core::chat::ChatModel::stream";
const CHAT: &str = "arshai_core::chat::ChatModel::chat";
const TOOLS: &str = "arshai_core::chat::ToolChoice";

/// Runs every check a chat model must pass. It says nothing of how good the answers are, and asks as few and short
/// questions as it can. The model is closed at the end.
///
/// # Cancel safety
///
/// Dropping the future stops the suite.
pub async fn suite(model: Arc<dyn ChatModel>) -> Report {
    let mut checks = Checks::new("chat");
    let can = model.capabilities();
    let context = Context { model };
    checks!(&mut checks;
        "chat.id_is_stable": "arshai_core::chat::ChatModel::id" => context.id();
        "chat.reply_has_an_end": CHAT => context.whole();
        "chat.stream_ends_with_done_and_nothing_follows": STREAM => context.streamed();
        "chat.stream_collects_to_a_reply": CHAT => context.collected();
        "chat.dropped_stream_leaves_it_usable": "arshai_core::chat::ChatModel, # Cancel safety" => context.dropped();
        "chat.calls_at_once_do_not_mix": CHAT => context.at_once();
        "chat.required_tool_is_called" if can.tools, "tools": TOOLS => context.required();
        "chat.forbidden_tool_is_not_called" if can.tools, "tools": TOOLS => context.forbidden();
        "chat.tools_are_unsupported" unless (can.tools): "arshai_core::chat::ChatCapabilities" =>
            context.no_tools();
        "chat.required_tool_without_tools_is_invalid" if can.tools, "tools": TOOLS => context.nothing_required();
        "chat.schema_is_unsupported" unless (can.structured_output):
            "arshai_core::chat::ChatCapabilities" => context.no_schema();
        "chat.health": "arshai_core::chat::ChatModel::health" => async { Ok(context.model.health().await?) };
        "chat.closes_twice": "arshai_core::chat::ChatModel::close" => async {
            context.model.close().await?;
            Ok(context.model.close().await?)
        };
    );
    checks.finish()
}

struct Context {
    model: Arc<dyn ChatModel>,
}

fn question(words: &str) -> ChatRequest {
    ChatRequest::new(vec![
        ChatMessage::System("Answer in a few words.".into()),
        ChatMessage::User(UserMessage::new(words)),
    ])
}

fn with_tool(words: &str) -> ChatRequest {
    question(words).with_tools(vec![ToolDefinition {
        name: "knowledge_base_search".into(),
        description: "Finds passages about a question.".into(),
        parameters: json!({
            "type": "object",
            "properties": { "query": { "type": "string", "description": "What to look for." } },
            "required": ["query"],
        }),
    }])
}

impl Context {
    async fn id(&self) -> Outcome {
        let id = self.model.id().to_owned();
        holds("the id is not empty", !id.is_empty(), &id)?;
        self.model.chat(question("Say hello.")).await?;
        equal("the id after a reply", &self.model.id(), &id.as_str())
    }

    async fn whole(&self) -> Outcome {
        let reply = self.model.chat(question("Say hello.")).await?;
        let usable = !reply.text.is_empty() || !reply.tool_calls.is_empty();
        holds("a reply holds words or tool calls", usable, &reply)?;
        let consistent = reply.finish != Finish::ToolCalls || !reply.tool_calls.is_empty();
        holds("a reply that ends for tools holds tool calls", consistent, &reply)
    }

    /// The events of a stream that must end well.
    async fn events(&self, request: ChatRequest) -> Outcome<Vec<ChatEvent>> {
        let mut stream = self.model.stream(request).await?;
        let mut events = Vec::new();
        while let Some(event) = stream.next().await {
            events.push(event?);
        }
        Ok(events)
    }

    async fn streamed(&self) -> Outcome {
        let events = self.events(question("Count to three.")).await?;
        let done = events.iter().filter(|event| matches!(event, ChatEvent::Done { .. })).count();
        equal("Done events", &done, &1)?;
        let last = matches!(events.last(), Some(ChatEvent::Done { .. }));
        holds("Done is the last event", last, &events)?;
        let empty = events.iter().any(|event| matches!(event, ChatEvent::Text(text) if text.is_empty()));
        holds("no piece of text is empty", !empty, &events)
    }

    async fn collected(&self) -> Outcome {
        let events = self.events(question("Count to three.")).await?;
        let mut reply =
            ChatReply { text: String::new(), tool_calls: Vec::new(), usage: None, finish: Finish::Other };
        for event in events {
            match event {
                ChatEvent::Text(text) => reply.text.push_str(&text),
                ChatEvent::ToolCall(call) => reply.tool_calls.push(call),
                ChatEvent::Done { usage, finish } => (reply.usage, reply.finish) = (usage, finish),
                other => return Err(Problem::new("a known event", shown(&other))),
            }
        }
        let whole = self.model.chat(question("Count to three.")).await?;
        // Words may differ from call to call, the shape must not.
        equal("whether there are words", &reply.text.is_empty(), &whole.text.is_empty())?;
        equal("how it finished", &reply.finish, &whole.finish)?;
        equal("whether usage is told", &reply.usage.is_some(), &whole.usage.is_some())
    }

    async fn dropped(&self) -> Outcome {
        for taken in 0..3 {
            let mut stream = self.model.stream(question("Count to twenty.")).await?;
            for _ in 0..taken {
                if let Some(event) = stream.next().await {
                    event?;
                }
            }
            drop(stream);
            self.whole()
                .await
                .map_err(|problem| problem.during(format!("after a stream dropped at event {taken}")))?;
        }
        Ok(())
    }

    async fn at_once(&self) -> Outcome {
        let replies = futures_util::future::join_all((0..4).map(|_| self.whole())).await;
        replies.into_iter().collect()
    }

    async fn required(&self) -> Outcome {
        let request = with_tool("How long is a memory kept?").with_tool_choice(ToolChoice::Required);
        let reply = self.model.chat(request).await?;
        equal("finish", &reply.finish, &Finish::ToolCalls)?;
        holds("at least one tool call", !reply.tool_calls.is_empty(), &reply)?;
        for call in &reply.tool_calls {
            equal("the tool called", &call.name.as_str(), &"knowledge_base_search")?;
            holds("the call has an id", !call.id.is_empty(), call)?;
            holds("the arguments are an object", call.arguments.is_object(), &call.arguments)?;
        }
        Ok(())
    }

    async fn forbidden(&self) -> Outcome {
        let request = with_tool("How long is a memory kept?").with_tool_choice(ToolChoice::None);
        let reply = self.model.chat(request).await?;
        equal("tool calls", &reply.tool_calls, &Vec::new())?;
        holds("the reply does not end for tools", reply.finish != Finish::ToolCalls, &reply.finish)
    }

    async fn no_tools(&self) -> Outcome {
        fails("chat with tools", self.model.chat(with_tool("Say hello.")).await, ErrorKind::Unsupported)?;
        let streamed = self.model.stream(with_tool("Say hello.")).await.map(|_stream| "a stream");
        fails("stream with tools", streamed, ErrorKind::Unsupported).map(|_| ())
    }

    async fn nothing_required(&self) -> Outcome {
        let request = question("Say hello.").with_tool_choice(ToolChoice::Required);
        fails("requiring a tool and offering none", self.model.chat(request).await, ErrorKind::InvalidInput)
            .map(|_| ())
    }

    async fn no_schema(&self) -> Outcome {
        let mut request = question("Say hello.");
        request.response_schema = Some(json!({ "type": "object" }));
        fails("chat with a schema", self.model.chat(request).await, ErrorKind::Unsupported).map(|_| ())
    }
}
