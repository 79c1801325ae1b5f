//! Text from outside is data, and a bad record fails alone.

use arshai_core::{
    ErrorKind, Filter,
    filter::Field,
    vector::{
        CollectionSpec, ItemOutcome, Query, Record, RowQuery, Search, Selection, VectorStore, VectorStoreExt,
    },
};
use serde_json::{Value, json};

use crate::{Fixture, ids, object, put, texts};

const NASTY: &[&str] = &[
    "\"",
    "'",
    "''; DROP TABLE collection; --",
    "a AND b",
    "NEAR(a b, 5)",
    "t : word",
    "word*",
    "^word",
    "-word",
    "(",
    ")",
    "{t}: word",
    "word OR NOT",
    "a + b",
    "?1",
    ":x",
    "$.a",
    "\u{0}",
    "a\u{0}b",
    "%",
    "_",
    "\\",
    "]]>",
    "\u{1b}[31m",
    "word=1",
    "=",
];

#[tokio::test]
async fn operators_and_sql_are_data_in_queries_ids_texts_and_filters() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    let records = NASTY.iter().map(|nasty| {
        Record::new(format!("word {nasty}"))
            .with_id(*nasty)
            .with_metadata(object(json!({ "source": nasty, *nasty: nasty })))
    });
    put(&store, "c", records.collect()).await;
    let all = NASTY.len();
    for nasty in NASTY {
        let hits = store.search_one("c", Query::text(format!("word {nasty}")), 100).await.unwrap();
        assert_eq!(hits.len(), all, "{nasty:?}: every text has `word`, and nothing else may change that");
        for field in [Field::Id, Field::metadata("source"), Field::metadata(*nasty)] {
            let filter = Filter::eq(field.clone(), *nasty);
            let rows = store.query("c", &RowQuery::all().filter(filter)).await.unwrap().rows;
            let found: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
            assert_eq!(found, [*nasty], "{field}");
        }
        let prefix = Filter::StartsWith(Field::metadata("source"), (*nasty).to_owned());
        let expected = NASTY.iter().filter(|other| other.starts_with(nasty)).count();
        assert_eq!(
            store.query("c", &RowQuery::all().filter(prefix)).await.unwrap().rows.len(),
            expected,
            "{nasty:?}"
        );
    }
    for nasty in NASTY {
        assert_eq!(store.delete("c", &Selection::Ids(vec![(*nasty).into()])).await.unwrap(), 1, "{nasty:?}");
    }
    assert_eq!(store.stats("c").await.unwrap().rows, 0);
}

#[tokio::test]
async fn empty_and_huge_queries_are_answered() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    put(&store, "c", texts(&[("a", "word"), ("b", "")])).await;
    for empty in ["", " \n", "!?", "\u{0}"] {
        assert!(store.search_one("c", Query::text(empty), 3).await.unwrap().is_empty(), "{empty:?}");
    }
    let huge = "word ".repeat(200_000);
    assert_eq!(ids(&store.search_one("c", Query::text(huge), 3).await.unwrap()), ["a"]);
    let one_word = "x".repeat(1_000_000);
    put(&store, "c", vec![Record::new(one_word.clone()).with_id("long")]).await;
    assert_eq!(ids(&store.search_one("c", Query::text(one_word), 3).await.unwrap()), ["long"]);
}

#[tokio::test]
async fn a_bad_record_fails_alone() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c").with_dense(2)).await.unwrap();
    let deep = (0..120).fold(json!(1), |inner, _| json!([inner]));
    let records = vec![
        Record::new("good").with_id("a").with_dense(vec![1.0, 2.0]),
        Record::new("wrong dimension").with_id("b").with_dense(vec![1.0]),
        Record::new("not a number").with_id("c").with_dense(vec![1.0, f32::NAN]),
        Record::new("no key"),
        Record::new("empty key").with_id(""),
        Record::new("integer key").with_id(7),
        Record::new("deep").with_id("d").with_metadata(object(json!({ "x": deep }))),
        Record::new("good too").with_id("e"),
    ];
    let report = store.upsert("c", records).await.unwrap();
    let kinds: Vec<Option<ErrorKind>> = report
        .items
        .iter()
        .map(|item| match item {
            ItemOutcome::Failed(error) => Some(error.kind()),
            _ => None,
        })
        .collect();
    let bad = Some(ErrorKind::InvalidInput);
    assert_eq!(kinds, [None, bad, bad, bad, bad, bad, bad, None]);
    assert_eq!(store.stats("c").await.unwrap().rows, 2);
    let error = store.search_one("c", Query::dense([1.0]), 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = store.search_one("c", Query::dense([1.0, f32::INFINITY]), 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn what_the_store_cannot_do_is_refused_before_anything_happens() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    let unsupported = |error: arshai_core::Error| assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    unsupported(store.open(&CollectionSpec::new("s").with_sparse()).await.unwrap_err());
    store.open(&CollectionSpec::new("c").without_text_search()).await.unwrap();
    put(&store, "c", texts(&[("a", "word")])).await;
    unsupported(store.search_one("c", Query::text("word"), 3).await.unwrap_err());
    let raw = Filter::raw("1 = 1");
    unsupported(store.search("c", &Search::new(Query::text("word")).filter(raw.clone())).await.unwrap_err());
    unsupported(store.query("c", &RowQuery::all().filter(!raw.clone())).await.unwrap_err());
    unsupported(store.delete("c", &Selection::Filter(raw)).await.unwrap_err());
    assert_eq!(store.stats("c").await.unwrap().rows, 1);
    let missing = store.stats("nowhere").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_filter_of_any_size_and_depth_is_answered() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    let record = Record::new("x").with_id("a").with_metadata(object(json!({ "k": "v7", "n": 3 })));
    put(&store, "c", vec![record]).await;
    let found =
        async |filter: Filter| store.query("c", &RowQuery::all().filter(filter)).await.unwrap().rows.len();
    let many: Vec<String> = (0..50_000).map(|n| format!("v{n}")).collect();
    assert_eq!(found(Filter::is_in(Field::metadata("k"), many)).await, 1);
    let wide = Filter::Or((0..5_000).map(|n| Filter::eq(Field::metadata("n"), n)).collect());
    assert_eq!(found(wide).await, 1);
    let deep = (0..300).fold(Filter::eq(Field::metadata("n"), 3), |inner, _| !inner);
    assert_eq!(found(deep).await, 1);
}

#[tokio::test]
async fn numbers_beyond_what_a_float_holds_keep_every_digit() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    let metadata =
        object(json!({ "big": u64::MAX, "odd": 9_007_199_254_740_993_i64, "f": 0.1 + 0.2, "s": "a\u{0}b" }));
    put(&store, "c", vec![Record::new("x").with_id("a").with_metadata(metadata.clone())]).await;
    let rows = store.query("c", &RowQuery::all()).await.unwrap().rows;
    assert_eq!(Value::Object(rows[0].metadata.clone()), Value::Object(metadata));
}
