//! Embeddings over OpenAI's protocol, from the server in [`embeddings_server`](crate::embeddings_server).

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use arshai_core::embed::{Embedder as _, EmbedderExt as _, Input};
use arshai_openai::{OpenAiConfig, OpenAiEmbedder, Transport};

use crate::measure::Bench;

const TEXTS: usize = 20_000;
const SINGLES: usize = 5_000;
const DIMENSION: usize = 1_536;

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let transport = Transport::new(OpenAiConfig::new(bench.address("OPENAI_BASE_URL")?))?;
    let in_flight = transport.config().batch_concurrency;
    let embedder = Arc::new(OpenAiEmbedder::new(transport, "fixed")?);
    for concurrency in bench.concurrencies(&[256]) {
        let embedder = Arc::clone(&embedder);
        let single = move |number| {
            let embedder = Arc::clone(&embedder);
            async move {
                let vector = embedder.embed_query(&text(number)).await?;
                ensure!(vector.len() == DIMENSION, "a vector has another length");
                Ok(())
            }
        };
        bench.calls("arshai", "embed_single", concurrency, SINGLES, single).await?;
    }
    let texts: Vec<String> = (0..TEXTS).map(text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let all = async { embedder.embed(&texts, Input::Document).await.context("embedding all texts") };
    let (_, vectors) = bench.whole("arshai", "embed_batches", in_flight, TEXTS, all).await?;
    ensure!(vectors.into_values()?.len() == TEXTS * DIMENSION, "vectors are missing");
    embedder.close().await?;
    Ok(())
}

/// Some forty tokens.
fn text(number: usize) -> String {
    format!("text {number}: {}", "a sentence of some forty characters here. ".repeat(4))
}
