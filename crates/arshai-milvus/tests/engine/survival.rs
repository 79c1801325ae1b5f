//! What must be survived on every server: hostile input, and collections that change underneath.

use arshai_core::{
    ErrorKind, Filter,
    filter::Field,
    vector::{Consistency, Query, Record, RowQuery, Search, VectorStore as _, VectorStoreExt as _},
};
use futures_util::{TryStreamExt as _, future::join_all};
use serde_json::json;

use crate::{Scratch, engine, object, record, store};

#[tokio::test]
async fn a_text_of_65536_bytes_fails_alone_and_one_byte_less_comes_back_whole() {
    let scratch = Scratch::open("long").await;
    let (fits, too_long) = ("x".repeat(65_535), "é".repeat(32_768));
    let text = |id: &str, text: &str| {
        let mut record = record(id);
        record.text = text.to_owned();
        record
    };
    let batch = vec![text("a", &fits), text("b", &too_long), record("c")];
    let report = scratch.store.upsert(&scratch.name, batch).await.unwrap();
    let failed: Vec<_> = report.failed().map(|(position, error)| (position, error.kind())).collect();
    assert_eq!(failed, [(1, ErrorKind::InvalidInput)]);
    let rows = scratch.store.query(&scratch.name, &RowQuery::ids(vec!["a".into()])).await.unwrap().rows;
    assert_eq!(rows[0].text, fits);
    scratch.drop().await;
}

#[tokio::test]
async fn a_filter_full_of_quotes_finds_what_it_names_and_nothing_else() {
    let scratch = Scratch::open("quotes").await;
    let hostile =
        ["\"", "\\", "\\\"", "'", "' or id != \"\" or '", "\" or id >= \"", "]", "{x}", "%", "a/b", "~1"];
    let records = hostile
        .iter()
        .enumerate()
        .map(|(n, text)| record(&format!("h{n:02}")).with_metadata(object(json!({ "s": text, *text: 1 }))));
    scratch.put(records.collect()).await;
    for (n, text) in hostile.iter().enumerate() {
        for filter in [
            Filter::eq(Field::metadata("s"), *text),
            Filter::is_in(Field::metadata("s"), [*text]),
            Filter::exists(Field::metadata(*text)),
            Filter::StartsWith(Field::metadata("s"), (*text).to_owned())
                .and(Filter::eq(Field::metadata("s"), *text)),
        ] {
            let search = Search::new(Query::dense([0.6, 0.8])).limit(20).filter(filter.clone());
            let hits = scratch.store.search(&scratch.name, &search).await.unwrap().remove(0);
            let found: Vec<_> = hits.iter().map(|hit| hit.id.to_string()).collect();
            assert_eq!(found, [format!("h{n:02}")], "{filter}");
        }
    }
    scratch.drop().await;
}

#[tokio::test]
async fn a_collection_dropped_and_made_anew_by_somebody_else_is_noticed() {
    let scratch = Scratch::open("anew").await;
    let other = store();
    scratch.put(vec![record("a")]).await;
    other.drop_collection(&scratch.name).await.unwrap();
    let error = scratch.store.search_one(&scratch.name, Query::dense([0.6, 0.8]), 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let wider = arshai_core::vector::CollectionSpec::new(&scratch.name).with_dense(3);
    other.open(&wider).await.unwrap();
    // The handle that knew the old one writes and reads the new one.
    let row = Record::new("new").with_id("n").with_dense(vec![1.0, 0.0, 0.0]);
    scratch.put(vec![row]).await;
    let hits = scratch.store.search_one(&scratch.name, Query::dense([1.0, 0.0, 0.0]), 3).await.unwrap();
    assert_eq!(hits[0].id, "n".into());
    scratch.drop().await;
}

#[tokio::test]
async fn a_handle_that_knows_the_old_dimension_learns_the_new_one() {
    let scratch = Scratch::open("learns").await;
    let other = store();
    other.drop_collection(&scratch.name).await.unwrap();
    let wider = arshai_core::vector::CollectionSpec::new(&scratch.name).with_dense(3);
    other.open(&wider).await.unwrap();
    let hits = scratch.store.search_one(&scratch.name, Query::dense([1.0, 0.0, 0.0]), 3).await.unwrap();
    assert!(hits.is_empty());
    other.drop_collection(&scratch.name).await.unwrap();
    other.open(&scratch.spec()).await.unwrap();
    // Now by writing: no record fits the one it knows, and all fit the one there is.
    scratch.put(vec![record("a"), record("b")]).await;
    scratch.drop().await;
}

#[tokio::test]
async fn a_collection_released_by_somebody_else_is_loaded_when_it_is_used() {
    let scratch = Scratch::open("released").await;
    scratch.put(vec![record("a")]).await;
    let client = scratch.store.client();
    for round in ["search", "query", "stats", "upsert", "insert"] {
        client.release(&scratch.name).await.unwrap();
        let store = &scratch.store;
        let found = match round {
            "search" => store.search_one(&scratch.name, Query::dense([0.6, 0.8]), 3).await.unwrap().len(),
            "query" => store.query(&scratch.name, &RowQuery::all()).await.unwrap().rows.len(),
            "stats" => usize::try_from(store.stats(&scratch.name).await.unwrap().rows).unwrap(),
            "upsert" => store.upsert(&scratch.name, vec![record("a")]).await.unwrap().written(),
            _ => store.insert(&scratch.name, vec![record("b")]).await.unwrap().written(),
        };
        assert_eq!(found, 1, "{round}");
    }
    client.load(&scratch.name).await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_raw_expression_is_the_server_s_own_and_rows_come_as_a_stream() {
    let scratch = Scratch::open("raw").await;
    let records = (0..300).map(|n| record(&format!("r{n:03}")).with_metadata(object(json!({ "n": n }))));
    scratch.put(records.collect()).await;
    let raw = Filter::raw("metadata[\"n\"] >= 290 and metadata[\"n\"] < 295");
    let search = Search::new(Query::dense([0.6, 0.8])).limit(20).filter(raw.clone());
    assert_eq!(scratch.store.search(&scratch.name, &search).await.unwrap()[0].len(), 5);
    let query = RowQuery::all().limit(70).consistency(Consistency::Strong);
    let rows: Vec<_> = scratch.store.scan(&scratch.name, query).try_collect().await.unwrap();
    assert!(rows.len() == 300 && rows.is_sorted_by_key(|row| row.id.clone()));
    let joined = raw.and(Filter::exists(Field::metadata("n")));
    let rows = scratch.store.query(&scratch.name, &RowQuery::all().filter(joined)).await.unwrap().rows;
    assert_eq!(rows.len(), 5);
    scratch.drop().await;
}

#[tokio::test]
async fn a_filter_that_would_read_too_much_is_refused_by_name() {
    let scratch = Scratch::open("scan").await;
    scratch.put((0..60).map(|n| record(&format!("r{n:02}"))).collect()).await;
    let mut config = crate::config();
    config.filter_scan_rows = 50;
    let store = arshai_milvus::MilvusStore::new(config).unwrap();
    let filter = Filter::eq(Field::metadata("a/b"), "x");
    let query = RowQuery::all().filter(filter).consistency(Consistency::Strong);
    let error = store.query(&scratch.name, &query).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Unsupported && error.to_string().contains("filter_scan_rows"),
        "{error}"
    );
    assert!(scratch.store.query(&scratch.name, &query).await.unwrap().rows.is_empty());
    scratch.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_searches_and_writes_at_once_do_not_disturb_each_other() {
    let scratch = Scratch::open("busy").await;
    scratch.put(vec![record("first")]).await;
    let searches =
        join_all((0..64).map(|_| scratch.store.search_one(&scratch.name, Query::dense([0.6, 0.8]), 3)));
    let writes = join_all((0..8).map(|n| {
        scratch.store.upsert(&scratch.name, vec![record(&format!("w{n}")).with_dense(vec![-0.6, -0.8])])
    }));
    let (searches, writes) = tokio::join!(searches, writes);
    assert!(searches.into_iter().all(|hits| hits.unwrap()[0].id == "first".into()));
    assert!(writes.into_iter().all(|report| report.unwrap().is_complete()));
    assert_eq!(scratch.store.stats(&scratch.name).await.unwrap().rows, 9);
    scratch.drop().await;
}

#[tokio::test]
async fn rows_in_storage_and_in_memory_come_in_one_order_and_once() {
    let scratch = Scratch::open("segments").await;
    let some = |step: usize, text: &str| {
        let row = |n: usize| {
            let mut record = record(&format!("r{n:03}"));
            record.text = text.to_owned();
            record
        };
        (0..600).step_by(step).map(row).collect::<Vec<_>>()
    };
    scratch.put(some(2, "first")).await;
    scratch.store.client().flush(&[&scratch.name]).await.unwrap();
    // Some of them replace rows that are in storage by now.
    scratch.put(some(3, "second")).await;
    let expected: Vec<_> = (0..600).filter(|n| n % 2 == 0 || n % 3 == 0).collect();
    let query = RowQuery::all().limit(70).consistency(Consistency::Strong);
    let rows: Vec<_> = scratch.store.scan(&scratch.name, query).try_collect().await.unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.id.to_string(), row.text.as_str())).collect();
    let generation = |n: &usize| if n % 3 == 0 { "second" } else { "first" };
    assert_eq!(found, expected.iter().map(|n| (format!("r{n:03}"), generation(n))).collect::<Vec<_>>());
    assert_eq!(scratch.store.stats(&scratch.name).await.unwrap().rows, expected.len() as u64);
    scratch.drop().await;
}

#[tokio::test]
async fn parameters_reach_the_index() {
    let scratch = Scratch::open("params").await;
    let at = |id: &str, x: f32, y: f32| record(id).with_dense(vec![x, y]);
    scratch.put(vec![at("same", 1.0, 0.0), at("near", 0.9, 0.1), at("far", 0.0, 1.0)]).await;
    let mut search = Search::new(Query::dense([1.0, 0.0])).limit(10);
    assert_eq!(scratch.store.search(&scratch.name, &search).await.unwrap()[0].len(), 3);
    search.params = object(json!({ "radius": 0.5 }));
    let found = scratch.store.search(&scratch.name, &search).await.unwrap().remove(0);
    assert_eq!(found.iter().map(|hit| hit.id.to_string()).collect::<Vec<_>>(), ["same", "near"]);
    scratch.drop().await;
}

#[tokio::test]
async fn a_range_keeps_what_is_too_near_and_too_far_out() {
    let scratch = Scratch::open("range").await;
    let at = |id: &str, x: f32, y: f32| record(id).with_dense(vec![x, y]);
    scratch.put(vec![at("same", 1.0, 0.0), at("near", 0.8, 0.6), at("far", 0.0, 1.0)]).await;
    let mut search = Search::new(Query::dense([1.0, 0.0])).limit(10);
    search.params = object(json!({ "radius": 0.5, "range_filter": 0.95 }));
    let found = scratch.store.search(&scratch.name, &search).await.unwrap().remove(0);
    assert_eq!(found.iter().map(|hit| hit.id.to_string()).collect::<Vec<_>>(), ["near"]);
    scratch.drop().await;
}

#[tokio::test]
async fn hits_are_grouped_by_a_field_or_that_is_refused() {
    let scratch = Scratch::open("groups").await;
    let of = |id: &str, document: &str, x: f32| {
        let mut record = record(id).with_dense(vec![x, 1.0 - x]);
        record.text = document.to_owned();
        record
    };
    scratch.put(vec![of("a1", "a", 0.9), of("a2", "a", 0.8), of("b1", "b", 0.7), of("c1", "c", 0.1)]).await;
    let mut search = Search::new(Query::dense([1.0, 0.0])).limit(2);
    search.params = object(json!({ "group_by_field": "text" }));
    let found = scratch.store.search(&scratch.name, &search).await;
    if engine().0 == "milvus" {
        assert_eq!(found.unwrap_err().kind(), ErrorKind::Unsupported);
    } else {
        let found = found.unwrap().remove(0);
        assert_eq!(found.iter().map(|hit| hit.id.to_string()).collect::<Vec<_>>(), ["a1", "b1"]);
    }
    search.params = object(json!({ "group_by_field": "text", "group_size": 2, "strict_group_size": true }));
    let found = scratch.store.search(&scratch.name, &search.limit(3)).await;
    if engine().0 == "milvus-lite-py" {
        let found = found.unwrap().remove(0);
        assert_eq!(found.iter().map(|hit| hit.id.to_string()).collect::<Vec<_>>()[..2], ["a1", "a2"]);
    } else {
        assert_eq!(found.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    scratch.drop().await;
}

#[tokio::test]
async fn what_is_written_under_an_alias_is_seen_under_the_name() {
    let scratch = Scratch::open("aliased").await;
    let alias = Scratch::name("alias");
    let named = scratch.store.client().create_alias(&scratch.name, &alias).await;
    if engine().0 == "milvus-lite" {
        assert_eq!(named.unwrap_err().kind(), ErrorKind::Unsupported);
        return scratch.drop().await;
    }
    named.unwrap();
    for n in 0..5 {
        let record = record(&format!("r{n}"));
        scratch.store.upsert(&alias, vec![record]).await.unwrap().into_complete().unwrap();
        let rows = scratch.store.query(&scratch.name, &RowQuery::all()).await.unwrap().rows;
        assert_eq!(rows.len(), n + 1);
    }
    scratch.store.client().drop_alias(&alias).await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_key_that_somebody_else_just_wrote_is_not_inserted_beside() {
    let scratch = Scratch::open("beside").await;
    let other = store();
    other.describe(&scratch.name).await.unwrap();
    scratch.put(vec![record("a")]).await;
    let report = other.insert(&scratch.name, vec![record("a"), record("b")]).await.unwrap();
    let failed: Vec<_> = report.failed().map(|(position, error)| (position, error.kind())).collect();
    assert_eq!(failed, [(0, ErrorKind::AlreadyExists)]);
    assert_eq!(scratch.store.stats(&scratch.name).await.unwrap().rows, 2);
    scratch.drop().await;
}

#[tokio::test]
async fn more_hits_of_one_score_than_a_call_returns_come_in_order_with_their_texts() {
    let scratch = Scratch::open("ties").await;
    scratch.put((0..60).rev().map(|n| record(&format!("r{n:03}"))).collect()).await;
    let hits = scratch.store.search_one(&scratch.name, Query::dense([0.6, 0.8]), 5).await.unwrap();
    let found: Vec<_> = hits.iter().map(|hit| (hit.id.to_string(), hit.text.clone())).collect();
    let expected = (0..5).map(|n| (format!("r{n:03}"), format!("text of r{n:03}")));
    assert_eq!(found, expected.collect::<Vec<_>>());
    scratch.drop().await;
}

#[tokio::test]
async fn the_greatest_and_least_integer_keys_are_keys_like_others() {
    let scratch = Scratch::new("integers");
    let spec = scratch.spec().with_id(arshai_core::vector::IdKind::Int);
    scratch.store.open(&spec).await.unwrap();
    let keys = [i64::MIN, -1, 0, i64::MAX];
    let records = keys.map(|key| Record::new(key.to_string()).with_id(key).with_dense(vec![1.0, 0.0]));
    scratch.put(records.to_vec()).await;
    for key in keys {
        let rows = scratch.store.query(&scratch.name, &RowQuery::ids(vec![key.into()])).await.unwrap().rows;
        assert_eq!(rows.len(), 1, "{key}");
        assert_eq!(rows[0].text, key.to_string());
    }
    let filter = Filter::ge(Field::Id, 0);
    let rows = scratch.store.query(&scratch.name, &RowQuery::all().filter(filter)).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), [0.into(), i64::MAX.into()]);
    let all = arshai_core::vector::Selection::Ids(keys.map(Into::into).to_vec());
    assert_eq!(scratch.store.delete(&scratch.name, &all).await.unwrap(), 4);
    scratch.drop().await;
}

#[tokio::test]
async fn the_server_says_its_version_where_it_has_one() {
    let version = store().server_version().await.unwrap();
    match engine().0.as_str() {
        "milvus-lite" => assert_eq!(version, None),
        _ => assert!(version.is_some_and(|version| version.contains('.'))),
    }
}
