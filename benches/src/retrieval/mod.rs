//! How good search and answers are: by words, by meaning, and by both.
//!
//! Three sets of questions. The fusion was chosen on the first, and is only reported on the others.

mod answers;
mod debian;
mod library;
mod quality;

use std::{collections::HashSet, sync::Arc};

use anyhow::{Result, ensure};
use arshai_core::{
    embed::Embedder,
    vector::{Fusion, InMemoryVectors},
};
use arshai_kb_tool::{Document, KnowledgeBase, Mode, SearchHit, SearchOptions};

use crate::{figure::Figures, local, tally::Tally};
use quality::{DEPTH, Quality};

/// Constants k of reciprocal rank fusion, and weights of the meaning when that of the words is 1, that are tried.
const TRIED: [(f32, f32); 10] = [
    (60.0, 0.5),
    (60.0, 1.0),
    (60.0, 1.5),
    (60.0, 2.0),
    (20.0, 1.0),
    (10.0, 1.0),
    (5.0, 0.5),
    (5.0, 1.0),
    (5.0, 1.5),
    (5.0, 2.0),
];

/// Documents, and questions of which each is answered by one place in them.
pub(crate) struct Set {
    name: &'static str,
    documents: Vec<Document>,
    questions: Vec<Question>,
    /// The name of the place a hit stands in, as the questions name it.
    place: fn(&SearchHit) -> String,
}

struct Question {
    text: String,
    place: String,
}

pub(crate) async fn run(figures: &mut Figures) -> Result<()> {
    let embedder: Arc<dyn Embedder> = Arc::new(local::embedder().await?);
    let manuals = debian::manuals()?;
    let knowledge = ingest(&manuals, &embedder).await?;
    println!("| k | meaning weighs | recall@10 | MRR@10 | nDCG@10 |\n|---|---|---|---|---|");
    for (k, weight) in TRIED {
        let fusion = Fusion::Rrf { k, weights: vec![1.0, weight] };
        let options = SearchOptions::default().with_mode(Mode::Hybrid).with_fusion(fusion);
        println!(
            "| {k} | {weight} | {}",
            measure(&knowledge, &manuals, options, &mut Tally::default()).await?
        );
    }
    table(&knowledge, &manuals).await?;

    let library = library::set()?;
    let knowledge = ingest(&library, &embedder).await?;
    let [lexical, _, hybrid] = table(&knowledge, &library).await?;
    figures.at_least("library: hybrid recall@10 above lexical", hybrid.recall - lexical.recall, 0.10, "");
    answers::run(figures, knowledge).await?;

    let reference = debian::reference().await?;
    let knowledge = ingest(&reference, &embedder).await?;
    let [lexical, _, hybrid] = table(&knowledge, &reference).await?;
    figures.at_least("reference: hybrid recall@10 above lexical", hybrid.recall - lexical.recall, 0.0, "");
    figures.at_least("reference: hybrid nDCG@10 above lexical", hybrid.ndcg - lexical.ndcg, 0.0, "");
    embedder.close().await?;
    Ok(())
}

async fn ingest(set: &Set, embedder: &Arc<dyn Embedder>) -> Result<KnowledgeBase> {
    let knowledge =
        KnowledgeBase::new(Arc::new(InMemoryVectors::new()), "quality").with_embedder(Arc::clone(embedder));
    let report = knowledge.ingest_documents(set.documents.clone(), &()).await?;
    ensure!(report.is_complete(), "{}: {} documents failed", set.name, report.failed.len());
    println!(
        "\n{}: {} questions, {} documents in {} chunks\n",
        set.name,
        set.questions.len(),
        report.documents,
        report.chunks
    );
    Ok(knowledge)
}

/// Prints and returns the quality of the three modes.
async fn table(knowledge: &KnowledgeBase, set: &Set) -> Result<[Quality; 3]> {
    println!("| {} | recall@10 | MRR@10 | nDCG@10 |\n|---|---|---|---|", set.name);
    let (mut all, mut told) = ([Quality::default(); 3], Vec::new());
    for (quality, mode) in all.iter_mut().zip([Mode::Lexical, Mode::Dense, Mode::Hybrid]) {
        let mut times = Tally::default();
        *quality = measure(knowledge, set, SearchOptions::default().with_mode(mode), &mut times).await?;
        println!("| {mode} | {quality}");
        told.push((mode, times));
    }
    println!();
    // After the table, which they would cut in two.
    for (mode, mut times) in told {
        times.tell("retrieval", "arshai", &format!("search_{mode}_{}", set.name.replace(' ', "_")), 1);
    }
    Ok(all)
}

async fn measure(
    knowledge: &KnowledgeBase,
    set: &Set,
    options: SearchOptions,
    times: &mut Tally,
) -> Result<Quality> {
    // Several chunks of one place count once.
    let options = options.with_limit(5 * DEPTH);
    let mut ranks = Vec::with_capacity(set.questions.len());
    for question in &set.questions {
        let found = times.one(knowledge.search(&question.text, &options)).await?;
        let mut seen = HashSet::new();
        let mut places = found.hits.iter().map(set.place).filter(|place| seen.insert(place.clone()));
        ranks.push(places.position(|place| place == question.place));
    }
    Ok(Quality::of(&ranks))
}
