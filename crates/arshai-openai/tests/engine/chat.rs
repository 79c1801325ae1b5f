//! Chat with a llama.cpp server. The model is tiny: what is looked at is the protocol, not the answer.

use std::sync::Arc;

use arshai_core::{
    ErrorKind,
    chat::{
        ChatCapabilities, ChatEvent, ChatMessage, ChatModel as _, ChatModelExt as _, ChatRequest, Finish,
        UserMessage,
    },
    embed::EmbedderExt as _,
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
    // The server is started without tools, and takes no notice of those it is offered.
    let plain = ChatCapabilities::default().with_streaming().with_structured_output();
    let config = ChatConfig::default().with_max_tokens(24).with_capabilities(plain);
    let report = arshai_conformance::chat::suite(Arc::new(chat_with(config))).await;
    println!("{report}");
    report.assert_passed();
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
