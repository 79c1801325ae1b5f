//! What a Python service has stored is used by the agent where it is, while the Python service goes on.

use std::sync::Arc;

use arshai::{
    kb_tool::{KnowledgeBase, KnowledgeBaseTool, SearchOptions},
    prelude::*,
    vector::Consistency,
};
use serde_json::json;

use crate::{
    place::{embedder_at, fresh, fresh_key, memory_at, milvus, url},
    python::Python,
};

const TEXTS: [(&str, &str); 3] = [
    ("tea.md", "Green tea is steeped for two minutes at eighty degrees."),
    ("moon.md", "The moon orbits the earth in about twenty-seven days."),
    ("bread.md", "Sourdough bread needs a starter of flour and water."),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_collection_of_python_are_used_in_place_and_read_again_by_python() {
    let (mut python, key, collection) = (Python::start(), fresh_key("in_place"), fresh("in_place"));
    let (store, memory) = (Arc::new(milvus("milvus")), memory_at(&url("redis")).await);
    let embedder = Arc::new(embedder_at(&url("embeddings")));
    let texts = TEXTS.map(|(_, text)| text);
    let vectors = embedder.embed_documents(&texts).await.unwrap();

    // Python has been running for a while.
    let said = "\nUser: hi\nAssistant: hello";
    let stored =
        json!({ "do": "store", "id": key.conversation(), "text": said, "metadata": { "by": "python" } });
    assert_eq!(python.ask(&stored), json!(key.stored()));
    let entities = TEXTS.map(|(source, text)| json!({ "content": text, "metadata": { "source": source } }));
    let insert =
        json!({ "do": "insert", "collection": collection, "entities": entities, "vectors": vectors });
    assert_eq!(python.ask(&insert), json!(3));

    // The agent goes on from there.
    let base = KnowledgeBase::new(store.clone(), &collection).with_embedder(embedder.clone());
    let base = Arc::new(base);
    let agent = Agent::builder(Arc::new(ExtractiveModel::new()))
        .memory(Arc::clone(&memory))
        .retriever(Arc::new(KnowledgeBaseTool::new(Arc::clone(&base))))
        .build();
    let question = AgentInput::new("How long is green tea steeped?").conversation(key.conversation());
    let reply = agent.process(question).await.unwrap();
    assert!(reply.text.contains("two minutes") && reply.memory_error.is_none(), "{}", reply.text);
    assert_eq!(reply.citations[0].source, "tea.md");

    // Python reads what the agent left, and goes on too.
    let recalled = python.ask(&json!({ "do": "retrieve", "id": key.conversation() }));
    let recalled = recalled[0].as_str().unwrap().to_owned();
    let begin = format!("{said}\nUser: How long is green tea steeped?\nAssistant: ");
    assert!(recalled.starts_with(&begin), "{recalled}");
    python.ask(&json!({ "do": "update", "id": key.conversation(), "text": "summed up by python" }));
    let kept = memory.retrieve(&key).await.unwrap().unwrap();
    assert_eq!((kept.text.as_str(), &kept.metadata["by"]), ("summed up by python", &json!("python")));
    assert_eq!(kept.turns, None, "the turns were those of another text");

    let search = json!({ "do": "search", "collection": collection, "vectors": [vectors[1]] });
    assert_eq!(python.ask(&search), json!([[TEXTS[1].1]]));
    let violin = "A violin has four strings.";
    let vector = embedder.embed_documents(&[violin]).await.unwrap();
    let entity = [json!({ "content": violin, "metadata": { "source": "violin.md" } })];
    let insert = json!({ "do": "insert", "collection": collection, "entities": entity, "vectors": vector });
    assert_eq!(python.ask(&insert), json!(1));
    let strong = SearchOptions::default().with_limit(1).with_consistency(Consistency::Strong);
    let found = base.search("How many strings has a violin?", &strong).await.unwrap();
    assert_eq!((found.hits[0].source.as_str(), found.hits[0].text.as_str()), ("violin.md", violin));

    memory.delete(&key).await.unwrap();
    store.drop_collection(&collection).await.unwrap();
}
