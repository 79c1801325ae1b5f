//! `arshai ask`

use std::sync::Arc;

use arshai_agent::{Agent, AgentInput, AgentReply};
use arshai_core::{Filter, Result, chat::ChatModel, memory::MemoryKey, tool::Tool, vector::Consistency};
use arshai_kb_tool::{FileOptions, KnowledgeBase, KnowledgeBaseTool, SearchOptions, files};
use serde_json::{Value, json};

use super::{ingest::tell, text_or_stdin};
use crate::{
    args,
    backends::{Backends, as_usage, usage},
    embedder::Need,
    failure::{Failure, Outcome},
    output::{Printer, clean_line},
    progress::Bar,
};

pub(crate) async fn ask(args: &args::Ask, backends: &Backends, printer: Printer) -> Outcome {
    let question = text_or_stdin(&args.question)?;
    if question.trim().is_empty() {
        return Err(usage("the question is empty"));
    }
    // Everything that can be wrong with the command line, before any work.
    MemoryKey::new(&args.conversation).map_err(as_usage("--conversation"))?;
    let model = backends.model().await?;
    let need = if args.docs.is_empty() { Need::Search(None) } else { Need::Write };
    let knowledge = backends.knowledge(need).await?.base;
    let ingested =
        if args.docs.is_empty() { None } else { Some(ingest_first(args, &knowledge, printer).await?) };
    let filter = ingested.as_ref().map(|ingested| ingested.filter.clone());
    let agent = agent(backends, model, knowledge, filter, printer).await?;
    let reply = agent.process(AgentInput::new(question).conversation(&args.conversation)).await?;
    if let Some(error) = &reply.memory_error {
        printer.remark(&format!("the conversation was not kept: {error}"));
    }
    printer.result(&reply_json(&reply), || reply_text(&reply))?;
    // The answer stands on part of what was named.
    if ingested.is_some_and(|ingested| !ingested.complete) { Err(Failure::Reported) } else { Ok(()) }
}

struct Ingested {
    /// Keeps to what was named.
    filter: Filter,
    complete: bool,
}

async fn ingest_first(args: &args::Ask, knowledge: &KnowledgeBase, printer: Printer) -> Outcome<Ingested> {
    let bar = Bar::new(printer);
    let outcome = knowledge.ingest_paths(&args.docs, FileOptions::default(), &bar).await;
    bar.finish();
    let report = outcome?;
    tell(&report, printer);
    let complete = report.is_complete();
    if !report.not_attempted.is_empty() || (report.documents == 0 && !complete) {
        return Err(report.into_error().map_or(Failure::Reported, Failure::Work));
    }
    let paths: Result<Vec<Filter>> = args.docs.iter().map(files::filter_for).collect();
    Ok(Ingested { filter: Filter::Or(paths?), complete })
}

/// The agent over knowledge, memory and model that the flags name.
pub(crate) async fn agent(
    backends: &Backends,
    model: Arc<dyn ChatModel>,
    knowledge: KnowledgeBase,
    filter: Option<Filter>,
    printer: Printer,
) -> Outcome<Agent> {
    // A collection that is not there yet is an empty one: a conversation needs no documents.
    if knowledge.store().describe(knowledge.collection()).await?.is_none() {
        printer.remark("there are no documents yet; `arshai ingest PATH` adds some");
        knowledge.open().await?;
    }
    // What was just ingested, by this program or another, is what is asked about.
    let options = SearchOptions::default().with_filter(filter).with_consistency(Consistency::Strong);
    let tool: Arc<dyn Tool> = Arc::new(KnowledgeBaseTool::new(Arc::new(knowledge)).with_options(options));
    Ok(Agent::builder(model).memory(backends.memory().await?).retriever(tool).build())
}

pub(crate) fn reply_json(reply: &AgentReply) -> Value {
    let citations: Vec<Value> = reply
        .citations
        .iter()
        .map(|citation| {
            json!({
                "n": citation.n,
                "id": citation.id,
                "source": citation.source,
                "score": citation.score,
                "text": citation.text,
            })
        })
        .collect();
    json!({
        "answer": reply.text,
        "citations": citations,
        "conversation": reply.conversation,
        "usage": {
            "prompt_tokens": reply.usage.prompt_tokens,
            "completion_tokens": reply.usage.completion_tokens,
            "total_tokens": reply.usage.total_tokens(),
        },
    })
}

pub(crate) fn reply_text(reply: &AgentReply) -> String {
    format!("{}{}", reply.text, sources(reply))
}

/// What follows the words.
pub(crate) fn sources(reply: &AgentReply) -> String {
    let mut out = String::new();
    if !reply.citations.is_empty() {
        out.push_str("\n\nSources:");
        for citation in &reply.citations {
            // A source is a path, and a path may hold a line break.
            let source = clean_line(&citation.source);
            out.push_str(&format!("\n[{}] {source} (score {:.3})", citation.n, citation.score));
        }
    }
    out
}
