//! Servers that were asked for a stream and send something else.

use arshai_core::{
    Error, ErrorKind,
    chat::{ChatEvent, ChatMessage, ChatModel as _, ChatRequest, Finish, Usage, UserMessage},
    tool::ToolDefinition,
};
use arshai_openai::StreamPart;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

use crate::{
    chat_model,
    fake::{events, fresh, piece},
    quick,
};

const KINDS: [Option<&str>; 4] =
    [None, Some("text/event-stream"), Some("application/json; charset=utf-8"), Some("text/plain")];

/// A server that answers everything with this body.
async fn serving(content_type: Option<&str>, body: &str) -> MockServer {
    let server = fresh().await;
    let template = ResponseTemplate::new(200);
    let template = match content_type {
        Some(kind) => template.set_body_raw(body, kind),
        None => template.set_body_bytes(body),
    };
    Mock::given(method("POST")).respond_with(template).mount(&server).await;
    server
}

fn asking(prompt: &str) -> ChatRequest {
    let search = ToolDefinition { name: "search".into(), description: String::new(), parameters: json!({}) };
    ChatRequest::new(vec![ChatMessage::User(UserMessage::new(prompt))]).with_tools(vec![search])
}

async fn streamed(server: &MockServer, prompt: &str) -> Vec<Result<ChatEvent, Error>> {
    chat_model(quick(&server.uri())).stream(asking(prompt)).await.unwrap().collect().await
}

/// The one thing that a stream of this body is: an error.
async fn failed(server: &MockServer, prompt: &str) -> Error {
    let mut items = streamed(server, prompt).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(server.received_requests().await.unwrap().len(), 1, "it is not asked again");
    items.remove(0).unwrap_err()
}

#[tokio::test]
async fn a_page_in_place_of_a_stream_is_the_error_that_it_is_in_place_of_a_reply() {
    for kind in KINDS.into_iter().chain([Some("text/html")]) {
        let server = serving(kind, "\n <html>Sign in to the hotel's network</html>").await;
        let error = failed(&server, "hello").await;
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Protocol, false), "{kind:?}: {error}");
        assert!(!format!("{error} {error:?}").contains("hotel"), "{error:?}");
        let whole = chat_model(quick(&server.uri())).chat(asking("hello")).await.unwrap_err();
        assert_eq!(whole.message(), error.message());
    }
}

#[tokio::test]
async fn an_error_in_place_of_a_stream_is_that_error_without_secrets() {
    let prompt = "my diagnosis is confidential";
    let said = format!("slot lost; sk-very-hidden, '{prompt}'");
    for kind in KINDS {
        for (error, expected, is_retryable) in [
            (json!({ "message": said, "code": 503 }), ErrorKind::Unavailable, true),
            (json!({ "message": said, "type": "invalid_request_error" }), ErrorKind::InvalidInput, false),
            (json!({ "message": said, "code": "insufficient_quota" }), ErrorKind::Exhausted, false),
            (json!(said), ErrorKind::Unavailable, false),
        ] {
            let server = serving(kind, &json!({ "error": error }).to_string()).await;
            let error = failed(&server, prompt).await;
            assert_eq!((error.kind(), error.is_retryable()), (expected, is_retryable), "{kind:?}: {error}");
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("slot lost"), "{shown}");
            assert!(!shown.contains("hidden") && !shown.contains("diagnosis"), "{shown}");
        }
    }
}

fn whole() -> Value {
    let call = json!({ "id": "a", "function": { "name": "search", "arguments": "{\"q\":1}" } });
    let message = json!({ "content": "hello", "reasoning_content": "hm", "tool_calls": [call] });
    json!({
        "id": "r1",
        "object": "chat.completion",
        "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2 },
    })
}

#[tokio::test]
async fn a_whole_reply_of_a_server_that_does_not_stream_comes_in_one_piece() {
    for kind in KINDS {
        let server = serving(kind, &whole().to_string()).await;
        let items: Vec<ChatEvent> =
            streamed(&server, "hello").await.into_iter().map(|item| item.unwrap()).collect();
        let [ChatEvent::Text(text), ChatEvent::ToolCall(call), ChatEvent::Done { usage, finish }] =
            items.as_slice()
        else {
            panic!("{kind:?}: {items:?}");
        };
        assert_eq!((text.as_str(), &call.arguments), ("hello", &json!({ "q": 1 })));
        assert_eq!(*usage, Some(Usage { prompt_tokens: 3, completion_tokens: 2 }));
        assert_eq!(*finish, Finish::ToolCalls);
        let detailed = chat_model(quick(&server.uri())).detailed_stream(asking("hello"), &[]).await.unwrap();
        let parts: Vec<StreamPart> = detailed.map(Result::unwrap).collect().await;
        assert_eq!((parts.len(), &parts[0]), (4, &StreamPart::Reasoning("hm".into())));
    }
}

#[tokio::test]
async fn what_is_neither_events_nor_a_reply_is_not_to_be_asked_for_again() {
    for body in
        ["{}", r#"{"choices":[]}"#, r#"{"detail":"no"}"#, "Bad Gateway", "\"no\"", "{\"a\":1}\n{\"b\":2}\n"]
    {
        let server = serving(Some("application/json"), body).await;
        let error = failed(&server, "hello").await;
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Protocol, false), "{body}: {error}");
    }
    // A body that is cut off, or was never begun, may be whole the next time.
    for body in ["", " \n", r#"{"choices":[{"mess"#] {
        let server = serving(Some("application/json"), body).await;
        let error = failed(&server, "hello").await;
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Truncated, true), "{body}: {error}");
    }
}

#[tokio::test]
async fn events_are_read_whatever_they_are_called() {
    let pieces =
        events(&[piece(json!({ "content": "hel" }), None), piece(json!({ "content": "lo" }), Some("stop"))]);
    for kind in KINDS {
        for beginning in ["", "\r\n", ": PROCESSING\n\n", "event: message\n", "\u{feff}"] {
            let server = serving(kind, &format!("{beginning}{pieces}data: [DONE]\n\n")).await;
            let items = streamed(&server, "hello").await;
            let texts: Vec<&str> = items
                .iter()
                .filter_map(|item| match item {
                    Ok(ChatEvent::Text(text)) => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            assert_eq!(texts, ["hel", "lo"], "{kind:?} {beginning:?}");
            assert!(
                matches!(items.last(), Some(Ok(ChatEvent::Done { finish: Finish::Stop, .. }))),
                "{items:?}"
            );
        }
    }
}

#[tokio::test]
async fn much_space_before_the_first_word_is_no_word() {
    let pieces = events(&[piece(json!({ "content": "hello" }), Some("stop"))]);
    for kind in KINDS {
        for (rest, words) in [(format!("{pieces}data: [DONE]\n\n"), 1), (whole().to_string(), 2)] {
            let server = serving(kind, &format!("{}{rest}", " \r\n".repeat(1 << 20))).await;
            let items: Vec<ChatEvent> =
                streamed(&server, "hello").await.into_iter().map(|item| item.unwrap()).collect();
            assert_eq!(items.first(), Some(&ChatEvent::Text("hello".into())), "{kind:?}");
            assert!(matches!(items.get(words), Some(ChatEvent::Done { .. })), "{kind:?}: {items:?}");
        }
        let server = serving(kind, &" \r\n".repeat(1 << 20)).await;
        assert_eq!(failed(&server, "hello").await.kind(), ErrorKind::Truncated, "{kind:?}");
    }
}
