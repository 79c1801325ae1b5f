//! Whether questions are answered from the right document, and refused when no document answers them.
//!
//! Half of the questions chose the evidence that an answer needs; the other half is reported.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result};
use arshai_agent::{Agent, AgentInput};
use arshai_kb_tool::{KnowledgeBase, KnowledgeBaseTool};
use arshai_local::ExtractiveModel;
use serde_json::Value;

use super::library;
use crate::figure::Figures;

/// Evidence that is tried on the half that chooses.
const TRIED: [f32; 9] = [1.05, 1.1, 1.15, 1.18, 1.2, 1.25, 1.3, 1.35, 1.4];

/// How many questions of a kind were treated rightly.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    right: usize,
    all: usize,
}

impl Count {
    fn share(self) -> f64 {
        self.right as f64 / self.all.max(1) as f64
    }
}

/// By set and kind.
type Counts = BTreeMap<(String, String), Count>;

pub(crate) async fn run(figures: &mut Figures, knowledge: KnowledgeBase) -> Result<()> {
    let knowledge = Arc::new(knowledge);
    let mut lines = library::lines("ask")?;
    for mut line in library::lines("questions")? {
        if let Some(fields) = line.as_object_mut() {
            fields.insert("kind".into(), "in other words".into());
            fields.insert("set".into(), "report".into());
        }
        lines.push(line);
    }
    println!("| evidence | answered | refused |\n|---|---|---|");
    for evidence in TRIED {
        let counts = count(&knowledge, &lines, ExtractiveModel::new().with_evidence(evidence)).await?;
        println!("| {evidence} | {:.3} | {:.3} |", answered(&counts, "tune"), refused(&counts, "tune"));
    }
    let counts = count(&knowledge, &lines, ExtractiveModel::new()).await?;
    println!("\n| questions | set | treated rightly |\n|---|---|---|");
    for ((set, kind), count) in &counts {
        println!("| {kind} | {set} | {} of {}: {:.3} |", count.right, count.all, count.share());
    }
    println!();
    figures.at_least(
        "answerable questions answered from the right document",
        answered(&counts, "report"),
        0.85,
        "",
    );
    figures.at_least("unanswerable questions refused", refused(&counts, "report"), 0.85, "");
    Ok(())
}

fn answered(counts: &Counts, set: &str) -> f64 {
    counts.get(&(set.to_owned(), "answerable".to_owned())).copied().unwrap_or_default().share()
}

fn refused(counts: &Counts, set: &str) -> f64 {
    let unanswerable = counts
        .iter()
        .filter(|((of, kind), _)| of == set && ["near", "field", "far"].contains(&kind.as_str()));
    let sum = unanswerable.fold(Count::default(), |sum, (_, count)| Count {
        right: sum.right + count.right,
        all: sum.all + count.all,
    });
    sum.share()
}

async fn count(knowledge: &Arc<KnowledgeBase>, lines: &[Value], model: ExtractiveModel) -> Result<Counts> {
    let agent = Agent::builder(Arc::new(model))
        .retriever(Arc::new(KnowledgeBaseTool::new(Arc::clone(knowledge))))
        .build();
    let mut counts = Counts::new();
    for line in lines {
        let question = library::text(line, "question")?;
        let reply = agent.process(AgentInput::new(&question)).await.with_context(|| question.clone())?;
        // The best quotation comes first.
        let quoted = reply.citations.first().map(|citation| citation.source.as_str());
        let key = (library::text(line, "set")?, library::text(line, "kind")?);
        let count = counts.entry(key).or_default();
        count.all += 1;
        count.right += usize::from(quoted == line.get("source").and_then(Value::as_str));
    }
    Ok(counts)
}
