//! Tools that answer what a test wants, and looks into what a model was asked.

use std::sync::{Arc, Mutex};

use arshai_conformance::doubles::{ScriptedModel, ScriptedReply};
use arshai_core::{
    Error, Result,
    chat::{ChatMessage, ChatRequest, ToolResult, UserMessage},
    memory::{InMemoryMemory, Memory, MemoryKey, MemoryStoreExt as _},
    tool::{Passage, Tool, ToolDefinition, ToolOutput},
};
use async_trait::async_trait;
use serde_json::{Map, Value, json};

/// A tool with fixed answers that notes its arguments.
#[derive(Debug)]
pub(crate) struct FixedTool {
    definition: ToolDefinition,
    answer: Result<ToolOutput, &'static str>,
    calls: Mutex<Vec<Value>>,
}

impl FixedTool {
    pub(crate) fn new(name: &str, answer: Result<ToolOutput, &'static str>) -> Arc<Self> {
        let parameters = json!({"type": "object", "properties": {"query": {"type": "string"}}});
        let definition = ToolDefinition { name: name.into(), description: "a test".into(), parameters };
        Arc::new(Self { definition, answer, calls: Mutex::default() })
    }

    /// A search tool that always finds these.
    pub(crate) fn finding(texts: &[&str]) -> Arc<Self> {
        let passages = texts.iter().zip(1..).map(|(text, n)| passage(n, text)).collect();
        Self::new("knowledge_base_search", Ok(ToolOutput { text: "plain".into(), passages, is_error: false }))
    }

    pub(crate) fn calls(&self) -> Vec<Value> {
        self.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl Tool for FixedTool {
    fn definition(&self) -> &ToolDefinition {
        &self.definition
    }

    async fn call(&self, arguments: &Value) -> Result<ToolOutput> {
        self.calls.lock().unwrap().push(arguments.clone());
        self.answer.clone().map_err(Error::invalid)
    }
}

pub(crate) fn passage(n: usize, text: &str) -> Passage {
    let (id, source) = (format!("id-{text}"), "doc.md".into());
    Passage { n, id, source, score: 0.5, legs: Default::default(), text: text.into(), metadata: Map::new() }
}

pub(crate) fn search_call(query: &str) -> ScriptedReply {
    ScriptedReply::tool_call("knowledge_base_search", json!({"query": query}))
}

/// What was remembered of a conversation.
pub(crate) async fn remembered(memory: &InMemoryMemory, conversation: &str) -> Option<Memory> {
    memory.retrieve(&MemoryKey::new(conversation).unwrap()).await.unwrap()
}

pub(crate) fn last_request(model: &ScriptedModel) -> ChatRequest {
    model.requests().pop().unwrap()
}

pub(crate) fn user(request: &ChatRequest) -> UserMessage {
    let user = request.messages.iter().find_map(|message| match message {
        ChatMessage::User(user) => Some(user.clone()),
        _ => None,
    });
    user.unwrap()
}

pub(crate) fn results(request: &ChatRequest) -> Vec<ToolResult> {
    let result = |message: &ChatMessage| match message {
        ChatMessage::Tool(result) => Some(result.clone()),
        _ => None,
    };
    request.messages.iter().filter_map(result).collect()
}
