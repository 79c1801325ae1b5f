//! Searches and reads that go deep: ties, groups, limits, parameters, and servers that return rows in no order.

use arshai_core::{
    ErrorKind,
    vector::{
        CollectionSpec, Fusion, Leg, Output, Query, RowQuery, Search, VectorStore as _, VectorStoreExt as _,
    },
};
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    canned::{Answer, Canned, described},
    replies::{column, hits, texts},
};
use crate::proto::{
    common::{ConsistencyLevel, Status},
    milvus::{ConnectResponse, GetVersionResponse, QueryRequest, QueryResults, SearchRequest, SearchResults},
    schema::{IDs, JsonArray, SearchResultData, i_ds::IdField, scalar_field::Data},
    value_of,
};

const ROWS: usize = 3_000;

fn key(n: usize) -> String {
    format!("k{n:05}")
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    let Value::Object(members) = value else { panic!("no object") };
    members
}

fn version(version: &str) -> Answer {
    let version = version.to_owned();
    Answer::of(&GetVersionResponse { status: Some(Status::default()), version })
}

/// What a server that holds so many rows of one score finds, the greatest keys first.
fn ties(request: &Bytes, key: fn(usize) -> String) -> Answer {
    let request = SearchRequest::decode(request.clone()).unwrap();
    let most: usize = value_of(&request.search_params, "topk").unwrap().parse().unwrap();
    let keys: Vec<String> = (0..ROWS).rev().take(most).map(key).collect();
    let mut fields_data = Vec::new();
    if request.output_fields.iter().any(|name| name == "text") {
        let of = keys.iter().map(|key| format!("text of {key}")).collect::<Vec<_>>();
        fields_data.push(column(
            "text",
            Data::StringData(texts(&of.iter().map(String::as_str).collect::<Vec<_>>())),
        ));
        let metadata = vec![Bytes::from_static(b"{}"); keys.len()];
        fields_data.push(column("metadata", Data::JsonData(JsonArray { data: metadata })));
    }
    let ids = texts(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    Answer::of(&SearchResults {
        status: Some(Status::default()),
        results: Some(SearchResultData {
            fields_data,
            scores: vec![0.5; keys.len()],
            topks: vec![i64::try_from(keys.len()).unwrap()],
            ids: Some(IDs { id_field: Some(IdField::StrId(ids)) }),
            ..SearchResultData::default()
        }),
        ..SearchResults::default()
    })
}

/// The rows whose keys a request names, or the first few of all in an order of the server's own.
fn rows(request: &Bytes, of: &[&str]) -> Answer {
    let request = QueryRequest::decode(request.clone()).unwrap();
    let named = request.expr.contains(" in [");
    let found = of.iter().filter(|key| !named || request.expr.contains(**key));
    let most = value_of(&request.query_params, "limit").map_or(usize::MAX, |most| most.parse().unwrap());
    let keys: Vec<&str> = found.copied().take(most).collect();
    let mut fields_data = vec![column("id", Data::StringData(texts(&keys)))];
    if request.output_fields.iter().any(|name| name == "text") {
        let of = keys.iter().map(|key| format!("text of {key}")).collect::<Vec<_>>();
        fields_data.push(column(
            "text",
            Data::StringData(texts(&of.iter().map(String::as_str).collect::<Vec<_>>())),
        ));
    }
    if request.output_fields.iter().any(|name| name == "metadata") {
        let metadata = vec![Bytes::from_static(b"{}"); keys.len()];
        fields_data.push(column("metadata", Data::JsonData(JsonArray { data: metadata })));
    }
    Answer::of(&QueryResults { status: Some(Status::default()), fields_data, ..QueryResults::default() })
}

#[tokio::test]
async fn hits_of_one_score_are_ordered_without_fetching_all_of_their_texts() {
    let server = Canned::start(|method, request, _| match method {
        "Search" => Some(ties(request, key)),
        "Query" => {
            let keys: Vec<String> = (0..ROWS).map(key).collect();
            Some(rows(request, &keys.iter().map(String::as_str).collect::<Vec<_>>()))
        }
        _ => None,
    })
    .await;
    let found = server.store().search_one("c", Query::dense([1.0, 0.0]), 4).await.unwrap();
    let shown: Vec<_> = found.iter().map(|hit| (hit.id.to_string(), hit.text.clone())).collect();
    assert_eq!(shown, (0..4).map(|n| (key(n), format!("text of {}", key(n)))).collect::<Vec<_>>());
    let asked = server.requests::<SearchRequest>("Search");
    let deep: Vec<_> = asked.iter().skip(1).collect();
    assert!(!deep.is_empty() && deep.iter().all(|request| request.output_fields.is_empty()), "{deep:?}");
    assert!(!asked[0].output_fields.is_empty());
    // A replica that lags behind the one that found them would lose them.
    let read = server.requests::<QueryRequest>("Query");
    let strong: i32 = ConsistencyLevel::Strong.into();
    assert!(!read.is_empty() && read.iter().all(|request| request.consistency_level == strong), "{read:?}");
}

#[tokio::test]
async fn hits_of_one_score_whose_keys_cannot_be_asked_for_are_found_with_their_texts() {
    let odd: fn(usize) -> String = |n| format!("k\u{1}{n:05}");
    let server =
        Canned::start(move |method, request, _| (method == "Search").then(|| ties(request, odd))).await;
    let found = server.store().search_one("c", Query::dense([1.0, 0.0]), 4).await.unwrap();
    let shown: Vec<_> = found.iter().map(|hit| (hit.id.to_string(), hit.text.clone())).collect();
    assert_eq!(shown, (0..4).map(|n| (odd(n), format!("text of {}", odd(n)))).collect::<Vec<_>>());
    assert_eq!(server.calls("Query"), 0);
}

#[tokio::test]
async fn hits_of_one_score_of_which_only_keys_are_wanted_are_not_read_again() {
    let server = Canned::start(|method, request, _| (method == "Search").then(|| ties(request, key))).await;
    let search = Search::new(Query::dense([1.0, 0.0])).limit(4).output(Output::ids());
    let found = server.store().search("c", &search).await.unwrap().remove(0);
    assert_eq!(
        found.iter().map(|hit| hit.id.to_string()).collect::<Vec<_>>(),
        (0..4).map(key).collect::<Vec<_>>()
    );
    assert_eq!(server.calls("Query"), 0);
}

#[tokio::test]
async fn a_search_deeper_than_servers_go_is_refused_and_not_cut() {
    let server = Canned::start(|method, _, _| (method == "Search").then(|| Answer::of(&hits()))).await;
    let store = server.store();
    let query = || Query::dense([1.0, 0.0]);
    let leg = |limit| Query::hybrid(vec![Leg::dense([1.0, 0.0]).limit(limit)], Fusion::rrf());
    for search in [
        Search::new(query()).limit(16_385),
        Search::new(query()).limit(10).offset(16_375),
        Search::new(query()).limit(usize::MAX).offset(usize::MAX),
        Search::new(leg(16_385)),
    ] {
        let error = store.search("c", &search).await.unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("16384"), "{error}");
    }
    assert_eq!(server.calls("Search"), 0);
    store.search("c", &Search::new(query()).limit(10).offset(16_374)).await.unwrap();
    store.search("c", &Search::new(leg(16_384))).await.unwrap();
}

#[tokio::test]
async fn grouping_is_refused_where_the_server_would_pass_over_it() {
    for (server, parameter, able) in [
        ("v2.3.5", "group_by_field", false),
        ("v2.4.0", "group_by_field", true),
        ("v2.4.0", "group_size", false),
        ("v2.5.0", "strict_group_size", true),
        ("milvus_lite-3.2.2", "group_size", true),
    ] {
        let answer = version(server);
        let canned = Canned::start(move |method, _, _| match method {
            "GetVersion" => Some(answer.clone()),
            "Search" => Some(Answer::of(&hits())),
            _ => None,
        })
        .await;
        let mut search = Search::new(Query::dense([1.0, 0.0]));
        search.params = object(json!({ parameter: "text" }));
        match canned.store().search("c", &search).await {
            Ok(_) => assert!(able, "{server} {parameter}"),
            Err(error) => {
                assert_eq!(
                    (error.kind(), able),
                    (ErrorKind::Unsupported, false),
                    "{server} {parameter}: {error}"
                );
                assert_eq!(canned.calls("Search"), 0);
            }
        }
    }
}

#[tokio::test]
async fn parameters_go_to_the_index_that_is_asked() {
    let spec = CollectionSpec::new("c").with_dense(2).with_sparse();
    let canned = Canned::start(move |method, _, _| match method {
        "GetVersion" => Some(version("v2.5.0")),
        "DescribeCollection" => Some(Answer::of(&described(&spec, "v2.5.0"))),
        "Search" => Some(Answer::of(&hits())),
        _ => None,
    })
    .await;
    let store = canned.store();
    let hybrid =
        Query::hybrid(vec![Leg::text("word").limit(3), Leg::dense([1.0, 0.0]).limit(4)], Fusion::rrf());
    for (query, params) in [
        (Query::text("word"), json!({ "drop_ratio_search": 0.2, "radius": 0.5 })),
        (hybrid, json!({ "drop_ratio_search": 0.2, "nprobe": 9 })),
    ] {
        let mut search = Search::new(query).limit(3);
        search.params = object(params);
        store.search("c", &search).await.unwrap();
    }
    let mut sent: Vec<(String, Value)> = Vec::new();
    for request in canned.requests::<SearchRequest>("Search") {
        let of = |name| value_of(&request.search_params, name).unwrap().to_owned();
        let mut params = object(serde_json::from_str(&of("params")).unwrap());
        params.remove("ef");
        sent.push((of("metric_type"), Value::Object(params)));
    }
    sent[1..].sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        sent,
        [
            ("BM25".to_owned(), json!({ "drop_ratio_search": 0.2, "radius": 0.5 })),
            ("BM25".to_owned(), json!({ "drop_ratio_search": 0.2 })),
            ("COSINE".to_owned(), json!({ "nprobe": 9 })),
        ]
    );
}

#[tokio::test]
async fn a_server_nobody_looked_at_need_not_return_the_least_keys_first() {
    let canned = Canned::start(|method, request, _| match method {
        "GetVersion" => Some(version("v2.6.1")),
        "Query" => Some(rows(request, &["kd", "kb", "kc", "ka"])),
        _ => None,
    })
    .await;
    let store = canned.store();
    let page = store.query("c", &RowQuery::all().limit(2)).await.unwrap();
    let ids = |page: &arshai_core::vector::RowPage| {
        page.rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&page), ["ka", "kb"]);
    assert_eq!(page.rows[0].text, "text of ka");
    assert_eq!(page.next, Some("kb".into()));
}

#[tokio::test]
async fn a_page_of_a_large_collection_is_one_call_for_no_more_than_the_page() {
    for server in ["v2.4.0", "v2.6.1"] {
        let canned = Canned::start(move |method, request, _| match method {
            "GetVersion" => Some(version(server)),
            "Query" => Some(rows(request, &["ka", "kb", "kc", "kd"])),
            _ => None,
        })
        .await;
        let page = canned.store().query("c", &RowQuery::all().limit(2)).await.unwrap();
        assert_eq!(page.rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>(), ["ka", "kb"]);
        assert_eq!(page.next, Some("kb".into()));
        let sent = canned.requests::<QueryRequest>("Query");
        let [request] = sent.as_slice() else { panic!("{} calls on {server}", sent.len()) };
        for (name, value) in [("limit", "3"), ("iterator", "True"), ("reduce_stop_for_best", "True")] {
            assert_eq!(value_of(&request.query_params, name), Some(value), "{name} on {server}");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_longer_than_asked_for_loses_no_row_and_keeps_the_next_one() {
    let all: Vec<String> = (0..1_200).map(key).collect();
    let canned = Canned::start(move |method, request, _| match method {
        "GetVersion" => Some(version("v2.6.1")),
        "Query" => {
            // As many from each of two segments as were asked for.
            let mut request = QueryRequest::decode(request.clone()).unwrap();
            let limit: usize = value_of(&request.query_params, "limit").unwrap().parse().unwrap();
            request.query_params = vec![crate::proto::pair("limit", (2 * limit).to_string())];
            let left: Vec<&str> = all
                .iter()
                .map(String::as_str)
                .filter(|key| request.expr.split("id > \"").nth(1).is_none_or(|cursor| cursor < *key))
                .collect();
            Some(rows(&request.encode_to_vec().into(), &left))
        }
        _ => None,
    })
    .await;
    let store = canned.store();
    let mut query = RowQuery::all().limit(500);
    let mut seen = Vec::new();
    loop {
        let page = store.query("c", &query).await.unwrap();
        assert!(page.rows.len() <= 500);
        seen.extend(page.rows.into_iter().map(|row| row.id.to_string()));
        let Some(next) = page.next else { break };
        query.cursor = Some(next);
    }
    assert_eq!(seen, (0..1_200).map(key).collect::<Vec<_>>());
    assert_eq!(canned.calls("Query"), 3);
}

#[tokio::test]
async fn an_index_asked_for_by_name_that_the_server_has_not_is_unsupported_before_anything_is_sent() {
    let canned = Canned::start(|method, _, _| match method {
        "GetVersion" => Some(Answer::Status(12)),
        "Connect" => Some(Answer::of(&ConnectResponse {
            status: Some(Status::default()),
            ..ConnectResponse::default()
        })),
        "CreateIndex" => Some(Answer::of(&Status::default())),
        _ => None,
    })
    .await;
    let client = canned.store().client();
    let index = |kind: &'static str| {
        let client = client.clone();
        async move { client.create_index("c", "dense_vector", &[("index_type", kind)]).await }
    };
    for kind in ["HNSW", "DISKANN", "IVF_SQ8"] {
        let error = index(kind).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(kind), "{error}");
    }
    assert_eq!(canned.calls("CreateIndex"), 0);
    index("IVF_FLAT").await.unwrap();
    let canned = Canned::start(|_, _, _| None).await;
    let client = canned.store().client();
    let sparse = client.create_index("c", "sparse", &[("index_type", "SPARSE_INVERTED_INDEX")]).await;
    assert_eq!(sparse.unwrap_err().kind(), ErrorKind::Unsupported);
    client.create_index("c", "dense_vector", &[("index_type", "HNSW")]).await.unwrap();
}
