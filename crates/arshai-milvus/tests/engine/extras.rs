//! What only Milvus has, and what servers of it lack.

use arshai_core::{
    ErrorKind,
    vector::{CollectionSpec, Consistency, Query, Search, VectorStore as _, VectorStoreExt as _},
};
use arshai_milvus::MilvusStore;

use crate::{Scratch, config, engine, record, store};

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

#[tokio::test]
async fn a_database_keeps_its_collections_to_itself_or_is_unsupported() {
    let database = Scratch::name("base");
    let client = store().client();
    let inside = || {
        let mut config = config();
        config.database.clone_from(&database);
        MilvusStore::new(config).unwrap()
    };
    if engine().0 == "milvus-lite" {
        assert_eq!(client.create_database(&database).await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(client.drop_database(&database).await.unwrap_err().kind(), ErrorKind::Unsupported);
        // It would keep the rows of every database in one.
        let opened = inside().open(&CollectionSpec::new("docs").with_dense(2)).await;
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::Unsupported);
        return;
    }
    let error = inside().collections().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    client.create_database(&database).await.unwrap();
    assert!(client.databases().await.unwrap().contains(&database));
    let scratch = Scratch { name: Scratch::name("docs"), store: inside() };
    scratch.store.open(&scratch.spec()).await.unwrap();
    let report = scratch.store.insert(&scratch.name, vec![record("a"), record("b")]).await.unwrap();
    report.into_complete().unwrap();
    let found = scratch.store.search_one(&scratch.name, Query::dense([0.6, 0.8]), 5).await.unwrap();
    assert_eq!(found.iter().map(|hit| hit.id.to_string()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(scratch.store.collections().await.unwrap(), std::slice::from_ref(&scratch.name));
    assert!(!store().collections().await.unwrap().contains(&scratch.name));
    assert!(store().describe(&scratch.name).await.unwrap().is_none());
    // Not while there is something in it.
    client.drop_database(&database).await.unwrap_err();
    scratch.drop().await;
    client.drop_database(&database).await.unwrap();
    assert!(!client.databases().await.unwrap().contains(&database));
}

#[tokio::test]
async fn what_is_sent_again_after_a_lost_reply_may_be_done_twice() {
    let scratch = Scratch::open("twice").await;
    let client = scratch.store.client();
    let other = Scratch::open("other").await;
    let alias = Scratch::name("alias");
    // What a removal says the second time: nothing, or that there is no such thing.
    let gone = |removed: arshai_core::Result<()>| {
        let kind = removed.err().map(|error| error.kind());
        assert!(kind.is_none_or(|kind| kind == ErrorKind::NotFound), "{kind:?}");
    };
    client.release(&scratch.name).await.unwrap();
    client.release(&scratch.name).await.unwrap();
    client.drop_index(&scratch.name, "dense_vector").await.unwrap();
    gone(client.drop_index(&scratch.name, "dense_vector").await);
    if engine().0 != "milvus-lite" {
        client.create_alias(&scratch.name, &alias).await.unwrap();
        client.alter_alias(&other.name, &alias).await.unwrap();
        client.alter_alias(&other.name, &alias).await.unwrap();
        client.drop_alias(&alias).await.unwrap();
        gone(client.drop_alias(&alias).await);
        client.create_partition(&scratch.name, "p").await.unwrap();
        client.drop_partition(&scratch.name, "p").await.unwrap();
        gone(client.drop_partition(&scratch.name, "p").await);
        let database = Scratch::name("base");
        client.create_database(&database).await.unwrap();
        client.drop_database(&database).await.unwrap();
        gone(client.drop_database(&database).await);
    }
    other.drop().await;
    scratch.drop().await;
}
