//! What happens to bytes on their way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arshai_conformance::fault::{Direction, Fault, FaultProxy, Plan};
use arshai_core::{
    Deadline, Effect, ErrorKind,
    chat::ChatModelExt as _,
    embed::{Embedder as _, EmbedderExt as _, Input},
};
use arshai_openai::{OpenAiConfig, Transport};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
};
use wiremock::MockServer;

use crate::{
    chat_model, embedder,
    fake::{Embeddings, Raw, embeddings, vector_of},
    quick,
};

async fn proxied() -> (MockServer, FaultProxy, OpenAiConfig) {
    let (server, _) = Embeddings::start(|_, _| None).await;
    let proxy = FaultProxy::start(*server.address()).await.unwrap();
    let config = quick(&proxy.url("http"));
    (server, proxy, config)
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_reply_is_tried_again() {
    for bytes in [0, 1, 20, 200] {
        let (_server, proxy, config) = proxied().await;
        proxy.plan(Plan::new().connection(0, [Fault::cut_after(Direction::ToClient, bytes)]));
        assert_eq!(embedder(config).embed_query("text 3").await.unwrap()[0], 3.0, "after {bytes} bytes");
        assert_eq!(proxy.stats().cut, 1, "after {bytes} bytes");
    }
}

#[tokio::test]
async fn a_connection_closed_in_the_middle_of_a_reply_is_tried_again() {
    let (_server, proxy, config) = proxied().await;
    proxy.plan(Plan::new().connection(0, [Fault::cut_after(Direction::ToClient, 150).by_close()]));
    assert_eq!(embedder(config).embed_query("text 3").await.unwrap()[0], 3.0);
}

#[tokio::test]
async fn a_stall_of_a_second_is_sat_out_and_an_endless_one_is_not() {
    let (_server, proxy, config) = proxied().await;
    proxy.plan(Plan::new().connection(0, [Fault::delay(Duration::from_secs(1))]));
    let begun = Instant::now();
    assert!(embedder(config.clone()).embed_query("x").await.is_ok());
    assert!(begun.elapsed() >= Duration::from_secs(1));
    proxy.plan(Plan::new().connection(0, [Fault::stall()]));
    let impatient = config.with_request_timeout(Duration::from_millis(300));
    assert!(embedder(impatient.clone()).embed_query("x").await.is_ok(), "the second attempt is not stalled");
    proxy.set(Fault::stall()).await.unwrap();
    let error = embedder(impatient.with_max_attempts(2)).embed_query("x").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts(), error.effect()), (ErrorKind::Timeout, 2, Effect::Unknown));
}

#[tokio::test]
async fn the_deadline_of_the_operation_bounds_all_attempts_together() {
    let (_server, proxy, config) = proxied().await;
    proxy.set(Fault::black_hole()).await.unwrap();
    let within = Deadline::after(Duration::from_millis(200));
    let error = within.scope(chat_model(config.clone()).ask("", "x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let mut total = config.with_max_attempts(1000).with_request_timeout(Duration::from_millis(50));
    total.total_timeout = Duration::from_secs(2);
    let error = chat_model(total).ask("", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.attempts() > 1);
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable_and_comes_back() {
    let (_server, proxy, config) = proxied().await;
    proxy.set(Fault::refuse()).await.unwrap();
    let embedder = embedder(config.with_max_attempts(3));
    let error = embedder.embed_query("x").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts(), error.effect()),
        (ErrorKind::Unavailable, 3, Effect::NotApplied)
    );
    assert!(error.context().any(|fact| fact == ("host", "127.0.0.1")), "{error}");
    assert!(embedder.health().await.is_err());
    proxy.heal().await.unwrap();
    assert!(embedder.embed_query("x").await.is_ok());
}

#[tokio::test]
async fn a_pooled_connection_that_died_meanwhile_is_replaced() {
    let (_server, proxy, config) = proxied().await;
    let embedder = embedder(config);
    assert!(embedder.embed_query("x").await.is_ok());
    proxy.set(Fault::reset()).await.unwrap();
    proxy.until(|stats| stats.open == 0).await.unwrap();
    proxy.heal().await.unwrap();
    assert!(embedder.embed_query("x").await.is_ok());
}

#[tokio::test]
async fn faults_at_random_lose_nothing_and_keep_the_order() {
    let (_server, proxy, config) = proxied().await;
    let cut = Fault::reset().after_bytes(Direction::ToClient, 700);
    let faults =
        [Fault::reset(), Fault::lose_reply(), cut, Fault::close(), Fault::delay(Duration::from_millis(20))];
    proxy.plan(Plan::seeded(11).probability(0.25, faults));
    let texts: Vec<String> = (0..3_000).map(|n| format!("text {n}")).collect();
    let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batch = embedder(config).embed(&refs, Input::Document).await.unwrap();
    for (text, row) in texts.iter().zip(batch.rows()) {
        assert_eq!(row.unwrap(), vector_of(text));
    }
    assert!(!proxy.events().is_empty());
}

#[tokio::test]
async fn a_content_length_that_is_wrong_is_an_error_or_another_attempt() {
    let body = embeddings(&json!({ "input": ["text 5"] })).to_string();
    // More announced than sent, once.
    let more = body.clone();
    let server = Raw::start(move |number, _, mut socket| {
        let announced = if number == 0 { more.len() + 10 } else { more.len() };
        let reply =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {announced}\r\nconnection: close\r\n\r\n{more}");
        async move {
            socket.write_all(reply.as_bytes()).await.unwrap();
            None
        }
    })
    .await;
    assert_eq!(embedder(quick(&server.url())).embed_query("text 5").await.unwrap()[0], 5.0);
    // Less announced than sent, always: what is read is cut off.
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len() - 10);
    let server = Raw::saying(reply).await;
    let error = embedder(quick(&server.url()).with_max_attempts(2)).embed_query("text 5").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Truncated, 2), "{error}");
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    let server = Raw::saying("SSH-2.0-OpenSSH_9.2\r\n").await;
    let error = embedder(quick(&server.url()).with_max_attempts(2)).embed_query("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_reply_of_a_hundred_megabytes_is_not_read() {
    const HUNDRED: usize = 100 << 20;
    for announced in [true, false] {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let server = Raw::start(move |_, _, mut socket| {
            let counted = Arc::clone(&counted);
            let length = if announced { format!("content-length: {HUNDRED}\r\n") } else { String::new() };
            async move {
                let head = format!("HTTP/1.1 200 OK\r\n{length}\r\n{{\"data\":[");
                socket.write_all(head.as_bytes()).await.ok()?;
                let block = vec![b' '; 1 << 16];
                while counted.load(Ordering::SeqCst) < HUNDRED {
                    socket.write_all(&block).await.ok()?;
                    counted.fetch_add(block.len(), Ordering::SeqCst);
                }
                None
            }
        })
        .await;
        let mut config = quick(&server.url());
        config.max_reply_bytes = 4 << 20;
        let error = embedder(config).embed_query("x").await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Protocol, 1), "{error}");
        assert!(error.to_string().contains("max_reply_bytes"), "{error}");
        assert!(sent.load(Ordering::SeqCst) < HUNDRED / 2, "{sent:?} bytes were taken");
    }
}

#[tokio::test]
async fn the_body_of_an_error_is_not_read_without_end_either() {
    let mut reply = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    reply.resize(8 << 20, b'x');
    let server = Raw::saying(reply).await;
    let error = chat_model(quick(&server.url())).ask("", "hello").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().len() < 1_000);
}

#[tokio::test]
async fn dropping_a_call_stops_the_request() {
    let (gone, server_saw) = oneshot::channel();
    let gone = std::sync::Mutex::new(Some(gone));
    let (begun, began) = oneshot::channel();
    let begun = std::sync::Mutex::new(Some(begun));
    let server = Raw::start(move |_, _, mut socket| {
        let (gone, begun) = (gone.lock().unwrap().take(), begun.lock().unwrap().take());
        async move {
            begun?.send(()).ok()?;
            // The end of the stream, or a reset: the client has gone.
            let _ = socket.read(&mut [0]).await;
            gone?.send(()).ok()?;
            None
        }
    })
    .await;
    let embedder = embedder(quick(&server.url()));
    let call = tokio::spawn(async move { embedder.embed_query("x").await });
    began.await.unwrap();
    call.abort();
    tokio::time::timeout(Duration::from_secs(20), server_saw).await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_are_used_again() {
    let (_server, proxy, config) = proxied().await;
    let transport = Transport::new(config).unwrap();
    let embedder = arshai_openai::OpenAiEmbedder::new(transport, "m").unwrap();
    for _ in 0..10 {
        embedder.embed_query("x").await.unwrap();
    }
    assert_eq!(proxy.stats().accepted, 1);
}

#[tokio::test]
async fn a_server_that_takes_no_connection_is_given_up_on_after_the_time_to_connect() {
    // Nobody accepts: when the queue is full, further connections are neither made nor refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(connection) =
        tokio::time::timeout(Duration::from_millis(500), tokio::net::TcpStream::connect(address)).await
    {
        queued.push(connection.unwrap());
    }
    let mut config = quick(&format!("http://{address}")).with_max_attempts(2);
    config.connect_timeout = Duration::from_millis(100);
    // Without a time to connect it would be this one, which is another error.
    config.request_timeout = Duration::from_secs(5);
    let error = embedder(config).embed_query("x").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Unavailable, 2), "{error}");
    assert_eq!(error.effect(), Effect::NotApplied, "nothing was sent");
}
