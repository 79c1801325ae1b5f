//! Ingestion of 100,000 chunks, then lexical search over them.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arshai_core::{Filter, filter::Field, vector::VectorStore};
use arshai_kb_tool::{Document, KnowledgeBase, Mode, SearchOptions};
use arshai_sqlite::{SqliteConfig, SqliteFile};
use serde_json::Map;

use crate::{
    corpus::Corpus,
    figure::Figures,
    tally::{Stretch, Tally},
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
    let (written, mut filled) = fill(&knowledge, &corpus, CHUNKS).await?;
    figures.note("chunks ingested", written as f64, "chunks");
    figures.at_least("ingestion without embedding", filled.per_second(), 5_000.0, "chunks/s");
    filled.tell("ingest", "arshai", "chunks", 1);

    let questions = corpus.questions(&mut fastrand::Rng::with_seed(7), QUESTIONS);
    let all = ask(&knowledge, &questions, None).await?;
    report(figures, "lexical search at 100,000 chunks", "lexical_search", all);
    // One document in ten carries this mark.
    let tenth = Filter::eq(Field::metadata("tenth"), true);
    let filtered = ask(&knowledge, &questions, Some(tenth)).await?;
    let name = "lexical search at 100,000 chunks, filter keeping 10 %";
    report(figures, name, "lexical_search_filtered", filtered);
    file.close().await?;
    Ok(())
}

fn report(figures: &mut Figures, name: &str, op: &str, mut times: Times) {
    figures.note(&format!("{name}, first pass, median"), times.first.median(), "ms");
    figures.note(&format!("{name}, first pass, p95"), times.first.quantile(0.95), "ms");
    figures.note(&format!("{name}, p95"), times.warm.quantile(0.95), "ms");
    figures.at_most(&format!("{name}, median"), times.warm.median(), 10.0, "ms");
    times.first.tell("ingest", "arshai", &format!("{op}_first"), 1);
    times.warm.tell("ingest", "arshai", op, 1);
}

/// Ingests documents of about ten chunks until there are `chunks`; what was written, and what it took.
pub(crate) async fn fill(knowledge: &KnowledgeBase, corpus: &Corpus, chunks: u64) -> Result<(u64, Tally)> {
    let mut rng = fastrand::Rng::with_seed(42);
    // A paragraph of 150 words is about 900 characters: one chunk.
    let documents: Vec<Document> = (0..chunks / 10)
        .map(|number| {
            let text: Vec<String> = (0..10).map(|_| corpus.paragraph(&mut rng, 150)).collect();
            let metadata = Map::from_iter([("tenth".to_owned(), (number % 10 == 0).into())]);
            Document::new(format!("bench/{number}.txt"), text.join("\n\n")).with_metadata(metadata)
        })
        .collect();
    let (mut filled, stretch) = (Tally::default(), Stretch::begin()?);
    let report = knowledge.ingest_documents(documents, &()).await?;
    filled.end(&stretch, usize::try_from(report.written)?)?;
    ensure!(report.is_complete(), "the ingest was not complete: {} failed", report.failed.len());
    Ok((report.written, filled))
}

struct Times {
    first: Tally,
    warm: Tally,
}

async fn ask(knowledge: &KnowledgeBase, questions: &[String], filter: Option<Filter>) -> Result<Times> {
    let mut times = Times { first: Tally::default(), warm: Tally::default() };
    let mut hits = 0;
    for pass in 0..=PASSES {
        for question in questions {
            let mut options = SearchOptions::default();
            options.mode = Some(Mode::Lexical);
            options.filter = filter.clone();
            let times = if pass == 0 { &mut times.first } else { &mut times.warm };
            hits += times.one(knowledge.search(question, &options)).await?.hits.len();
        }
    }
    ensure!(hits > questions.len() * PASSES * 4, "the questions found too little: {hits} hits");
    Ok(times)
}
