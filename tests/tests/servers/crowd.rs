//! A thousand operations of each kind at once, on the real engines: no error, none lost. Every answer is compared with
//! what it has to be, and every write is found again.

use std::{sync::Arc, time::Instant};

use arshai::{
    agent::{Agent, AgentInput, AgentReply},
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

/// The most memory this process has used so far, where the system tells: of all tests in it, as they run beside each
/// other.
pub(crate) fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    format!("peak memory of the whole test process so far {}", peak.map_or("not told", str::trim))
}

fn told(what: &str, count: usize, begun: Instant) {
    println!("{what}: {count} at once in {:.1} s, {}", begun.elapsed().as_secs_f64(), peak());
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
        let found = join_all(searches).await;
        told(&format!("searches on {engine}"), AT_ONCE, begun);
        assert_eq!(found.len(), AT_ONCE);
        for (n, hits) in found.into_iter().enumerate() {
            let hits = hits.unwrap().unwrap();
            let hit = (hits[0].id.to_string(), hits[0].text.as_str());
            assert_eq!(hit, (n.to_string(), format!("text {n}").as_str()), "{engine}: each finds its own");
        }
        store.drop_collection(&name).await.unwrap();
    }
}

/// A direction of its own for each number.
fn direction(n: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(n as u64);
    (0..64).map(|_| random.f32() - 0.5).collect()
}

/// What a conversation holds so far.
pub(crate) fn text_of(memory: Option<&Memory>) -> &str {
    memory.map_or("", |memory| &memory.text)
}

/// The numbers in a text, in their order: one twice, or one that is missing, makes another list.
pub(crate) fn numbers(text: &str) -> Vec<usize> {
    let mut numbers: Vec<usize> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
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
                let add = |old: Option<&Memory>| Ok(Memory::new(format!("{}{n} ", text_of(old))));
                memory.update_with(&key, add).await
            })
        });
        for (n, updated) in join_all(updates).await.into_iter().enumerate() {
            let text = updated.unwrap().unwrap().memory.text;
            assert!(text.ends_with(&format!("{n} ")), "{engine}: update {n} returned {text:?}");
        }
        told(&format!("memory updates on {engine}"), AT_ONCE, begun);
        for n in 0..100 {
            let kept = memory.retrieve(&key(n)).await.unwrap().unwrap().text;
            assert_eq!(numbers(&kept), (n..AT_ONCE).step_by(100).collect::<Vec<_>>(), "{engine}: {kept:?}");
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
    let vectors = join_all(embeddings).await;
    told("embeddings", AT_ONCE, begun);
    assert_eq!(vectors.len(), AT_ONCE);
    let vectors: Vec<Vec<f32>> = vectors.into_iter().map(|vector| vector.unwrap().unwrap()).collect();
    // The same texts in batches, one after the other: each has got its own vector and no other one's.
    let texts: Vec<String> = (0..AT_ONCE).map(|n| format!("note {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (n, (alone, together)) in
        vectors.iter().zip(embedder.embed_documents(&texts).await.unwrap()).enumerate()
    {
        assert!(is_same(alone, &together), "note {n} has got another vector");
    }
}

/// Whether two vectors are the same but for what a server rounds differently in another batch.
pub(crate) fn is_same(one: &[f32], other: &[f32]) -> bool {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    one.len() == other.len() && dot(one, other) / (dot(one, one) * dot(other, other)).sqrt() > 0.9999
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_turns_of_an_agent_at_once() {
    let (memory, prefix, collection) = (memory_at(&url("redis")).await, fresh("crowd"), fresh("crowd"));
    let store = milvus("milvus");
    let embedder = Arc::new(Coalesce::new(embedder_at(&url("embeddings"))));
    let base = KnowledgeBase::new(Arc::new(store.clone()), &collection).with_embedder(embedder);
    let documents = (0..50).map(|n| Document::new(format!("{n}.md"), fact(n)));
    assert_eq!(base.ingest_documents(documents, &()).await.unwrap().documents, 50);
    let agent = Agent::builder(Arc::new(ExtractiveModel::new()))
        .memory(Arc::clone(&memory))
        .retriever(Arc::new(KnowledgeBaseTool::new(Arc::new(base))))
        .build();
    // Four turns of each of 250 conversations.
    let begun = Instant::now();
    let turns = (0..AT_ONCE).map(|n| {
        let input = AgentInput::new(question(n));
        let (agent, input) = (agent.clone(), input.conversation(format!("{prefix}-{}", n % 250)));
        tokio::spawn(async move { agent.process(input).await })
    });
    let mut expected = vec![Vec::new(); 250];
    for (n, reply) in join_all(turns).await.into_iter().enumerate() {
        let reply = reply.unwrap().unwrap();
        is_sound(&reply);
        expected[n % 250].push(turn(n, &reply));
    }
    told("turns of an agent", AT_ONCE, begun);
    for (n, expected) in expected.iter().enumerate() {
        let key = MemoryKey::new(format!("{prefix}-{n}")).unwrap();
        holds_exactly(&memory.retrieve(&key).await.unwrap().unwrap().text, expected);
    }
    assert_eq!(memory.delete_all(&KeyPrefix::conversations(prefix)).await.unwrap(), 250);
    store.drop_collection(&collection).await.unwrap();
}

/// What document number `n` says.
pub(crate) fn fact(n: usize) -> String {
    format!("Box {n} holds {} marbles.", n * 3)
}

/// What is asked in turn number `n`; the turns of one conversation ask different things.
pub(crate) fn question(n: usize) -> String {
    format!("How many marbles does box {} hold?", (n + n / 250) % 50)
}

/// A turn as the memory keeps it.
pub(crate) fn turn(n: usize, reply: &AgentReply) -> String {
    format!("\nUser: {}\nAssistant: {}", question(n), reply.text)
}

/// A reply that was remembered, and that cites what the documents say. One whose search failed says so in its text and
/// cites nothing.
pub(crate) fn is_sound(reply: &AgentReply) {
    assert!(reply.memory_error.is_none(), "{:?}", reply.memory_error);
    assert!(!reply.citations.is_empty(), "it cites nothing: {:?}", reply.text);
    for citation in &reply.citations {
        let n = citation.source.strip_suffix(".md").unwrap().parse().unwrap();
        assert_eq!(citation.text, fact(n), "{}", citation.source);
    }
}

/// Whether a memory is these turns in some order: none is lost, none doubled, none cut, and nothing stands between them.
pub(crate) fn holds_exactly(text: &str, turns: &[String]) {
    let mut rest = text.to_owned();
    for turn in turns {
        assert!(rest.contains(turn.as_str()), "{turn:?} is not in {text:?}");
        rest = rest.replacen(turn.as_str(), "", 1);
    }
    assert_eq!(rest, "", "what nobody said is in {text:?}");
}
