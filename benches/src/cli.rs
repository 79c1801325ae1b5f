//! `arshai search --mode lexical` as a whole process on a warm file of 10,000 chunks.

use std::{path::PathBuf, process::Command, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use arshai_kb_tool::KnowledgeBase;
use arshai_sqlite::{SqliteConfig, SqliteFile};

use crate::{
    corpus::Corpus,
    figure::Figures,
    ingest::{COLLECTION, fill},
    tally::{Stretch, Tally},
};

const RUNS: usize = 41;

pub(crate) async fn run(figures: &mut Figures) -> Result<()> {
    let program = program()?;
    let folder = tempfile::tempdir()?;
    let file = SqliteFile::open(SqliteConfig::new(folder.path().join("arshai.db"))).await?;
    let knowledge = KnowledgeBase::new(Arc::new(file.vectors()), COLLECTION);
    let corpus = Corpus::new();
    fill(&knowledge, &corpus, 10_000).await?;
    file.close().await?;
    let questions = corpus.questions(&mut fastrand::Rng::with_seed(9), RUNS);
    let mut times = Tally::default();
    for question in &questions {
        let stretch = Stretch::begin()?;
        let output = Command::new(&program)
            .args(["search", "--json", "--mode", "lexical", "--data"])
            .arg(folder.path())
            .arg(question)
            .output()?;
        times.end(&stretch, 1)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        ensure!(
            found["hits"].as_array().is_some_and(|hits| !hits.is_empty()),
            "nothing found for {question}"
        );
    }
    figures.note("arshai search, whole process, 10,000 chunks, p95", times.quantile(0.95), "ms");
    figures.at_most("arshai search, whole process, 10,000 chunks, median", times.median(), 100.0, "ms");
    times.tell_of_another_program("cli", "arshai", "search", 1);
    Ok(())
}

/// The program, which `cargo xtask bench` builds beside this one.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name(format!("arshai{}", std::env::consts::EXE_SUFFIX));
    ensure!(program.exists(), "build it first: cargo build --release -p arshai-cli");
    program.canonicalize().context("the program cannot be found")
}
