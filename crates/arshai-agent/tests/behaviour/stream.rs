//! Answers as they are written.

use std::sync::Arc;

use arshai_agent::{Agent, AgentEvent};
use arshai_conformance::doubles::{ScriptedModel, ScriptedReply};
use arshai_core::{ErrorKind, memory::InMemoryMemory};
use futures_util::StreamExt as _;

use crate::support::{FixedTool, remembered, search_call};

#[tokio::test]
async fn words_come_before_the_whole_and_the_whole_is_remembered() {
    let memory = InMemoryMemory::new();
    let model = ScriptedModel::new([search_call("x"), ScriptedReply::text("one two [1]")]);
    let agent = Agent::builder(Arc::new(model))
        .memory(Arc::new(memory.clone()))
        .retriever(FixedTool::finding(&["a"]))
        .build();
    let mut seen = Vec::new();
    let mut stream = agent.stream("hi");
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            AgentEvent::Text(text) => {
                assert_eq!(remembered(&memory, "default").await, None, "remembered before it was complete");
                seen.push(text);
            }
            AgentEvent::ToolCall(call) => seen.push(format!("({})", call.name)),
            AgentEvent::Done(reply) => {
                assert_eq!((reply.text.as_str(), reply.citations.len()), ("one two [1]", 1));
                seen.push("done".into());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["(knowledge_base_search)", "one ", "two ", "[1]", "done"]);
    assert!(remembered(&memory, "default").await.is_some());
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_the_error_and_leaves_no_memory() {
    for reply in
        [ScriptedReply::text("one two").then_truncated(), ScriptedReply::text("one two").then_silence()]
    {
        let memory = InMemoryMemory::new();
        let agent =
            Agent::builder(Arc::new(ScriptedModel::new([reply]))).memory(Arc::new(memory.clone())).build();
        let events: Vec<_> = agent.stream("hi").collect().await;
        assert_eq!(events.len(), 3);
        assert_eq!(events[2].as_ref().unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(remembered(&memory, "default").await, None);
    }
}

#[tokio::test]
async fn a_dropped_stream_leaves_no_memory() {
    let memory = InMemoryMemory::new();
    let agent = Agent::builder(Arc::new(ScriptedModel::new([ScriptedReply::text("one two three")])))
        .memory(Arc::new(memory.clone()))
        .build();
    let mut stream = agent.stream("hi");
    assert!(matches!(stream.next().await, Some(Ok(AgentEvent::Text(_)))));
    drop(stream);
    assert_eq!(remembered(&memory, "default").await, None);
}
