//! A network that breaks between the store and a real server.

use std::{net::SocketAddr, time::Duration};

use arshai_conformance::fault::{Direction, Fault, FaultProxy, Plan};
use arshai_core::{
    Deadline, ErrorKind,
    vector::{Consistency, Query, Record, RowQuery, VectorStore as _, VectorStoreExt as _},
};
use arshai_milvus::{MilvusConfig, MilvusStore};

use crate::{Scratch, config, record};

const ROWS: usize = 400;

async fn proxy() -> FaultProxy {
    let address: SocketAddr = config().address().parse().unwrap();
    FaultProxy::start_http2(address).await.unwrap()
}

fn through(proxy: &FaultProxy) -> MilvusStore {
    let mut config = MilvusConfig::from_url(&proxy.url("milvus")).unwrap();
    config.timeout = Duration::from_secs(30);
    config.attempt_timeout = Duration::from_secs(3);
    MilvusStore::new(config).unwrap()
}

fn rows() -> Vec<Record> {
    (0..ROWS).map(|n| record(&format!("r{n:04}"))).collect()
}

/// Everything is there once, seen without the proxy.
async fn exactly_all(scratch: &Scratch) {
    let query = RowQuery::all().limit(ROWS * 2).consistency(Consistency::Strong);
    let found = scratch.store.query(&scratch.name, &query).await.unwrap().rows;
    let ids: Vec<_> = found.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(ids, (0..ROWS).map(|n| format!("r{n:04}")).collect::<Vec<_>>());
    assert_eq!(scratch.store.stats(&scratch.name).await.unwrap().rows, ROWS as u64);
}

/// Writes what has not been acknowledged until all of it is, as an ingestion that resumes does.
async fn ingest(store: &MilvusStore, name: &str) -> usize {
    let mut rest = rows();
    for round in 1..=30 {
        let left: Vec<Record> = match store.upsert(name, rest.clone()).await {
            Ok(report) => {
                assert_eq!(report.items.len(), rest.len());
                let written: std::collections::HashSet<_> = report.ids().cloned().collect();
                rest.into_iter()
                    .filter(|record| !record.id.as_ref().is_some_and(|id| written.contains(id)))
                    .collect()
            }
            Err(_) => rest,
        };
        if left.is_empty() {
            return round;
        }
        rest = left;
    }
    panic!("{} rows are not written after 30 rounds", rest.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingestion_whose_replies_are_lost_ends_with_every_row_once() {
    let scratch = Scratch::open("lossy").await;
    let proxy = proxy().await;
    let store = through(&proxy);
    store.describe(&scratch.name).await.unwrap();
    proxy.plan(Plan::seeded(11).probability(0.2, [Fault::lose_reply(), Fault::reset()]));
    let rounds = ingest(&store, &scratch.name).await;
    println!("{rounds} rounds, {:?}", proxy.stats());
    exactly_all(&scratch).await;
    scratch.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingestion_over_a_server_that_goes_away_and_returns_ends_with_every_row_once() {
    let scratch = Scratch::open("down").await;
    let proxy = proxy().await;
    let store = through(&proxy);
    store.describe(&scratch.name).await.unwrap();
    let began = proxy.stats().requests;
    let breaking = async {
        proxy.until(|stats| stats.requests >= began + 2).await.unwrap();
        proxy.set(Fault::down()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.heal().await.unwrap();
    };
    let (_rounds, ()) = tokio::join!(ingest(&store, &scratch.name), breaking);
    exactly_all(&scratch).await;
    scratch.drop().await;
}

#[tokio::test]
async fn a_reply_that_is_cut_in_the_middle_is_asked_for_again() {
    let scratch = Scratch::open("cut").await;
    scratch.put(rows()).await;
    let proxy = proxy().await;
    let store = through(&proxy);
    let query = RowQuery::all().limit(ROWS).consistency(Consistency::Strong);
    assert_eq!(store.query(&scratch.name, &query).await.unwrap().rows.len(), ROWS);
    proxy.next_request(Fault::reset().after_bytes(Direction::ToClient, 2_000));
    assert_eq!(store.query(&scratch.name, &query).await.unwrap().rows.len(), ROWS);
    assert!(proxy.stats().cut >= 1, "{:?}", proxy.stats());
    scratch.drop().await;
}

#[tokio::test]
async fn silence_ends_at_the_caller_s_deadline_and_the_store_works_when_it_is_over() {
    let scratch = Scratch::open("stall").await;
    scratch.put(vec![record("a")]).await;
    let proxy = proxy().await;
    let store = through(&proxy);
    let search = || store.search_one(&scratch.name, Query::dense([0.6, 0.8]), 3);
    search().await.unwrap();
    proxy.set(Fault::stall()).await.unwrap();
    let error = Deadline::after(Duration::from_millis(300)).scope(search()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    proxy.heal().await.unwrap();
    assert!(search().await.is_ok());
    scratch.drop().await;
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_unavailable() {
    let proxy = proxy().await;
    proxy.set(Fault::refuse()).await.unwrap();
    let store = through(&proxy);
    let asked = Deadline::after(Duration::from_millis(500)).scope(store.health()).await;
    assert_eq!(asked.unwrap_err().kind(), ErrorKind::Unavailable);
    proxy.heal().await.unwrap();
    store.health().await.unwrap();
}
