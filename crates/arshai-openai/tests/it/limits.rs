//! How much at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arshai_core::{
    Deadline, ErrorKind,
    chat::{ChatModel as _, ChatModelExt as _},
    embed::{Embedder as _, EmbedderExt as _, Input},
    wrap::Coalesce,
};
use arshai_openai::{OpenAiChat, OpenAiEmbedder, RateBudget, Transport};
use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use wiremock::ResponseTemplate;

use crate::{
    embedder,
    fake::{Embeddings, Raw, embeddings, reply},
    quick,
};

/// A server that takes its time, and the most requests it had at once.
async fn counting() -> (Raw, Arc<AtomicUsize>) {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let server = Raw::start(move |_, body, mut socket| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&seen));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(60)).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            now.fetch_sub(1, Ordering::SeqCst);
            let bytes = reply("application/json", &embeddings(&body).to_string());
            socket.write_all(&bytes).await.ok()?;
            Some(socket)
        }
    })
    .await;
    (server, most)
}

#[tokio::test]
async fn one_call_has_five_batches_in_flight_and_several_share_the_transports_limit() {
    let texts: Vec<String> = (0..2_000).map(|n| format!("text {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (server, most) = counting().await;
    embedder(quick(&server.url())).embed(&texts, Input::Document).await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 5);
    let (server, most) = counting().await;
    let mut config = quick(&server.url());
    config.max_concurrency = 3;
    let transport = Transport::new(config).unwrap();
    let embedders: Vec<_> = (0..3).map(|_| OpenAiEmbedder::new(transport.clone(), "m").unwrap()).collect();
    join_all(embedders.iter().map(|embedder| embedder.embed(&texts, Input::Document))).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn waiting_for_a_place_ends_with_the_deadline() {
    let (server, _) =
        Embeddings::start(|_, _| Some(ResponseTemplate::new(500).set_delay(Duration::from_secs(60)))).await;
    let mut config = quick(&server.uri());
    config.max_concurrency = 1;
    let embedder = Arc::new(embedder(config));
    let holder = Arc::clone(&embedder);
    let held = tokio::spawn(async move { holder.embed_query("a").await });
    while server.received_requests().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let waiting = Deadline::after(Duration::from_millis(50)).scope(embedder.embed_query("b")).await;
    let error = waiting.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("place"), "{error}");
    held.abort();
    assert!(held.await.is_err());
}

#[tokio::test]
async fn a_budget_spaces_requests_and_learns_from_headers() {
    let (server, requests) = Embeddings::start(|number, body| {
        let remaining = if number == 0 { "0" } else { "10" };
        let answer = ResponseTemplate::new(200).set_body_json(embeddings(body));
        Some(
            answer
                .insert_header("x-ratelimit-limit-requests", "6000")
                .insert_header("x-ratelimit-remaining-requests", remaining)
                .insert_header("x-ratelimit-reset-requests", "250ms"),
        )
    })
    .await;
    let embedder = embedder(quick(&server.uri()).with_rate_budget(RateBudget::default()));
    embedder.embed_query("a").await.unwrap();
    let begun = Instant::now();
    embedder.embed_query("b").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(250));
    assert_eq!(requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn closing_lets_nobody_in_and_leaves_others_on_the_transport_alone() {
    let (server, _) = Embeddings::start(|_, _| None).await;
    let transport = Transport::new(quick(&server.uri())).unwrap();
    let closed = OpenAiEmbedder::new(transport.clone(), "m").unwrap();
    let open = OpenAiEmbedder::new(transport.clone(), "m").unwrap();
    let model = OpenAiChat::new(transport, "m").unwrap();
    for _ in 0..2 {
        closed.close().await.unwrap();
        model.close().await.unwrap();
    }
    assert_eq!(closed.embed_query("x").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(closed.health().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(model.ask("", "x").await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(open.embed_query("x").await.is_ok());
}

#[tokio::test]
async fn single_questions_share_requests_through_a_coalescer() {
    let (server, _) = counting().await;
    let shared = Coalesce::new(embedder(quick(&server.url())));
    let texts: Vec<String> = (0..500).map(|n| format!("question {n}")).collect();
    let begun = Instant::now();
    let vectors = join_all(texts.iter().map(|text| shared.embed_query(text))).await;
    for (n, vector) in vectors.into_iter().enumerate() {
        assert_eq!(vector.unwrap()[0], n as f32);
    }
    println!("500 questions in {:?}", begun.elapsed());
}
