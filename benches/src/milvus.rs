//! Inserts and searches over Milvus' protocol, by one collection with one index, as the guide's client creates it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use arshai_core::vector::{CollectionSpec, Consistency, IdKind, Query, Record, Search, VectorStore as _};
use arshai_milvus::{MilvusConfig, MilvusStore};
use serde_json::Map;

use crate::measure::Bench;

const COLLECTION: &str = "bench_arshai";
const DIMENSION: usize = 768;
const ROWS: usize = 5_000;
const SEARCHES: usize = 2_000;
const LIMIT: usize = 3;
/// As many different questions.
const QUERIES: usize = 256;

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let config = MilvusConfig::from_url(&bench.address("MILVUS_URI")?)?;
    let in_flight = config.batch_concurrency;
    let store = Arc::new(MilvusStore::new(config)?);
    store.drop_collection(COLLECTION).await?;
    let mut spec = CollectionSpec::new(COLLECTION).with_dense(DIMENSION).with_id(IdKind::AutoInt);
    spec.text_search = false;
    store.open(&spec).await?;
    let mut rng = fastrand::Rng::with_seed(1);
    let records: Vec<Record> = (0..ROWS).map(|number| record(number, &mut rng)).collect();
    let insert = async { store.insert(COLLECTION, records).await?.into_complete().context("inserting") };
    bench.whole("arshai", "insert", in_flight, ROWS, insert).await?;

    let queries: Vec<Search> =
        (0..QUERIES).map(|_| Search::new(Query::dense(vector(&mut rng))).limit(LIMIT)).collect();
    // Once with what was just inserted; the guide's client asks for whatever is searchable already, and so do we then.
    let fresh = store.search(COLLECTION, &queries[0]).await?;
    ensure!(fresh.first().is_some_and(|hits| hits.len() == LIMIT), "what was inserted is not found");
    let queries: Vec<Search> = queries.into_iter().map(|q| q.consistency(Consistency::Eventually)).collect();
    let queries: Arc<[Search]> = queries.into();
    for concurrency in bench.concurrencies(&[1, 10, 64]) {
        let (store, queries) = (Arc::clone(&store), Arc::clone(&queries));
        let search = move |number: usize| {
            let (store, queries) = (Arc::clone(&store), Arc::clone(&queries));
            async move {
                let found = store.search(COLLECTION, &queries[number % QUERIES]).await?;
                ensure!(found.first().is_some_and(|hits| hits.len() == LIMIT), "a search found too little");
                Ok(())
            }
        };
        let total = if concurrency == 1 { SEARCHES / 5 } else { SEARCHES };
        bench.calls("arshai", "search", concurrency, total, search).await?;
    }
    store.drop_collection(COLLECTION).await?;
    store.close().await?;
    Ok(())
}

fn record(number: usize, rng: &mut fastrand::Rng) -> Record {
    let metadata = Map::from_iter([("n".to_owned(), number.into())]);
    let text = format!("chunk {number} {}", "word ".repeat(100));
    Record::new(text).with_dense(vector(rng)).with_metadata(metadata)
}

fn vector(rng: &mut fastrand::Rng) -> Vec<f32> {
    (0..DIMENSION).map(|_| rng.f32() - 0.5).collect()
}
