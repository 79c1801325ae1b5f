//! Section 4: what the embedder does not do in Python.

use std::{sync::Arc, time::Duration};

use arshai::{
    ErrorKind,
    embed::{Embedder as _, Input},
    openai::{EmbedderConfig, EmbeddingLimits},
    prelude::*,
    vector::Metric,
    wrap::Coalesce,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

use crate::place::{behind_proxy, embedder_at, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_embeddings_mend_a_poisoned_batch_is_bisected_and_every_text_has_its_result() {
    let (proxy, url) = behind_proxy("embeddings").await;
    // More tokens than the model takes by its own count, and not by ours: the server refuses the batch.
    let poison = "antidisestablishmentarianism ".repeat(120);
    let mut texts: Vec<String> = (0..8).map(|n| format!("note {n}")).collect();
    texts[5] = poison;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let embedder = embedder_at(&url);
    let batch = embedder.embed(&texts, Input::Document).await.unwrap();
    println!("{} requests for 8 texts with one that is refused", proxy.stats().requests);
    for (position, row) in batch.rows().enumerate() {
        match row {
            Ok(vector) => assert!(position != 5 && vector.len() == 384, "{position}"),
            Err(error) => assert_eq!((position, error.kind()), (5, ErrorKind::InvalidInput)),
        }
    }
    assert!(proxy.stats().requests > 1 && proxy.stats().requests <= 8);
    let alone = embedder.embed_query("note 6").await.unwrap();
    assert!(Metric::Cosine.score(batch.row(6).unwrap().unwrap(), &alone) > 0.999);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_embeddings_mend_batches_respect_tokens() {
    let (proxy, url) = behind_proxy("embeddings").await;
    let transport = Transport::new(OpenAiConfig::new(url)).unwrap();
    let limits = EmbeddingLimits { tokens_per_request: 600, ..EmbeddingLimits::MINILM };
    let config = EmbedderConfig::minilm().with_limits(limits);
    let embedder = OpenAiEmbedder::with_config(transport, "all-MiniLM-L6-v2", config).unwrap();
    let texts: Vec<String> = (0..20).map(|n| format!("{n} {}", "word ".repeat(100))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batch = embedder.embed(&texts, Input::Document).await.unwrap();
    assert!(batch.rows().all(|row| row.is_ok()));
    let requests = proxy.stats().requests;
    println!("{requests} requests for 20 texts of about 100 tokens each, 600 tokens a request");
    assert!((4..=10).contains(&requests), "{requests}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_embeddings_mend_questions_asked_at_once_share_requests() {
    let (proxy, url) = behind_proxy("embeddings").await;
    let shared = Coalesce::new(embedder_at(&url));
    let texts: Vec<String> = (0..64).map(|n| format!("question {n}")).collect();
    let vectors = join_all(texts.iter().map(|text| shared.embed_query(text))).await;
    let requests = proxy.stats().requests;
    println!("{requests} requests for 64 questions");
    assert!(requests < 64, "{requests}");
    let alone = embedder_at(&crate::place::url("embeddings")).embed_query("question 63").await.unwrap();
    assert!(Metric::Cosine.score(vectors[63].as_ref().unwrap(), &alone) > 0.999);
}

/// A vector as servers send it when base64 is asked for: little-endian 32-bit floats.
const HALF_AND_TWO: &str = "AAAAPwAAAEA=";

/// A server that is busy first, then answers, under a path of its own.
async fn busy_server() -> MockServer {
    let server = MockServer::start().await;
    let busy =
        ResponseTemplate::new(429).insert_header("retry-after", "1").set_body_json(json!({ "error": {} }));
    let embeddings = || Mock::given(method("POST")).and(path("/proxy/v1/embeddings"));
    embeddings().respond_with(busy).up_to_n_times(1).mount(&server).await;
    let answer = |request: &Request| {
        let body: Value = request.body_json().unwrap();
        let count = body["input"].as_array().map_or(1, Vec::len);
        let data: Vec<Value> =
            (0..count).rev().map(|n| json!({ "index": n, "embedding": HALF_AND_TWO })).collect();
        ResponseTemplate::new(200).set_body_json(json!({
            "object": "list", "model": body["model"], "data": data, "usage": { "prompt_tokens": 3, "total_tokens": 3 },
        }))
    };
    embeddings().respond_with(answer).mount(&server).await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_embeddings_mend_429_is_waited_out_and_base64_dimensions_and_any_base_url_work() {
    let server = busy_server().await;
    let transport = Transport::new(OpenAiConfig::new(format!("{}/proxy/v1", server.uri()))).unwrap();
    let config = EmbedderConfig::default().with_dimensions(2);
    let embedder = OpenAiEmbedder::with_config(transport, "text-embedding-3-small", config).unwrap();
    assert_eq!(embedder.dimension(), Some(2));
    let begun = std::time::Instant::now();
    let vectors = embedder.embed_documents(&["a", "b"]).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(900), "the server asked for a second");
    assert_eq!(vectors, [[0.5, 2.0], [0.5, 2.0]]);
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 2);
    let body: Value = requests[1].body_json().unwrap();
    assert_eq!((&body["dimensions"], &body["input"]), (&json!(2), &json!(["a", "b"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_embeddings_mend_every_wrapper_keeps_the_embedder_s_name() {
    // Vectors of two models are never compared, so the name must survive being wrapped and shared.
    let embedder = embedder_at(&url("embeddings"));
    let name = embedder.id().to_owned();
    let shared: Arc<dyn Embedder> = Arc::new(Coalesce::new(embedder));
    assert!(name.contains("all-MiniLM-L6-v2"), "{name}");
    assert_eq!(shared.id(), name);
}
