//! Chat with a llama.cpp server. The model is tiny: what is looked at is the protocol, not the answer.

use std::sync::Arc;

use arshai_core::{
    ErrorKind,
    chat::{
        ChatEvent, ChatMessage, ChatModel as _, ChatModelExt as _, ChatReply, ChatRequest, Finish,
        ToolChoice, ToolResult, UserMessage,
    },
    embed::EmbedderExt as _,
    tool::ToolDefinition,
};
use arshai_openai::{ChatConfig, OpenAiEmbedder};
use futures_util::{StreamExt as _, future::join_all};
use serde_json::json;

use crate::{chat, chat_with, transport};

fn question(text: &str) -> ChatRequest {
    ChatRequest::new(vec![ChatMessage::User(UserMessage::new(text))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_suite_passes() {
    // Room for a call with its arguments.
    let config = ChatConfig::default().with_max_tokens(64);
    let report = arshai_conformance::chat::suite(Arc::new(chat_with(config))).await;
    println!("{report}");
    report.assert_passed();
}

fn weather() -> ToolDefinition {
    ToolDefinition {
        name: "weather".into(),
        description: "The weather of a city.".into(),
        parameters: json!({
            "type": "object",
            "properties": { "city": { "type": "string" } },
            "required": ["city"], "additionalProperties": false,
        }),
    }
}

/// The grammar of the server sees to the shape of a call; only whether there is one, and how it travels, is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_is_called_whole_and_streamed_and_its_result_goes_back() {
    let model = chat_with(ChatConfig::default().with_max_tokens(64));
    let asked = question("What is the weather in Paris?").with_tools(vec![weather()]);
    let required = asked.clone().with_tool_choice(ToolChoice::Required);
    let whole: ChatReply = model.chat(required.clone()).await.unwrap();
    let mut stream = model.stream(required).await.unwrap();
    let (mut streamed, mut end) = (Vec::new(), None);
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            ChatEvent::ToolCall(call) => streamed.push(call),
            ChatEvent::Done { finish, .. } => end = Some(finish),
            _ => {}
        }
    }
    for (calls, finish) in [(&whole.tool_calls, whole.finish), (&streamed, end.unwrap())] {
        assert_eq!(finish, Finish::ToolCalls, "{calls:?}");
        let [call] = calls.as_slice() else { panic!("one call, and not {calls:?}") };
        assert_eq!(call.name, "weather");
        assert!(!call.id.is_empty() && call.arguments["city"].is_string(), "{call:?}");
    }
    let result = ToolResult {
        call_id: whole.tool_calls[0].id.clone(),
        name: "weather".into(),
        content: "Rain.".into(),
        passages: Vec::new(),
    };
    let mut answer = asked.with_tool_choice(ToolChoice::None);
    answer.messages.push(ChatMessage::Assistant { text: whole.text, tool_calls: whole.tool_calls });
    answer.messages.push(ChatMessage::Tool(result));
    let answer = model.chat(answer).await.unwrap();
    assert!(answer.tool_calls.is_empty() && !answer.text.is_empty(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_arrives_in_pieces_and_is_the_whole_reply() {
    let model = chat();
    let mut stream = model.stream(question("Count to ten.")).await.unwrap();
    let (mut pieces, mut text, mut end) = (0, String::new(), None);
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            ChatEvent::Text(piece) => {
                pieces += 1;
                text.push_str(&piece);
            }
            ChatEvent::Done { usage, finish } => end = Some((usage, finish)),
            other => panic!("{other:?}"),
        }
    }
    let (usage, finish) = end.unwrap();
    assert!(pieces > 1 && !text.is_empty(), "{pieces}: {text}");
    assert!(usage.unwrap().completion_tokens > 0);
    let whole = model.chat(question("Count to ten.")).await.unwrap();
    assert_eq!((whole.text, whole.finish), (text, finish));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn structured_output_follows_the_schema() {
    #[derive(Debug, serde::Deserialize)]
    struct Answer {
        yes: bool,
    }
    let schema = json!({
        "type": "object", "properties": { "yes": { "type": "boolean" } },
        "required": ["yes"], "additionalProperties": false,
    });
    let answer = chat().structured::<Answer>(question("Is water wet?"), schema).await.unwrap();
    println!("wet: {}", answer.value.yes);
    assert_eq!(answer.reply.reply.finish, Finish::Stop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_dropped_in_the_middle_leave_the_server_answering() {
    let model = chat();
    let begun = join_all((0..4).map(|_| async {
        let mut stream = model.stream(question("Count to a thousand.")).await.unwrap();
        stream.next().await.unwrap().unwrap();
    }));
    begun.await;
    assert!(!model.ask("Be brief.", "Say hello.").await.unwrap().text.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_embeddings_says_so_once() {
    let embedder = OpenAiEmbedder::new(transport("ARSHAI_TEST_OPENAI_CHAT_URL"), "gemma-3-270m").unwrap();
    let error = embedder.embed_query("x").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Unsupported, 1), "{error}");
}
