//! Collections as the Python package makes them: a text key that the server chooses, AUTOINDEX with inner products.

use arshai_core::{
    ErrorKind, Filter,
    filter::Field,
    vector::{
        CollectionSpec, Id, ItemOutcome, Metric, Query, Record, RowQuery, Selection, VectorStore as _,
        VectorStoreExt as _,
    },
};
use arshai_milvus::{FieldKind, SchemaField};
use serde_json::json;

use crate::{Scratch, engine, object};

fn fields(auto_id: bool) -> Vec<SchemaField> {
    vec![
        SchemaField::new("doc_id", FieldKind::VarChar(100)).primary_key(auto_id),
        SchemaField::new("text", FieldKind::VarChar(65_535)),
        SchemaField::new("metadata", FieldKind::Json),
        SchemaField::new("dense_vector", FieldKind::FloatVector(4)),
    ]
}

#[tokio::test]
async fn a_collection_of_the_python_package_is_read_searched_and_written() {
    let scratch = Scratch::new("python");
    let (name, store) = (&scratch.name, &scratch.store);
    // One server refuses to choose keys that are texts.
    let auto_id = engine().0 != "milvus-lite-py";
    let client = store.client();
    client.create_collection(name, &fields(auto_id)).await.unwrap();
    let params = [("index_type", "AUTOINDEX"), ("metric_type", "IP"), ("params", "{}")];
    client.create_index(name, "dense_vector", &params).await.unwrap();
    let seen = store.describe(name).await.unwrap().unwrap().spec;
    assert_eq!(
        (seen.fields.id.as_str(), seen.dimension, seen.metric),
        ("doc_id", Some(4), Metric::InnerProduct)
    );

    let opened = store.open(&CollectionSpec::new(name).with_dense(4).with_embedder("m")).await.unwrap();
    assert_eq!((opened.spec.metric, opened.spec.fields.id.as_str()), (Metric::InnerProduct, "doc_id"));
    let notes = opened.notes.join("\n");
    for said in ["IP", "doc_id", "m"] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    let record = |n: u8| {
        let record = Record::new(format!("text {n}"))
            .with_dense(vec![f32::from(n), 1.0, 0.0, 0.0])
            .with_metadata(object(json!({ "source": format!("s{n}") })));
        if auto_id { record } else { record.with_id(format!("k{n}")) }
    };
    let ids = store.insert(name, (1..=3).map(record).collect()).await.unwrap().into_complete().unwrap();
    assert!(ids.len() == 3 && ids.iter().all(|id| matches!(id, Id::Text(_))), "{ids:?}");
    let hits = store.search_one(name, Query::dense([1.0, 0.0, 0.0, 0.0]), 2).await.unwrap();
    assert_eq!((hits[0].score, hits[0].text.as_str()), (3.0, "text 3"));
    assert_eq!(hits[0].metadata["source"], "s3");
    let rows = store.query(name, &RowQuery::all().filter(Filter::eq(Field::metadata("source"), "s2"))).await;
    assert_eq!(rows.unwrap().rows[0].id, ids[1]);
    if auto_id {
        let report = store.upsert(name, vec![record(9).with_id("mine")]).await.unwrap();
        let ItemOutcome::Failed(error) = &report.items[0] else { panic!("{report:?}") };
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!store.capabilities(Some(name)).await.unwrap().upsert);
    }
    assert_eq!(store.delete(name, &Selection::Ids(ids)).await.unwrap(), 3);
    scratch.drop().await;
}

#[tokio::test]
async fn fields_that_are_called_otherwise_are_shown_beside_what_was_asked() {
    let scratch = Scratch::new("named");
    let (name, store) = (&scratch.name, &scratch.store);
    let fields = [
        SchemaField::new("pk", FieldKind::VarChar(100)).primary_key(false),
        SchemaField::new("body", FieldKind::VarChar(65_535)),
        SchemaField::new("extra", FieldKind::Json),
        SchemaField::new("embedding", FieldKind::FloatVector(4)),
    ];
    store.client().create_collection(name, &fields).await.unwrap();
    let mut spec = CollectionSpec::new(name).with_dense(4);
    let error = store.open(&spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("body") && error.to_string().contains("text"), "{error}");
    (spec.fields.text, spec.fields.dense) = ("body".into(), "embedding".into());
    spec.fields.metadata = "extra".into();
    let error = store.open(&spec.clone().with_dense(5)).await.unwrap_err();
    assert!(error.to_string().contains('4') && error.to_string().contains('5'), "{error}");
    store.open(&spec).await.unwrap();
    let record = Record::new("words").with_id("a").with_dense(vec![1.0; 4]);
    store.upsert(name, vec![record]).await.unwrap().into_complete().unwrap();
    // A handle that never opened it recognises its fields.
    let hits = crate::store().search_one(name, Query::dense([1.0; 4]), 2).await.unwrap();
    assert!(hits.is_empty() || hits[0].text == "words");
    let rows = store.query(name, &RowQuery::all()).await.unwrap().rows;
    assert_eq!(rows[0].text, "words");
    scratch.drop().await;
}
