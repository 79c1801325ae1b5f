//! pymilvus beside this crate on the same server: each reads, searches and changes what the other wrote.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use arshai_core::{
    Filter,
    filter::Field,
    vector::{
        CollectionSpec, Consistency, Id, Output, Query, Record, Row, RowQuery, Search, Selection,
        VectorStore as _,
    },
};
use serde_json::{Value, json};

use crate::{Scratch, engine, object, packages};

const PROGRAM: &str = include_str!("pymilvus/vectors.py");
/// The requirements of the benchmark's baseline, which is pymilvus too.
const REQUIREMENTS: &str = include_str!("../../../../benches/python/milvus.txt");

/// A Python process with pymilvus in it.
struct Python {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-s", "-B", "-W", "ignore", "-c", PROGRAM, &engine().1])
            .env("PYTHONPATH", library())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (requests, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, requests, answers: BufReader::new(answers) }
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.requests, "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{request} is answered by {answer:?}: {error}"))
    }
}

fn library() -> PathBuf {
    packages::python(&format!("bench-milvus-python{}", packages::version()), REQUIREMENTS)
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TEXTS: [&str; 4] = ["grüße 👨‍👩‍👧", "a \"quoted\"\nline", "x", ""];

fn metadata(n: usize) -> Value {
    json!({ "n": n, "big": 9_007_199_254_740_993_i64, "deep": { "x": [0.1, null, true] }, "s": format!("s{n}") })
}

fn vector(n: usize) -> [f32; 3] {
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]][n]
}

async fn all(scratch: &Scratch) -> Vec<Row> {
    let query = RowQuery::all().output(Output::all()).consistency(Consistency::Strong);
    scratch.store.query(&scratch.name, &query).await.unwrap().rows
}

#[tokio::test]
async fn arshai_reads_searches_and_changes_what_pymilvus_wrote() {
    let mut python = Python::start();
    // One server refuses to choose keys that are texts.
    for (key, auto) in [("id", true), ("doc_id", engine().0 != "milvus-lite-py")] {
        let scratch = Scratch::new("theirs");
        let (name, store) = (&scratch.name, &scratch.store);
        python.ask(&json!({ "do": "create", "name": name, "dimension": 3, "key": key, "auto": auto }));
        let row = |n: usize| {
            let mut row = json!({ "text": TEXTS[n], "metadata": metadata(n), "dense_vector": vector(n) });
            if !auto {
                row[key] = json!(format!("k{n}"));
            }
            row
        };
        let rows: Vec<Value> = (0..TEXTS.len()).map(row).collect();
        python.ask(&json!({ "do": "write", "name": name, "how": "insert", "rows": rows }));

        // The kind of key is the caller's to say, as everywhere; who does not know it asks `describe`.
        let mut spec = CollectionSpec::new(name).with_dense(3);
        spec.id = store.describe(name).await.unwrap().unwrap().spec.id;
        let opened = store.open(&spec).await.unwrap();
        assert_eq!(opened.spec.fields.id, key);
        let mut read = all(&scratch).await;
        read.sort_by_key(|row| row.metadata["n"].as_u64());
        for (n, row) in read.iter().enumerate() {
            assert_eq!((row.text.as_str(), &Value::Object(row.metadata.clone())), (TEXTS[n], &metadata(n)));
            assert_eq!(row.dense.as_deref(), Some(vector(n).as_slice()));
        }
        assert_eq!(read.len(), TEXTS.len());

        let search = Search::new(Query::dense(vector(1))).limit(2).consistency(Consistency::Strong);
        let hits = store.search(name, &search.clone()).await.unwrap().remove(0);
        let found: Vec<_> = hits.iter().map(|hit| (hit.text.as_str(), hit.score)).collect();
        assert_eq!(found, [(TEXTS[1], 1.0), (TEXTS[2], 0.8)]);
        let only = search.filter(Filter::eq(Field::metadata("s"), "s0"));
        assert_eq!(store.search(name, &only).await.unwrap()[0].len(), 1);

        let gone = Selection::Filter(Filter::ge(Field::metadata("n"), 2));
        assert_eq!(store.delete(name, &gone).await.unwrap(), 2);
        let mut ours = Record::new("ours").with_dense(vector(0).to_vec()).with_metadata(object(metadata(7)));
        if !auto {
            ours = ours.with_id("k7");
        }
        store.insert(name, vec![ours]).await.unwrap().into_complete().unwrap();
        let filter = if key == "id" { "id >= 0" } else { "doc_id >= \"\"" };
        let seen = python.ask(&json!({ "do": "query", "name": name, "filter": filter }));
        let mut seen: Vec<&str> =
            seen.as_array().unwrap().iter().map(|row| row["text"].as_str().unwrap()).collect();
        seen.sort_unstable();
        let mut expected = vec!["ours", TEXTS[0], TEXTS[1]];
        expected.sort_unstable();
        assert_eq!(seen, expected);
        scratch.drop().await;
    }
}

#[tokio::test]
async fn pymilvus_reads_searches_and_changes_what_arshai_wrote() {
    let mut python = Python::start();
    let scratch = Scratch::new("ours");
    let (name, store) = (&scratch.name, &scratch.store);
    store.open(&CollectionSpec::new(name).with_dense(3)).await.unwrap();
    let record = |n: usize| {
        Record::new(TEXTS[n])
            .with_id(format!("k{n}"))
            .with_dense(vector(n).to_vec())
            .with_metadata(object(metadata(n)))
    };
    scratch.put((0..TEXTS.len()).map(record).collect()).await;

    let seen = python.ask(&json!({ "do": "query", "name": name, "filter": "id >= \"\"" }));
    let mut seen = seen.as_array().unwrap().clone();
    seen.sort_by_key(|row| row["id"].as_str().map(str::to_owned));
    assert_eq!(seen.len(), TEXTS.len());
    for (n, row) in seen.iter().enumerate() {
        assert_eq!((&row["id"], &row["text"]), (&json!(format!("k{n}")), &json!(TEXTS[n])));
        assert_eq!(row["metadata"], metadata(n));
        let dense: Vec<f32> = serde_json::from_value(row["dense_vector"].clone()).unwrap();
        assert_eq!(dense, vector(n));
    }
    let filter = "metadata[\"n\"] >= 1";
    let asked = json!({ "do": "search", "name": name, "vector": vector(0), "limit": 2, "filter": filter });
    let hits = python.ask(&asked);
    assert_eq!((&hits[0]["entity"]["text"], hits.as_array().unwrap().len()), (&json!(TEXTS[2]), 2));

    python.ask(&json!({ "do": "delete", "name": name, "filter": "id in [\"k0\", \"k3\"]" }));
    let rows = all(&scratch).await;
    let left: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
    assert_eq!(left, [Id::from("k1"), Id::from("k2")]);
    scratch.drop().await;
}
