//! Section 2: what the Milvus client does not do in Python, or does wrong.

use arshai::{
    ErrorKind, Filter,
    filter::Field,
    prelude::*,
    vector::{
        CollectionSpec, Consistency, Fusion, Id, ItemOutcome, Leg, Norm, Query, Record, RowQuery, Search,
        Selection, SparseVector,
    },
};
use serde_json::{Map, Value};

use crate::place::{MILVUSES, fresh, milvus};

fn record(id: &str, text: &str, dense: [f32; 2]) -> Record {
    let metadata = Map::from_iter([("id".to_owned(), Value::from(id))]);
    Record::new(text).with_id(id).with_dense(dense.to_vec()).with_metadata(metadata)
}

fn spec(name: &str) -> CollectionSpec {
    CollectionSpec::new(name).with_dense(2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_mend_own_writes_are_seen_at_once() {
    assert_eq!(Search::new(Query::text("x")).consistency, Consistency::Session);
    for engine in MILVUSES {
        let (store, name) = (milvus(engine), fresh("session"));
        store.open(&spec(&name)).await.unwrap();
        for n in 0..15 {
            let id = format!("k{n}");
            let angle = n as f32 / 10.0;
            let written = record(&id, "text", [angle.cos(), angle.sin()]);
            store.upsert(&name, vec![written.clone()]).await.unwrap().into_complete().unwrap();
            let hits =
                store.search_one(&name, Query::dense(written.dense.unwrap_or_default()), 1).await.unwrap();
            assert_eq!(hits[0].id, Id::from(id), "{engine}");
        }
        store.drop_collection(&name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_mend_hybrid_search_is_real_or_refused() {
    for engine in MILVUSES {
        let (store, name) = (milvus(engine), fresh("hybrid"));
        let can = store.capabilities(None).await.unwrap();
        println!("{engine}: dense {}, sparse {}, text {}", can.dense, can.sparse, can.text);
        let legs = || {
            let sparse = SparseVector::new(vec![(7, 1.0)]).unwrap();
            vec![Leg::dense([1.0, 0.0]), Leg::sparse(sparse), Leg::text("starter")]
        };
        if !can.hybrid || !can.sparse || !can.text {
            store.open(&spec(&name).without_text_search()).await.unwrap();
            let search = Search::new(Query::hybrid(legs(), Fusion::rrf()));
            let error = store.search(&name, &search).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{engine}: {error}");
            store.drop_collection(&name).await.unwrap();
            continue;
        }
        store.open(&spec(&name).with_sparse()).await.unwrap();
        let sparse = |index| SparseVector::new(vec![(index, 1.0)]).unwrap();
        let records = vec![
            record("dense", "green tea", [1.0, 0.0]).with_sparse(sparse(1)),
            record("sparse", "the moon", [0.0, 1.0]).with_sparse(sparse(7)),
            record("words", "a starter of flour", [0.1, 0.9]).with_sparse(sparse(2)),
            record("all", "a starter of tea", [0.9, 0.1]).with_sparse(sparse(7)),
        ];
        store.upsert(&name, records).await.unwrap().into_complete().unwrap();
        let weighted = Fusion::Weighted { weights: vec![0.2, 0.6, 0.2], norm: Norm::MinMax };
        for fusion in [Fusion::rrf(), Fusion::weighted_rrf([1.0, 2.0, 1.0]), weighted] {
            let hits = store.search_one(&name, Query::hybrid(legs(), fusion.clone()), 4).await.unwrap();
            assert_eq!(hits[0].id, Id::from("all"), "{engine} {fusion:?}: {hits:?}");
            assert_eq!(hits.len(), 4, "{engine} {fusion:?}");
            let legs = &hits[0].leg_scores;
            assert!(legs.len() == 3 && legs.iter().all(Option::is_some), "{engine}: {legs:?}");
        }
        store.drop_collection(&name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_mend_collections_are_loaded_read_changed_counted_and_dropped() {
    for engine in MILVUSES {
        let (store, name) = (milvus(engine), fresh("rows"));
        store.open(&spec(&name)).await.unwrap();
        let rows = (0..10).map(|n| record(&format!("k{n}"), &format!("text {n}"), [1.0, n as f32]));
        store.upsert(&name, rows.collect()).await.unwrap().into_complete().unwrap();
        // Whoever released it: it is loaded again when it is used.
        store.client().release(&name).await.unwrap();
        assert_eq!(store.search_one(&name, Query::dense([1.0, 0.0]), 3).await.unwrap().len(), 3, "{engine}");

        let changed = record("k3", "changed", [1.0, 3.0]);
        store.upsert(&name, vec![changed]).await.unwrap().into_complete().unwrap();
        let read = store.query(&name, &RowQuery::ids(vec!["k3".into()])).await.unwrap();
        assert_eq!(read.rows[0].text, "changed", "{engine}");
        assert_eq!(store.stats(&name).await.unwrap().rows, 10, "{engine}: replaced, not added");
        let gone = store.delete(&name, &Selection::Ids(vec!["k1".into(), "absent".into()])).await.unwrap();
        let filter = Filter::is_in(Field::metadata("id"), ["k2", "k4"]);
        let filtered = store.delete(&name, &Selection::Filter(filter)).await.unwrap();
        assert_eq!((gone, filtered, store.stats(&name).await.unwrap().rows), (1, 2, 7), "{engine}");
        let page = store.query(&name, &RowQuery::all().limit(4)).await.unwrap();
        assert!(page.rows.len() == 4 && page.next.is_some(), "{engine}");
        assert!(store.collections().await.unwrap().contains(&name), "{engine}");
        assert!(store.drop_collection(&name).await.unwrap(), "{engine}");
        assert!(!store.drop_collection(&name).await.unwrap(), "{engine}: absent is no error");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_mend_every_record_has_an_outcome() {
    for engine in MILVUSES {
        let (store, name) = (milvus(engine), fresh("outcome"));
        store.open(&spec(&name)).await.unwrap();
        let mut records: Vec<Record> =
            (0..120).map(|n| record(&format!("k{n}"), "text", [1.0, 0.5])).collect();
        records[60] = Record::new("wrong").with_id("wrong").with_dense(vec![1.0; 3]);
        records[110] = record("nan", "text", [f32::NAN, 0.0]);
        let report = store.upsert(&name, records).await.unwrap();
        let failed: Vec<(usize, ErrorKind)> =
            report.failed().map(|(position, error)| (position, error.kind())).collect();
        assert_eq!(failed, [(60, ErrorKind::InvalidInput), (110, ErrorKind::InvalidInput)], "{engine}");
        assert_eq!((report.items.len(), report.written()), (120, 118), "{engine}");
        assert!(matches!(&report.items[61], ItemOutcome::Written(id) if *id == Id::from("k61")), "{engine}");
        assert_eq!(store.stats(&name).await.unwrap().rows, 118, "{engine}");
        store.drop_collection(&name).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_2_milvus_mend_filters_are_typed_and_text_in_them_is_data() {
    for engine in MILVUSES {
        let (store, name) = (milvus(engine), fresh("filters"));
        store.open(&spec(&name)).await.unwrap();
        let hostile = r#"" or id != "" or "" == ""#;
        let mut records: Vec<Record> =
            (0..6).map(|n| record(&format!("k{n}"), "text", [1.0, n as f32])).collect();
        records[0].metadata.insert("who".into(), hostile.into());
        records[1].metadata.insert("year".into(), Value::from(9_007_199_254_740_993_i64));
        store.upsert(&name, records).await.unwrap().into_complete().unwrap();
        let matching = async |filter: Filter| {
            let rows = store.query(&name, &RowQuery::all().filter(filter)).await.unwrap().rows;
            rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(matching(Filter::eq(Field::metadata("who"), hostile)).await, ["k0"], "{engine}");
        let year = Field::metadata("year");
        assert_eq!(matching(Filter::eq(year.clone(), 9_007_199_254_740_993)).await, ["k1"], "{engine}");
        // A missing path makes a comparison false and its opposite true.
        assert_eq!(matching(!Filter::ge(year, 0)).await.len(), 5, "{engine}");
        let parsed = Filter::parse(r#"id in ["k2", "k3"] and not exists metadata["who"]"#).unwrap();
        assert_eq!(matching(parsed).await, ["k2", "k3"], "{engine}");
        store.drop_collection(&name).await.unwrap();
    }
}
