//! Blocking calls from 64 threads, on the real engines: no error, none lost. Every answer is compared with what it has to
//! be, and every write is found again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use arshai::{
    agent::{Agent, AgentInput, BlockingAgent as _},
    blocking::{Blocking, MemoryStore as _, Runtime, VectorStore as _},
    embed::Embedder,
    kb_tool::{BlockingKnowledgeBase as _, Document, KnowledgeBase, KnowledgeBaseTool},
    local::ExtractiveModel,
    memory::{KeyPrefix, Memory, MemoryKey, MemoryStore},
    vector::{CollectionSpec, Query, Record, VectorStore},
};

use crate::{
    crowd::{fact, holds_exactly, is_same, is_sound, numbers, peak, question, text_of, turn},
    place::{embedder_at, fresh, memory_at, milvus, url},
};

const THREADS: usize = 64;
const CALLS: usize = 16;

/// Calls `call` with numbers of its own in each thread.
fn in_threads(what: &str, call: impl Fn(usize) + Sync) {
    let (begun, done) = (Instant::now(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (call, done) = (&call, &done);
            scope.spawn(move || {
                for n in 0..CALLS {
                    call(thread * CALLS + n);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let done = done.into_inner();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{what}: {done} calls from {THREADS} threads in {seconds:.1} s, {}", peak());
    assert_eq!(done, THREADS * CALLS);
}

#[test]
fn memory_updates_from_64_threads() {
    let runtime = Runtime::new().unwrap();
    for engine in crate::place::REDISES {
        let memory: Arc<dyn MemoryStore> = runtime.block_on(memory_at(&url(engine))).unwrap();
        let (memory, prefix) = (Blocking::new(memory, runtime.clone()), fresh("threads"));
        let key = |n: usize| MemoryKey::new(format!("{prefix}-{}", n % 128)).unwrap();
        in_threads(&format!("memory updates on {engine}"), |n| {
            let add = |old: Option<&Memory>| Ok(Memory::new(format!("{}{n} ", text_of(old))));
            let text = memory.update_with(&key(n), add).unwrap().memory.text;
            assert!(text.ends_with(&format!("{n} ")), "{engine}: update {n} returned {text:?}");
        });
        for n in 0..128 {
            let kept = memory.retrieve(&key(n)).unwrap().unwrap().text;
            let all: Vec<usize> = (n..THREADS * CALLS).step_by(128).collect();
            assert_eq!(numbers(&kept), all, "{engine}: none is lost, and none comes twice");
        }
        assert_eq!(memory.delete_all(&KeyPrefix::conversations(prefix)).unwrap(), 128, "{engine}");
    }
}

#[test]
fn searches_from_64_threads() {
    let runtime = Runtime::new().unwrap();
    for engine in crate::place::MILVUSES {
        let store: Arc<dyn VectorStore> = Arc::new(milvus(engine));
        let (store, name) = (Blocking::new(store, runtime.clone()), fresh("threads"));
        store.open(&CollectionSpec::new(&name).with_dense(2).without_text_search()).unwrap();
        let dense = |n: usize| [(n as f32 / 100.0).cos(), (n as f32 / 100.0).sin()];
        let records = (0..100)
            .map(|n| Record::new(format!("text {n}")).with_id(n.to_string()).with_dense(dense(n).to_vec()));
        store.upsert(&name, records.collect()).unwrap().into_complete().unwrap();
        in_threads(&format!("searches on {engine}"), |n| {
            let hits = store.search_one(&name, Query::dense(dense(n % 100)), 1).unwrap();
            let hit = (hits[0].id.to_string(), hits[0].text.as_str());
            assert_eq!(hit, ((n % 100).to_string(), format!("text {}", n % 100).as_str()), "{engine}");
        });
        assert!(store.drop_collection(&name).unwrap());
    }
}

#[test]
fn embeddings_from_64_threads() {
    let embedder: Arc<dyn Embedder> = Arc::new(embedder_at(&url("embeddings")));
    let embedder = Blocking::new(embedder, Runtime::new().unwrap());
    let vectors = Mutex::new(BTreeMap::new());
    in_threads("embeddings", |n| {
        let vector = embedder.embed_query(&format!("note {n}")).unwrap();
        assert_eq!(vectors.lock().unwrap().insert(n, vector), None);
    });
    let vectors = vectors.into_inner().unwrap();
    // The same texts in batches, one after the other: each thread has got the vectors of its own texts.
    let texts: Vec<String> = (0..THREADS * CALLS).map(|n| format!("note {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (n, together) in embedder.embed_documents(&texts).unwrap().iter().enumerate() {
        assert!(is_same(&vectors[&n], together), "note {n} has got another vector");
    }
}

#[test]
fn turns_of_an_agent_from_64_threads() {
    let (runtime, prefix, collection) = (Runtime::new().unwrap(), fresh("threads"), fresh("threads"));
    let memory: Arc<dyn MemoryStore> = runtime.block_on(memory_at(&url("redis"))).unwrap();
    let base = KnowledgeBase::new(Arc::new(milvus("milvus-lite")), &collection);
    let base = Arc::new(base.with_embedder(Arc::new(embedder_at(&url("embeddings")))));
    let documents = (0..20).map(|n| Document::new(format!("{n}.md"), fact(n)));
    let knowledge = Blocking::new(Arc::clone(&base), runtime.clone());
    assert_eq!(knowledge.ingest_documents(documents.collect(), &()).unwrap().documents, 20);
    let agent = Agent::builder(Arc::new(ExtractiveModel::new()))
        .memory(Arc::clone(&memory))
        .retriever(Arc::new(KnowledgeBaseTool::new(Arc::clone(&base))))
        .build();
    let agent = Blocking::new(Arc::new(agent), runtime.clone());
    let turns = Mutex::new(vec![Vec::new(); 256]);
    in_threads("turns of an agent", |n| {
        let input = AgentInput::new(question(n)).conversation(format!("{prefix}-{}", n % 256));
        let reply = agent.process(input).unwrap();
        is_sound(&reply);
        turns.lock().unwrap()[n % 256].push(turn(n, &reply));
    });
    let memory = Blocking::new(memory, runtime.clone());
    for (n, turns) in turns.into_inner().unwrap().iter().enumerate() {
        let key = MemoryKey::new(format!("{prefix}-{n}")).unwrap();
        holds_exactly(&memory.retrieve(&key).unwrap().unwrap().text, turns);
    }
    assert_eq!(memory.delete_all(&KeyPrefix::conversations(prefix)).unwrap(), 256);
    let store: Blocking<dyn VectorStore> = Blocking::new(Arc::clone(base.store()), runtime);
    assert!(store.drop_collection(&collection).unwrap());
}
