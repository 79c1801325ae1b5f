//! Hybrid search over chunks with vectors of 384 dimensions, and where its time goes. The vectors of the questions are
//! computed beforehand.

mod vectors;

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use arshai_core::{
    Filter,
    filter::Field,
    vector::{CollectionSpec, Hit, Leg, Output, Query, Record, Search, VectorStore},
};
use arshai_kb_tool::{DEFAULT_MIN_MATCH, default_fusion};
use arshai_sqlite::{SqliteConfig, SqliteFile, SqliteVectors};
use serde_json::Map;
use vectors::{DIMENSION, Vectors};

use crate::{
    corpus::Corpus,
    figure::{Figures, median, quantile},
    measure::resident,
    tally::{Stretch, Tally},
};

/// The name under which this program is started again to tell its resident memory.
pub(crate) const RESIDENT: &str = "resident-after-search";

const COLLECTION: &str = "hybrid";
const QUESTIONS: usize = 60;
const PASSES: usize = 5;
const LIMIT: usize = 10;
/// As many hits as each leg gives to the fusion.
const DEPTH: usize = 50;
const AT_ONCE: usize = 64;

pub(crate) async fn run(figures: &mut Figures) -> Result<()> {
    let corpus = Corpus::new();
    let questions = corpus.questions(&mut fastrand::Rng::with_seed(7), QUESTIONS);
    let texts = vectors::texts(&corpus, 100_000);
    let vectors = Vectors::load(figures, &texts, &questions).await?;
    let bench = Bench { questions, texts, vectors };
    for (count, target) in [(10_000, 4.0), (100_000, 25.0)] {
        bench.measure(figures, count, target).await?;
    }
    Ok(())
}

/// What another process of this program does: one hybrid search, then it tells its resident memory.
pub(crate) async fn tell_resident(path: &Path) -> Result<()> {
    let file = SqliteFile::open(SqliteConfig::new(path)).await?;
    let store = file.vectors();
    let text = Query::text("what happens to the garden");
    store.search(COLLECTION, &Search::new(text)).await?;
    let before = resident().unwrap_or(f64::NAN);
    store.search(COLLECTION, &Search::new(Query::dense(vec![0.05; DIMENSION]))).await?;
    println!("{before} {}", resident().unwrap_or(f64::NAN));
    Ok(())
}

struct Bench {
    questions: Vec<String>,
    texts: Vec<String>,
    vectors: Vectors,
}

impl Bench {
    async fn measure(&self, figures: &mut Figures, count: usize, target: f64) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("bench.db");
        let file = SqliteFile::open(SqliteConfig::new(&path)).await?;
        let store = file.vectors();
        let mut filled = self.fill(&store, count).await?;
        let of = format!("{count} chunks");
        figures.note(&format!("{of}, ingestion with vectors at hand"), filled.per_second(), "chunks/s");
        tell(&mut filled, "upsert", count, 1);
        file.close().await?;

        // Opened again, so that the first pass finds no copies in memory.
        let file = SqliteFile::open(SqliteConfig::new(&path)).await?;
        let store = file.vectors();
        let started = Instant::now();
        store.search(COLLECTION, &self.dense(0, LIMIT)).await?;
        figures.note(&format!("{of}, first dense search, loads the vectors"), milliseconds(started), "ms");
        let started = Instant::now();
        store.search(COLLECTION, &Search::new(Query::text("house"))).await?;
        figures.note(&format!("{of}, first lexical search, loads the lengths"), milliseconds(started), "ms");
        let mut first = self.pass(&store, |n| self.hybrid(n)).await?;
        figures.note(&format!("{of}, hybrid, first pass, median"), first.median(), "ms");
        figures.note(&format!("{of}, hybrid, first pass, p95"), first.quantile(0.95), "ms");

        let mut hybrid = self.passes(&store, |n| self.hybrid(n)).await?;
        figures.note(&format!("{of}, hybrid, p95"), hybrid.quantile(0.95), "ms");
        figures.at_most(&format!("{of}, hybrid, median"), hybrid.median(), target, "ms");
        tell(&mut first, "hybrid_first", count, 1);
        tell(&mut hybrid, "hybrid", count, 1);
        let mut lexical = self.passes(&store, |n| self.lexical(n)).await?;
        note(figures, &format!("{of}, lexical leg alone, {DEPTH} hits"), &mut lexical);
        tell(&mut lexical, "lexical_leg", count, 1);
        let mut dense = self.passes(&store, |n| self.dense(n, DEPTH).output(Output::ids())).await?;
        note(figures, &format!("{of}, dense leg alone, {DEPTH} hits"), &mut dense);
        tell(&mut dense, "dense_leg", count, 1);
        let (mut ids, rows) = self.rows(&store).await?;
        let name = format!("{of}, both legs and fusion, without rows");
        figures.note(&format!("{name}, median"), median(&mut ids), "ms");
        figures.note(&format!("{name}, p95"), quantile(&mut ids, 0.95), "ms");
        figures.note(&format!("{of}, the rows of {LIMIT} hits, median of differences"), rows, "ms");
        let mut filtered = self.passes(&store, |n| self.hybrid(n).filter(tenth())).await?;
        note(figures, &format!("{of}, hybrid, filter keeping 10 %"), &mut filtered);
        tell(&mut filtered, "hybrid_filtered", count, 1);
        let source = |n: usize| Filter::eq(Field::metadata("source"), source(n * 37));
        let mut filtered = self.passes(&store, |n| self.dense(n, LIMIT).filter(source(n))).await?;
        note(figures, &format!("{of}, dense leg, filter keeping one source of 10"), &mut filtered);
        tell(&mut filtered, "dense_leg_one_source", count, 1);
        let mut at_once = self.at_once(&store).await?;
        tell(&mut at_once, "hybrid", count, AT_ONCE);
        figures.note(&format!("{of}, hybrid, {AT_ONCE} at once"), at_once.per_second(), "searches/s");

        let (all, some) = (self.recall(&store, count, false).await?, self.recall(&store, count, true).await?);
        figures.at_least(&format!("{of}, dense leg, recall@{LIMIT}"), all, 0.99, "");
        figures.at_least(&format!("{of}, dense leg, recall@{LIMIT}, filter keeping 10 %"), some, 0.99, "");
        file.close().await?;
        let (before, after) = resident_elsewhere(&path)?;
        figures.note(&format!("{of}, resident memory before the first dense search"), before, "MB");
        figures.note(&format!("{of}, resident memory after it"), after, "MB");
        Ok(())
    }

    /// Writes the chunks.
    async fn fill(&self, store: &SqliteVectors, count: usize) -> Result<Tally> {
        let spec = CollectionSpec::new(COLLECTION).with_dense(DIMENSION);
        store.open(&spec.with_embedder(self.vectors.embedder.as_str())).await?;
        let mut filled = Tally::default();
        let numbers: Vec<usize> = (0..count).collect();
        for part in numbers.chunks(5_000) {
            let records = part.iter().map(|number| {
                let metadata = Map::from_iter([
                    ("source".to_owned(), source(*number).into()),
                    ("tenth".to_owned(), is_tenth(*number).into()),
                ]);
                let record = Record::new(self.texts[*number].as_str()).with_id(key(*number));
                record.with_dense(self.vectors.chunks[*number].clone()).with_metadata(metadata)
            });
            let records: Vec<Record> = records.collect();
            let stretch = Stretch::begin()?;
            store.upsert(COLLECTION, records).await?.into_complete()?;
            filled.end(&stretch, part.len())?;
        }
        Ok(filled)
    }

    fn hybrid(&self, number: usize) -> Search {
        let legs = vec![
            Leg::text(self.questions[number].as_str()).min_match(DEFAULT_MIN_MATCH),
            Leg::dense(self.vectors.questions[number].clone()),
        ];
        Search::new(Query::hybrid(legs, default_fusion())).limit(LIMIT)
    }

    fn lexical(&self, number: usize) -> Search {
        Search::new(Query::text(self.questions[number].as_str())).limit(DEPTH).output(Output::ids())
    }

    fn dense(&self, number: usize, limit: usize) -> Search {
        Search::new(Query::dense(self.vectors.questions[number].clone())).limit(limit)
    }

    async fn passes(&self, store: &SqliteVectors, search: impl Fn(usize) -> Search) -> Result<Tally> {
        let mut times = Tally::default();
        // What it reads is in memory when it is timed.
        self.pass(store, &search).await?;
        for _ in 0..PASSES {
            times.add(self.pass(store, &search).await?);
        }
        Ok(times)
    }

    async fn pass(&self, store: &SqliteVectors, search: impl Fn(usize) -> Search) -> Result<Tally> {
        let mut times = Tally::default();
        for number in 0..self.questions.len() {
            let search = search(number);
            let hits = one(times.one(store.search(COLLECTION, &search)).await?)?;
            ensure!(!hits.is_empty(), "nothing found for {}", self.questions[number]);
        }
        Ok(times)
    }

    /// How long hybrid search takes without texts and metadata, and how much longer with them. Both are timed one right
    /// after the other, and each goes first every other time.
    async fn rows(&self, store: &SqliteVectors) -> Result<(Vec<Duration>, f64)> {
        let (mut without, mut more) = (Vec::new(), Vec::new());
        for pass in 0..2 * PASSES {
            for number in 0..self.questions.len() {
                let mut times = [Duration::ZERO; 2];
                for turn in 0..2 {
                    let with_rows = (pass + number + turn) % 2;
                    let search = match with_rows {
                        0 => self.hybrid(number).output(Output::ids()),
                        _ => self.hybrid(number),
                    };
                    let started = Instant::now();
                    store.search(COLLECTION, &search).await?;
                    times[with_rows] = started.elapsed();
                }
                without.push(times[0]);
                more.push((times[1].as_secs_f64() - times[0].as_secs_f64()) * 1e3);
            }
        }
        more.sort_by(f64::total_cmp);
        Ok((without, more.get(more.len() / 2).copied().context("no pass was made")?))
    }

    /// Searches when many ask at once.
    async fn at_once(&self, store: &SqliteVectors) -> Result<Tally> {
        let searches: Arc<Vec<Search>> = Arc::new((0..QUESTIONS).map(|n| self.hybrid(n)).collect());
        let (mut tally, stretch) = (Tally::default(), Stretch::begin()?);
        let tasks: Vec<_> = (0..AT_ONCE)
            .map(|task| {
                let (store, searches) = (store.clone(), Arc::clone(&searches));
                tokio::spawn(async move {
                    for number in 0..PASSES {
                        store.search(COLLECTION, &searches[(task + number) % QUESTIONS]).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        tally.end(&stretch, AT_ONCE * PASSES)?;
        Ok(tally)
    }

    /// The share of the truly best that the dense leg finds.
    async fn recall(&self, store: &SqliteVectors, count: usize, filtered: bool) -> Result<f64> {
        let mut found = 0;
        for number in 0..QUESTIONS {
            let exact = self.exact(&self.vectors.questions[number], count, filtered);
            let search = self.dense(number, LIMIT).output(Output::ids()).filter(filtered.then(tenth));
            let hits = one(store.search(COLLECTION, &search).await?)?;
            found += hits.iter().filter(|hit| exact.contains(&hit.id.to_string())).count();
        }
        Ok(found as f64 / (QUESTIONS * LIMIT) as f64)
    }

    /// By brute force. Everything is normalised, so the dot product is the cosine.
    fn exact(&self, question: &[f32], count: usize, filtered: bool) -> Vec<String> {
        let dot = |vector: &[f32]| vector.iter().zip(question).map(|(a, b)| a * b).sum::<f32>();
        let numbers = (0..count).filter(|number| !filtered || is_tenth(*number));
        let mut scores: Vec<(f32, usize)> =
            numbers.map(|number| (dot(&self.vectors.chunks[number]), number)).collect();
        scores.sort_by(|a, b| b.0.total_cmp(&a.0));
        scores.iter().take(LIMIT).map(|(_, number)| key(*number)).collect()
    }
}

fn key(number: usize) -> String {
    format!("{number:06}")
}

fn source(number: usize) -> String {
    format!("bench/{}.txt", number / 10)
}

fn is_tenth(number: usize) -> bool {
    number.is_multiple_of(10)
}

fn tenth() -> Filter {
    Filter::eq(Field::metadata("tenth"), true)
}

fn one(lists: Vec<Vec<Hit>>) -> Result<Vec<Hit>> {
    lists.into_iter().next().context("one list of hits per query")
}

fn note(figures: &Figures, name: &str, times: &mut Tally) {
    figures.note(&format!("{name}, median"), times.median(), "ms");
    figures.note(&format!("{name}, p95"), times.quantile(0.95), "ms");
}

fn tell(tally: &mut Tally, op: &str, chunks: usize, concurrency: usize) {
    tally.tell("hybrid", "arshai", &format!("{op}_{chunks}"), concurrency);
}

fn milliseconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

/// What a process of its own, which holds nothing of this one's, takes before and after its first dense search.
fn resident_elsewhere(path: &Path) -> Result<(f64, f64)> {
    let output = Command::new(std::env::current_exe()?).arg(RESIDENT).arg(path).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout)?;
    let (before, after) = told.trim().split_once(' ').context("two numbers")?;
    Ok((before.parse()?, after.parse()?))
}
