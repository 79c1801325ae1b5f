//! Vectors for 100,000 chunks: the first 10,000 embedded for real, the others mixed from them.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context as _, Result, ensure};
use arshai_core::embed::{Embedder as _, EmbedderExt as _};
use arshai_local::MiniLmEmbedder;
use fastrand::Rng;

use crate::{corpus::Corpus, figure::Figures, local, tally::Tally};

pub(super) const DIMENSION: usize = 384;
pub(super) const EMBEDDED: usize = 10_000;
/// Embedding whole paragraphs takes five minutes on two cores. The words of the corpus are made up, and the model cuts
/// each into about three pieces, so these many are still a paragraph's worth of tokens.
const WORDS_EMBEDDED: usize = 60;
const AT_ONCE: usize = 500;
const SEED: u64 = 42;
/// Counted up when what is embedded changes.
const VERSION: u32 = 1;

/// The texts of the chunks, one paragraph of 100 to 150 words each.
pub(super) fn texts(corpus: &Corpus, count: usize) -> Vec<String> {
    let mut rng = Rng::with_seed(SEED);
    (0..count)
        .map(|_| {
            let words = rng.usize(100..=150);
            corpus.paragraph(&mut rng, words)
        })
        .collect()
}

pub(super) struct Vectors {
    pub(super) chunks: Vec<Vec<f32>>,
    pub(super) questions: Vec<Vec<f32>>,
    pub(super) embedder: String,
}

impl Vectors {
    pub(super) async fn load(figures: &Figures, texts: &[String], questions: &[String]) -> Result<Self> {
        let embedder = local::embedder().await?;
        let mut asked = Vec::new();
        let mut times = Tally::default();
        for question in questions {
            asked.push(times.one(embedder.embed_query(question)).await?);
        }
        figures.note("embedding one question, median", times.median(), "ms");
        times.tell("hybrid", "arshai", "embed_query", 1);
        let name: String =
            embedder.id().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let cached = local::target()?.join(format!("hybrid-{VERSION}-{SEED}-{EMBEDDED}-{name}.f32"));
        let embedded = match read(&cached)? {
            Some(embedded) => embedded,
            None => {
                let started = Instant::now();
                let embedded = embed(&embedder, texts).await?;
                figures.note("embedding 10,000 texts, once", started.elapsed().as_secs_f64(), "s");
                write(&cached, &embedded)?;
                embedded
            }
        };
        let id = embedder.id().to_owned();
        embedder.close().await?;
        Ok(Self { chunks: mixed(embedded, texts.len()), questions: asked, embedder: id })
    }
}

async fn embed(embedder: &MiniLmEmbedder, texts: &[String]) -> Result<Vec<Vec<f32>>> {
    let cut = |text: &String| text.split(' ').take(WORDS_EMBEDDED).collect::<Vec<_>>().join(" ");
    let cut: Vec<String> = texts.iter().take(EMBEDDED).map(cut).collect();
    let mut embedded = Vec::with_capacity(EMBEDDED);
    for part in cut.chunks(AT_ONCE) {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        embedded.extend(embedder.embed_documents(&part).await?);
        println!("embedded {} of {EMBEDDED} texts", embedded.len());
    }
    Ok(embedded)
}

/// Adds `w·a + (1 − w)·b + noise`, normalised, until there are `count`.
fn mixed(mut vectors: Vec<Vec<f32>>, count: usize) -> Vec<Vec<f32>> {
    let mut rng = Rng::with_seed(SEED);
    while vectors.len() < count {
        let (a, b) = (&vectors[rng.usize(..EMBEDDED)], &vectors[rng.usize(..EMBEDDED)]);
        let w = 0.5 + rng.f32() / 2.0;
        // Uniform noise of this amplitude has a length of about a quarter of the mix's.
        let mut noise = || (rng.f32() - 0.5) * 0.045;
        let mut vector: Vec<f32> = a.iter().zip(b).map(|(a, b)| w * a + (1.0 - w) * b + noise()).collect();
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|value| *value /= length);
        vectors.push(vector);
    }
    vectors.truncate(count);
    vectors
}

fn read(path: &Path) -> Result<Option<Vec<Vec<f32>>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("the cached vectors cannot be read"),
    };
    ensure!(bytes.len() == EMBEDDED * DIMENSION * 4, "{} is damaged; remove it", path.display());
    let numbers: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(Some(numbers.chunks(DIMENSION).map(<[f32]>::to_vec).collect()))
}

fn write(path: &Path, vectors: &[Vec<f32>]) -> Result<()> {
    let bytes: Vec<u8> = vectors.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    let beside = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&beside, bytes)?;
    Ok(fs::rename(beside, path)?)
}
