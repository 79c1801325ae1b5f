//! Statuses and bodies.

use std::time::{Duration, Instant};

use arshai_core::{
    Effect, ErrorKind,
    chat::{ChatModel as _, ChatModelExt as _},
    embed::{Embedder as _, EmbedderExt as _},
};
use serde_json::json;
use wiremock::{Mock, ResponseTemplate, matchers::method};

use tokio::io::AsyncWriteExt as _;

use crate::{
    chat_model, embedder,
    fake::{Embeddings, Raw, fresh},
    quick,
};

const BODIES: [(&str, &str); 6] = [
    ("application/json", r#"{"error":{"message":"no","type":"t","param":null,"code":"c"}}"#),
    ("application/json", r#"{"error":{"code":400,"message":"no","type":"t"}}"#),
    ("application/json", r#"{"detail":[{"loc":["body","input"],"msg":"no"}]}"#),
    ("text/html", "<html><body>Bad Gateway</body></html>"),
    ("text/plain", ""),
    ("application/json", "{\"error\": \"\\ud83d"),
];

fn body(status: u16, (content_type, text): (&str, &str)) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(text, content_type)
}

#[tokio::test]
async fn a_status_that_may_go_away_is_tried_again_whatever_the_body() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        for shape in BODIES {
            let (server, requests) =
                Embeddings::start(move |number, _| (number < 2).then(|| body(status, shape))).await;
            let vector = embedder(quick(&server.uri())).embed_query("text 7").await;
            assert_eq!(vector.unwrap()[0], 7.0, "{status} {shape:?}");
            assert_eq!(requests.lock().unwrap().len(), 3, "{status} {shape:?}");
        }
    }
}

#[tokio::test]
async fn a_status_that_stays_is_an_error_that_keeps_status_and_request_id() {
    for shape in BODIES {
        for (status, kind) in [
            (401, ErrorKind::Unauthorized),
            (403, ErrorKind::Unauthorized),
            (404, ErrorKind::NotFound),
            (400, ErrorKind::InvalidInput),
        ] {
            let server = fresh().await;
            let template = body(status, shape).insert_header("x-request-id", "req-77");
            Mock::given(method("POST")).respond_with(template).mount(&server).await;
            let error = chat_model(quick(&server.uri())).ask("be brief", "hello").await.unwrap_err();
            assert_eq!((error.kind(), error.is_retryable(), error.attempts()), (kind, false, 1), "{error}");
            let context: Vec<_> = error.context().collect();
            assert!(context.contains(&("status", status.to_string().as_str())), "{error}");
            assert!(context.contains(&("request_id", "req-77")), "{error}");
            assert_eq!(error.effect(), Effect::NotApplied);
        }
    }
}

#[tokio::test]
async fn giving_up_says_how_often_it_was_tried() {
    let (server, requests) = Embeddings::start(|_, _| Some(body(503, BODIES[1]))).await;
    let error = embedder(quick(&server.uri()).with_max_attempts(3)).embed_query("x").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts(), error.is_retryable()),
        (ErrorKind::Unavailable, 3, true),
        "{error}"
    );
    assert_eq!(error.effect(), Effect::Unknown);
    assert_eq!(requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn an_hour_of_retry_after_is_handed_on_and_not_slept() {
    let limited = |_: usize, _: &_| Some(body(429, BODIES[0]).insert_header("retry-after", "3600"));
    let (server, requests) = Embeddings::start(limited).await;
    let error = embedder(quick(&server.uri())).embed_query("x").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Exhausted, 1));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_server_asks_to_wait_is_waited() {
    for (name, value) in [("retry-after-ms", "120"), ("retry-after", "0.12")] {
        let limited =
            move |number, _: &_| (number == 0).then(|| body(429, BODIES[3]).insert_header(name, value));
        let (server, _) = Embeddings::start(limited).await;
        let begun = Instant::now();
        embedder(quick(&server.uri())).embed_query("x").await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(120), "{name}");
    }
    let past = |number, _: &_| {
        (number == 0)
            .then(|| body(429, BODIES[3]).insert_header("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"))
    };
    let (server, requests) = Embeddings::start(past).await;
    embedder(quick(&server.uri())).embed_query("x").await.unwrap();
    assert_eq!(requests.lock().unwrap().len(), 2, "a date that has passed is no reason to give up");
}

#[tokio::test]
async fn a_server_may_forbid_and_order_another_attempt() {
    let forbidden = |_: usize, _: &_| Some(body(503, BODIES[0]).insert_header("x-should-retry", "false"));
    let (server, requests) = Embeddings::start(forbidden).await;
    assert!(embedder(quick(&server.uri())).embed_query("x").await.is_err());
    assert_eq!(requests.lock().unwrap().len(), 1);
    let server = fresh().await;
    let ordered = body(403, BODIES[0]).insert_header("x-should-retry", "true");
    Mock::given(method("POST")).respond_with(ordered).expect(4).mount(&server).await;
    assert!(chat_model(quick(&server.uri()).with_max_attempts(4)).ask("", "x").await.is_err());
}

#[tokio::test]
async fn a_used_up_quota_is_not_asked_again() {
    let quota =
        json!({ "error": { "code": "insufficient_quota", "message": "pay", "type": "insufficient_quota" } });
    let (server, requests) =
        Embeddings::start(move |_, _| Some(ResponseTemplate::new(429).set_body_json(&quota))).await;
    let error = embedder(quick(&server.uri())).embed_query("x").await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Exhausted, false));
    assert_eq!(requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_error_that_names_the_host_and_the_key_stays() {
    let (elsewhere, requests) = Embeddings::start(|_, _| None).await;
    let target = elsewhere.uri().replace("127.0.0.1", "localhost");
    for status in [301, 302, 307, 308] {
        let target = format!("{target}/v1/embeddings");
        let redirect = move |_: usize, _: &_| {
            Some(ResponseTemplate::new(status).insert_header("location", target.as_str()))
        };
        let (server, _) = Embeddings::start(redirect).await;
        let error = embedder(quick(&server.uri())).embed_query("x").await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1), "{error}");
        assert!(error.context().any(|fact| fact == ("target", "localhost")), "{error}");
    }
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn success_that_is_an_html_page_is_an_error() {
    let page = || {
        ResponseTemplate::new(200).set_body_raw("<html>Sign in to the hotel's network</html>", "text/html")
    };
    let (server, requests) = Embeddings::start(move |_, _| Some(page())).await;
    let error = embedder(quick(&server.uri())).embed_query("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(!format!("{error} {error:?}").contains("hotel"), "{error:?}");
    assert_eq!(requests.lock().unwrap().len(), 1);
    let server = fresh().await;
    Mock::given(method("POST")).respond_with(page()).mount(&server).await;
    let error = chat_model(quick(&server.uri())).ask("", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn health_tells_a_server_without_a_list_of_models_from_one_that_is_ill() {
    for (status, kind) in [
        (200, None),
        (404, None),
        (401, Some(ErrorKind::Unauthorized)),
        (503, Some(ErrorKind::Unavailable)),
        (302, Some(ErrorKind::Config)),
    ] {
        let server = fresh().await;
        Mock::given(method("GET")).respond_with(ResponseTemplate::new(status)).expect(2).mount(&server).await;
        let health = embedder(quick(&server.uri())).health().await;
        assert_eq!(health.err().map(|error| error.kind()), kind, "{status}");
        let health = chat_model(quick(&server.uri())).health().await;
        assert_eq!(health.err().map(|error| error.kind()), kind, "{status}");
    }
}

#[tokio::test]
async fn a_status_is_kept_when_its_body_never_comes() {
    let server = Raw::start(|_, _, mut socket| async move {
        let head = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 100\r\nx-request-id: req-9\r\n\r\n{\"err";
        socket.write_all(head.as_bytes()).await.ok()?;
        // Neither more nor an end, until the client has gone.
        let _ = tokio::io::AsyncReadExt::read_u8(&mut socket).await;
        None
    })
    .await;
    let config = quick(&server.url()).with_request_timeout(Duration::from_secs(1)).with_max_attempts(1);
    let error = chat_model(config).ask("", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(error.context().any(|fact| fact == ("request_id", "req-9")), "{error}");
}

#[tokio::test]
async fn the_code_of_an_error_is_in_its_context() {
    for (code, told) in [(json!("context_gone"), "context_gone"), (json!(1234), "1234")] {
        let refusal = json!({ "error": { "message": "no", "code": code } });
        let (server, _) =
            Embeddings::start(move |_, _| Some(ResponseTemplate::new(400).set_body_json(&refusal))).await;
        let error = embedder(quick(&server.uri())).embed_query("x").await.unwrap_err();
        assert!(error.context().any(|fact| fact == ("code", told)), "{error}");
    }
}
