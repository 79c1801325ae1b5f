//! Tools that fail, that do not exist, and models that do not stop calling them.

use std::{sync::Arc, time::Duration};

use arshai_agent::Agent;
use arshai_conformance::doubles::{ScriptedModel, ScriptedReply};
use arshai_core::{
    ErrorKind, Result,
    chat::{ChatMessage, ToolCall, ToolChoice},
    memory::InMemoryMemory,
    tool::{Tool, ToolDefinition, ToolOutput},
};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::support::{FixedTool, last_request, remembered, results, search_call};

#[tokio::test]
async fn failures_of_tools_are_read_by_the_model_and_the_turn_goes_on() {
    let call = |id: &str, name: &str| ToolCall { id: id.into(), name: name.into(), arguments: json!({}) };
    let calls = vec![call("1", "broken"), call("2", "unknown"), call("3", "works")];
    let model = ScriptedModel::new([ScriptedReply::tool_calls(calls), ScriptedReply::text("done")]);
    let agent = Agent::builder(Arc::new(model.clone()))
        .tool(FixedTool::new("broken", Err("out of order")))
        .tool(FixedTool::new("works", Ok(ToolOutput::text("fine"))))
        .build();
    assert_eq!(agent.process("go").await.unwrap().text, "done");
    let results = results(&last_request(&model));
    let answers: Vec<(&str, &str)> =
        results.iter().map(|r| (r.call_id.as_str(), r.content.as_str())).collect();
    assert!(
        matches!(answers.as_slice(), [("1", broken), ("2", unknown), ("3", "fine")]
        if broken.contains("out of order") && unknown.contains("no tool `unknown`") && unknown.contains("works")),
        "{answers:?}"
    );
    let assistant =
        last_request(&model).messages.into_iter().find(|m| matches!(m, ChatMessage::Assistant { .. }));
    assert!(matches!(assistant, Some(ChatMessage::Assistant { tool_calls, .. }) if tool_calls.len() == 3));
}

#[tokio::test]
async fn after_the_last_round_the_model_must_answer() {
    let model = ScriptedModel::new([search_call("a"), search_call("b"), ScriptedReply::text("enough")]);
    let agent = Agent::builder(Arc::new(model.clone()))
        .retriever(FixedTool::finding(&["x"]))
        .max_tool_rounds(2)
        .build();
    assert_eq!(agent.process("go").await.unwrap().text, "enough");
    let choices: Vec<ToolChoice> = model.requests().into_iter().map(|request| request.tool_choice).collect();
    assert_eq!(choices, [ToolChoice::Auto, ToolChoice::Auto, ToolChoice::None]);
}

#[tokio::test]
async fn a_model_that_never_answers_is_an_error() {
    let model = ScriptedModel::new([search_call("a"), search_call("b")]);
    let agent =
        Agent::builder(Arc::new(model)).retriever(FixedTool::finding(&["x"])).max_tool_rounds(1).build();
    assert_eq!(agent.process("go").await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[derive(Debug)]
struct Hanging(ToolDefinition);

#[async_trait]
impl Tool for Hanging {
    fn definition(&self) -> &ToolDefinition {
        &self.0
    }

    async fn call(&self, _arguments: &Value) -> Result<ToolOutput> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_tool_that_hangs_ends_with_the_turn_s_time() {
    let memory = InMemoryMemory::new();
    let definition =
        ToolDefinition { name: "hangs".into(), description: String::new(), parameters: json!({}) };
    let model = ScriptedModel::new([ScriptedReply::tool_call("hangs", json!({}))]);
    let agent = Agent::builder(Arc::new(model))
        .memory(Arc::new(memory.clone()))
        .tool(Arc::new(Hanging(definition)))
        .timeout(Duration::from_millis(20))
        .build();
    assert_eq!(agent.process("go").await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(remembered(&memory, "default").await, None);
}
