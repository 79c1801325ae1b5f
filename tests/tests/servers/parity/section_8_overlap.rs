//! Section 8: operations at once do not wait for each other. Nothing is measured by the clock: no reply is let through
//! until all requests have been seen.

use std::{collections::BTreeSet, sync::Arc};

use arshai::{
    blocking::{self, Blocking, Runtime},
    memory::MemoryStoreExt as _,
    prelude::*,
    vector::{CollectionSpec, Query, Record, Search, VectorStore},
};
use arshai_conformance::fault::{Direction, Fault, FaultProxy};
use futures_util::future::join_all;
use serde_json::Map;

use crate::{
    place::{MILVUSES, behind_proxy, embedder_at, fresh, fresh_key, memory_at, store_at},
    wire::Wire,
};

async fn hold_replies(proxy: &FaultProxy) {
    proxy.set(Fault::stall().only(Direction::ToClient)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_8_overlap_carry_10_searches_at_once() {
    for engine in MILVUSES {
        let (proxy, url) = behind_proxy(engine).await;
        let (store, name) = (store_at(&url).await, fresh("overlap"));
        store.open(&CollectionSpec::new(&name).with_dense(768).without_text_search()).await.unwrap();
        let record = Record::new("text").with_id("a").with_dense(vec![0.1; 768]);
        store.upsert(&name, vec![record]).await.unwrap().into_complete().unwrap();
        store.search_one(&name, Query::dense(vec![0.1; 768]), 5).await.unwrap();

        hold_replies(&proxy).await;
        let before = proxy.stats();
        let searches: Vec<_> = (0..10)
            .map(|_| {
                let (store, name) = (Arc::clone(&store), name.clone());
                tokio::spawn(async move { store.search_one(&name, Query::dense(vec![0.1; 768]), 5).await })
            })
            .collect();
        let seen = proxy.until(|stats| stats.requests - before.requests >= 10).await.unwrap();
        assert_eq!(seen.bytes_to_client, before.bytes_to_client, "{engine}: no reply was let through");
        println!("{engine}: {} searches in flight at once", seen.requests - before.requests);
        proxy.heal().await.unwrap();
        for search in searches {
            assert_eq!(search.await.unwrap().unwrap().len(), 1, "{engine}");
        }
        store.drop_collection(&name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_8_overlap_carry_20_stores_at_once() {
    let (proxy, url) = behind_proxy("redis").await;
    let memory = memory_at(&url).await;
    // Every connection is open before replies are held back.
    let absent = fresh_key("overlap");
    for read in join_all((0..8).map(|_| memory.retrieve(&absent))).await {
        assert_eq!(read.unwrap(), None);
    }
    let mut monitor = Wire::open();
    assert_eq!(monitor.ask(&["MONITOR"]).as_deref(), Some("OK"));

    hold_replies(&proxy).await;
    let before = proxy.stats().bytes_to_client;
    let keys: Vec<MemoryKey> = (0..20).map(|_| fresh_key("overlap")).collect();
    let stores: Vec<_> = keys
        .iter()
        .cloned()
        .map(|key| {
            let memory = Arc::clone(&memory);
            tokio::spawn(async move { memory.store(&key, "test content", Map::new()).await })
        })
        .collect();
    // The server has begun each of the twenty before any of them had an answer.
    let mut wanted: BTreeSet<String> = keys.iter().map(MemoryKey::stored).collect();
    tokio::task::spawn_blocking(move || {
        while !wanted.is_empty() {
            let line = monitor.line();
            wanted.retain(|key| !line.contains(key));
        }
    })
    .await
    .unwrap();
    assert_eq!(proxy.stats().bytes_to_client, before, "no reply was let through");
    println!("{} stores in flight at once", keys.len());
    proxy.heal().await.unwrap();
    for store in stores {
        store.await.unwrap().unwrap();
    }
    for found in join_all(keys.iter().map(|key| memory.delete(key))).await {
        assert!(found.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_8_overlap_carry_5_embeddings_at_once() {
    let (proxy, url) = behind_proxy("embeddings").await;
    let embedder = Arc::new(embedder_at(&url));
    hold_replies(&proxy).await;
    let embeddings: Vec<_> = (0..5)
        .map(|n| {
            let embedder = Arc::clone(&embedder);
            tokio::spawn(async move { embedder.embed_query(&format!("Test text {n}")).await })
        })
        .collect();
    let seen = proxy.until(|stats| stats.requests >= 5).await.unwrap();
    assert_eq!((seen.requests, seen.bytes_to_client), (5, 0), "no reply was let through");
    println!("{} embeddings in flight at once", seen.requests);
    proxy.heal().await.unwrap();
    for vector in embeddings {
        assert_eq!(vector.await.unwrap().unwrap().len(), 384);
    }
}

#[test]
fn section_8_overlap_carry_10_searches_of_10_threads_at_once() {
    let runtime = Runtime::new().unwrap();
    let (proxy, url) = runtime.block_on(behind_proxy("milvus")).unwrap();
    let (store, name) = (runtime.block_on(store_at(&url)).unwrap(), fresh("threads"));
    let store: Blocking<dyn VectorStore> = Blocking::new(store, runtime.clone());
    blocking::VectorStore::open(&store, &CollectionSpec::new(&name).with_dense(8).without_text_search())
        .unwrap();
    let search = Search::new(Query::dense(vec![0.1; 8]));
    blocking::VectorStore::search(&store, &name, &search).unwrap();
    runtime.block_on(hold_replies(&proxy)).unwrap();
    let before = proxy.stats().requests;
    std::thread::scope(|scope| {
        let searches: Vec<_> = (0..10)
            .map(|_| {
                scope.spawn(|| blocking::VectorStore::search(&store, &name, &search).map(|lists| lists.len()))
            })
            .collect();
        runtime.block_on(proxy.until(|stats| stats.requests - before >= 10)).unwrap().unwrap();
        runtime.block_on(proxy.heal()).unwrap().unwrap();
        for search in searches {
            assert_eq!(search.join().unwrap().unwrap(), 1);
        }
    });
    assert!(blocking::VectorStore::drop_collection(&store, &name).unwrap());
}
