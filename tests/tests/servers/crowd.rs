//! A thousand operations of each kind at once, on the real engines: no error, none lost.

use std::{sync::Arc, time::Instant};

use arshai::{
    agent::{Agent, AgentInput},
    embed::EmbedderExt as _,
    kb_tool::{Document, KnowledgeBase, KnowledgeBaseTool},
    local::ExtractiveModel,
    memory::{KeyPrefix, Memory, MemoryKey, MemoryStoreExt as _},
    vector::{CollectionSpec, Query, Record, VectorStore as _, VectorStoreExt as _},
    wrap::Coalesce,
};
use futures_util::future::join_all;

use crate::place::{MILVUSES, REDISES, embedder_at, fresh, memory_at, milvus, url};

const AT_ONCE: usize = 1_000;

/// The most memory this process has used so far, where the system tells.
pub(crate) fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or_else(|| "not told".to_owned(), |peak| peak.trim().to_owned())
}

fn told(what: &str, count: usize, begun: Instant) {
    println!("{what}: {count} at once in {:.1} s, peak memory {}", begun.elapsed().as_secs_f64(), peak());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_searches_at_once() {
    for engine in MILVUSES {
        let (store, name) = (milvus(engine), fresh("crowd"));
        store.open(&CollectionSpec::new(&name).with_dense(64).without_text_search()).await.unwrap();
        let records = (0..AT_ONCE)
            .map(|n| Record::new(format!("text {n}")).with_id(n.to_string()).with_dense(direction(n)));
        store.upsert(&name, records.collect()).await.unwrap().into_complete().unwrap();
        let begun = Instant::now();
        let searches = (0..AT_ONCE).map(|n| {
            let (store, name) = (store.clone(), name.clone());
            tokio::spawn(async move { store.search_one(&name, Query::dense(direction(n)), 1).await })
        });
        let mut right = 0;
        for (n, hits) in join_all(searches).await.into_iter().enumerate() {
            right += usize::from(hits.unwrap().unwrap()[0].id.to_string() == n.to_string());
        }
        told(&format!("searches on {engine}"), AT_ONCE, begun);
        assert_eq!(right, AT_ONCE, "{engine}: each found its own");
        store.drop_collection(&name).await.unwrap();
    }
}

/// A direction of its own for each number.
fn direction(n: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(n as u64);
    (0..64).map(|_| random.f32() - 0.5).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_memory_updates_at_once() {
    for engine in REDISES {
        let (memory, prefix) = (memory_at(&url(engine)).await, fresh("crowd"));
        // Ten writers for each of a hundred conversations.
        let key = |n: usize| MemoryKey::new(format!("{prefix}-{}", n % 100)).unwrap();
        let begun = Instant::now();
        let updates = (0..AT_ONCE).map(|n| {
            let (memory, key) = (Arc::clone(&memory), key(n));
            tokio::spawn(async move {
                let add = |old: Option<&Memory>| {
                    let count: u64 = old.and_then(|memory| memory.text.parse().ok()).unwrap_or(0);
                    Ok(Memory::new((count + 1).to_string()))
                };
                memory.update_with(&key, add).await
            })
        });
        for updated in join_all(updates).await {
            updated.unwrap().unwrap();
        }
        told(&format!("memory updates on {engine}"), AT_ONCE, begun);
        for n in 0..100 {
            assert_eq!(memory.retrieve(&key(n)).await.unwrap().unwrap().text, "10", "{engine}: none is lost");
        }
        assert_eq!(memory.delete_all(&KeyPrefix::conversations(prefix)).await.unwrap(), 100, "{engine}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_embeddings_at_once() {
    let embedder = Arc::new(embedder_at(&url("embeddings")));
    let begun = Instant::now();
    let embeddings = (0..AT_ONCE).map(|n| {
        let embedder = Arc::clone(&embedder);
        tokio::spawn(async move { embedder.embed_query(&format!("note {n}")).await })
    });
    for vector in join_all(embeddings).await {
        assert_eq!(vector.unwrap().unwrap().len(), 384);
    }
    told("embeddings", AT_ONCE, begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_turns_of_an_agent_at_once() {
    let (memory, prefix, collection) = (memory_at(&url("redis")).await, fresh("crowd"), fresh("crowd"));
    let store = milvus("milvus");
    let embedder = Arc::new(Coalesce::new(embedder_at(&url("embeddings"))));
    let base = KnowledgeBase::new(Arc::new(store.clone()), &collection).with_embedder(embedder);
    let documents =
        (0..50).map(|n| Document::new(format!("{n}.md"), format!("Box {n} holds {} marbles.", n * 3)));
    assert_eq!(base.ingest_documents(documents, &()).await.unwrap().documents, 50);
    let agent = Agent::builder(Arc::new(ExtractiveModel::new()))
        .memory(Arc::clone(&memory))
        .retriever(Arc::new(KnowledgeBaseTool::new(Arc::new(base))))
        .build();
    // Four turns of each of 250 conversations.
    let begun = Instant::now();
    let turns = (0..AT_ONCE).map(|n| {
        let input = AgentInput::new(format!("How many marbles does box {} hold?", n % 50));
        let (agent, input) = (agent.clone(), input.conversation(format!("{prefix}-{}", n % 250)));
        tokio::spawn(async move { agent.process(input).await })
    });
    let mut cited = 0;
    for reply in join_all(turns).await {
        let reply = reply.unwrap().unwrap();
        assert!(reply.memory_error.is_none(), "{:?}", reply.memory_error);
        cited += usize::from(!reply.citations.is_empty());
    }
    told("turns of an agent", AT_ONCE, begun);
    println!("{cited} of them cite");
    let mut kept = 0;
    for n in 0..250 {
        let key = MemoryKey::new(format!("{prefix}-{n}")).unwrap();
        kept += memory.retrieve(&key).await.unwrap().unwrap().text.matches("\nUser: ").count();
    }
    assert_eq!(kept, AT_ONCE, "none is lost");
    assert_eq!(memory.delete_all(&KeyPrefix::conversations(prefix)).await.unwrap(), 250);
    store.drop_collection(&collection).await.unwrap();
}
