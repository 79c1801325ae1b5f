//! Asks a folder of documents a question: one SQLite file, no server, no key.
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use std::sync::Arc;

use arshai::prelude::*;

#[tokio::main]
async fn main() -> arshai::Result<()> {
    let file = SqliteFile::open(SqliteConfig::new("quickstart.db")).await?;
    let knowledge = Arc::new(KnowledgeBase::new(Arc::new(file.vectors()), "docs"));
    let report = knowledge.ingest_paths(&["docs".into()], FileOptions::default(), &()).await?;
    println!("{} documents in {} chunks", report.documents, report.chunks);

    let agent = Agent::builder(Arc::new(ExtractiveModel::new()))
        .memory(Arc::new(file.memory()))
        .retriever(Arc::new(KnowledgeBaseTool::new(knowledge)))
        .build();
    let reply = agent.process(AgentInput::new("How long is a conversation kept?")).await?;
    println!("{}", reply.text);
    for citation in &reply.citations {
        println!("[{}] {}", citation.n, citation.source);
    }
    file.close().await
}
