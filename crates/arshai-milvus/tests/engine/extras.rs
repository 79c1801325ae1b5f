//! What only Milvus has, and what servers of it lack.

use arshai_core::{
    ErrorKind,
    vector::{Consistency, Query, Search, VectorStore as _},
};

use crate::{Scratch, engine, record};

#[tokio::test]
async fn aliases_partitions_and_names_are_there_or_unsupported() {
    let scratch = Scratch::open("extras").await;
    scratch.put(vec![record("a")]).await;
    let client = scratch.store.client();
    let alias = Scratch::name("alias");
    if engine().0 == "milvus-lite" {
        for error in [
            client.create_alias(&scratch.name, &alias).await.unwrap_err(),
            client.databases().await.unwrap_err(),
            client.rename_collection(&scratch.name, &alias).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    } else {
        client.create_alias(&scratch.name, &alias).await.unwrap();
        assert_eq!(client.aliases(&scratch.name).await.unwrap(), std::slice::from_ref(&alias));
        let search = Search::new(Query::dense([0.6, 0.8])).consistency(Consistency::Strong);
        assert_eq!(scratch.store.search(&alias, &search).await.unwrap()[0].len(), 1);
        client.drop_alias(&alias).await.unwrap();
        client.create_partition(&scratch.name, "p").await.unwrap();
        assert!(client.partitions(&scratch.name).await.unwrap().contains(&"p".to_owned()));
        assert!(client.databases().await.unwrap().contains(&"default".to_owned()));
    }
    scratch.drop().await;
}

#[tokio::test]
async fn indexes_are_told_and_a_flush_leaves_every_row() {
    let scratch = Scratch::open("indexes").await;
    scratch.put((0..20).map(|n| record(&format!("r{n}"))).collect()).await;
    let client = scratch.store.client();
    let indexes = client.indexes(&scratch.name).await.unwrap();
    let dense = indexes.iter().find(|index| index.field == "dense_vector").unwrap();
    assert_eq!(dense.metric, "COSINE");
    if engine().0 != "milvus-lite" {
        assert_eq!(dense.index_type, "HNSW");
    }
    client.flush(&[&scratch.name]).await.unwrap();
    assert_eq!(scratch.store.stats(&scratch.name).await.unwrap().rows, 20);
    scratch.drop().await;
}

#[tokio::test]
async fn an_index_asked_for_by_name_is_made_or_unsupported() {
    let scratch = Scratch::open("named").await;
    let client = scratch.store.client();
    client.release(&scratch.name).await.unwrap();
    client.drop_index(&scratch.name, "dense_vector").await.unwrap();
    let params =
        [("index_type", "HNSW"), ("metric_type", "COSINE"), ("params", r#"{"M":8,"efConstruction":64}"#)];
    let made = client.create_index(&scratch.name, "dense_vector", &params).await;
    match engine().0.as_str() {
        "milvus-lite" => assert_eq!(made.unwrap_err().kind(), ErrorKind::Unsupported),
        _ => {
            made.unwrap();
            let indexes = client.indexes(&scratch.name).await.unwrap();
            assert!(indexes.iter().any(|index| index.index_type == "HNSW"), "{indexes:?}");
        }
    }
    scratch.drop().await;
}
