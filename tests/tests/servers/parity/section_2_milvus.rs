//! Section 2: what the Milvus client does in Python, on each Milvus.

use std::sync::Arc;

use arshai::milvus::{FieldKind, MilvusConfig, MilvusStore, SchemaField};
use arshai::{
    ErrorKind, Filter,
    blocking::{Blocking, Runtime, VectorStore as _},
    filter::Field,
    prelude::*,
    vector::{
        CollectionSpec, Consistency, Id, IdKind, Metric, Output, Query, Record, RowQuery, Search, Selection,
    },
};
use arshai_conformance::fault::{Direction, Fault};
use serde_json::{Map, Value, json};

use crate::{
    own_process::with_variables,
    place::{MILVUSES, address, behind_proxy, fresh, milvus, store_at, url},
    python::Python,
};

/// A record as the guide writes it: the server chooses the key.
fn entity(n: usize) -> Record {
    let metadata = Map::from_iter([("n".to_owned(), Value::from(n)), ("even".into(), (n & 1 == 0).into())]);
    Record::new(format!("text {n}")).with_dense(vec![1.0, n as f32, 0.5, 0.0]).with_metadata(metadata)
}

fn spec(name: &str) -> CollectionSpec {
    CollectionSpec::new(name).with_dense(4).with_id(IdKind::AutoInt).without_text_search()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_carry_connects_when_first_used_and_disconnects() {
    for engine in MILVUSES {
        let (proxy, url) = behind_proxy(engine).await;
        let store = store_at(&url).await;
        assert_eq!(proxy.stats().accepted, 0, "{engine}: nothing is sent before the first use");
        store.health().await.unwrap();
        assert!(proxy.stats().accepted > 0, "{engine}");
        store.close().await.unwrap();
        store.close().await.unwrap();
        assert_eq!(store.health().await.unwrap_err().kind(), ErrorKind::Closed, "{engine}");
        proxy.until(|stats| stats.open == 0).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_carry_schema_and_index_follow_the_collection_config() {
    for engine in MILVUSES {
        let (store, name) = (milvus(engine), fresh("schema"));
        let mut wanted = spec(&name);
        (wanted.fields.text, wanted.fields.metadata) = ("content".into(), "extra".into());
        wanted.fields.dense = "embedding".into();
        store.open(&wanted).await.unwrap();
        // Getting it again changes nothing.
        let again = store.open(&wanted).await.unwrap();
        assert_eq!((again.spec.fields, again.spec.dimension), (wanted.fields, Some(4)), "{engine}");
        assert_eq!((again.spec.metric, again.spec.id), (Metric::Cosine, IdKind::AutoInt), "{engine}");
        let indexes = store.client().indexes(&name).await.unwrap();
        let dense = indexes.iter().find(|index| index.field == "embedding").unwrap();
        println!("{engine}: {dense:?}");
        assert_eq!(dense.metric, "COSINE", "{engine}");
        // Lite has no HNSW and takes what it has.
        let has_hnsw = engine == "milvus";
        assert_eq!(dense.index_type == "HNSW", has_hnsw, "{engine}: {}", dense.index_type);
        if has_hnsw {
            let seen = Python::start().ask(&json!({ "do": "index", "collection": name }));
            println!("{seen}");
            let seen = [&seen["M"], &seen["efConstruction"]].map(|value| value.to_string().replace('"', ""));
            assert_eq!(seen, ["8", "64"], "as Python sees it");
        }
        store.insert(&name, vec![entity(1)]).await.unwrap().into_complete().unwrap();
        let hits = store.search_one(&name, Query::dense([1.0, 1.0, 0.5, 0.0]), 1).await.unwrap();
        assert_eq!((hits[0].text.as_str(), &hits[0].metadata["n"]), ("text 1", &json!(1)), "{engine}");
        store.drop_collection(&name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_carry_one_is_inserted_and_many_in_batches_of_50_with_4_in_flight() {
    for engine in MILVUSES {
        let (proxy, url) = behind_proxy(engine).await;
        let (store, name) = (store_at(&url).await, fresh("insert"));
        store.open(&spec(&name)).await.unwrap();
        let one = store.insert(&name, vec![entity(0)]).await.unwrap().into_complete().unwrap();
        assert!(matches!(one.as_slice(), [Id::Int(_)]), "{engine}: {one:?}");

        let before = proxy.stats().requests;
        proxy.set(Fault::stall().only(Direction::ToClient)).await.unwrap();
        let many = tokio::spawn({
            let (store, name) = (store.clone(), name.clone());
            async move { store.insert(&name, (1..=420).map(entity).collect()).await }
        });
        // No reply has come back: what has been sent is what is in flight at once.
        proxy.until(|stats| stats.requests >= before + 4).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(proxy.stats().requests - before, 4, "{engine}");
        proxy.heal().await.unwrap();
        let ids = many.await.unwrap().unwrap().into_complete().unwrap();
        assert_eq!(ids.len(), 420, "{engine}");
        assert_eq!(proxy.stats().requests - before, 9, "{engine}: 420 rows in batches of 50");
        assert_eq!(store.stats(&name).await.unwrap().rows, 421, "{engine}");
        store.drop_collection(&name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_carry_a_search_takes_filter_output_limit_parameters_and_consistency() {
    for engine in MILVUSES {
        let (store, name) = (milvus(engine), fresh("search"));
        store.open(&spec(&name)).await.unwrap();
        store.insert(&name, (0..20).map(entity).collect()).await.unwrap().into_complete().unwrap();
        let mut search = Search::new(Query::dense([1.0, 10.0, 0.5, 0.0]));
        assert_eq!(search.limit, 3);
        search.params.insert("ef".into(), json!(64));
        let search = search
            .filter(Filter::eq(Field::metadata("even"), true))
            .output(Output::metadata())
            .consistency(Consistency::Strong);
        let hits = store.search(&name, &search).await.unwrap().remove(0);
        assert_eq!(hits.len(), 3, "{engine}");
        assert_eq!(hits[0].metadata["n"], 10, "{engine}");
        assert!(hits.iter().all(|hit| hit.metadata["even"] == true && hit.text.is_empty()), "{engine}");
        assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score), "{engine}: {hits:?}");
        let all = store.search_one(&name, Query::dense([1.0, 10.0, 0.5, 0.0]), 1).await.unwrap();
        assert_eq!(all[0].text, "text 10", "{engine}");
        store.drop_collection(&name).await.unwrap();
    }
}

#[test]
fn section_2_milvus_carry_all_of_it_without_async() {
    let runtime = Runtime::new().unwrap();
    for engine in MILVUSES {
        let store: Arc<dyn VectorStore> = Arc::new(milvus(engine));
        let (store, name) = (Blocking::new(store, runtime.clone()), fresh("blocking"));
        store.open(&spec(&name)).unwrap();
        let ids = store.insert(&name, (0..120).map(entity).collect()).unwrap().into_complete().unwrap();
        let queries = vec![Query::dense([1.0, 7.0, 0.5, 0.0]), Query::dense([1.0, 90.0, 0.5, 0.0])];
        let found = store.search(&name, &Search::many(queries)).unwrap();
        assert_eq!((found[0][0].text.as_str(), found[1].len()), ("text 7", 3), "{engine}");
        let rows: Vec<_> =
            store.scan(&name, RowQuery::all().limit(50)).collect::<arshai::Result<_>>().unwrap();
        assert_eq!(rows.len(), 120, "{engine}");
        assert_eq!(store.delete(&name, &Selection::Ids(ids)).unwrap(), 120, "{engine}");
        assert_eq!(store.stats(&name).unwrap().rows, 0, "{engine}");
        assert!(store.drop_collection(&name).unwrap(), "{engine}");
        store.close().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_carry_several_queries_are_one_call() {
    for engine in MILVUSES {
        let (proxy, url) = behind_proxy(engine).await;
        let (store, name) = (store_at(&url).await, fresh("several"));
        store.open(&spec(&name)).await.unwrap();
        store.insert(&name, (0..20).map(entity).collect()).await.unwrap().into_complete().unwrap();
        let queries = [3.0, 7.0, 15.0].map(|n| Query::dense([1.0, n, 0.5, 0.0]));
        let search = Search::many(queries.to_vec()).limit(1);
        store.search(&name, &search).await.unwrap();
        let before = proxy.stats().requests;
        let found = store.search(&name, &search).await.unwrap();
        assert_eq!(proxy.stats().requests - before, 1, "{engine}");
        let texts: Vec<&str> = found.iter().map(|hits| hits[0].text.as_str()).collect();
        assert_eq!(texts, ["text 3", "text 7", "text 15"], "{engine}");
        store.drop_collection(&name).await.unwrap();
    }
}

#[test]
fn section_2_milvus_carry_the_environment_says_where_it_is() {
    let address = address("milvus");
    let (host, port) = address.rsplit_once(':').unwrap();
    let variables = [
        ("MILVUS_HOST", host),
        ("MILVUS_PORT", port),
        ("MILVUS_DB_NAME", "default"),
        ("MILVUS_BATCH_SIZE", "20"),
        ("MILVUS_USER", "reader"),
        ("MILVUS_PASSWORD", "hunter2"),
    ];
    with_variables(
        module_path!(),
        "section_2_milvus_carry_the_environment_says_where_it_is",
        &variables,
        || {
            let config = MilvusConfig::from_env().unwrap();
            assert_eq!((config.database.as_str(), config.batch_size), ("default", 20));
            assert!(!format!("{config:?}").contains("hunter2"));
            let runtime = Runtime::new().unwrap();
            let store =
                runtime.block_on(arshai::Backends::built_in().stores.open("milvus")).unwrap().unwrap();
            let store = Blocking::new(store, runtime);
            store.health().unwrap();
            store.close().unwrap();
        },
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_carry_a_collection_of_the_python_package_is_used_in_place() {
    for engine in MILVUSES {
        let (store, name) =
            (MilvusStore::new(MilvusConfig::from_url(&url(engine)).unwrap()).unwrap(), fresh("python"));
        // As the guide's schema has it: integer keys that the server chooses.
        let fields = [
            SchemaField::new("id", FieldKind::Int64).primary_key(true),
            SchemaField::new("content", FieldKind::VarChar(65_535)),
            SchemaField::new("dense_vector", FieldKind::FloatVector(4)),
            SchemaField::new("metadata", FieldKind::Json),
        ];
        store.client().create_collection(&name, &fields).await.unwrap();
        let index = if engine == "milvus" { "HNSW" } else { "AUTOINDEX" };
        let params =
            [("index_type", index), ("metric_type", "COSINE"), ("params", r#"{"M":8,"efConstruction":64}"#)];
        store.client().create_index(&name, "dense_vector", &params).await.unwrap();
        let mut wanted = spec(&name);
        wanted.fields.text = "content".into();
        let opened = store.open(&wanted.with_embedder("all-MiniLM-L6-v2")).await.unwrap();
        println!("{engine}: {:?}", opened.notes);
        assert!(opened.notes.iter().any(|note| note.contains("all-MiniLM-L6-v2")), "{engine}");
        store.insert(&name, (0..5).map(entity).collect()).await.unwrap().into_complete().unwrap();
        let hits = store.search_one(&name, Query::dense([1.0, 4.0, 0.5, 0.0]), 1).await.unwrap();
        assert_eq!((hits[0].text.as_str(), &hits[0].metadata["n"]), ("text 4", &json!(4)), "{engine}");
        assert_eq!(store.query(&name, &RowQuery::all()).await.unwrap().rows.len(), 5, "{engine}");
        store.drop_collection(&name).await.unwrap();
    }
}
