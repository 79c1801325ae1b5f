//! The embedder in this process: loading, one question, an ingest.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use arshai_core::embed::{Embedder as _, EmbedderExt as _, Input};
use arshai_local::{MiniLmConfig, MiniLmEmbedder, Weights};

use crate::{
    figure::Figures,
    measure::resident,
    tally::{Stretch, Tally},
};

/// Each is one token of the model, so that a text of n words has n + 2 tokens.
const WORDS: [&str; 24] = [
    "garden", "river", "letter", "night", "train", "paper", "winter", "the", "of", "keeps", "under",
    "answer", "stone", "bridge", "when", "music", "small", "and", "window", "market", "writes", "after",
    "island", "question",
];

const TEXTS: usize = 600;
const ROUNDS: usize = 5;
const QUESTIONS: usize = 200;

pub(crate) async fn run(figures: &mut Figures) -> Result<()> {
    let weights = weights().await?;
    let before = resident().unwrap_or(f64::NAN);
    let mut loads = Tally::default();
    let embedder = loads.one(MiniLmEmbedder::open(weights.clone(), MiniLmConfig::default())).await?;
    // Before further loads, whose freed memory the allocator may keep.
    let loaded = resident().unwrap_or(f64::NAN);
    for _ in 1..ROUNDS {
        let another = loads.one(MiniLmEmbedder::open(weights.clone(), MiniLmConfig::default())).await?;
        another.close().await?;
    }
    figures.at_most("model load, its hash checked", loads.median(), 200.0, "ms");
    loads.tell("local", "arshai", "load", 1);

    let mut questions = Tally::default();
    for number in 0..QUESTIONS {
        let question = format!("How long does the {} keep what {} wrote?", word(number), word(number + 7));
        questions.one(embedder.embed_query(&question)).await?;
    }
    figures.at_most("one question", questions.median(), 15.0, "ms");
    figures.note("one question, p95", questions.quantile(0.95), "ms");
    questions.tell("local", "arshai", "embed_query", 1);

    let texts = mixed();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut rounds = Tally::default();
    let mut tokens = 0;
    for _ in 0..ROUNDS {
        let stretch = Stretch::begin()?;
        let batch = embedder.embed(&texts, Input::Document).await?;
        rounds.end(&stretch, TEXTS)?;
        tokens = batch.tokens.context("the embedder counts tokens")?;
    }
    let speed = |milliseconds: f64| tokens as f64 / milliseconds * 1e3;
    figures.note("texts of one ingest", TEXTS as f64, "texts");
    figures.note("their tokens, without padding", tokens as f64, "tokens");
    figures.at_least("embedding, lengths 8 to 256", speed(rounds.median()), 6_000.0, "tokens/s");
    rounds.tell("local", "arshai", "embed_documents", 1);
    figures.note("resident memory before loading", before, "MB");
    figures.note("resident memory with the model", loaded, "MB");
    figures.note("resident memory after the ingest", resident().unwrap_or(f64::NAN), "MB");
    embedder.close().await?;
    Ok(())
}

/// The embedder, its weights fetched when they are not there.
pub(crate) async fn embedder() -> Result<MiniLmEmbedder> {
    Ok(MiniLmEmbedder::open(weights().await?, MiniLmConfig::default()).await?)
}

async fn weights() -> Result<Weights> {
    let fetched = tokio::task::spawn_blocking(|| {
        let mut told = false;
        Weights::fetch_into(folder()?, move |progress| {
            if !std::mem::replace(&mut told, true) {
                println!("fetching {} bytes", progress.total);
            }
        })
        .context("fetching the model")
    });
    fetched.await?
}

/// `ARSHAI_MODEL_DIR`, else `models` in the target folder, where the tests keep it too.
fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("ARSHAI_MODEL_DIR") {
        return Ok(folder.into());
    }
    Ok(target()?.join("models"))
}

/// The target folder, for what is kept from one run to the next.
pub(crate) fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).context("the target folder")?.to_owned())
}

/// Texts of 8 to 256 tokens, every length as often as any other.
fn mixed() -> Vec<String> {
    let mut rng = fastrand::Rng::with_seed(3);
    let text = |_| (0..rng.usize(6..=254)).map(|_| word(rng.usize(..))).collect::<Vec<_>>().join(" ");
    (0..TEXTS).map(text).collect()
}

fn word(number: usize) -> &'static str {
    WORDS[number % WORDS.len()]
}
