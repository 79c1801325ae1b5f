//! Text and vector search beyond what random corpora reach.

use arshai_core::{
    ErrorKind, Filter,
    filter::Field,
    vector::{
        CollectionSpec, Fusion, IdKind, InMemoryVectors, Leg, Metric, Query, Record, Search, Selection,
        VectorStore, VectorStoreExt,
    },
};
use serde_json::json;

use crate::{Fixture, ids, object, put, texts};

#[tokio::test]
async fn common_terms_are_dropped_above_5000_chunks_and_rarer_ones_remain() {
    let fixture = Fixture::new().await;
    let (store, reference) = (fixture.file.vectors(), InMemoryVectors::new());
    let spec = CollectionSpec::new("c");
    store.open(&spec).await.unwrap();
    reference.open(&spec).await.unwrap();
    let records: Vec<Record> = (0..5_200_u32)
        .map(|n| {
            let mut text = format!("the number w{n}");
            if n % 9 == 0 {
                text.push_str(" ninth the"); // in 11.1 %
            }
            if n % 11 == 0 {
                text.push_str(" eleventh"); // in 9.1 %
            }
            Record::new(text)
                .with_id(format!("{n:05}"))
                .with_metadata(object(json!({ "n": n, "even": n % 2 == 0 })))
        })
        .collect();
    put(&store, "c", records.clone()).await;
    reference.upsert("c", records).await.unwrap().into_complete().unwrap();
    let none_kept = Filter::eq(Field::metadata("n"), 5_199);
    for filter in [None, Some(Filter::eq(Field::metadata("even"), true)), Some(none_kept)] {
        for question in [
            "the",
            "the number w17",
            "the ninth",
            "the eleventh ninth",
            "ninth",
            "number the",
            "absent",
            "the 5",
        ] {
            let search = Search::new(Query::text(question)).limit(7).filter(filter.clone());
            let expected = reference.search("c", &search).await.unwrap();
            assert_eq!(store.search("c", &search).await.unwrap(), expected, "{question}");
            // And again from what is kept in memory.
            assert_eq!(store.search("c", &search).await.unwrap(), expected, "{question}");
            // Of a common term not every chunk is known, but whether a hit holds it is.
            for share in [0.3, 0.5, 1.0] {
                let leg = Leg::text(format!("{question} w22 ninth")).min_match(share);
                let search = Search::new(Query::hybrid(vec![leg], Fusion::rrf())).filter(filter.clone());
                let expected = reference.search("c", &search).await.unwrap();
                assert_eq!(store.search("c", &search).await.unwrap(), expected, "{question}, {share}");
            }
        }
    }
    let hits = store.search_one("c", Query::text("the w17"), 10).await.unwrap();
    assert_eq!(ids(&hits), ["00017"], "a common term must not add hits");
}

#[tokio::test]
async fn a_removed_or_replaced_text_is_not_found_by_its_old_words() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    put(&store, "c", texts(&[("a", "old words old"), ("b", "old news"), ("c", "other")])).await;
    let find = async |query: &str| ids(&store.search_one("c", Query::text(query), 9).await.unwrap());
    assert_eq!(find("old").await, ["a", "b"]);
    put(&store, "c", texts(&[("a", "new words"), ("b", "")])).await;
    assert_eq!(find("old").await, Vec::<String>::new());
    assert_eq!(find("words").await, ["a"]);
    assert_eq!(
        store.delete("c", &Selection::Ids(vec!["a".into(), "a".into(), "zz".into()])).await.unwrap(),
        1
    );
    assert_eq!(find("words new").await, Vec::<String>::new());
    put(&store, "c", texts(&[("d", "words")])).await;
    assert_eq!(find("words").await, ["d"]);
}

#[tokio::test]
async fn cjk_and_right_to_left_text_is_found() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    put(
        &store,
        "c",
        texts(&[
            ("jp", "東京都の天気"),
            ("zh", "北京天气"),
            ("he", "שלום עולם"),
            ("ar", "مُحَمَّد"),
            ("ko", "한국어 문서"),
        ]),
    )
    .await;
    for (query, expected) in [
        ("東京", "jp"),
        ("京都", "jp"),
        ("気", "jp"),
        ("北京", "zh"),
        ("שלום", "he"),
        ("محمد", "ar"),
        ("한국", "ko"),
    ] {
        let hits = store.search_one("c", Query::text(query), 5).await.unwrap();
        assert_eq!(hits.first().map(|hit| hit.id.to_string()).as_deref(), Some(expected), "{query}");
    }
    assert_eq!(
        store.search_one("c", Query::text("天"), 5).await.unwrap().len(),
        2,
        "a single character is a prefix"
    );
}

#[tokio::test]
async fn a_collection_gains_vectors_later() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    put(&store, "c", texts(&[("a", "one"), ("b", "two")])).await;
    let error = store.search_one("c", Query::dense([1.0, 0.0]), 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!store.capabilities(Some("c")).await.unwrap().dense);
    store.open(&CollectionSpec::new("c").with_dense(2).with_embedder("e1")).await.unwrap();
    assert!(store.capabilities(Some("c")).await.unwrap().dense);
    assert!(store.search_one("c", Query::dense([1.0, 0.0]), 3).await.unwrap().is_empty());
    put(&store, "c", vec![Record::new("one").with_id("a").with_dense(vec![0.0, 1.0])]).await;
    assert_eq!(ids(&store.search_one("c", Query::dense([1.0, 1.0]), 3).await.unwrap()), ["a"]);
    put(&store, "c", texts(&[("a", "one")])).await;
    assert!(
        store.search_one("c", Query::dense([1.0, 1.0]), 3).await.unwrap().is_empty(),
        "its vector was replaced by none"
    );
    let other = store.open(&CollectionSpec::new("c").with_dense(2).with_embedder("e2")).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::AlreadyExists);
    assert!(other.to_string().contains("e1") && other.to_string().contains("e2"), "{other}");
}

#[tokio::test]
async fn keys_the_store_chose_are_never_given_twice() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c").with_id(IdKind::AutoInt)).await.unwrap();
    let first =
        store.insert("c", vec![Record::new("x"), Record::new("y")]).await.unwrap().into_complete().unwrap();
    store.delete("c", &Selection::Ids(first.clone())).await.unwrap();
    let second = store.insert("c", vec![Record::new("z")]).await.unwrap().into_complete().unwrap();
    assert!(second[0] > first[1], "{first:?} {second:?}");
}

#[tokio::test]
async fn the_largest_key_is_never_written_over_by_one_the_store_chose() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c").with_id(IdKind::AutoInt)).await.unwrap();
    put(&store, "c", vec![Record::new("kept").with_id(i64::MAX)]).await;
    let records = vec![Record::new("x"), Record::new("y").with_id(5)];
    let report = store.upsert("c", records).await.unwrap();
    let (_, error) = report.failed().next().unwrap();
    assert_eq!((error.kind(), report.written()), (ErrorKind::Exhausted, 1), "{error}");
    assert_eq!(ids(&store.search_one("c", Query::text("kept"), 3).await.unwrap()), [i64::MAX.to_string()]);
}

#[tokio::test]
async fn vectors_of_any_size_rank_as_in_the_reference() {
    let fixture = Fixture::new().await;
    let sizes = [1e-40_f32, 1e-30, 1e-19, 1.0, 1e19, 1e30, 3e38];
    let directions = [[1.0_f32, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.5, 0.5, 0.7], [-1.0, 0.1, 0.0]];
    let vectors: Vec<Vec<f32>> = sizes
        .iter()
        .flat_map(|size| directions.map(|direction| direction.map(|value| value * size).to_vec()))
        .chain([vec![0.0; 3]])
        .collect();
    for metric in [Metric::Cosine, Metric::InnerProduct, Metric::L2] {
        let (store, reference) = (fixture.file.vectors(), InMemoryVectors::new());
        let name = metric.to_string();
        let spec = CollectionSpec::new(&name).with_dense(3).with_metric(metric);
        store.open(&spec).await.unwrap();
        reference.open(&spec).await.unwrap();
        let records: Vec<Record> = vectors
            .iter()
            .enumerate()
            .map(|(n, vector)| Record::new("x").with_id(format!("{n:02}")).with_dense(vector.clone()))
            .collect();
        put(&store, &name, records.clone()).await;
        reference.upsert(&name, records).await.unwrap().into_complete().unwrap();
        for query in &vectors {
            for limit in [1, 5, 100] {
                let search = Search::new(Query::dense(query.clone())).limit(limit);
                let expected = reference.search(&name, &search).await.unwrap();
                assert_eq!(store.search(&name, &search).await.unwrap(), expected, "{metric} {query:?}");
            }
        }
    }
}

/// As many, and of such a dimension, that vectors are looked at in several portions and blocks.
#[tokio::test]
async fn many_vectors_rank_as_in_the_reference_while_they_change() {
    let fixture = Fixture::new().await;
    let rng = &mut fastrand::Rng::with_seed(11);
    // Small numbers, so that many scores tie.
    let vector =
        |rng: &mut fastrand::Rng| -> Vec<f32> { (0..70).map(|_| f32::from(rng.i8(-1..2))).collect() };
    for metric in [Metric::Cosine, Metric::InnerProduct, Metric::L2] {
        let (store, reference) = (fixture.file.vectors(), InMemoryVectors::new());
        let name = metric.to_string();
        let spec = CollectionSpec::new(&name).with_dense(70).with_metric(metric);
        store.open(&spec).await.unwrap();
        reference.open(&spec).await.unwrap();
        for round in 0..3 {
            let records: Vec<Record> = (0..1_200)
                .map(|_| {
                    let n = rng.u32(0..2_000);
                    let record = Record::new(format!("word{} of many", n % 50)).with_id(format!("{n:04}"));
                    let record = record.with_metadata(object(json!({ "tenth": n.is_multiple_of(10) })));
                    if rng.u8(0..9) > 0 { record.with_dense(vector(rng)) } else { record }
                })
                .collect();
            put(&store, &name, records.clone()).await;
            reference.upsert(&name, records).await.unwrap().into_complete().unwrap();
            let gone = Selection::Ids((0..100).map(|_| format!("{:04}", rng.u32(0..2_000)).into()).collect());
            let counts =
                (store.delete(&name, &gone).await.unwrap(), reference.delete(&name, &gone).await.unwrap());
            assert_eq!(counts.0, counts.1);
            for limit in [1, 10, 300, 5_000] {
                let (question, text) = (vector(rng), format!("word{}", rng.u8(0..50)));
                let legs = vec![Leg::text(text), Leg::dense(question.clone()), Leg::dense(vector(rng))];
                let queries = vec![Query::dense(question), Query::hybrid(legs, Fusion::rrf())];
                for filter in [None, Some(Filter::eq(Field::metadata("tenth"), true))] {
                    let search = Search::many(queries.clone()).limit(limit).filter(filter);
                    let expected = reference.search(&name, &search).await.unwrap();
                    let found = store.search(&name, &search).await.unwrap();
                    assert!(found == expected, "{metric} round {round} limit {limit} {:?}", search.filter);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_filter_that_keeps_a_few_of_many_vectors_keeps_the_right_ones() {
    let fixture = Fixture::new().await;
    let (store, reference) = (fixture.file.vectors(), InMemoryVectors::new());
    let spec = CollectionSpec::new("c").with_dense(2);
    store.open(&spec).await.unwrap();
    reference.open(&spec).await.unwrap();
    let records: Vec<Record> = (0..2_500_u16)
        .map(|n| {
            let angle = f32::from(n) / 1_000.0;
            let record = Record::new("x").with_id(format!("{n:04}"));
            record.with_dense(vec![angle.cos(), angle.sin()]).with_metadata(object(json!({ "n": n })))
        })
        .collect();
    put(&store, "c", records.clone()).await;
    reference.upsert("c", records).await.unwrap().into_complete().unwrap();
    let n = || Field::metadata("n");
    // The query is nearest to the first records, so the kept ones are found late or never.
    for filter in [Filter::eq(n(), 2_400), Filter::ge(n(), 2_300), Filter::eq(n(), -1)] {
        let search = Search::new(Query::dense([1.0, 0.0])).limit(5).filter(filter);
        let expected = reference.search("c", &search).await.unwrap();
        assert_eq!(store.search("c", &search).await.unwrap(), expected, "{:?}", search.filter);
    }
}

#[tokio::test]
async fn a_dropped_collection_leaves_nothing_for_one_of_the_same_name() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c").with_dense(2)).await.unwrap();
    put(&store, "c", vec![Record::new("old").with_id("a").with_dense(vec![1.0, 0.0])]).await;
    assert_eq!(store.search_one("c", Query::dense([1.0, 0.0]), 3).await.unwrap().len(), 1);
    assert!(store.drop_collection("c").await.unwrap());
    assert!(!store.drop_collection("c").await.unwrap());
    let gone = store.search_one("c", Query::text("old"), 3).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    store.open(&CollectionSpec::new("c").with_dense(2)).await.unwrap();
    assert!(store.search_one("c", Query::text("old"), 3).await.unwrap().is_empty());
    assert!(store.search_one("c", Query::dense([1.0, 0.0]), 3).await.unwrap().is_empty());
    assert_eq!(store.collections().await.unwrap(), ["c"]);
}
