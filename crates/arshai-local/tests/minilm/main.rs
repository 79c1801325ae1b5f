//! The embedder, with its real weights: those of the user's cache folder when they are there; otherwise the first test
//! to need them fetches them, once, below `target`.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod embedder;
mod fetch;
mod queue;
mod reference;
// It is no public part of the crate, so its source is compiled into the tests as well.
#[path = "../../src/minilm/tokenizer.rs"]
mod tokenizer;

use std::path::PathBuf;

use arshai_core::{embed::EmbedderExt as _, vector::Metric};
use arshai_local::{MiniLmConfig, MiniLmEmbedder, Weights};

/// `ARSHAI_MODEL_DIR`, else `target/models`.
fn folder() -> PathBuf {
    match std::env::var_os("ARSHAI_MODEL_DIR") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("models"),
    }
}

async fn weights() -> Weights {
    match Weights::find().unwrap() {
        Some(found) => found,
        None => tokio::task::spawn_blocking(|| Weights::fetch_into(folder(), |_| {})).await.unwrap().unwrap(),
    }
}

async fn open(config: MiniLmConfig) -> MiniLmEmbedder {
    MiniLmEmbedder::open(weights().await, config).await.unwrap()
}

async fn embedder() -> MiniLmEmbedder {
    open(MiniLmConfig::default()).await
}

async fn vectors(embedder: &MiniLmEmbedder, texts: &[&str]) -> Vec<Vec<f32>> {
    embedder.embed_documents(texts).await.unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    Metric::Cosine.score(a, b)
}
