//! Session: a store sees its own writes, by whatever name it wrote and whatever it forgot meanwhile.

use arshai_core::vector::{Consistency, Query, Record, RowQuery, VectorStore as _, VectorStoreExt as _};

use super::{
    canned::{Answer, Canned, described, spec},
    replies::{hits, no_rows},
};
use crate::proto::{
    common::{ConsistencyLevel, Status},
    milvus::{CollectionRequest, GetVersionResponse, MutationResult, QueryRequest, SearchRequest},
};

fn record() -> Record {
    Record::new("x").with_id("a").with_dense(vec![1.0, 0.0])
}

fn written(method: &str) -> Option<Answer> {
    let reply =
        MutationResult { status: Some(Status::default()), timestamp: 4242, ..MutationResult::default() };
    ["Upsert", "Insert"].contains(&method).then(|| Answer::of(&reply))
}

/// The collection number 7, under every name but `other`, which is that of number 8.
fn one_collection(request: &bytes::Bytes) -> Answer {
    let request: CollectionRequest = prost::Message::decode(request.clone()).unwrap();
    let mut reply = described(&spec(), "v2.3.5");
    reply.collection_id = if request.collection_name == "other" { 8 } else { 7 };
    Answer::of(&reply)
}

fn guarantees(server: &Canned) -> Vec<u64> {
    server.requests::<SearchRequest>("Search").iter().map(|request| request.guarantee_timestamp).collect()
}

#[tokio::test]
async fn what_is_written_under_one_name_is_seen_under_another() {
    let server = Canned::start(|method, request, _| match method {
        "DescribeCollection" => Some(one_collection(request)),
        "Search" => Some(Answer::of(&hits())),
        _ => written(method),
    })
    .await;
    let store = server.store();
    let search = |name: &'static str| {
        let store = store.clone();
        async move { store.search_one(name, Query::dense([1.0, 0.0]), 3).await.unwrap() }
    };
    search("c").await;
    store.upsert("alias", vec![record()]).await.unwrap().into_complete().unwrap();
    search("c").await;
    search("alias").await;
    search("other").await;
    assert_eq!(guarantees(&server), [1, 4242, 4242, 1]);
}

#[tokio::test]
async fn what_was_written_is_seen_when_the_collection_had_to_be_looked_at_again() {
    let server = Canned::start(|method, request, before| match (method, before) {
        ("DescribeCollection", _) => Some(one_collection(request)),
        // A server that has lost sight of it for a moment.
        ("Search", 0) => Some(Answer::code(100)),
        ("Search", _) => Some(Answer::of(&hits())),
        _ => written(method),
    })
    .await;
    let store = server.store();
    store.upsert("c", vec![record()]).await.unwrap().into_complete().unwrap();
    store.search_one("c", Query::dense([1.0, 0.0]), 3).await.unwrap_err();
    store.search_one("c", Query::dense([1.0, 0.0]), 3).await.unwrap();
    assert_eq!(guarantees(&server), [4242, 4242]);
}

#[tokio::test]
async fn an_alias_given_to_another_collection_is_looked_at_again() {
    let server = Canned::start(|method, request, _| match method {
        "DescribeCollection" => Some(one_collection(request)),
        "Search" => Some(Answer::of(&hits())),
        "AlterAlias" => Some(Answer::of(&Status::default())),
        _ => written(method),
    })
    .await;
    let store = server.store();
    store.search_one("alias", Query::dense([1.0, 0.0]), 3).await.unwrap();
    store.client().alter_alias("other", "alias").await.unwrap();
    store.search_one("alias", Query::dense([1.0, 0.0]), 3).await.unwrap();
    assert_eq!(server.calls("DescribeCollection"), 2);
}

#[tokio::test]
async fn an_insert_looks_for_keys_that_anybody_wrote() {
    let server = Canned::start(|method, _, _| match method {
        "Query" => Some(Answer::of(&no_rows())),
        _ => written(method),
    })
    .await;
    server.store().insert("c", vec![record()]).await.unwrap().into_complete().unwrap();
    let asked = &server.requests::<QueryRequest>("Query")[0];
    let strong: i32 = ConsistencyLevel::Strong.into();
    assert_eq!((asked.consistency_level, asked.guarantee_timestamp), (strong, 0));
}

#[tokio::test]
async fn a_page_of_an_iterator_carries_no_time_after_which_nothing_would_be_shown() {
    let server = Canned::start(|method, _, _| match method {
        "GetVersion" => Some(Answer::of(&GetVersionResponse {
            status: Some(Status::default()),
            version: "v2.6.1".into(),
        })),
        "Query" => Some(Answer::of(&no_rows())),
        _ => written(method),
    })
    .await;
    let store = server.store();
    let query = RowQuery::all();
    store.query("c", &query).await.unwrap();
    store.upsert("c", vec![record()]).await.unwrap().into_complete().unwrap();
    store.query("c", &query).await.unwrap();
    for consistency in [Consistency::Strong, Consistency::Bounded, Consistency::Eventually] {
        store.query("c", &query.clone().consistency(consistency)).await.unwrap();
    }
    let asked: Vec<_> = server
        .requests::<QueryRequest>("Query")
        .iter()
        .map(|request| (request.consistency_level, request.guarantee_timestamp))
        .collect();
    use ConsistencyLevel::{Bounded, Eventually, Strong};
    // One's own writes are seen by seeing everybody's.
    assert_eq!(asked, [Eventually, Strong, Strong, Bounded, Eventually].map(|level| (i32::from(level), 0)));
}
