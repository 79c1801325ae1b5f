//! Section 7: the agent with a working memory.

use std::sync::Arc;

use arshai::{
    agent::DEFAULT_CONVERSATION,
    blocking::{Blocking, Runtime},
    chat::{ChatMessage, ChatRequest},
    memory::InMemoryMemory,
    prelude::*,
    redis::{RedisConfig, RedisMemory},
    tool::ToolDefinition,
};
use arshai_conformance::{
    doubles::{ScriptedModel, ScriptedReply},
    fault::Fault,
};
use async_trait::async_trait;
use futures_util::{StreamExt as _, future::join_all};
use serde_json::{Value, json};

use crate::{
    place::{REDISES, behind_proxy, chat_at, fresh_key, memory_at, url},
    said::Said,
    wire::Wire,
};

/// What the model was told by the person, as one text, and by the program.
fn told(request: &ChatRequest) -> (String, String) {
    let mut told = (String::new(), String::new());
    for message in &request.messages {
        match message {
            ChatMessage::User(user) => told.0 = user.rendered(),
            ChatMessage::System(system) => told.1.clone_from(system),
            _ => {}
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_7_agent_carry_the_default_conversation_is_called_default() {
    assert_eq!(DEFAULT_CONVERSATION, "default");
    let memory = Arc::new(InMemoryMemory::new());
    let agent = Agent::builder(Arc::new(ScriptedModel::echo())).memory(memory.clone()).build();
    let reply = agent.process("hello").await.unwrap();
    assert_eq!(reply.conversation, "default");
    let key = MemoryKey::new("default").unwrap();
    assert_eq!(key.stored(), "memory:WORKING_MEMORY:default");
    assert_eq!(memory.retrieve(&key).await.unwrap().unwrap().text, "\nUser: hello\nAssistant: hello");
}

#[tokio::test]
async fn section_7_agent_carry_a_memory_that_fails_is_logged_and_the_reply_still_comes() {
    let (proxy, url) = behind_proxy("redis").await;
    let mut config = RedisConfig::from_url(&url).unwrap();
    config.timeout = std::time::Duration::from_millis(300);
    proxy.set(Fault::down()).await.unwrap();
    let memory = Arc::new(RedisMemory::new(config).unwrap());
    let agent = Agent::builder(Arc::new(ScriptedModel::echo())).memory(memory).build();
    let key = fresh_key("down");
    let (said, guard) = Said::listen();
    let reply = agent.process(AgentInput::new("hello").conversation(key.conversation())).await.unwrap();
    drop(guard);
    assert_eq!(reply.text, "hello");
    assert!(reply.memory_error.is_some_and(|error| error.is_retryable()));
    assert_eq!(said.text().matches("WARN").count(), 2, "reading and writing: {}", said.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_7_agent_carry_the_context_comes_before_the_message_and_the_prompt_is_configurable() {
    for engine in REDISES {
        let (memory, key) = (memory_at(&url(engine)).await, fresh_key("context"));
        let model = ScriptedModel::new([ScriptedReply::text("Hello Ada."), ScriptedReply::text("Ada.")]);
        let agent = Agent::builder(Arc::new(model.clone())).memory(memory.clone()).system_prompt("Be brief.");
        let agent = agent.build();
        for message in ["I am Ada.", "Who am I?"] {
            agent.process(AgentInput::new(message).conversation(key.conversation())).await.unwrap();
        }
        let requests = model.requests();
        assert_eq!(told(&requests[0]), ("I am Ada.".into(), "Be brief.".into()), "{engine}");
        let context = "Previous context: \nUser: I am Ada.\nAssistant: Hello Ada.\n\nUser: Who am I?";
        assert_eq!(told(&requests[1]).0, context, "{engine}");
        memory.delete(&key).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_7_agent_carry_a_reply_has_usage_and_the_turn_is_where_python_finds_it() {
    let (memory, key) = (memory_at(&url("redis")).await, fresh_key("turn"));
    let agent = Agent::builder(Arc::new(chat_at(&url("chat")))).memory(memory.clone()).build();
    let reply = agent.process(AgentInput::new("Say hello.").conversation(key.conversation())).await.unwrap();
    assert!(reply.usage.prompt_tokens > 0 && reply.usage.completion_tokens > 0, "{:?}", reply.usage);
    let value: Value = serde_json::from_str(&Wire::open().ask(&["GET", &key.stored()]).unwrap()).unwrap();
    let text = value["data"]["working_memory"].as_str().unwrap();
    assert!(text.starts_with("\nUser: Say hello.\nAssistant: "), "{text}");
    memory.delete(&key).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_7_agent_carry_over_2000_characters_the_last_1500_are_kept() {
    // One turn longer than what is kept has no border to be cut at: exactly what the guide cuts, and counts as it does.
    let (memory, key) = (memory_at(&url("redis")).await, fresh_key("trim"));
    let reply = "é".repeat(2_500);
    let model = ScriptedModel::new([ScriptedReply::text(&reply)]);
    let agent = Agent::builder(Arc::new(model)).memory(memory.clone()).build();
    agent.process(AgentInput::new("long?").conversation(key.conversation())).await.unwrap();
    let kept = memory.retrieve(&key).await.unwrap().unwrap().text;
    assert_eq!(kept, format!("...{}", "é".repeat(1_500)));
    memory.delete(&key).await.unwrap();
}

#[test]
fn section_7_agent_carry_it_answers_without_async() {
    let (runtime, key) = (Runtime::new().unwrap(), fresh_key("blocking"));
    let memory = runtime.block_on(memory_at(&url("redis"))).unwrap();
    let agent = Agent::builder(Arc::new(chat_at(&url("chat")))).memory(Arc::clone(&memory)).build();
    let agent = Blocking::new(Arc::new(agent), runtime.clone());
    let reply = agent.process(AgentInput::new("Say hello.").conversation(key.conversation())).unwrap();
    assert!(!reply.text.is_empty() && reply.memory_error.is_none());
    let events = agent.stream(AgentInput::new("Again.").conversation(key.conversation()));
    let events: Vec<AgentEvent> = events.collect::<arshai::Result<_>>().unwrap();
    assert!(matches!(events.last(), Some(AgentEvent::Done(_))));
    let memory = Blocking::new(memory, runtime);
    assert_eq!(memory.retrieve(&key).unwrap().unwrap().text.matches("\nUser: ").count(), 2);
    assert!(arshai::blocking::MemoryStore::delete(&memory, &key).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_7_agent_mend_memory_is_cut_between_turns_and_never_inside_a_character() {
    for engine in REDISES {
        let (memory, key) = (memory_at(&url(engine)).await, fresh_key("border"));
        let family = "👨‍👩‍👧‍👦".repeat(20);
        let model = ScriptedModel::new((0..12).map(|n| ScriptedReply::text(format!("{n} {family}"))));
        let agent = Agent::builder(Arc::new(model)).memory(memory.clone()).build();
        for n in 0..12 {
            let input = AgentInput::new(format!("question {n} {family}")).conversation(key.conversation());
            agent.process(input).await.unwrap();
        }
        let kept = memory.retrieve(&key).await.unwrap().unwrap();
        let rest = kept.text.strip_prefix("...").unwrap();
        assert!(rest.starts_with("\nUser: ") || rest.starts_with("\nAssistant: "), "{engine}: {rest}");
        assert!(kept.text.chars().count() <= 2_000 && kept.text.ends_with(&family), "{engine}");
        assert!(kept.turns_match() && kept.turns.is_some(), "{engine}");
        memory.delete(&key).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_7_agent_mend_many_turns_of_one_conversation_at_once_are_all_kept() {
    for engine in REDISES {
        let (memory, key) = (memory_at(&url(engine)).await, fresh_key("at_once"));
        // Two agents of two processes, as far as the server can tell.
        let agents = [memory.clone(), memory_at(&url(engine)).await]
            .map(|memory| Agent::builder(Arc::new(ScriptedModel::echo())).memory(memory).build());
        let turns = (0..24).map(|n| {
            agents[n % 2].process(AgentInput::new(format!("zq{n:02}")).conversation(key.conversation()))
        });
        for reply in join_all(turns).await {
            assert!(reply.unwrap().memory_error.is_none(), "{engine}");
        }
        let kept = memory.retrieve(&key).await.unwrap().unwrap();
        for n in 0..24 {
            let turn = format!("\nUser: zq{n:02}\nAssistant: zq{n:02}");
            assert_eq!(kept.text.matches(&turn).count(), 1, "{engine}: {}", kept.text);
        }
        memory.delete(&key).await.unwrap();
    }
}

/// A tool that answers.
#[derive(Debug)]
struct Clock(ToolDefinition);

#[async_trait]
impl Tool for Clock {
    fn definition(&self) -> &ToolDefinition {
        &self.0
    }

    async fn call(&self, arguments: &Value) -> arshai::Result<arshai::tool::ToolOutput> {
        Ok(arshai::tool::ToolOutput::text(format!("noon in {}", arguments["place"])))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_7_agent_mend_tools_are_called_and_words_come_as_they_are_written() {
    let (memory, key) = (memory_at(&url("redis")).await, fresh_key("tools"));
    let model = ScriptedModel::new([
        ScriptedReply::tool_call("clock", json!({ "place": "Oslo" })),
        ScriptedReply::text("It is noon in Oslo."),
    ]);
    let definition = ToolDefinition {
        name: "clock".to_owned(),
        description: "Tells the time".to_owned(),
        parameters: json!({ "type": "object" }),
    };
    let agent = Agent::builder(Arc::new(model.clone()))
        .memory(memory.clone())
        .tool(Arc::new(Clock(definition)))
        .build();
    let mut events = agent.stream(AgentInput::new("What time is it?").conversation(key.conversation()));
    let (mut pieces, mut calls, mut text) = (0, 0, String::new());
    while let Some(event) = events.next().await {
        match event.unwrap() {
            AgentEvent::Text(_) => pieces += 1,
            AgentEvent::ToolCall(call) => calls += usize::from(call.name == "clock"),
            AgentEvent::Done(reply) => text = reply.text,
            other => panic!("{other:?}"),
        }
    }
    assert!(pieces > 1 && calls == 1 && text == "It is noon in Oslo.", "{pieces} {calls} {text}");
    let answer = model.requests()[1].messages.iter().rev().find_map(|message| match message {
        ChatMessage::Tool(result) => Some(result.content.clone()),
        _ => None,
    });
    assert_eq!(answer.as_deref(), Some("noon in \"Oslo\""));
    // What the tool said is not remembered, what was said is.
    let kept = memory.retrieve(&key).await.unwrap().unwrap().text;
    assert_eq!(kept, "\nUser: What time is it?\nAssistant: It is noon in Oslo.");
    memory.delete(&key).await.unwrap();
}
