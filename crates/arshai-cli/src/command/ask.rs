//! `arshai ask`

use std::sync::Arc;

use arshai_agent::{Agent, AgentInput, AgentReply};
use arshai_core::{Filter, Result, tool::Tool};
use arshai_kb_tool::{FileOptions, KnowledgeBaseTool, files};
use serde_json::{Value, json};

use super::{ingest::tell, text_or_stdin};
use crate::{
    args,
    backends::{Backends, usage},
    failure::{Failure, Outcome},
    output::{Cleaner, Printer},
    progress::Bar,
};

pub(crate) async fn ask(args: &args::Ask, backends: &Backends<'_>, printer: Printer) -> Outcome {
    let question = text_or_stdin(&args.question)?;
    if question.trim().is_empty() {
        return Err(usage("the question is empty"));
    }
    let filter = if args.docs.is_empty() { None } else { Some(ingest_first(args, backends, printer).await?) };
    let agent = agent(backends, filter).await?;
    let reply = agent.process(AgentInput::new(question).conversation(&args.conversation)).await?;
    if let Some(error) = &reply.memory_error {
        printer.remark(&format!("the conversation was not kept: {error}"));
    }
    printer.result(&reply_json(&reply), || reply_text(&reply))
}

/// Ingests the given paths and returns the filter that keeps to them.
async fn ingest_first(args: &args::Ask, backends: &Backends<'_>, printer: Printer) -> Outcome<Filter> {
    let knowledge = backends.knowledge().await?;
    let bar = Bar::new(printer);
    let outcome = knowledge.ingest_paths(&args.docs, FileOptions::default(), &bar).await;
    bar.finish();
    let report = outcome?;
    tell(&report, printer);
    if !report.not_attempted.is_empty() || (report.documents == 0 && !report.failed.is_empty()) {
        return Err(report.into_error().map_or(Failure::Reported, Failure::Work));
    }
    let paths: Result<Vec<Filter>> = args.docs.iter().map(files::filter_for).collect();
    Ok(Filter::Or(paths?))
}

/// The agent over knowledge, memory and model that the flags name.
pub(crate) async fn agent(backends: &Backends<'_>, filter: Option<Filter>) -> Outcome<Agent> {
    let knowledge = Arc::new(backends.knowledge().await?);
    let mut tool = KnowledgeBaseTool::new(knowledge);
    if let Some(filter) = filter {
        tool = tool.with_filter(filter);
    }
    let tool: Arc<dyn Tool> = Arc::new(tool);
    Ok(Agent::builder(backends.model()?).memory(backends.memory().await?).retriever(tool).build())
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
    let mut out = reply.text.clone();
    if !reply.citations.is_empty() {
        out.push_str("\n\nSources:");
        for citation in &reply.citations {
            // A source is a path, and a path may hold a line break.
            let mut source = Cleaner::new();
            source.push(&citation.source);
            let source = source.finish().replace('\n', " ");
            out.push_str(&format!("\n[{}] {source} (score {:.3})", citation.n, citation.score));
        }
    }
    out
}
