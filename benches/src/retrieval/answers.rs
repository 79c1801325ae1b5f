//! Whether questions are answered from the right document, and refused when no document answers them.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use arshai_core::embed::{Embedder, EmbedderExt as _, Input};
use arshai_kb_tool::{KnowledgeBase, SearchOptions};
use serde_json::json;

use super::library;
use crate::figure::Figures;

pub(crate) async fn run(
    _figures: &mut Figures,
    knowledge: &KnowledgeBase,
    embedder: &Arc<dyn Embedder>,
) -> Result<()> {
    let mut out = Vec::new();
    let _: BTreeMap<u8, u8> = BTreeMap::new();
    let mut lines = library::lines("ask")?;
    for mut line in library::lines("questions")? {
        line["kind"] = json!("paraphrase");
        line["set"] = json!("other");
        lines.push(line);
    }
    for line in lines {
        let question = library::text(&line, "question")?;
        let found = knowledge.search(&question, &SearchOptions::default()).await?;
        let asked = embedder.embed_query(&question).await?;
        let mut hits = Vec::new();
        for hit in &found.hits {
            let heading = hit.metadata.get("heading").and_then(|h| h.as_str()).unwrap_or_default().to_owned();
            let body: String = hit.text.lines().filter(|l| !l.starts_with('#')).collect::<Vec<_>>().join(" ");
            let sentences: Vec<String> =
                body.split_inclusive(". ").map(|s| s.trim().to_owned()).filter(|s| s.len() > 3).collect();
            let with: Vec<String> = sentences.iter().map(|s| format!("{heading}: {s}")).collect();
            let mut cos = Vec::new();
            for texts in [&sentences, &with] {
                let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
                let batch = embedder.embed(&refs, Input::Document).await?;
                let c: Vec<f32> = batch
                    .rows()
                    .map(|r| r.map(|r| r.iter().zip(&asked).map(|(a, b)| a * b).sum()).unwrap_or(0.0))
                    .collect();
                cos.push(c);
            }
            hits.push(json!({"source": hit.source, "lexical": hit.legs.lexical, "dense": hit.legs.dense, "heading": heading, "sentences": sentences, "cos": cos[0], "cosh": cos[1]}));
        }
        out.push(json!({"line": line, "hits": hits}));
    }
    std::fs::write(crate::local::target()?.join("ask.json"), serde_json::to_string(&out)?)?;
    Ok(())
}
