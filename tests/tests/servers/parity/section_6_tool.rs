//! Section 6: the knowledge base as a tool.

use std::sync::Arc;

use arshai::{
    blocking::{self, Blocking, Offload, Runtime, Tool as _},
    config::Settings,
    embed::Embedder,
    kb_tool::{Document, KnowledgeBase, KnowledgeBaseTool, Mode, SearchOptions, TOOL_NAME},
    prelude::*,
    tool::Tool,
    vector::{InMemoryVectors, VectorStore},
};
use arshai_conformance::{
    doubles::{HashEmbedder, ScriptedModel, ScriptedReply},
    fault::Fault,
};
use serde_json::json;

use crate::{
    place::{MILVUSES, behind_proxy, embedder_at, fresh, milvus, store_at, url},
    said::{self, Said},
};

/// What is said of a part that has blocking methods only.
const MOVED: &str = "blocking methods only";

const TEXTS: [&str; 6] = [
    "Sourdough bread needs a starter of flour and water.",
    "The moon orbits the earth in about twenty-seven days.",
    "Green tea is steeped for two minutes at eighty degrees.",
    "A bicycle chain is oiled every two hundred kilometres.",
    "Tomatoes are watered in the morning.",
    "A violin has four strings.",
];

fn documents() -> Vec<Document> {
    TEXTS.iter().enumerate().map(|(n, text)| Document::new(format!("{n}.txt"), *text)).collect()
}

/// The texts on a Milvus, embedded by a real model.
async fn base(engine: &str) -> Arc<KnowledgeBase> {
    let base = KnowledgeBase::new(Arc::new(milvus(engine)), fresh("tool"));
    let base = base.with_embedder(Arc::new(embedder_at(&url("embeddings"))));
    let report = base.ingest_documents(documents(), &()).await.unwrap();
    assert_eq!(report.documents, 6, "{engine}: {report:?}");
    Arc::new(base)
}

async fn drop_base(base: &KnowledgeBase) {
    base.store().drop_collection(base.collection()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_6_tool_carry_it_presents_itself_and_lists_what_it_found() {
    for engine in MILVUSES {
        let base = base(engine).await;
        let tool = KnowledgeBaseTool::new(Arc::clone(&base));
        let definition = tool.definition();
        assert_eq!((definition.name.as_str(), TOOL_NAME), ("knowledge_base_search", "knowledge_base_search"));
        assert_eq!(definition.parameters["required"], json!(["query"]));
        let found = tool.call(&json!({ "query": "what is bread made of?" })).await.unwrap();
        let blocks: Vec<&str> = found.text.split("\n\n").collect();
        assert_eq!(blocks[0], "Relevant information from knowledge base:", "{engine}");
        assert!(blocks[1].starts_with(&format!("1. {} (Score: ", TEXTS[0])), "{engine}: {}", blocks[1]);
        // Words are searched too where the collection can, and then a passage needs some of them or some meaning.
        assert!((2..=6).contains(&blocks.len()), "{engine}: at most 5 of 6");
        drop_base(&base).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_6_tool_carry_it_searches_hybrid_when_the_collection_is() {
    for engine in MILVUSES {
        let base = base(engine).await;
        let words = base.store().capabilities(Some(base.collection())).await.unwrap().text;
        let found = base.search("violin strings", &SearchOptions::default()).await.unwrap();
        println!("{engine}: {}", found.mode);
        assert_eq!(found.mode, if words { Mode::Hybrid } else { Mode::Dense }, "{engine}");
        assert_eq!(found.hits[0].text, TEXTS[5], "{engine}");
        drop_base(&base).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_6_tool_carry_nothing_found_says_so_and_a_failure_reaches_the_model() {
    let (proxy, url) = behind_proxy("milvus").await;
    let store: Arc<dyn VectorStore> = store_at(&url).await;
    let base = KnowledgeBase::new(store, fresh("nothing")).with_embedder(Arc::new(HashEmbedder::new(8)));
    base.open().await.unwrap();
    let base = Arc::new(base);
    let tool = KnowledgeBaseTool::new(Arc::clone(&base));
    let nothing = tool.call(&json!({ "query": "anything" })).await.unwrap();
    assert_eq!(nothing.text, "No relevant information found in the knowledge base.");
    proxy.set(Fault::down()).await.unwrap();
    let deadline = Deadline::after(std::time::Duration::from_millis(600));
    let failed = deadline.scope(tool.call(&json!({ "query": "anything" }))).await.unwrap();
    assert!(failed.is_error, "{failed:?}");
    assert!(failed.text.starts_with("Error during knowledge base search: "), "{}", failed.text);
    let without = tool.call(&json!({ "question": "anything" })).await.unwrap();
    assert!(without.is_error && without.text.starts_with("Error during knowledge base search: "));
    proxy.heal().await.unwrap();
    drop_base(&base).await;
}

#[test]
fn section_6_tool_carry_it_is_called_without_async() {
    let runtime = Runtime::new().unwrap();
    let base = runtime.block_on(base("milvus-lite")).unwrap();
    let tool: Arc<dyn Tool> = Arc::new(KnowledgeBaseTool::new(Arc::clone(&base)));
    let tool = Blocking::new(tool, runtime.clone());
    let found = tool.call(&json!({ "query": "how long is tea steeped?" })).unwrap();
    assert!(found.text.contains("two minutes"), "{}", found.text);
    runtime.block_on(drop_base(&base)).unwrap();
}

#[tokio::test]
async fn section_6_tool_carry_parts_with_blocking_methods_only_are_moved_off_the_async_threads() {
    // A real embedder as somebody has it who knows no async.
    let server = Blocking::new(Arc::new(embedder_at(&url("embeddings"))), Runtime::new().unwrap());
    let sync_only: Arc<dyn blocking::Embedder> = Arc::new(server);
    let mut offloaded = None;
    let warned = said::by(|| offloaded = Some(Offload::new(sync_only, &Settings::default()).unwrap()));
    assert_eq!(warned.matches("WARN").count(), 1, "{warned}");
    assert!(warned.contains(MOVED), "{warned}");
    // Everything async is on this thread, and what it says is heard.
    let (said, listening) = Said::listen();
    let embedder: Arc<dyn Embedder> = Arc::new(offloaded.unwrap());
    let base = KnowledgeBase::new(Arc::new(InMemoryVectors::new()), "docs").with_embedder(embedder);
    base.ingest_documents(documents(), &()).await.unwrap();
    for _ in 0..2 {
        let found = base.search("what is bread made of?", &SearchOptions::default()).await.unwrap();
        assert_eq!(found.hits[0].text, TEXTS[0]);
    }
    tracing::warn!("it is heard");
    drop(listening);
    let said = said.text();
    assert!(said.contains("it is heard") && !said.contains(MOVED), "warned of once more: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_6_tool_mend_passages_are_typed_and_citations_name_their_source() {
    let base = base("milvus-lite").await;
    let tool = Arc::new(KnowledgeBaseTool::new(Arc::clone(&base)));
    let found = tool.call(&json!({ "query": "what is bread made of?" })).await.unwrap();
    let first = &found.passages[0];
    assert_eq!((first.n, first.source.as_str(), first.text.as_str()), (1, "0.txt", TEXTS[0]));
    assert!(first.legs.dense.is_some_and(|cosine| cosine > 0.0), "{:?}", first.legs);
    // A model calls the tool and cites one passage that it was given, and one that it was not.
    let model = ScriptedModel::new([
        ScriptedReply::tool_call(TOOL_NAME, json!({ "query": "what is bread made of?" })),
        ScriptedReply::text("Of flour and water [1], they say [77]."),
    ]);
    let agent = Agent::builder(Arc::new(model)).retriever(tool).build();
    let reply = agent.process("What is bread made of?").await.unwrap();
    let cited: Vec<(usize, &str)> = reply.citations.iter().map(|c| (c.n, c.source.as_str())).collect();
    assert_eq!(cited, [(1, "0.txt")]);
    drop_base(&base).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_6_tool_mend_each_document_of_an_ingestion_has_its_outcome() {
    for engine in MILVUSES {
        let embedder = HashEmbedder::new(16).with_poison("violin");
        let base =
            KnowledgeBase::new(Arc::new(milvus(engine)), fresh("ingest")).with_embedder(Arc::new(embedder));
        let report = base.ingest_documents(documents(), &()).await.unwrap();
        let failed: Vec<&str> = report.failed.iter().map(|failure| failure.source.as_str()).collect();
        assert_eq!((report.documents, failed.as_slice()), (5, ["5.txt"].as_slice()), "{engine}");
        assert!(!report.is_complete() && report.into_error().is_some(), "{engine}");
        // The next run tries what failed and leaves the rest alone.
        let again = base.ingest_documents(documents(), &()).await.unwrap();
        assert_eq!((again.unchanged, again.failed.len()), (5, 1), "{engine}");
        drop_base(&base).await;
    }
}
