//! Documents in Milvus.

use std::path::Path;

use serde_json::Value;

use crate::{
    address,
    program::{Program, Run, weights},
};

/// A collection of this test alone, in Milvus Lite.
struct Collection(String);

impl Collection {
    fn new() -> Self {
        Self(format!("cli_{:016x}", fastrand::u64(..)))
    }

    fn run(&self, program: &Program, arguments: &[&str]) -> Run {
        let mut command = program.command(&[arguments, &["--collection", &self.0, "--json"]].concat());
        let address = address("ARSHAI_TEST_MILVUS_LITE_URI").replacen("http://", "milvus://", 1);
        let run = Run::of(
            &command
                .env("ARSHAI_STORE", address)
                .env("ARSHAI_EMBEDDER", "local")
                .env("ARSHAI_MODEL_DIR", weights())
                .output()
                .unwrap(),
        );
        assert_eq!(run.status, Some(0), "{arguments:?}: {run:?}");
        run
    }

    fn json(&self, program: &Program, arguments: &[&str]) -> Value {
        self.run(program, arguments).json()
    }
}

#[test]
fn the_guide_of_this_repository_is_ingested_and_answers_by_hybrid_search() {
    let (program, collection) = (Program::new(), Collection::new());
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").canonicalize().unwrap();
    let docs = docs.to_str().unwrap();
    let report = collection.json(&program, &["ingest", docs]);
    assert!(report["written"].as_u64().unwrap() > 50 && report["written"] == report["embedded"], "{report}");
    let again = collection.json(&program, &["ingest", docs]);
    assert_eq!((&again["written"], &again["unchanged"]), (&0.into(), &report["documents"]), "{again}");
    let found = collection.json(&program, &["search", "How long is a conversation kept?"]);
    assert_eq!(found["mode"], "hybrid", "{found}");
    let answer = collection.json(&program, &["ask", "How long is a conversation kept?"]);
    assert!(!answer["citations"].as_array().unwrap().is_empty(), "{answer}");
}

#[test]
fn what_is_exported_from_a_file_comes_back_from_milvus_and_redis_as_it_was() {
    let (program, collection) = (Program::new(), Collection::new());
    for n in 0..40 {
        program.write(
            &format!("docs/{n}.md"),
            format!("# Part {n}\n\nPart {n} is painted blue, and weighs {n} kg."),
        );
    }
    let id = format!("walk-{:016x}", fastrand::u64(..));
    let file = |arguments: &[&str]| {
        let arguments =
            [arguments, &["--collection", &collection.0, "--store", "sqlite://there.db", "--json"]];
        let run = Run::of(
            &program
                .command(&arguments.concat())
                .env("ARSHAI_EMBEDDER", "local")
                .env("ARSHAI_MODEL_DIR", weights())
                .output()
                .unwrap(),
        );
        assert_eq!(run.status, Some(0), "{run:?}");
        run
    };
    file(&["ingest", "docs"]);
    file(&["memory", "set", &id, "what was said"]);
    file(&["export", "-o", "there.ndjson"]);
    let servers = |arguments: &[&str]| {
        let mut command = program.command(&[arguments, &["--collection", &collection.0, "--json"]].concat());
        let store = address("ARSHAI_TEST_MILVUS_LITE_URI").replacen("http://", "milvus://", 1);
        command.env("ARSHAI_STORE", store).env("ARSHAI_MEMORY", address("ARSHAI_TEST_REDIS_URL"));
        let run = Run::of(&command.output().unwrap());
        assert_eq!(run.status, Some(0), "{arguments:?}: {run:?}");
        run
    };
    let taken = servers(&["import", "there.ndjson"]).json();
    assert_eq!((&taken["written_records"], &taken["written_memories"]), (&40.into(), &1.into()), "{taken}");
    assert_eq!(servers(&["import", "there.ndjson"]).json()["written_records"], 0);
    assert_eq!(servers(&["memory", "show", &id]).json()["working_memory"], "what was said");
    let exported = servers(&["export", "--only", "documents", "-o", "back.ndjson"]);
    // A collection there may have columns that nobody here knows of.
    assert!(exported.stderr.contains("further columns"), "{exported:?}");
    let sorted = |name: &str| {
        let text = std::fs::read_to_string(program.path().join(name)).unwrap();
        let mut lines: Vec<String> =
            text.lines().filter(|line| line.contains(r#""line":"record""#)).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted("there.ndjson"), sorted("back.ndjson"));
    servers(&["memory", "delete", &id]);
}
