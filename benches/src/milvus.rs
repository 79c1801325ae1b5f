//! Inserts and searches over Milvus' protocol, by one collection with one index, as the guide's client creates it: against
//! a real server and, as the client's ceiling, against one with canned replies.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use arshai_core::vector::{
    CollectionSpec, Consistency, Hit, IdKind, Query, Record, Search, VectorStore as _,
};
use arshai_milvus::{MilvusConfig, MilvusStore};
use serde_json::Map;

use crate::{
    measure::{Bench, Measured},
    milvus_canned::Canned,
    milvus_replies::{DIMENSION, source, text},
};

const COLLECTION: &str = "bench_arshai";
const ROWS: usize = 5_000;
const SEARCHES: usize = 2_000;
const LIMIT: usize = 10;
/// As many different questions.
const QUERIES: usize = 256;
/// Against canned replies nothing else takes time, so that more calls are measured.
const CANNED: usize = 8;
/// As many times the usual rows at most.
const MOST_INSERTS: usize = 4;

/// On one thread, as Python's event loop runs on one; then, against the real server, on the threads of this program.
pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let uri = bench.address("MILVUS_URI")?;
    let alone = bench.clone();
    let url = uri.clone();
    on_one_thread(async move {
        against(&alone, &url, "", 1).await?;
        let server = Canned::start(Duration::ZERO).await?;
        against(&alone, &server.url(), "canned_", CANNED).await?;
        server.end().await
    })
    .await?;
    against(bench, &uri, "two_threads_", 1).await
}

async fn against(bench: &Bench, url: &str, prefix: &'static str, times: usize) -> Result<()> {
    let subject = Subject::open(MilvusConfig::from_url(url)?, prefix, times).await?;
    subject.insert(bench).await?;
    for concurrency in bench.concurrencies(&[1, 16, 64]) {
        subject.search(bench, concurrency).await?;
    }
    subject.end().await
}

/// Runs a future on a runtime of one thread.
pub(crate) async fn on_one_thread<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let thread = tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
    });
    thread.await.context("the thread panicked")?
}

/// A collection on a server.
#[derive(Debug)]
pub(crate) struct Subject {
    store: Arc<MilvusStore>,
    /// Before the names of its operations.
    prefix: &'static str,
    /// As many times the usual number of calls.
    times: usize,
    in_flight: usize,
}

impl Subject {
    /// Makes the collection anew.
    pub(crate) async fn open(config: MilvusConfig, prefix: &'static str, times: usize) -> Result<Self> {
        let in_flight = config.batch_concurrency;
        let store = Arc::new(MilvusStore::new(config)?);
        store.drop_collection(COLLECTION).await?;
        let mut spec = CollectionSpec::new(COLLECTION).with_dense(DIMENSION).with_id(IdKind::AutoInt);
        spec.text_search = false;
        store.open(&spec).await?;
        Ok(Self { store, prefix, times, in_flight })
    }

    pub(crate) async fn insert(&self, bench: &Bench) -> Result<Measured> {
        let mut rng = fastrand::Rng::with_seed(1);
        let rows = ROWS * self.times.min(MOST_INSERTS);
        let mut sets = Vec::new();
        for _ in 0..rows / ROWS {
            sets.push((0..ROWS).map(|number| record(number, &mut rng)).collect::<Vec<Record>>());
        }
        let insert = async {
            for records in sets {
                self.store.insert(COLLECTION, records).await?.into_complete().context("inserting")?;
            }
            Ok(())
        };
        let op = format!("{}insert", self.prefix);
        let (measured, ()) = bench.whole("arshai", &op, self.in_flight, rows, insert).await?;
        Ok(measured)
    }

    /// Searches with text and metadata, of which every hit is read.
    pub(crate) async fn search(&self, bench: &Bench, concurrency: usize) -> Result<Measured> {
        let mut rng = fastrand::Rng::with_seed(2);
        let queries: Vec<Search> =
            (0..QUERIES).map(|_| Search::new(Query::dense(vector(&mut rng))).limit(LIMIT)).collect();
        // Once with what was just inserted; the guide's client asks for whatever is searchable already, and so do we then.
        let fresh = self.store.search(COLLECTION, &queries[0]).await?;
        ensure!(fresh.first().is_some_and(|hits| hits.len() == LIMIT), "what was inserted is not found");
        let queries: Arc<[Search]> =
            queries.into_iter().map(|query| query.consistency(Consistency::Eventually)).collect();
        let store = Arc::clone(&self.store);
        let search = move |number: usize| {
            let (store, queries) = (Arc::clone(&store), Arc::clone(&queries));
            async move {
                let found = store.search(COLLECTION, &queries[number % QUERIES]).await?;
                let hits = found.first().context("one list of hits")?;
                ensure!(hits.len() == LIMIT && hits.iter().all(is_whole), "a search found too little");
                Ok(())
            }
        };
        let total = if concurrency == 1 { SEARCHES / 5 } else { SEARCHES } * self.times;
        bench.calls("arshai", &format!("{}search", self.prefix), concurrency, total, search).await
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.store.drop_collection(COLLECTION).await?;
        Ok(self.store.close().await?)
    }
}

/// Reads all of a hit.
fn is_whole(hit: &Hit) -> bool {
    let source = hit.metadata.get("source").and_then(|source| source.as_str());
    hit.score.is_finite() && hit.text.starts_with("passage ") && source.is_some_and(|s| s.ends_with(".md"))
}

fn record(number: usize, rng: &mut fastrand::Rng) -> Record {
    let metadata = Map::from_iter([("source".to_owned(), source(number).into())]);
    Record::new(text(number)).with_dense(vector(rng)).with_metadata(metadata)
}

fn vector(rng: &mut fastrand::Rng) -> Vec<f32> {
    (0..DIMENSION).map(|_| rng.f32() - 0.5).collect()
}
