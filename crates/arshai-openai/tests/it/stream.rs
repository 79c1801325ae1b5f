//! Replies that arrive in pieces.

use std::{sync::Mutex, time::Duration};

use arshai_conformance::fault::{Direction, Fault, FaultProxy, Plan};
use arshai_core::{
    Error, ErrorKind,
    chat::{ChatEvent, ChatMessage, ChatModel as _, ChatRequest, Finish, ToolCall, Usage, UserMessage},
    tool::ToolDefinition,
};
use arshai_openai::{OpenAiChat, StreamPart};
use futures_util::{StreamExt as _, future::join_all};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
};

use crate::{
    chat_model,
    fake::{Raw, event_stream, events, piece, stream_head},
    quick,
};

/// With a socket at both ends these stay within the number of open files that a process usually may have.
const AT_ONCE: usize = 400;

fn question() -> ChatRequest {
    ChatRequest::new(vec![ChatMessage::User(UserMessage::new("hello"))])
}

fn with_tool() -> ChatRequest {
    let search = ToolDefinition { name: "search".into(), description: String::new(), parameters: json!({}) };
    question().with_tools(vec![search])
}

async fn items(model: &OpenAiChat, request: ChatRequest) -> Vec<Result<ChatEvent, Error>> {
    let stream = model.stream(request).await.unwrap();
    stream.collect().await
}

/// What a model makes of a stream of these bytes.
async fn read(reply: Vec<u8>, request: ChatRequest) -> Vec<Result<ChatEvent, Error>> {
    let server = Raw::saying(reply).await;
    items(&chat_model(quick(&server.url())), request).await
}

fn texts(items: &[Result<ChatEvent, Error>]) -> String {
    let text = |item: &Result<ChatEvent, Error>| match item {
        Ok(ChatEvent::Text(text)) => Some(text.clone()),
        _ => None,
    };
    items.iter().filter_map(text).collect()
}

fn done(items: &[Result<ChatEvent, Error>]) -> (Option<Usage>, Finish) {
    match items.last() {
        Some(Ok(ChatEvent::Done { usage, finish })) => (*usage, *finish),
        other => panic!("no end but {other:?}"),
    }
}

fn hello() -> String {
    let usage =
        json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 } });
    events(&[
        piece(json!({ "role": "assistant", "content": "" }), None),
        piece(json!({ "content": "hel" }), None),
        piece(json!({ "content": "lo 👋" }), None),
        piece(json!({}), Some("stop")),
        usage,
    ]) + "data: [DONE]\n\n"
}

#[tokio::test]
async fn a_stream_is_words_and_one_end() {
    let items = read(event_stream(&hello()), question()).await;
    assert_eq!(texts(&items), "hello 👋");
    assert_eq!(done(&items), (Some(Usage { prompt_tokens: 3, completion_tokens: 2 }), Finish::Stop));
    assert_eq!(items.len(), 3);
}

#[tokio::test]
async fn a_stream_is_the_same_however_the_bytes_are_cut() {
    for size in [1, 2, 3, 7, 64] {
        let server = Raw::start(move |_, _, mut socket| async move {
            socket.set_nodelay(true).unwrap();
            socket.write_all(stream_head().as_bytes()).await.unwrap();
            for part in hello().into_bytes().chunks(size) {
                let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
                socket.write_all(&chunk).await.unwrap();
                tokio::task::yield_now().await;
            }
            socket.write_all(b"0\r\n\r\n").await.unwrap();
            Some(socket)
        })
        .await;
        let items = items(&chat_model(quick(&server.url())), question()).await;
        assert_eq!((texts(&items).as_str(), done(&items).1), ("hello 👋", Finish::Stop), "{size}");
    }
}

#[tokio::test]
async fn a_stream_without_its_end_marker_is_truncated_and_never_a_normal_end() {
    let half = events(&[piece(json!({ "content": "hel" }), None)]);
    for ending in ["", "data: {\"choices\":[{\"del", "data: {\"choices\":[]}"] {
        let items = read(event_stream(&format!("{half}{ending}")), question()).await;
        assert_eq!(texts(&items), "hel");
        let error = items.last().unwrap().as_ref().unwrap_err();
        assert_eq!((error.kind(), items.len()), (ErrorKind::Truncated, 2), "{ending}");
        assert!(error.is_retryable());
    }
    // A server that has no marker of its own, but says why it stopped and ends the body properly.
    let unmarked = events(&[piece(json!({ "content": "hello" }), None), piece(json!({}), Some("length"))]);
    assert_eq!(done(&read(event_stream(&unmarked), question()).await).1, Finish::Length);
    // The reason is there, and then the connection breaks: what else was to come is not known.
    let mut broken = event_stream(&unmarked);
    broken.truncate(broken.len() - 5);
    let items = read(broken, question()).await;
    assert_eq!(items.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Truncated);
}

#[tokio::test]
async fn a_connection_that_breaks_in_half_an_event_is_truncated() {
    let server = Raw::saying(event_stream(&hello())).await;
    for cut in
        [Fault::cut_after(Direction::ToClient, 330), Fault::cut_after(Direction::ToClient, 330).by_close()]
    {
        let proxy = FaultProxy::start(server.address).await.unwrap();
        proxy.plan(Plan::new().every_connection([cut]));
        let items = items(&chat_model(quick(&proxy.url("http"))), question()).await;
        let error = items.last().unwrap().as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
        assert!(items.len() < 3);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_beginning_is_asked_for_again() {
    let server = Raw::saying(event_stream(&hello())).await;
    let proxy = FaultProxy::start(server.address).await.unwrap();
    proxy.plan(Plan::new().connection(0, [Fault::lose_reply()]).connection(1, [Fault::refuse()]));
    let items = items(&chat_model(quick(&proxy.url("http"))), question()).await;
    assert_eq!(texts(&items), "hello 👋");
}

#[tokio::test]
async fn a_stream_that_falls_silent_ends_with_a_timeout() {
    let server = Raw::start(|_, _, mut socket| async move {
        let event = events(&[piece(json!({ "content": "hel" }), None)]);
        let chunk = format!("{}{:x}\r\n{event}\r\n", stream_head(), event.len());
        socket.write_all(chunk.as_bytes()).await.unwrap();
        let _ = socket.read(&mut [0]).await;
        None
    })
    .await;
    let mut config = quick(&server.url());
    config.idle_timeout = Duration::from_secs(1);
    let items = items(&chat_model(config), question()).await;
    assert_eq!(texts(&items), "hel");
    assert_eq!(items.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Timeout);
    let mut config = quick(&server.url());
    config.stream_timeout = Duration::from_millis(150);
    let items = self::items(&chat_model(config), question()).await;
    assert_eq!(items.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn tools_called_in_parallel_come_whole() {
    let call = |index: Option<usize>, id: Option<&str>, name: Option<&str>, arguments: &str| {
        let mut call = json!({ "function": { "arguments": arguments } });
        if let Some(index) = index {
            call["index"] = json!(index);
        }
        if let Some(id) = id {
            call["id"] = json!(id);
        }
        if let Some(name) = name {
            call["function"]["name"] = json!(name);
        }
        piece(json!({ "content": null, "tool_calls": [call] }), None)
    };
    let numbered = [
        call(Some(0), Some("a"), Some("search"), ""),
        call(Some(1), Some("b"), Some("search"), "{\"q\""),
        call(Some(0), None, None, "{\"q\":1}"),
        call(Some(1), None, None, ":2}"),
    ];
    let unnumbered = [
        call(None, Some("a"), Some("search"), "{\"q\""),
        call(None, None, None, ":1}"),
        call(None, Some("b"), Some("search"), "{\"q\":2}"),
    ];
    for (pieces, reason) in [(&numbered[..], "tool_calls"), (&unnumbered[..], "stop")] {
        let all = events(pieces) + &events(&[piece(json!({}), Some(reason))]) + "data: [DONE]\n\n";
        let items = read(event_stream(&all), with_tool()).await;
        let calls: Vec<ToolCall> = items
            .iter()
            .filter_map(|item| match item {
                Ok(ChatEvent::ToolCall(call)) => Some(call.clone()),
                _ => None,
            })
            .collect();
        let expected = [("a", 1), ("b", 2)].map(|(id, q)| ToolCall {
            id: id.into(),
            name: "search".into(),
            arguments: json!({ "q": q }),
        });
        assert_eq!(calls, expected);
        assert_eq!(done(&items).1, Finish::ToolCalls);
        // A model that was offered no tools has none to call.
        let items = read(event_stream(&all), question()).await;
        assert_eq!((items.len(), done(&items).1), (1, Finish::Stop));
    }
}

#[tokio::test]
async fn finish_reasons_and_missing_fields_of_other_servers_are_understood() {
    for (reason, finish) in [
        ("", Finish::Stop),
        ("eos_token", Finish::Stop),
        ("abort", Finish::Other),
        ("length", Finish::Length),
    ] {
        let bare = json!({ "choices": [{ "delta": { "content": "hi" }, "finish_reason": reason }] });
        let all = format!(": OPENROUTER PROCESSING\n\n{}data:[DONE]\n\n", events(&[bare]));
        assert_eq!(done(&read(event_stream(&all), question()).await), (None, finish), "{reason}");
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_is_that_error() {
    let failure =
        json!({ "error": { "code": 503, "message": "slot lost; sk-very-hidden", "type": "server_error" } });
    for ending in [format!("data: {failure}\n\n"), format!("event: error\ndata: {failure}\n\n")] {
        let all = events(&[piece(json!({ "content": "hel" }), None)]) + &ending + "data: [DONE]\n\n";
        let items = read(event_stream(&all), question()).await;
        let error = items.last().unwrap().as_ref().unwrap_err();
        assert_eq!((error.kind(), items.len()), (ErrorKind::Unavailable, 2), "{error}");
        assert!(error.to_string().contains("slot lost") && !error.to_string().contains("hidden"), "{error}");
    }
    for garbage in ["data: {oops\n\n", "data: <html>\n\n"] {
        let items = read(event_stream(garbage), question()).await;
        assert!(items.last().unwrap().is_err(), "{garbage}");
    }
    let mut bad_utf8 = format!("{}c\r\n", stream_head()).into_bytes();
    bad_utf8.extend_from_slice(b"data: \"\xff\xfe\"\n\n\r\n0\r\n\r\n");
    let items = read(bad_utf8, question()).await;
    assert_eq!(items.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn what_the_model_thinks_is_no_part_of_its_words() {
    let all = events(&[
        piece(json!({ "reasoning_content": "hm, " }), None),
        piece(json!({ "reasoning": "yes" }), None),
        piece(json!({ "content": "hi" }), Some("stop")),
    ]) + "data: [DONE]\n\n";
    let items = read(event_stream(&all), question()).await;
    assert_eq!((texts(&items).as_str(), items.len()), ("hi", 2));
    let server = Raw::saying(event_stream(&all)).await;
    let stream = chat_model(quick(&server.url())).detailed_stream(question(), &[]).await.unwrap();
    let parts: Vec<StreamPart> = stream.map(Result::unwrap).collect().await;
    assert_eq!(parts[..2], [StreamPart::Reasoning("hm, ".into()), StreamPart::Reasoning("yes".into())]);
}

#[tokio::test]
async fn a_model_that_declines_says_so_and_is_not_silent() {
    let all = events(&[
        piece(json!({ "role": "assistant", "content": null, "refusal": "I cannot " }), None),
        piece(json!({ "refusal": "do that." }), Some("stop")),
    ]) + "data: [DONE]\n\n";
    assert_eq!(texts(&read(event_stream(&all), question()).await), "I cannot do that.");
    let server = Raw::saying(event_stream(&all)).await;
    let stream = chat_model(quick(&server.url())).detailed_stream(question(), &[]).await.unwrap();
    let parts: Vec<StreamPart> = stream.map(Result::unwrap).collect().await;
    assert_eq!(parts[..2], [StreamPart::Refusal("I cannot ".into()), StreamPart::Refusal("do that.".into())]);
    let whole =
        json!({ "choices": [{ "message": { "content": null, "refusal": "No." }, "finish_reason": "stop" }] });
    let server = Raw::saying(crate::fake::reply("application/json", &whole.to_string())).await;
    let reply = chat_model(quick(&server.url())).chat(question()).await.unwrap();
    assert_eq!(reply.text, "No.");
}

#[tokio::test]
async fn the_message_so_far_beside_each_piece_is_not_told_twice() {
    let both = |new: &str, so_far: &str| json!({ "id": 7, "choices": [{ "index": 1, "delta": { "content": new }, "message": { "content": so_far } }] });
    let other = json!({ "choices": [{ "index": 2, "delta": { "content": "another answer" } }] });
    let all = events(&[both("hel", "hel"), other, both("lo", "hello")]) + "data: [DONE]\n\n";
    assert_eq!(texts(&read(event_stream(&all), question()).await), "hello");
}

#[tokio::test]
async fn dropping_a_stream_stops_the_request_and_closing_waits_for_one() {
    let (gone, server_saw) = oneshot::channel();
    let gone = Mutex::new(Some(gone));
    let server = Raw::start(move |_, _, mut socket| {
        let gone = gone.lock().unwrap().take();
        async move {
            socket.write_all(stream_head().as_bytes()).await.ok()?;
            let event = events(&[piece(json!({ "content": "and " }), None)]);
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            while socket.write_all(chunk.as_bytes()).await.is_ok() {
                tokio::task::yield_now().await;
            }
            gone?.send(()).ok()?;
            None
        }
    })
    .await;
    let model = chat_model(quick(&server.url()));
    let mut stream = model.stream(question()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    let waiting = arshai_core::Deadline::after(Duration::from_millis(100)).scope(model.close()).await;
    assert_eq!(waiting.unwrap_err().kind(), ErrorKind::Timeout, "a stream is under way");
    drop(stream);
    tokio::time::timeout(Duration::from_secs(20), server_saw).await.unwrap().unwrap();
    model.close().await.unwrap();
    assert_eq!(model.stream(question()).await.err().unwrap().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_server_that_refuses_to_tell_usage_is_asked_without() {
    let asked: std::sync::Arc<Mutex<Vec<bool>>> = std::sync::Arc::default();
    let seen = std::sync::Arc::clone(&asked);
    let server = Raw::start(move |_, body, mut socket| {
        let asks = serde_json::from_str::<Value>(&body).unwrap().get("stream_options").is_some();
        seen.lock().unwrap().push(asks);
        async move {
            let refusal =
                r#"{"detail":[{"loc":["body","stream_options"],"msg":"extra fields not permitted"}]}"#;
            let refusal = format!(
                "HTTP/1.1 422 Unprocessable Entity\r\ncontent-length: {}\r\n\r\n{refusal}",
                refusal.len()
            );
            let bytes = if asks { refusal.into_bytes() } else { event_stream(&hello()) };
            socket.write_all(&bytes).await.ok()?;
            Some(socket)
        }
    })
    .await;
    let model = chat_model(quick(&server.url()));
    for _ in 0..2 {
        assert_eq!(texts(&items(&model, question()).await), "hello 👋");
    }
    // What is known of a server, other models on its transport know.
    let other = OpenAiChat::new(model.transport().clone(), "another-model").unwrap();
    assert_eq!(texts(&items(&other, question()).await), "hello 👋");
    assert_eq!(*asked.lock().unwrap(), [true, false, false, false]);
}

#[tokio::test]
async fn a_prompt_about_the_field_that_a_server_refuses_changes_nothing() {
    let asked: std::sync::Arc<Mutex<Vec<bool>>> = std::sync::Arc::default();
    let seen = std::sync::Arc::clone(&asked);
    let server = Raw::start(move |number, body, mut socket| {
        let asks = serde_json::from_str::<Value>(&body).unwrap().get("stream_options").is_some();
        seen.lock().unwrap().push(asks);
        async move {
            let refusal = match number {
                // It is the prompt that it will not have, whichever way it is asked.
                0 | 1 => Some("bad words: what are stream options, or stream_options?"),
                _ => asks.then_some("Unknown parameter: stream_options"),
            };
            let refused = |refusal: &str| {
                let length = refusal.len();
                format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {length}\r\n\r\n{refusal}").into_bytes()
            };
            let bytes = refusal.map_or_else(|| event_stream(&hello()), refused);
            socket.write_all(&bytes).await.ok()?;
            Some(socket)
        }
    })
    .await;
    let model = chat_model(quick(&server.url()));
    let question = || {
        let words = "what are stream options, or stream_options?";
        ChatRequest::new(vec![ChatMessage::User(UserMessage::new(words))])
    };
    let error = model.stream(question()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    for _ in 0..2 {
        assert_eq!(texts(&items(&model, question()).await), "hello 👋");
    }
    // A refusal of the prompt has taught nothing, that of the field has.
    assert_eq!(*asked.lock().unwrap(), [true, false, true, false, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_at_once_lose_no_event() {
    // The first of them go on only when so many are open: they are under way together.
    let together = std::sync::Arc::new(tokio::sync::Barrier::new(AT_ONCE));
    let server = Raw::start(move |request, body, mut socket| {
        let together = std::sync::Arc::clone(&together);
        async move {
            let body: Value = serde_json::from_str(&body).unwrap();
            let number = body["messages"][0]["content"].as_str().unwrap().to_owned();
            socket.write_all(stream_head().as_bytes()).await.ok()?;
            if request < AT_ONCE {
                together.wait().await;
            }
            for word in 0..20 {
                let event = events(&[piece(json!({ "content": format!("{number}.{word} ") }), None)]);
                socket.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.ok()?;
                tokio::task::yield_now().await;
            }
            let end = "data: [DONE]\n\n";
            socket.write_all(format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len()).as_bytes()).await.ok()?;
            Some(socket)
        }
    })
    .await;
    let model = chat_model(quick(&server.url()));
    let streams = (0..1_000).map(|number| {
        let model = &model;
        async move {
            let request = ChatRequest::new(vec![ChatMessage::User(UserMessage::new(number.to_string()))]);
            let items = items(model, request).await;
            let expected: String = (0..20).map(|word| format!("{number}.{word} ")).collect();
            assert_eq!(texts(&items), expected);
            done(&items);
            items.len()
        }
    });
    let events: usize = join_all(streams).await.into_iter().sum();
    assert_eq!(events, 1_000 * 21, "twenty words and an end each");
}
