//! Embeddings and chat over OpenAI's protocol, from the server in [`embeddings_server`](crate::embeddings_server).
//!
//! What is to be reached stands in `xtask/src/bench/catalog.rs`, since some of it is relative to the other side.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use arshai_core::{
    chat::{ChatEvent, ChatMessage, ChatModel as _, ChatRequest, Finish, UserMessage},
    embed::{Embedder as _, EmbedderExt as _, Input},
    wrap::Coalesce,
};
use arshai_openai::{EmbedderConfig, OpenAiChat, OpenAiConfig, OpenAiEmbedder, Transport};
use futures_util::StreamExt as _;

use crate::{embeddings_server::canned, measure::Bench};

const TEXTS: usize = 20_000;
const SINGLES: usize = 5_000;
const DIMENSION: usize = 1_536;
/// Streams at once, each call being one of them.
const STREAMS: usize = 1_000;
const MODEL: &str = "fixed";
const FLOATS: &str = "embed_batches_float";

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let config = OpenAiConfig::new(bench.address("OPENAI_BASE_URL")?);
    // First, while the process is small: its memory afterwards is a part of what is measured.
    streams(bench, Transport::new(config.clone())?).await?;
    // In batches of 100, as by default, and as many of them at once.
    for in_flight in bench.concurrencies(&[5, 32]) {
        batches(bench, "embed_batches", Transport::new(config.clone())?, in_flight).await?;
    }
    // Where the server knows no base64: this path of it refuses that.
    let floats = OpenAiConfig::new(config.base_url.replace("/v1", "/float/v1"));
    for in_flight in bench.concurrencies(&[5]) {
        batches(bench, FLOATS, Transport::new(floats.clone())?, in_flight).await?;
    }
    for concurrency in bench.concurrencies(&[256]) {
        singles(bench, Transport::new(config.clone())?, concurrency).await?;
    }
    Ok(())
}

async fn batches(bench: &Bench, op: &str, transport: Transport, in_flight: usize) -> Result<()> {
    let mut config = EmbedderConfig::default();
    config.batch_concurrency = Some(in_flight);
    let embedder = Arc::new(OpenAiEmbedder::with_config(transport, MODEL, config)?);
    if op == FLOATS {
        // The first refusal settles in which form vectors come.
        embedder.embed_query("first").await?;
    }
    let shared = Arc::clone(&embedder);
    let texts: Vec<String> = (0..TEXTS).map(text).collect();
    // In a task, as in any service: the thread of `main` would be woken from afar for every piece of a reply.
    let all = async {
        let all = tokio::spawn(async move {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            shared.embed(&texts, Input::Document).await
        });
        all.await?.context("embedding all texts")
    };
    let (_, vectors) = bench.whole("arshai", op, in_flight, TEXTS, all).await?;
    ensure!(vectors.into_values()?.len() == TEXTS * DIMENSION, "vectors are missing");
    embedder.close().await?;
    Ok(())
}

async fn singles(bench: &Bench, transport: Transport, concurrency: usize) -> Result<()> {
    let embedder = Arc::new(Coalesce::new(OpenAiEmbedder::new(transport, MODEL)?));
    let shared = Arc::clone(&embedder);
    let single = move |number| {
        let embedder = Arc::clone(&shared);
        async move {
            let vector = embedder.embed_query(&text(number)).await?;
            ensure!(vector.len() == DIMENSION, "a vector has another length");
            Ok(())
        }
    };
    bench.calls("arshai", "embed_single", concurrency, SINGLES, single).await?;
    embedder.close().await?;
    Ok(())
}

async fn streams(bench: &Bench, transport: Transport) -> Result<()> {
    let model = Arc::new(OpenAiChat::new(transport, MODEL)?);
    let expected: Arc<str> = canned::answer().into();
    let shared = Arc::clone(&model);
    let stream = move |number| {
        let (model, expected) = (Arc::clone(&shared), Arc::clone(&expected));
        async move {
            let question = ChatMessage::User(UserMessage::new(text(number)));
            let mut events = model.stream(ChatRequest::new(vec![question])).await?;
            let (mut answer, mut pieces, mut end) = (String::new(), 0, None);
            while let Some(event) = events.next().await {
                ensure!(end.is_none(), "something follows the end");
                match event? {
                    ChatEvent::Text(piece) => {
                        pieces += 1;
                        answer.push_str(&piece);
                    }
                    ChatEvent::Done { usage, finish } => end = Some((usage, finish)),
                    other => bail!("an event that was never sent: {other:?}"),
                }
            }
            let (usage, finish) = end.context("the end was lost")?;
            ensure!(pieces == canned::EVENTS && answer == *expected, "{pieces} events: {answer}");
            ensure!(usage.is_some() && finish == Finish::Stop, "{usage:?}, {finish:?}");
            Ok(())
        }
    };
    bench.calls("arshai", "chat_stream", STREAMS, STREAMS, stream).await?;
    model.close().await?;
    Ok(())
}

/// Some forty tokens.
fn text(number: usize) -> String {
    format!("text {number}: {}", "a sentence of some forty characters here. ".repeat(4))
}
