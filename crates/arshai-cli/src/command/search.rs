//! `arshai search`

use arshai_core::{Filter, vector::Consistency};
use arshai_kb_tool::{Mode, SearchOptions, SearchResult};
use serde_json::json;

use super::text_or_stdin;
use crate::{
    args,
    backends::{Backends, as_usage, usage},
    embedder::Need,
    failure::Outcome,
    output::{Printer, clean_line},
};

pub(crate) async fn search(args: &args::Search, backends: &Backends, printer: Printer) -> Outcome {
    let mut options = SearchOptions::default();
    options.limit = args.limit as usize;
    options.mode = args.mode.map(|mode| match mode {
        args::Mode::Hybrid => Mode::Hybrid,
        args::Mode::Dense => Mode::Dense,
        args::Mode::Lexical => Mode::Lexical,
    });
    options.filter = args.filter.as_deref().map(Filter::parse).transpose().map_err(as_usage("--filter"))?;
    options.consistency = Consistency::Strong;
    let query = text_or_stdin(&args.query)?;
    if query.trim().is_empty() {
        return Err(usage("the query is empty"));
    }
    let knowledge = backends.knowledge(Need::Search(options.mode)).await?;
    let found = knowledge.base.search(&query, &options).await?;
    if let Some(note) = found.note.as_ref().filter(|_| !knowledge.told) {
        printer.remark(note);
    }
    let hits: Vec<_> = found
        .hits
        .iter()
        .map(|hit| {
            json!({
                "id": hit.id.to_string(),
                "source": hit.source,
                "score": hit.score,
                "legs": hit.legs,
                "text": hit.text,
                "metadata": hit.metadata,
            })
        })
        .collect();
    printer.result(&json!({ "mode": found.mode.name(), "hits": hits }), || text(&found))
}

fn text(found: &SearchResult) -> String {
    if found.hits.is_empty() {
        return "Nothing found.".to_owned();
    }
    let hits = found.hits.iter().enumerate().map(|(position, hit)| {
        let source = clean_line(&hit.source);
        format!("{}. {source} (score {:.3})\n{}", position + 1, hit.score, indented(&hit.text))
    });
    hits.collect::<Vec<_>>().join("\n\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("   {line}")).collect::<Vec<_>>().join("\n")
}
