//! One agent, every pair of backends, the same behaviour.

use std::sync::Arc;

use arshai_agent::{Agent, AgentInput};
use arshai_core::memory::{MemoryKey, MemoryStoreExt as _};
use arshai_kb_tool::{Document, Format, KnowledgeBase, KnowledgeBaseTool};
use arshai_local::ExtractiveModel;
use futures_util::future::join_all;

use crate::pairs::{self, Pair};

async fn agent(pair: &Pair) -> Agent {
    let knowledge = KnowledgeBase::new(Arc::clone(&pair.vectors), "docs");
    let documents = [
        Document::new("moon.md", "# Moon\n\nThe moon orbits the earth in about twenty-seven days.")
            .with_format(Format::Markdown),
        Document::new("bread.md", "# Bread\n\nSourdough bread needs a starter of flour and water.")
            .with_format(Format::Markdown),
    ];
    let report = knowledge.ingest_documents(documents, &()).await.unwrap();
    assert_eq!((report.documents, report.failed.len()), (2, 0), "{}", pair.name);
    Agent::builder(Arc::new(ExtractiveModel::new()))
        .memory(Arc::clone(&pair.memory))
        .tool(Arc::new(KnowledgeBaseTool::new(Arc::new(knowledge))))
        .build()
}

#[tokio::test]
async fn answers_cite_and_turns_are_kept_on_every_pair() {
    for pair in pairs::all().await {
        let agent = agent(&pair).await;
        let first = agent.process(AgentInput::new("What does sourdough bread need?")).await.unwrap();
        assert_eq!(first.citations[0].source, "bread.md", "{}", pair.name);
        let second =
            agent.process(AgentInput::new("In how many days does the moon orbit the earth?")).await.unwrap();
        assert!(second.text.contains("twenty-seven"), "{}: {}", pair.name, second.text);
        assert!(second.citations.iter().all(|citation| citation.source == "moon.md"), "{}", pair.name);
        let kept = pair.memory.retrieve(&MemoryKey::new("default").unwrap()).await.unwrap().unwrap();
        assert_eq!(kept.turns.map(|turns| turns.len()), Some(4), "{}", pair.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_turns_of_one_conversation_at_once_are_all_kept() {
    for pair in pairs::all().await {
        let agent = agent(&pair).await;
        let turns = (0..16).map(|n| agent.process(AgentInput::new(format!("q{n}")).conversation("busy")));
        for reply in join_all(turns).await {
            assert!(reply.unwrap().memory_error.is_none(), "{}", pair.name);
        }
        let kept = pair.memory.retrieve(&MemoryKey::new("busy").unwrap()).await.unwrap().unwrap();
        let turns = kept.turns.unwrap();
        // Each turn is a question and its answer, one after the other, and none is there twice.
        for question in turns.iter().step_by(2) {
            assert_eq!(turns.iter().filter(|turn| *turn == question).count(), 1, "{}", pair.name);
        }
        if !kept.text.starts_with("...") {
            assert_eq!(turns.len(), 32, "{}", pair.name);
        }
    }
}
