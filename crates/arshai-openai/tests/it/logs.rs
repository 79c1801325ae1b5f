//! What is told about calls, and what is not.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use arshai_core::{
    chat::{ChatMessage, ChatModel as _, ChatModelExt as _, ChatRequest, UserMessage},
    embed::EmbedderExt as _,
};
use futures_util::StreamExt as _;
use serde_json::json;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};
use wiremock::{Mock, ResponseTemplate, matchers::method};

use crate::{
    chat_model, embedder,
    fake::{Embeddings, Raw, event_stream, events, fresh, piece},
    quick,
};

/// Every field of every span, by the span's name, and every event as one line.
#[derive(Debug, Clone, Default)]
struct Captured(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    spans: BTreeMap<String, BTreeMap<String, String>>,
    lines: Vec<String>,
}

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Captured {
    fn on_new_span(&self, attributes: &Attributes<'_>, _id: &Id, _context: Context<'_, S>) {
        let mut seen = self.0.lock().unwrap();
        let name = attributes.metadata().name().to_owned();
        attributes.record(&mut Fields(seen.spans.entry(name).or_default()));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let name = context.span(id).unwrap().name().to_owned();
        values.record(&mut Fields(self.0.lock().unwrap().spans.entry(name).or_default()));
    }

    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        let line = format!("{} {} {fields:?}", event.metadata().level(), event.metadata().target());
        self.0.lock().unwrap().lines.push(line);
    }
}

impl Captured {
    /// Everything this thread tells while the guard lives.
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let this = Self::default();
        let debug = tracing_subscriber::filter::LevelFilter::DEBUG;
        let subscriber = tracing_subscriber::registry().with(this.clone().with_filter(debug));
        (this, tracing::subscriber::set_default(subscriber))
    }

    fn fields(&self, span: &str) -> BTreeMap<String, String> {
        self.0.lock().unwrap().spans.get(span).cloned().unwrap_or_default()
    }

    fn everything(&self) -> String {
        format!("{:?}", self.0.lock().unwrap())
    }
}

const PROMPT: &str = "my diagnosis is confidential";

#[tokio::test]
async fn spans_have_the_names_of_opentelemetry_and_no_content() {
    let (told, _guard) = Captured::begin();
    let (server, _) = Embeddings::start(|_, _| None).await;
    let port = server.address().port().to_string();
    embedder(quick(&server.uri())).embed_query(PROMPT).await.unwrap();
    let fields = told.fields("gen_ai.embeddings");
    for (name, value) in [
        ("otel.name", "embeddings test-model"),
        ("otel.kind", "client"),
        ("gen_ai.operation.name", "embeddings"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "test-model"),
        ("gen_ai.embeddings.dimension.count", "3"),
        ("gen_ai.usage.input_tokens", "1"),
        ("server.address", "127.0.0.1"),
        ("server.port", port.as_str()),
    ] {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name} of {fields:?}");
    }
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 2 } });
    let all =
        events(&[piece(json!({ "content": "a quiet answer" }), Some("stop")), usage]) + "data: [DONE]\n\n";
    let server = Raw::saying(event_stream(&all)).await;
    let mut request = ChatRequest::new(vec![ChatMessage::User(UserMessage::new(PROMPT))]);
    request.max_tokens = Some(9);
    let stream = chat_model(quick(&server.url())).stream(request).await.unwrap();
    assert!(stream.all(|item| async move { item.is_ok() }).await);
    let fields = told.fields("gen_ai.chat");
    for (name, value) in [
        ("otel.name", "chat test-model"),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.max_tokens", "9"),
        ("gen_ai.response.id", "r1"),
        ("gen_ai.response.model", "m-1"),
        ("gen_ai.response.finish_reasons", "stop"),
        ("gen_ai.usage.input_tokens", "3"),
        ("gen_ai.usage.output_tokens", "2"),
    ] {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name} of {fields:?}");
    }
    let everything = told.everything();
    assert!(!everything.contains("diagnosis") && !everything.contains("quiet"), "{everything}");
    assert!(!everything.contains("sk-very-hidden"), "{everything}");
}

#[tokio::test]
async fn content_is_in_spans_only_when_asked_for() {
    let (told, _guard) = Captured::begin();
    let server = fresh().await;
    let reply = json!({ "choices": [{ "message": { "content": "a quiet answer" } }] });
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_json(reply))
        .mount(&server)
        .await;
    let mut config = quick(&server.uri());
    config.capture_content = true;
    chat_model(config).ask("be brief", PROMPT).await.unwrap();
    let fields = told.fields("gen_ai.chat");
    assert!(fields["gen_ai.input.messages"].contains("diagnosis"), "{fields:?}");
    assert_eq!(fields["gen_ai.output.messages"], "a quiet answer");
}

#[tokio::test]
async fn content_of_a_streamed_chat_is_in_spans_only_when_asked_for() {
    let pieces = events(&[
        piece(json!({ "content": "a quiet " }), None),
        piece(json!({ "content": "answer" }), Some("stop")),
    ]) + "data: [DONE]\n\n";
    for captured in [false, true] {
        let (told, _guard) = Captured::begin();
        let server = Raw::saying(event_stream(&pieces)).await;
        let mut config = quick(&server.url());
        config.capture_content = captured;
        let request = ChatRequest::new(vec![ChatMessage::User(UserMessage::new(PROMPT))]);
        let stream = chat_model(config).stream(request).await.unwrap();
        assert!(stream.all(|item| async move { item.is_ok() }).await);
        let fields = told.fields("gen_ai.chat");
        let output = fields.get("gen_ai.output.messages").map(String::as_str);
        assert_eq!(output, captured.then_some("a quiet answer"), "{fields:?}");
        let input = fields.get("gen_ai.input.messages");
        assert_eq!(input.is_some_and(|input| input.contains(PROMPT)), captured, "{fields:?}");
        assert_eq!(fields.get("gen_ai.response.finish_reasons").map(String::as_str), Some("stop"));
        let everything = told.everything();
        assert!(
            captured || !(everything.contains("diagnosis") || everything.contains("quiet")),
            "{everything}"
        );
    }
}

#[tokio::test]
async fn neither_key_nor_prompt_is_in_errors_and_logs_when_a_server_repeats_them() {
    let (told, _guard) = Captured::begin();
    let echoes = [
        json!({ "error": { "message": format!("Incorrect API key provided: sk-very-hidden for '{PROMPT}'") } }),
        json!({ "detail": [{ "loc": ["body"], "msg": "bad", "input": { "messages": [PROMPT] } }] }),
        json!({ "error": { "code": PROMPT, "message": PROMPT, "param": "messages" } }),
        json!(format!("cannot serve {PROMPT}")),
    ];
    for status in [400, 401, 429, 500] {
        for echo in &echoes {
            let server = fresh().await;
            let template = ResponseTemplate::new(status).set_body_json(echo);
            Mock::given(method("POST")).respond_with(template).mount(&server).await;
            let config = quick(&server.uri()).with_max_attempts(2);
            let chat = chat_model(config.clone()).ask("be brief", PROMPT).await.unwrap_err();
            let embed = embedder(config).embed_query(PROMPT).await.unwrap_err();
            for error in [chat, embed] {
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains("diagnosis") && !shown.contains("hidden"), "{status}: {shown}");
            }
        }
    }
    // In a reply that began well, whole and streamed: in the message, and in what is called a code.
    let inside = [
        json!({ "error": { "message": format!("failed on {PROMPT}"), "code": PROMPT, "type": PROMPT } }),
        json!({ "error": format!("failed on: {}", PROMPT.replace(' ', "\n")) }),
    ];
    for echo in inside {
        let (server, _) = Embeddings::start({
            let echo = echo.clone();
            move |_, _| Some(ResponseTemplate::new(200).set_body_json(&echo))
        })
        .await;
        let embed =
            embedder(quick(&server.uri()).with_max_attempts(2)).embed_query(PROMPT).await.unwrap_err();
        let server = fresh().await;
        let template = ResponseTemplate::new(200).set_body_json(&echo);
        Mock::given(method("POST")).respond_with(template).mount(&server).await;
        let config = quick(&server.uri()).with_max_attempts(2);
        let chat = chat_model(config).ask("be brief", PROMPT).await.unwrap_err();
        let server = Raw::saying(event_stream(&events(&[echo]))).await;
        let request = ChatRequest::new(vec![ChatMessage::User(UserMessage::new(PROMPT))]);
        let mut stream = chat_model(quick(&server.url())).stream(request).await.unwrap();
        let streamed = stream.next().await.unwrap().unwrap_err();
        for error in [embed, chat, streamed] {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("diagnosis") && !shown.contains("confidential"), "{shown}");
            assert!(shown.contains("failed on"), "the rest is told: {shown}");
        }
    }
    for garbage in
        [format!("{{\"{PROMPT}"), format!("{{\"choices\": \"{PROMPT}\"}}"), format!("<p>{PROMPT}</p>")]
    {
        let server = fresh().await;
        let template = ResponseTemplate::new(200).set_body_string(garbage);
        Mock::given(method("POST")).respond_with(template).mount(&server).await;
        let error = chat_model(quick(&server.uri()).with_max_attempts(1)).ask("", "x").await.unwrap_err();
        assert!(!format!("{error:?}").contains("diagnosis"), "{error:?}");
    }
    let everything = told.everything();
    assert!(everything.contains("trying again"), "retries are told of");
    assert!(!everything.contains("diagnosis") && !everything.contains("hidden"), "{everything}");
    let fields = told.fields("gen_ai.chat");
    assert_eq!(fields.get("error.type").map(String::as_str), Some("protocol"));
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let config = quick("http://127.0.0.1:1").with_header("x-team-token", "also-hidden");
    let shown = format!("{config:?} {:?} {:?}", embedder(config.clone()), chat_model(config.clone()));
    assert!(!shown.contains("hidden"), "{shown}");
}
