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
async fn a_budget_of_tokens_is_learnt_from_headers() {
    let (server, asked) = Embeddings::start(|number, body| {
        let remaining = if number == 0 { "0" } else { "10" };
        let answer = ResponseTemplate::new(200).set_body_json(embeddings(body));
        Some(
            answer
                .insert_header("x-ratelimit-limit-tokens", "60")
                .insert_header("x-ratelimit-remaining-tokens", remaining)
                .insert_header("x-ratelimit-reset-tokens", "250ms"),
        )
    })
    .await;
    let embedder = embedder(quick(&server.uri()).with_rate_budget(RateBudget::default()));
    embedder.embed_query("a").await.unwrap();
    // None are left for now, and then one comes in each second.
    let begun = Instant::now();
    embedder.embed_query("b").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(250));
    let error = Deadline::after(Duration::from_millis(300))
        .scope(embedder.embed_query(&"word ".repeat(60)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("budget"), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 2, "what does not fit was not sent");
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
    let (server, asked) = Embeddings::start(|_, body| {
        let late = ResponseTemplate::new(200).set_body_json(embeddings(body));
        Some(late.set_delay(Duration::from_millis(60)))
    })
    .await;
    let shared = Coalesce::new(embedder(quick(&server.uri())));
    let texts: Vec<String> = (0..500).map(|n| format!("question {n}")).collect();
    let vectors = join_all(texts.iter().map(|text| shared.embed_query(text))).await;
    for (n, vector) in vectors.into_iter().enumerate() {
        assert_eq!(vector.unwrap()[0], n as f32);
    }
    // One went at once, the others together, in requests of a hundred.
    let sizes: Vec<usize> = asked.lock().unwrap().iter().map(texts_of).collect();
    assert!(sizes.len() <= 12 && sizes.iter().sum::<usize>() == 500, "{sizes:?}");
}

fn texts_of(request: &Value) -> usize {
    request["input"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_coalescer_sends_one_question_alone_and_each_of_its_own_once() {
    let (server, asked) = Embeddings::start(|_, _| None).await;
    let shared = Coalesce::new(embedder(quick(&server.uri())));
    for n in 0..3 {
        assert_eq!(shared.embed_query(&format!("question {n}")).await.unwrap()[0], n as f32);
    }
    assert_eq!(asked.lock().unwrap().iter().map(texts_of).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn tasks_that_wait_for_their_turn_keep_to_the_limit_of_a_call() {
    let (server, most) = counting().await;
    let texts: Vec<String> = (0..200).map(|n| format!("text {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut config = quick(&server.url());
    config.batch_concurrency = 1;
    let batch = embedder(config).embed(&texts, Input::Document).await.unwrap();
    assert_eq!((batch.len(), most.load(Ordering::SeqCst)), (200, 1));
}

#[tokio::test]
async fn a_budget_of_tokens_holds_requests_back() {
    let (server, asked) = Embeddings::start(|_, _| None).await;
    let budget = RateBudget { requests_per_minute: None, tokens_per_minute: Some(60) };
    let embedder = embedder(quick(&server.uri()).with_rate_budget(budget));
    let sixty = "word ".repeat(60);
    embedder.embed_query(&sixty).await.unwrap();
    let within = Deadline::after(Duration::from_millis(300));
    let error = within.scope(embedder.embed_query("ten more words than the minute has left for us")).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("budget"), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_halves_of_a_batch_are_charged_for_their_own_tokens() {
    let (server, asked) = Embeddings::start(|_, body| {
        let texts = body["input"].as_array().unwrap();
        let refusal = serde_json::json!({ "error": { "message": "bad input" } });
        texts.iter().any(|text| text == "poison").then(|| ResponseTemplate::new(400).set_body_json(refusal))
    })
    .await;
    // About 100 tokens the batch: seven levels of halves cost about as much again, and seven batches would not fit.
    let budget = RateBudget { requests_per_minute: None, tokens_per_minute: Some(450) };
    let embedder = embedder(quick(&server.uri()).with_rate_budget(budget));
    let mut texts: Vec<String> = (0..99)
        .map(|n| format!("w{}", char::from(b'a' + n % 26).to_string().repeat(n as usize / 26 + 1)))
        .collect();
    texts.push("poison".to_owned());
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batch = Deadline::after(Duration::from_secs(20))
        .scope(embedder.embed(&texts, Input::Document))
        .await
        .unwrap();
    assert_eq!(batch.rows().filter(Result::is_err).count(), 1);
    assert!(asked.lock().unwrap().len() > 8, "it was halved");
}
