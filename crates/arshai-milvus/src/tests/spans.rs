//! What a trace tells of an operation, by the names of OpenTelemetry's conventions for databases.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use arshai_core::{
    config::Secret,
    vector::{Query, VectorStore as _, VectorStoreExt as _},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::set_default,
};

use super::{
    canned::{Answer, Canned},
    replies::hits,
};
use crate::{
    Credentials, MilvusStore,
    proto::{
        common::Status,
        milvus::{FlushResponse, GetCollectionStatisticsResponse, ShowPartitionsResponse},
    },
};

type Fields = BTreeMap<&'static str, String>;

/// Keeps the fields of every span.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Fields>>>);

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("arshai_milvus")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut spans = self.0.lock().unwrap();
        let mut fields = Fields::new();
        span.record(&mut Into(&mut fields));
        spans.push(fields);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut spans = self.0.lock().unwrap();
        let at = usize::try_from(id.into_u64()).unwrap() - 1;
        values.record(&mut Into(&mut spans[at]));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn an_operation_is_told_by_conventional_names_and_no_secret_is() {
    let server = Canned::start(|method, _, _| match method {
        "Search" => Some(Answer::of(&hits())),
        "ShowCollections" => Some(Answer::code(1400)),
        _ => None,
    })
    .await;
    let mut config = server.config();
    config.database = "library".into();
    config.credentials = Credentials::Token(Secret::new("hunter2"));
    let store = MilvusStore::new(config).unwrap();
    let recorder = Recorder::default();
    let guard = set_default(recorder.clone());
    store.search_one("c", Query::dense([1.0, 0.0]), 3).await.unwrap();
    store.collections().await.unwrap_err();
    drop(guard);
    let spans = recorder.0.lock().unwrap();
    for (name, value) in [
        ("db.system.name", "milvus"),
        ("db.operation.name", "vectors.search"),
        ("db.collection.name", "c"),
        ("db.namespace", "library"),
        ("server.address", "127.0.0.1"),
    ] {
        assert_eq!(spans[0].get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(spans[1].get("error.type").map(String::as_str), Some("unauthorized"));
    assert!(!format!("{spans:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_call_of_the_client_is_told_by_the_same_names() {
    let ok = || Some(Status::default());
    let refused = Answer::of(&Status { code: 1400, error_code: 1, ..Status::default() });
    let server = Canned::start(move |method, _, _| match method {
        "ShowPartitions" => Some(Answer::of(&ShowPartitionsResponse { status: ok(), ..Default::default() })),
        "DropAlias" | "CreateCredential" | "CreateIndex" => Some(Answer::of(&Status::default())),
        "GetCollectionStatistics" => {
            Some(Answer::of(&GetCollectionStatisticsResponse { status: ok(), ..Default::default() }))
        }
        "Flush" => Some(Answer::of(&FlushResponse { status: ok() })),
        "CreateDatabase" | "LoadCollection" => Some(refused.clone()),
        _ => None,
    })
    .await;
    let mut config = server.config();
    config.database = "library".into();
    let client = MilvusStore::new(config).unwrap().client();
    let recorder = Recorder::default();
    let guard = set_default(recorder.clone());
    client.partitions("c").await.unwrap();
    client.drop_alias("other").await.unwrap();
    client.create_user("person", &Secret::new("hunter2")).await.unwrap();
    client.create_database("base").await.unwrap_err();
    client.create_index("c", "field", &[("index_type", "HNSW")]).await.unwrap();
    client.indexes("c").await.unwrap();
    client.load("c").await.unwrap_err();
    client.flush(&["c"]).await.unwrap();
    client.flush(&["c", "d"]).await.unwrap();
    client.stored_rows("c").await.unwrap_err();
    drop(guard);
    let spans = recorder.0.lock().unwrap();
    let told: Vec<[&str; 3]> = spans
        .iter()
        .map(|span| {
            let field = |name| span.get(name).map_or("-", String::as_str);
            assert_eq!((field("db.system.name"), field("db.namespace")), ("milvus", "library"));
            [field("db.operation.name"), field("db.collection.name"), field("error.type")]
        })
        .collect();
    let expected = [
        ["milvus.partitions", "c", "-"],
        ["milvus.drop_alias", "other", "-"],
        ["milvus.create_user", "", "-"],
        ["milvus.create_database", "", "unauthorized"],
        ["milvus.create_index", "c", "-"],
        ["milvus.indexes", "c", "-"],
        ["milvus.load", "c", "unauthorized"],
        ["milvus.flush", "c", "-"],
        ["milvus.flush", "", "-"],
        ["milvus.stored_rows", "c", "protocol"],
    ];
    assert_eq!(told, expected);
    assert!(!format!("{spans:?}").contains("hunter2"));
}
