//! One agent on every memory with every store: the same conversation, the same answers.

use std::sync::Arc;

use arshai::agent::{Agent, AgentInput};
use arshai::kb_tool::{Document, Format, KnowledgeBase, KnowledgeBaseTool, Mode, SearchOptions};
use arshai::local::ExtractiveModel;
use arshai::memory::{MemoryKey, MemoryStoreExt as _};
use arshai_conformance::{capabilities::expect_capabilities, doubles::HashEmbedder};
use futures_util::future::join_all;

use crate::place::{MEMORIES, Place, STORES, fresh, fresh_key};

const AT_ONCE: usize = 8;

/// What a run of the conversation showed.
#[derive(Debug, PartialEq)]
struct Shown {
    best: String,
    answers: Vec<(String, Vec<String>)>,
    kept: String,
    turns_kept_at_once: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_agent_behaves_alike_on_every_memory_with_every_store() {
    let mut expected: Option<Shown> = None;
    for store in STORES {
        for memory in MEMORIES {
            let place = Place::open(memory, store).await;
            let can = place.store.capabilities(None).await.unwrap();
            expect_capabilities(store, &can).unwrap_or_else(|failure| panic!("{store}: {failure:?}"));
            let remembers = place.memory.capabilities();
            let outlives = memory != "in-memory";
            assert_eq!((remembers.persistent, remembers.shared), (outlives, outlives), "{memory}");
            assert!(remembers.expiry && remembers.compare_and_set, "{memory}");
            let (mode, shown) = converse(&place).await;
            println!("{}: {mode}", place.name);
            // A server without BM25 searches by meaning alone, and says so.
            let by = if can.text && can.hybrid { Mode::Hybrid } else { Mode::Dense };
            assert_eq!(mode, by, "{}", place.name);
            match &expected {
                None => expected = Some(shown),
                Some(expected) => assert_eq!(&shown, expected, "{}", place.name),
            }
            place.close().await;
        }
    }
    println!("{} pairs", STORES.len() * MEMORIES.len());
}

async fn converse(place: &Place) -> (Mode, Shown) {
    let collection = fresh("matrix");
    let knowledge = KnowledgeBase::new(Arc::clone(&place.store), &collection);
    let knowledge = Arc::new(knowledge.with_embedder(Arc::new(HashEmbedder::new(64))));
    let documents = [
        ("moon.md", "# Moon\n\nThe moon orbits the earth in about twenty-seven days."),
        ("bread.md", "# Bread\n\nSourdough bread needs a starter of flour and water."),
        ("tea.md", "# Tea\n\nGreen tea is steeped for two minutes at eighty degrees."),
    ]
    .map(|(source, text)| Document::new(source, text).with_format(Format::Markdown));
    let report = knowledge.ingest_documents(documents.clone(), &()).await.unwrap();
    assert_eq!((report.documents, report.failed.len()), (3, 0), "{}: {report:?}", place.name);
    // The same documents again change nothing.
    let again = knowledge.ingest_documents(documents, &()).await.unwrap();
    assert_eq!((again.unchanged, again.written), (3, 0), "{}: {again:?}", place.name);
    let found = knowledge.search("sourdough bread starter", &SearchOptions::default()).await.unwrap();
    assert_eq!(found.note.is_some(), found.mode != Mode::Hybrid, "{}", place.name);

    let key = fresh_key("matrix");
    let agent = Agent::builder(Arc::new(ExtractiveModel::new()))
        .memory(Arc::clone(&place.memory))
        .retriever(Arc::new(KnowledgeBaseTool::new(knowledge)))
        .build();
    let mut answers = Vec::new();
    for question in ["What does sourdough bread need?", "In how many days does the moon orbit the earth?"] {
        let reply = agent.process(AgentInput::new(question).conversation(key.conversation())).await.unwrap();
        assert!(reply.memory_error.is_none(), "{}", place.name);
        answers.push((reply.text, reply.citations.into_iter().map(|citation| citation.source).collect()));
    }
    let kept = place.memory.retrieve(&key).await.unwrap().unwrap();
    assert_eq!(kept.turns.as_ref().map(Vec::len), Some(4), "{}", place.name);
    let turns_kept_at_once = many_at_once(place, &agent).await;

    assert!(place.memory.delete(&key).await.unwrap(), "{}", place.name);
    assert!(!place.memory.delete(&key).await.unwrap(), "{}: absent is no error", place.name);
    assert_eq!(place.memory.retrieve(&key).await.unwrap(), None, "{}", place.name);
    assert!(place.store.drop_collection(&collection).await.unwrap(), "{}", place.name);
    let best = found.hits.first().map(|hit| hit.source.clone()).unwrap_or_default();
    (found.mode, Shown { best, answers, kept: kept.text, turns_kept_at_once })
}

/// Turns of one conversation at once: none is lost, none is there twice. How many are kept.
async fn many_at_once(place: &Place, agent: &Agent) -> usize {
    let key: MemoryKey = fresh_key("at_once");
    let turns = (0..AT_ONCE)
        .map(|n| agent.process(AgentInput::new(format!("zq{n}")).conversation(key.conversation())));
    for reply in join_all(turns).await {
        assert!(reply.unwrap().memory_error.is_none(), "{}", place.name);
    }
    let kept = place.memory.retrieve(&key).await.unwrap().unwrap();
    for n in 0..AT_ONCE {
        let said = kept.text.matches(&format!("User: zq{n}\n")).count();
        assert_eq!(said, 1, "{}: {}", place.name, kept.text);
    }
    assert!(place.memory.delete(&key).await.unwrap(), "{}", place.name);
    kept.turns.map_or(0, |turns| turns.len())
}
