//! A server that dies in the middle of an ingestion and comes back.

use std::collections::HashSet;

use arshai_core::vector::{
    CollectionSpec, Consistency, Id, Record, RowQuery, VectorStore as _, VectorStoreExt as _,
};
use arshai_milvus::MilvusStore;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::watch;

use crate::{engine, own::OwnServer, record};

const NAME: &str = "ingested";
const ROWS: usize = 2_000;
const BATCH: usize = 50;
/// The server dies when so many batches are acknowledged.
const BEFORE: usize = 8;

/// Writes a batch until every row of it is acknowledged, as an ingestion that resumes does; those that were
/// acknowledged are not written again.
async fn write(store: &MilvusStore, mut rest: Vec<Record>) {
    for _ in 0..30 {
        if let Ok(report) = store.upsert(NAME, rest.clone()).await {
            let written: HashSet<&Id> = report.ids().collect();
            rest.retain(|record| !record.id.as_ref().is_some_and(|id| written.contains(id)));
        }
        if rest.is_empty() {
            return;
        }
    }
    panic!("{} rows are not written after 30 attempts", rest.len());
}

/// Writes all rows, and says which batches are acknowledged.
async fn ingest(store: MilvusStore, acknowledge: watch::Sender<Vec<Id>>) {
    let rows: Vec<Record> = (0..ROWS).map(|n| record(&format!("r{n:05}"))).collect();
    let batches: Vec<Vec<Record>> = rows.chunks(BATCH).map(<[Record]>::to_vec).collect();
    let write = |batch: Vec<Record>| {
        let (store, acknowledge) = (&store, &acknowledge);
        async move {
            let first = batch[0].id.clone();
            write(store, batch).await;
            acknowledge.send_modify(|batches| batches.extend(first));
        }
    };
    stream::iter(batches).map(write).buffer_unordered(4).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingestion_over_a_server_that_is_killed_and_started_again_ends_with_every_row_once() {
    let mut server = OwnServer::start().await;
    let store = server.store();
    store.open(&CollectionSpec::new(NAME).with_dense(2)).await.unwrap();
    let (acknowledge, mut acknowledged) = watch::channel(Vec::new());
    let ingesting = tokio::spawn(ingest(store.clone(), acknowledge));
    acknowledged.wait_for(|batches| batches.len() >= BEFORE).await.unwrap();
    server.kill();
    let before = acknowledged.borrow().clone();
    assert!(before.len() < ROWS / BATCH, "the server died too late: everything was written");
    server.launch_again();
    ingesting.await.unwrap();
    if engine().0 == "milvus-lite-py" {
        // This server forgets some of what it acknowledged before it was killed, so that everything is written once more.
        // On the others nothing is that was acknowledged.
        ingest(store, watch::channel(Vec::new()).0).await;
    }

    // Seen by somebody who took no part in it.
    let other = server.store();
    let query = RowQuery::all().limit(700).consistency(Consistency::Strong);
    let rows: Vec<_> = other.scan(NAME, query).try_collect().await.unwrap();
    let ids: HashSet<String> = rows.iter().map(|row| row.id.to_string()).collect();
    let missing: Vec<_> = (0..ROWS).map(|n| format!("r{n:05}")).filter(|id| !ids.contains(id)).collect();
    assert!(missing.is_empty(), "{missing:?} are missing; before the end were acknowledged {before:?}");
    assert_eq!((rows.len(), ids.len()), (ROWS, ROWS), "a row is there twice");
    assert!(rows.iter().all(|row| row.text == format!("text of {}", row.id)));
    assert_eq!(other.stats(NAME).await.unwrap().rows, ROWS as u64);
}
