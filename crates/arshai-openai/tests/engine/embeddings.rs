//! Embeddings of a llama.cpp server with all-MiniLM-L6-v2.

use std::{path::PathBuf, sync::Arc};

use arshai_core::{
    ErrorKind,
    embed::{Embedder as _, EmbedderExt as _, Input},
    vector::Metric,
    wrap::Coalesce,
};
use arshai_local::{MiniLmConfig, MiniLmEmbedder, Weights};
use arshai_openai::TooLong;
use futures_util::future::join_all;

use crate::embedder;

/// More tokens than the model takes, by its own count and not by ours.
fn poison() -> String {
    "word ".repeat(900)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_suite_passes() {
    let poison = poison();
    let report = arshai_conformance::embedder::suite(Arc::new(embedder(TooLong::Error)), Some(&poison)).await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_conformance_suite_passes_through_a_coalescer() {
    let poison = poison();
    let shared = Coalesce::new(embedder(TooLong::Error));
    arshai_conformance::embedder::suite(Arc::new(shared), Some(&poison)).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_agree_with_the_embedder_in_process() {
    let local = MiniLmEmbedder::open(weights().await, MiniLmConfig::default()).await.unwrap();
    let remote = embedder(TooLong::Error);
    let texts = [
        "how long is a memory kept?",
        "A memory is kept for twelve hours.",
        "The quick brown fox jumps over the lazy dog.",
        "Vector databases store embeddings for retrieval.",
        "kitten",
        "quarterly earnings fell by 3.5 % in 2024",
        "fn main() { println!(\"hello\"); }",
        "Straße, naïve café, coöperate",
        "مرحبا بالعالم",
        "日本語のテキスト",
        "line one\nline two\ttabbed",
        "x",
    ];
    let (ours, theirs) =
        (local.embed_documents(&texts).await.unwrap(), remote.embed_documents(&texts).await.unwrap());
    let cosines: Vec<f32> = ours.iter().zip(&theirs).map(|(a, b)| Metric::Cosine.score(a, b)).collect();
    let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
    let least = cosines.iter().copied().fold(f32::INFINITY, f32::min);
    println!("cosine with arshai-local: mean {mean}, least {least}");
    assert!(mean >= 0.99 && least >= 0.98, "mean {mean}, least {least}: {cosines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_texts_keep_their_order() {
    let embedder = embedder(TooLong::Error);
    let texts: Vec<String> = (0..300).map(|n| format!("note {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batch = embedder.embed(&texts, Input::Document).await.unwrap();
    assert_eq!((batch.len(), batch.dimension()), (300, 384));
    assert!(batch.tokens.is_some_and(|tokens| tokens > 600));
    for position in [0, 99, 100, 299] {
        let alone = embedder.embed_query(texts[position]).await.unwrap();
        let row = batch.row(position).unwrap().unwrap();
        assert!(Metric::Cosine.score(row, &alone) > 0.999, "{position}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_the_server_finds_too_long_is_cut_or_split_when_allowed() {
    let long = format!("A memory is kept for twelve hours. {}", "word ".repeat(900));
    // Under our count and over the model's: the server has to say so first.
    let rare = "antidisestablishmentarianism ".repeat(120);
    for too_long in [TooLong::Truncate, TooLong::SplitAndMean] {
        let batch = embedder(too_long).embed(&[&long, "short", &rare], Input::Document).await.unwrap();
        let rows: Vec<_> = batch.rows().collect();
        assert!(rows.iter().all(Result::is_ok), "{too_long:?}: {rows:?}");
    }
    let batch = embedder(TooLong::Error).embed(&[&long, "short"], Input::Document).await.unwrap();
    assert_eq!(batch.row(0).unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(batch.row(1).unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_questions_at_once_share_requests() {
    let shared = Coalesce::new(embedder(TooLong::Error));
    let texts: Vec<String> = (0..64).map(|n| format!("question {n}")).collect();
    let vectors = join_all(texts.iter().map(|text| shared.embed_query(text))).await;
    assert!(vectors.iter().all(Result::is_ok));
    let alone = shared.backend().embed_query("question 63").await.unwrap();
    assert!(Metric::Cosine.score(vectors[63].as_ref().unwrap(), &alone) > 0.999);
}

async fn weights() -> Weights {
    let folder = match std::env::var_os("ARSHAI_MODEL_DIR") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("models"),
    };
    match Weights::find().unwrap() {
        Some(found) => found,
        None => tokio::task::spawn_blocking(|| Weights::fetch_into(folder, |_| {})).await.unwrap().unwrap(),
    }
}
