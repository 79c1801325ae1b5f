//! Replies that no server should send are errors, never panics, and leave the store usable.

use arshai_core::{
    ErrorKind,
    vector::{Consistency, Query, Search, VectorStore as _, VectorStoreExt as _},
};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use super::canned::{Answer, Canned};
use crate::{
    columns::Columns,
    proto::{
        common::{DslType, PlaceholderGroup, Status},
        milvus::{QueryRequest, QueryResults, SearchRequest, SearchResults},
        schema::{
            FieldData, IDs, JsonArray, LongArray, ScalarField, SearchResultData, StringArray, VectorField,
            field_data::Field, i_ds::IdField, scalar_field::Data, vector_field,
        },
    },
};

pub(crate) fn texts(values: &[&str]) -> StringArray {
    StringArray { data: values.iter().map(|value| Bytes::from((*value).to_owned())).collect() }
}

pub(crate) fn column(name: &str, data: Data) -> FieldData {
    FieldData {
        field_name: name.into(),
        field: Some(Field::Scalars(ScalarField { data: Some(data), ..ScalarField::default() })),
        ..FieldData::default()
    }
}

/// Two hits, in the wrong order.
pub(crate) fn hits() -> SearchResults {
    let json = JsonArray { data: vec![Bytes::from_static(b"{\"n\":2}"), Bytes::from_static(b"[1]")] };
    SearchResults {
        status: Some(Status::default()),
        results: Some(SearchResultData {
            num_queries: 1,
            top_k: 7,
            fields_data: vec![
                column("metadata", Data::JsonData(json)),
                column("text", Data::StringData(texts(&["two", "one"]))),
            ],
            scores: vec![0.5, 0.9],
            ids: Some(IDs { id_field: Some(IdField::StrId(texts(&["b", "a"]))) }),
            topks: vec![2],
            ..SearchResultData::default()
        }),
        ..SearchResults::default()
    }
}

pub(super) fn no_rows() -> QueryResults {
    QueryResults { status: Some(Status::default()), ..QueryResults::default() }
}

/// Rows of which nothing was asked but their keys.
pub(super) fn rows_of_keys(keys: &[String]) -> QueryResults {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    QueryResults { fields_data: vec![column("id", Data::StringData(texts(&keys)))], ..no_rows() }
}

pub(super) fn count(rows: i64) -> QueryResults {
    let rows = LongArray { data: vec![rows] };
    QueryResults { fields_data: vec![column("count(*)", Data::LongData(rows))], ..no_rows() }
}

pub(super) fn asks_to_count(request: &Bytes) -> bool {
    let request = QueryRequest::decode(request.clone()).unwrap();
    request.output_fields.iter().any(|field| field == "count(*)")
}

fn changed(change: impl FnOnce(&mut SearchResultData)) -> Bytes {
    let mut reply = hits();
    change(reply.results.as_mut().unwrap());
    reply.encode_to_vec().into()
}

#[tokio::test]
async fn columns_are_matched_by_name_and_metadata_that_is_no_object_is_kept_apart() {
    let server = Canned::start(|method, _, _| (method == "Search").then(|| Answer::of(&hits()))).await;
    let found = server.store().search_one("c", Query::dense([1.0, 0.0]), 5).await.unwrap();
    let shown: Vec<_> = found.iter().map(|hit| (hit.id.to_string(), hit.text.as_str())).collect();
    assert_eq!(shown, [("a".to_owned(), "one"), ("b".to_owned(), "two")]);
    assert_eq!(found[1].metadata["n"], 2);
    assert!(found[0].metadata.is_empty() && found[0].fields["metadata"][0] == 1);
}

#[tokio::test]
async fn a_reply_that_does_not_fit_itself_is_refused_and_the_next_one_is_read() {
    let bad: Vec<(&str, Bytes)> = vec![
        ("fewer scores than keys", changed(|results| results.scores = vec![0.5])),
        ("counts above the keys", changed(|results| results.topks = vec![3])),
        ("a count below 0", changed(|results| results.topks = vec![-2, 4])),
        ("counts that overflow", changed(|results| results.topks = vec![i64::MAX])),
        ("counts of more queries", changed(|results| results.topks = vec![1, 1])),
        ("no counts", changed(|results| results.topks.clear())),
        ("no keys", changed(|results| results.ids = None)),
        ("NaN", changed(|results| results.scores = vec![f32::NAN, 0.1])),
        (
            "a short column",
            changed(|results| {
                results.fields_data[1] = column("text", Data::StringData(texts(&["two"])));
            }),
        ),
        ("a missing column", changed(|results| drop(results.fields_data.pop()))),
        (
            "a column of another type",
            changed(|results| {
                results.fields_data[1].field = Some(Field::Vectors(VectorField {
                    dim: 2,
                    data: Some(vector_field::Data::FloatVector(crate::proto::schema::FloatArray {
                        data: vec![0_u8; 16].into(),
                    })),
                    ..VectorField::default()
                }));
            }),
        ),
        (
            "no results",
            SearchResults { status: Some(Status::default()), ..SearchResults::default() }
                .encode_to_vec()
                .into(),
        ),
        (
            "no status",
            SearchResults { results: hits().results, ..SearchResults::default() }.encode_to_vec().into(),
        ),
        ("no protobuf", Bytes::from_static(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
    ];
    let names: Vec<&str> = bad.iter().map(|(name, _)| *name).collect();
    let replies: Vec<Bytes> = bad.iter().map(|(_, reply)| reply.clone()).collect();
    let server = Canned::start(move |method, _, before| {
        (method == "Search").then(|| {
            replies.get(before).map_or_else(|| Answer::of(&hits()), |reply| Answer::bytes(reply.clone()))
        })
    })
    .await;
    let store = server.store();
    for name in names {
        let error = store.search_one("c", Query::dense([1.0, 0.0]), 5).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{name}: {error}");
    }
    assert_eq!(store.search_one("c", Query::dense([1.0, 0.0]), 5).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_text_that_is_not_utf8_spoils_its_hit_and_says_so() {
    let reply = changed(|results| {
        let data = vec![Bytes::from_static(b"\xff"), Bytes::from_static(b"one")];
        results.fields_data[1] = column("text", Data::StringData(StringArray { data }));
    });
    let server =
        Canned::start(move |method, _, _| (method == "Search").then(|| Answer::bytes(reply.clone()))).await;
    let store = server.store();
    let error = store.search_one("c", Query::dense([1.0, 0.0]), 5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    // Columns are read where a hit is wanted, and no further.
    assert_eq!(store.search_one("c", Query::dense([1.0, 0.0]), 1).await.unwrap()[0].text, "one");
}

#[tokio::test]
async fn a_reply_of_a_hundred_megabytes_is_read_or_refused_as_the_limit_says_without_taking_it_all() {
    let large = "x".repeat(100 << 20);
    let reply = changed(|results| {
        results.fields_data[1] = column("text", Data::StringData(texts(&["two", &large])));
    });
    drop(large);
    let server = Canned::start(move |method, _, before| {
        (method == "Search").then(|| match before {
            0 | 1 => Answer::bytes(reply.clone()),
            _ => Answer::of(&hits()),
        })
    })
    .await;
    let mut config = server.config();
    config.max_reply_bytes = 32 << 20;
    let store = crate::MilvusStore::new(config).unwrap();
    let error = store.search_one("c", Query::dense([1.0, 0.0]), 5).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Exhausted && !error.is_retryable(), "{error}");
    assert!(error.to_string().contains("max_reply_bytes"), "{error}");
    assert!(server.sent() < 64 << 20, "{} bytes were taken of a reply that is refused", server.sent());
    // The default is above it.
    let found = server.store().search_one("c", Query::dense([1.0, 0.0]), 5).await.unwrap();
    assert_eq!(found[0].text.len(), 100 << 20);
    assert_eq!(store.search_one("c", Query::dense([1.0, 0.0]), 5).await.unwrap().len(), 2);
}

#[tokio::test]
async fn kinds_that_are_not_known_are_passed_over_where_nobody_asks_for_them() {
    const UNHEARD_OF: i32 = 4711;
    let mut described = super::canned::described(&super::canned::spec(), "v2.3.5");
    described.consistency_level = UNHEARD_OF;
    let schema = described.schema.as_mut().unwrap();
    schema.fields.push(crate::proto::schema::FieldSchema {
        name: "news".into(),
        data_type: UNHEARD_OF,
        ..Default::default()
    });
    schema.functions.push(crate::proto::schema::FunctionSchema { r#type: UNHEARD_OF, ..Default::default() });
    let reply = changed(|results| {
        results.fields_data.iter_mut().for_each(|field| field.r#type = UNHEARD_OF);
        results.fields_data.push(FieldData {
            r#type: UNHEARD_OF,
            field_name: "news".into(),
            ..FieldData::default()
        });
    });
    let server = Canned::start(move |method, _, _| match method {
        "DescribeCollection" => Some(Answer::of(&described)),
        "Search" => Some(Answer::bytes(reply.clone())),
        "GetLoadState" => Some(Answer::of(&crate::proto::milvus::GetLoadStateResponse {
            status: Some(Status::default()),
            state: UNHEARD_OF,
        })),
        _ => None,
    })
    .await;
    let store = server.store();
    let found = store.search_one("c", Query::dense([1.0, 0.0]), 5).await.unwrap();
    assert_eq!(found[0].text, "one");
    // A column that nobody can fill is in the way of writing.
    let record = arshai_core::vector::Record::new("x").with_id("a").with_dense(vec![1.0, 0.0]);
    let error = store.upsert("c", vec![record]).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("news"), "{error}");
    // A state that says nothing is asked for again until the deadline.
    let opening = store.client();
    let deadline = arshai_core::Deadline::after(std::time::Duration::from_millis(200));
    let error = deadline.scope(opening.load("c")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[tokio::test]
async fn every_search_carries_the_dialect_without_which_a_server_crashes() {
    let server = Canned::start(|method, _, _| match method {
        "Search" => Some(Answer::of(&hits())),
        "Query" => {
            Some(Answer::of(&QueryResults { status: Some(Status::default()), ..QueryResults::default() }))
        }
        _ => None,
    })
    .await;
    let store = server.store();
    let search = Search::many(vec![Query::dense([1.0, 0.0])]);
    for consistency in [Consistency::Strong, Consistency::Session, Consistency::Bounded] {
        store.search("c", &search.clone().consistency(consistency)).await.unwrap();
    }
    let known = store.inner.look("c").await.unwrap();
    store.inner.any_one(&known, "id == \"a\"".into(), &[], Consistency::Session).await.unwrap();
    let requests: Vec<SearchRequest> = server.requests("Search");
    assert_eq!(requests.len(), 4);
    for request in &requests {
        assert_eq!(request.dsl_type, i32::from(DslType::BoolExprV1));
        let bytes = request.encode_to_vec();
        // Field 7, varint 1: on the wire, not only in memory.
        assert!(bytes.windows(2).any(|pair| pair == [0x38, 0x01]));
    }
    let group = PlaceholderGroup::decode(requests[0].placeholder_group.clone()).unwrap();
    assert_eq!(group.placeholders[0].values[0].len(), 8);
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
        read_all(&bytes);
    }

    #[test]
    fn no_damage_to_a_reply_makes_the_decoder_panic(at in 0..200_usize, value: u8, cut in 0..200_usize) {
        let mut bytes = hits().encode_to_vec();
        let length = bytes.len();
        bytes[at % length] = value;
        bytes.truncate(length - cut % length);
        read_all(&bytes);
    }
}

/// Everything that is ever read of a reply.
fn read_all(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(reply) = SearchResults::decode(bytes.clone()) {
        if let Some(results) = reply.results {
            let names: Vec<String> = results.fields_data.iter().map(|f| f.field_name.clone()).collect();
            if let Ok(columns) = Columns::of_rows(results.fields_data) {
                for name in &names {
                    let _ids = columns.ids(name, true);
                    for row in [0, 1, usize::MAX] {
                        let _read = (
                            columns.text(name, row),
                            columns.metadata(name, row),
                            columns.vector(name, 2, row),
                            columns.value(name, row),
                        );
                    }
                }
            }
            let _ids = crate::columns::plain_ids(results.ids, false);
        }
    }
    if let Ok(described) = crate::proto::milvus::DescribeCollectionResponse::decode(bytes) {
        let _shape = crate::shape::Shape::read(&described, &[], None);
    }
}
