//! Ingestion of 100,000 chunks, then lexical search over them.

use std::{sync::Arc, time::Instant};

use anyhow::{Result, ensure};
use arshai_core::{Filter, filter::Field, vector::VectorStore};
use arshai_kb_tool::{Document, KnowledgeBase, Mode, SearchOptions};
use arshai_sqlite::{SqliteConfig, SqliteFile};
use serde_json::Map;

use crate::{
    corpus::Corpus,
    figure::{Figures, median, quantile},
};

pub(crate) const COLLECTION: &str = "default";
const CHUNKS: u64 = 100_000;
const QUESTIONS: usize = 60;
const PASSES: usize = 5;

pub(crate) async fn run(figures: &mut Figures) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = SqliteFile::open(SqliteConfig::new(folder.path().join("bench.db"))).await?;
    let store: Arc<dyn VectorStore> = Arc::new(file.vectors());
    let knowledge = KnowledgeBase::new(Arc::clone(&store), COLLECTION);
    let corpus = Corpus::new();
    let (written, seconds) = fill(&knowledge, &corpus, CHUNKS).await?;
    figures.note("chunks ingested", written as f64, "chunks");
    figures.at_least("ingestion without embedding", written as f64 / seconds, 5_000.0, "chunks/s");

    let questions = corpus.questions(&mut fastrand::Rng::with_seed(7), QUESTIONS);
    let all = ask(&knowledge, &questions, None).await?;
    report(figures, "lexical search at 100,000 chunks", all);
    // One document in ten carries this mark.
    let tenth = Filter::eq(Field::metadata("tenth"), true);
    let filtered = ask(&knowledge, &questions, Some(tenth)).await?;
    report(figures, "lexical search at 100,000 chunks, filter keeping 10 %", filtered);
    file.close().await?;
    Ok(())
}

fn report(figures: &mut Figures, name: &str, mut times: Times) {
    figures.note(&format!("{name}, first pass, median"), median(&mut times.first), "ms");
    figures.note(&format!("{name}, first pass, p95"), quantile(&mut times.first, 0.95), "ms");
    figures.note(&format!("{name}, p95"), quantile(&mut times.warm, 0.95), "ms");
    figures.at_most(&format!("{name}, median"), median(&mut times.warm), 10.0, "ms");
}

/// Ingests documents of about ten chunks until there are `chunks`; what was written and the seconds it took.
pub(crate) async fn fill(knowledge: &KnowledgeBase, corpus: &Corpus, chunks: u64) -> Result<(u64, f64)> {
    let mut rng = fastrand::Rng::with_seed(42);
    // A paragraph of 150 words is about 900 characters: one chunk.
    let documents: Vec<Document> = (0..chunks / 10)
        .map(|number| {
            let text: Vec<String> = (0..10).map(|_| corpus.paragraph(&mut rng, 150)).collect();
            let metadata = Map::from_iter([("tenth".to_owned(), (number % 10 == 0).into())]);
            Document::new(format!("bench/{number}.txt"), text.join("\n\n")).with_metadata(metadata)
        })
        .collect();
    let started = Instant::now();
    let report = knowledge.ingest_documents(documents, &()).await?;
    let seconds = started.elapsed().as_secs_f64();
    ensure!(report.is_complete(), "the ingest was not complete: {} failed", report.failed.len());
    Ok((report.written, seconds))
}

struct Times {
    first: Vec<std::time::Duration>,
    warm: Vec<std::time::Duration>,
}

async fn ask(knowledge: &KnowledgeBase, questions: &[String], filter: Option<Filter>) -> Result<Times> {
    let mut times = Times { first: Vec::new(), warm: Vec::new() };
    let mut hits = 0;
    for pass in 0..=PASSES {
        for question in questions {
            let mut options = SearchOptions::default();
            options.mode = Some(Mode::Lexical);
            options.filter = filter.clone();
            let started = Instant::now();
            let found = knowledge.search(question, &options).await?;
            let taken = started.elapsed();
            hits += found.hits.len();
            if pass == 0 { times.first.push(taken) } else { times.warm.push(taken) }
        }
    }
    ensure!(hits > questions.len() * PASSES * 4, "the questions found too little: {hits} hits");
    Ok(times)
}
