//! SQLite gives what the in-memory reference gives, on random corpora, through writes and deletes.

use arshai_core::{
    Filter,
    filter::{CompareOp, Field, PathPart, Scalar},
    vector::{
        CollectionSpec, Fusion, Id, IdKind, InMemoryVectors, Leg, Metric, Output, Query, Record, RowQuery,
        Search, Selection, VectorStore,
    },
};
use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::Fixture;

const WORDS: &[&str] = &[
    "the",
    "memory",
    "vector",
    "store",
    "search",
    "running",
    "runs",
    "café",
    "cafe",
    "東京都",
    "東京",
    "京都",
    "猫",
    "שלום",
    "مرحبا",
    "a",
    "of",
    "index",
    "AND",
    "NOT",
    "NEAR",
    "kept",
    "twelve",
    "hours",
    "=1",
    "cat=2",
];

fn text(rng: &mut Rng) -> String {
    let words: Vec<&str> = (0..rng.usize(0..12)).map(|_| WORDS[rng.usize(0..WORDS.len())]).collect();
    words.join(if rng.u8(0..8) == 0 { "" } else { " " })
}

fn value(rng: &mut Rng, depth: usize) -> Value {
    match rng.u8(0..if depth > 0 { 12 } else { 9 }) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 => json!(rng.i64(-3..4)),
        3 => json!([i64::MAX, i64::MIN, 9_007_199_254_740_993][rng.usize(0..3)]),
        4 => json!([u64::MAX, 1 << 63][rng.usize(0..2)]),
        5 => json!([0.0, -0.0, 1.0, 1.5, -2.0, 0.1, 1e300, 9_007_199_254_740_992.0, 9.3e18][rng.usize(0..9)]),
        6..=8 => json!(STRINGS[rng.usize(0..STRINGS.len())]),
        9 | 10 => (0..rng.usize(0..4)).map(|_| value(rng, depth - 1)).collect(),
        _ => Value::Object(metadata(rng, depth - 1)),
    }
}

const STRINGS: &[&str] = &[
    "",
    "a",
    "A",
    "ab",
    "abc",
    "é",
    "e\u{301}",
    "a\u{0}b",
    "\"",
    "a\"b",
    "\\",
    "%",
    "_",
    "東京",
    "true",
    "1",
    "null",
    "\u{10FFFF}",
    "\n",
];
const KEYS: &[&str] =
    &["source", "n", "s", "deep", "a b", "a\"b", "a\\b", "$", "", "é", "[0]", "a.b", "x'y", "k\u{0}"];

fn metadata(rng: &mut Rng, depth: usize) -> Map<String, Value> {
    (0..rng.usize(0..6)).map(|_| (KEYS[rng.usize(0..KEYS.len())].to_owned(), value(rng, depth))).collect()
}

fn field(rng: &mut Rng) -> Field {
    match rng.u8(0..10) {
        0 => Field::Id,
        1 => Field::Text,
        _ => {
            let mut path = vec![PathPart::Key(KEYS[rng.usize(0..KEYS.len())].to_owned())];
            while rng.u8(0..3) == 0 {
                path.push(match rng.bool() {
                    true => PathPart::Index(rng.usize(0..3)),
                    false => PathPart::Key(KEYS[rng.usize(0..KEYS.len())].to_owned()),
                });
            }
            Field::Metadata(path)
        }
    }
}

fn scalar(rng: &mut Rng) -> Scalar {
    match value(rng, 0) {
        Value::Bool(value) => Scalar::Bool(value),
        Value::String(value) => Scalar::Text(value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Scalar::Int(value),
            None => Scalar::Float(number.as_f64().unwrap()),
        },
        _ => Scalar::Text(format!("id{}", rng.u8(0..30))),
    }
}

fn filter(rng: &mut Rng, depth: usize) -> Filter {
    let parts = |rng: &mut Rng| (0..rng.usize(0..4)).map(|_| filter(rng, depth - 1)).collect();
    match rng.u8(0..if depth > 0 { 14 } else { 10 }) {
        0..=3 => {
            let ops =
                [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];
            Filter::Compare(field(rng), ops[rng.usize(0..6)], scalar(rng))
        }
        4 => Filter::In(field(rng), (0..rng.usize(0..4)).map(|_| scalar(rng)).collect()),
        5 => Filter::Exists(field(rng)),
        6 => Filter::StartsWith(field(rng), STRINGS[rng.usize(0..STRINGS.len())].to_owned()),
        7 => Filter::Like(field(rng), ["%", "a%", "_", "%b", "\\%", ""][rng.usize(0..6)].to_owned()),
        8 => Filter::Contains(field(rng), scalar(rng)),
        9 => Filter::ContainsAny(field(rng), (0..rng.usize(0..3)).map(|_| scalar(rng)).collect()),
        10 => Filter::And(parts(rng)),
        11 => Filter::Or(parts(rng)),
        _ => !filter(rng, depth - 1),
    }
}

fn vector(rng: &mut Rng) -> Vec<f32> {
    (0..DIMENSION).map(|_| f32::from(rng.i8(-4..5)) / 2.0).collect()
}

const DIMENSION: usize = 5;

fn record(rng: &mut Rng, id: Id) -> Record {
    let record = Record::new(text(rng)).with_id(id).with_metadata(metadata(rng, 2));
    if rng.u8(0..4) > 0 { record.with_dense(vector(rng)) } else { record }
}

fn id(rng: &mut Rng, kind: IdKind) -> Id {
    match kind {
        IdKind::Text => Id::Text(format!("id{}", rng.u8(0..60))),
        _ => Id::Int(rng.i64(-20..40)),
    }
}

/// One random life of a collection, lived by both stores.
async fn live(seed: u64, metric: Metric, kind: IdKind) {
    let rng = &mut Rng::with_seed(seed);
    let fixture = Fixture::new().await;
    let (ours, reference) = (fixture.file.vectors(), InMemoryVectors::new());
    let spec = CollectionSpec::new("c").with_dense(DIMENSION).with_metric(metric).with_id(kind);
    ours.open(&spec).await.unwrap();
    reference.open(&spec).await.unwrap();
    for round in 0..6 {
        let records: Vec<Record> = (0..rng.usize(1..60))
            .map(|_| {
                let id = id(rng, kind);
                record(rng, id)
            })
            .collect();
        let insert = rng.u8(0..3) == 0;
        let written = |report: &arshai_core::vector::WriteReport| report.ids().cloned().collect::<Vec<_>>();
        let (a, b) = if insert {
            (ours.insert("c", records.clone()).await.unwrap(), reference.insert("c", records).await.unwrap())
        } else {
            (ours.upsert("c", records.clone()).await.unwrap(), reference.upsert("c", records).await.unwrap())
        };
        assert_eq!(written(&a), written(&b), "seed {seed} round {round}");
        if round % 2 == 1 {
            let selection = match rng.bool() {
                true => Selection::Ids((0..8).map(|_| id(rng, kind)).collect()),
                false => Selection::Filter(filter(rng, 1)),
            };
            let (a, b) = (
                ours.delete("c", &selection).await.unwrap(),
                reference.delete("c", &selection).await.unwrap(),
            );
            assert_eq!(a, b, "seed {seed} round {round} {selection:?}");
        }
        assert_eq!(
            ours.stats("c").await.unwrap(),
            reference.stats("c").await.unwrap(),
            "seed {seed} round {round}"
        );
        compare(rng, &ours, &reference, seed).await;
    }
}

async fn compare(rng: &mut Rng, ours: &impl VectorStore, reference: &InMemoryVectors, seed: u64) {
    for _ in 0..12 {
        let legs = vec![Leg::dense(vector(rng)).limit(rng.usize(1..20)), Leg::text(text(rng)).min_score(0.2)];
        let queries = vec![
            Query::text(text(rng)),
            Query::dense(vector(rng)),
            Query::hybrid(legs, Fusion::weighted_rrf([1.0, 2.5])),
        ];
        let filter = rng.bool().then(|| filter(rng, 2));
        let search = Search::many(queries)
            .filter(filter)
            .limit(rng.usize(1..8))
            .offset(rng.usize(0..3))
            .output(Output::default());
        let (a, b) =
            (ours.search("c", &search).await.unwrap(), reference.search("c", &search).await.unwrap());
        assert_eq!(a, b, "seed {seed} {search:?}");
    }
    let (mut split, everything) = (0, reference.query("c", &RowQuery::all()).await.unwrap().rows.len());
    for _ in 0..60 {
        let filter = filter(rng, 2);
        let query = RowQuery::all().filter(filter.clone()).output(Output::all()).limit(rng.usize(1..70));
        let (a, b) = (ours.query("c", &query).await.unwrap(), reference.query("c", &query).await.unwrap());
        assert_eq!(a, b, "seed {seed} {filter}");
        let next = a.next.clone();
        split += usize::from(!a.rows.is_empty() && next.is_none() && a.rows.len() < everything);
        if next.is_some() {
            let query = query.after(next);
            let (a, b) =
                (ours.query("c", &query).await.unwrap(), reference.query("c", &query).await.unwrap());
            assert_eq!(a, b, "seed {seed} {filter}");
        }
    }
    assert!(split > 0 || everything < 20, "the filters tell nothing apart: {split}");
}

#[tokio::test]
async fn a_random_life_with_text_keys_and_cosine() {
    for seed in 0..8 {
        live(seed, Metric::Cosine, IdKind::Text).await;
    }
}

#[tokio::test]
async fn a_random_life_with_integer_keys_and_distance() {
    for seed in 100..104 {
        live(seed, Metric::L2, IdKind::Int).await;
    }
}

#[tokio::test]
async fn a_random_life_with_chosen_keys_and_inner_product() {
    for seed in 200..204 {
        live(seed, Metric::InnerProduct, IdKind::AutoInt).await;
    }
}
