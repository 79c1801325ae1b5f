//! Section 4: the chat model that the guide's agent takes for granted.

use std::sync::Arc;

use arshai::{
    ErrorKind,
    blocking::{Blocking, Runtime},
    chat::{ChatEvent, ChatMessage, ChatModel as _, ChatModelExt as _, ChatRequest, Finish, UserMessage},
    prelude::*,
    tool::ToolDefinition,
};
use arshai_conformance::fault::{Direction, Fault};
use futures_util::StreamExt as _;
use serde_json::json;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

use crate::place::{behind_proxy, chat_at, url};

fn question(text: &str) -> ChatRequest {
    ChatRequest::new(vec![ChatMessage::User(UserMessage::new(text))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_chat_carry_a_chat_gives_text_and_usage() {
    let reply = chat_at(&url("chat")).ask("Be brief.", "Say hello.").await.unwrap();
    let usage = reply.usage.unwrap();
    assert!(!reply.text.trim().is_empty() && usage.prompt_tokens > 0 && usage.completion_tokens > 0);
}

#[test]
fn section_4_chat_carry_a_chat_gives_text_and_usage_without_async() {
    let model: Arc<dyn ChatModel> = Arc::new(chat_at(&url("chat")));
    let model = Blocking::new(model, Runtime::new().unwrap());
    let whole = model.ask("Be brief.", "Say hello.").unwrap();
    let events = arshai::blocking::ChatModel::stream(&model, question("Say hello.")).unwrap();
    let events: Vec<ChatEvent> = events.collect::<arshai::Result<_>>().unwrap();
    assert!(whole.usage.is_some() && matches!(events.last(), Some(ChatEvent::Done { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_chat_mend_words_come_as_they_are_written() {
    let mut stream = chat_at(&url("chat")).stream(question("Count to ten.")).await.unwrap();
    let (mut pieces, mut done) = (0, false);
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            ChatEvent::Text(_) => pieces += 1,
            ChatEvent::Done { usage, .. } => done = usage.is_some(),
            other => panic!("{other:?}"),
        }
    }
    assert!(pieces > 1 && done, "{pieces}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_chat_mend_output_follows_a_schema() {
    #[derive(Debug, serde::Deserialize)]
    struct Answer {
        yes: bool,
    }
    let schema = json!({
        "type": "object", "properties": { "yes": { "type": "boolean" } },
        "required": ["yes"], "additionalProperties": false,
    });
    let answer = chat_at(&url("chat")).structured::<Answer>(question("Is water wet?"), schema).await.unwrap();
    println!("wet: {}", answer.value.yes);
    assert_eq!(answer.reply.reply.finish, Finish::Stop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_chat_mend_tools_are_offered_and_called() {
    // The model that the tests run is too small to call tools, so this server is canned.
    let server = MockServer::start().await;
    let call = json!({
        "id": "call_1", "type": "function",
        "function": { "name": "knowledge_base_search", "arguments": "{\"query\":\"tea\"}" },
    });
    let reply = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "finish_reason": "tool_calls",
            "message": { "role": "assistant", "content": null, "tool_calls": [call] } }],
        "usage": { "prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12 },
    });
    let respond = ResponseTemplate::new(200).set_body_json(reply);
    Mock::given(method("POST")).respond_with(respond).mount(&server).await;
    let tool = ToolDefinition {
        name: "knowledge_base_search".to_owned(),
        description: "Finds passages".to_owned(),
        parameters: json!({ "type": "object", "properties": { "query": { "type": "string" } } }),
    };
    let reply = chat_at(&server.uri()).chat(question("tea?").with_tools(vec![tool])).await.unwrap();
    assert_eq!(reply.finish, Finish::ToolCalls);
    assert_eq!(
        (reply.tool_calls[0].name.as_str(), &reply.tool_calls[0].arguments),
        ("knowledge_base_search", &json!({ "query": "tea" }))
    );
    let sent: serde_json::Value = server.received_requests().await.unwrap()[0].body_json().unwrap();
    assert_eq!(sent["tools"][0]["function"]["name"], "knowledge_base_search");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_chat_mend_a_stream_that_breaks_off_is_an_error() {
    let (proxy, url) = behind_proxy("chat").await;
    proxy.next_request(Fault::cut_after(Direction::ToClient, 1_500).by_close());
    let mut stream = chat_at(&url).stream(question("Count to a thousand.")).await.unwrap();
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = Some(event);
    }
    let error = last.unwrap().unwrap_err();
    assert!([ErrorKind::Truncated, ErrorKind::Unavailable].contains(&error.kind()), "{error:?}");
    println!("{error}");
}
