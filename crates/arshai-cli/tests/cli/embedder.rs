//! The embedder: whom flag, environment and default name, when it is needed, and what becomes of vectors.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use arshai_core::{
    Result,
    embed::{Embedder, EmbeddingBatch, Input},
};
use arshai_kb_tool::{Document, KnowledgeBase};
use arshai_sqlite::{SqliteConfig, SqliteFile};
use serde_json::{Value, json};

use crate::program::{Program, Run, weights};

/// No word of the question stands in the text, nor does its stem.
const KITTEN: &str = "A kitten sleeps on the warm windowsill.";
const EARNINGS: &str = "Quarterly earnings fell short of what analysts had expected.";
const QUESTION: &str = "where do cats nap?";

/// The program as its user finds it: no embedder named, and the weights there.
fn with_weights(program: &Program, arguments: &[&str]) -> Command {
    let mut command = program.command(arguments);
    command.env_remove("ARSHAI_EMBEDDER").env("ARSHAI_MODEL_DIR", weights());
    command
}

/// The same without weights and without a network.
fn offline(program: &Program, arguments: &[&str]) -> Command {
    let mut command = program.command(arguments);
    command.env_remove("ARSHAI_EMBEDDER").env("ARSHAI_MODEL_DIR", program.path().join("model"));
    command.env("PIP_INDEX_URL", "http://127.0.0.1:9/simple").env("PIP_FIND_LINKS", "");
    command.env_remove("PIP_EXTRA_INDEX_URL").env_remove("PIP_NO_INDEX");
    command
}

fn run(mut command: Command) -> Run {
    Run::of(&command.output().unwrap())
}

fn success(command: Command) -> Value {
    let run = run(command);
    assert_eq!(run.status, Some(0), "{run:?}");
    run.json()
}

/// Runs what must end soon and writes little.
fn run_bounded(mut command: Command) -> Run {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("it has not ended after 20 seconds: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(5));
    }
    println!("ended after {:.2} s", started.elapsed().as_secs_f32());
    Run::of(&child.wait_with_output().unwrap())
}

fn with_docs() -> Program {
    let program = Program::new();
    program.write("docs/kitten.md", KITTEN);
    program.write("docs/earnings.md", EARNINGS);
    program
}

fn counts(report: &Value) -> [u64; 4] {
    ["chunks", "written", "embedded", "unchanged"].map(|name| report[name].as_u64().unwrap())
}

fn sources(found: &Value) -> Vec<&str> {
    found["hits"].as_array().unwrap().iter().map(|hit| hit["source"].as_str().unwrap()).collect()
}

#[test]
fn without_the_model_and_a_network_one_line_says_so_and_words_are_searched() {
    let program = with_docs();
    for arguments in [
        &["ingest", "docs"][..],
        &["ingest", "docs", "--json"],
        &["ask", "--docs", "docs", "--json", "Where does the kitten sleep?"],
    ] {
        let run = run_bounded(offline(&program, arguments));
        assert_eq!(run.status, Some(0), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        for part in ["arshai model pull", "ARSHAI_MODEL_DIR", "words only"] {
            assert!(run.stderr.contains(part), "{part}: {run:?}");
        }
        if arguments.contains(&"--json") {
            let note: Value = serde_json::from_str(&run.stderr).unwrap();
            assert!(note["note"].is_string(), "{note}");
        }
    }
    let run = run(offline(&program, &["search", "kitten", "--json"]));
    assert_eq!((&run.json()["mode"], sources(&run.json())), (&json!("lexical"), vec!["docs/kitten.md"]));
}

#[test]
fn a_collection_with_vectors_is_still_searched_by_words_without_the_model() {
    let program = with_docs();
    success(with_weights(&program, &["ingest", "docs", "--json"]));
    let run = run_bounded(offline(&program, &["search", "kitten", "--json"]));
    assert_eq!((run.status, run.stderr.lines().count()), (Some(0), 1), "{run:?}");
    assert_eq!(run.json()["mode"], "lexical");
    // What was added meanwhile gets its vector later.
    program.write("docs/ships.md", "A vessel crosses the ocean.");
    assert_eq!(counts(&success(offline(&program, &["ingest", "docs", "--json"]))), [3, 1, 0, 2]);
    assert_eq!(counts(&success(with_weights(&program, &["ingest", "docs", "--json"]))), [3, 1, 1, 3]);
}

#[test]
fn an_embedder_asked_for_by_name_is_not_done_without() {
    let program = with_docs();
    let by_flag = offline(&program, &["ingest", "docs", "--embedder", "local"]);
    let mut by_environment = offline(&program, &["ingest", "docs"]);
    by_environment.env("ARSHAI_EMBEDDER", "local");
    for command in [by_flag, by_environment] {
        run_bounded(command).assert_fails(1, "ARSHAI_MODEL_DIR");
    }
    let run = run_bounded(offline(&program, &["ingest", "docs", "--embedder", "local", "--json"]));
    let last: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["kind"], "unavailable", "{run:?}");
    // Neither is a search by meaning.
    success(with_weights(&program, &["ingest", "docs", "--json"]));
    for mode in ["dense", "hybrid"] {
        run_bounded(offline(&program, &["search", "x", "--mode", mode])).assert_fails(1, "ARSHAI_MODEL_DIR");
    }
}

#[test]
fn the_flag_beats_the_environment() {
    let program = with_docs();
    let mut command = offline(&program, &["ingest", "docs", "--embedder", "none", "--json"]);
    command.env("ARSHAI_EMBEDDER", "local");
    assert_eq!(counts(&success(command)), [2, 2, 0, 0]);
}

#[test]
fn the_model_is_left_alone_where_it_is_not_needed() {
    let program = with_docs();
    let folder = program.path().join("broken");
    program.write("broken/model.onnx", "no model");
    program.write("broken/tokenizer.json", "{}");
    program.json(&["ingest", "docs"]);
    let broken = |arguments: &[&str]| {
        let mut command = program.command(arguments);
        command.env("ARSHAI_EMBEDDER", "local").env("ARSHAI_MODEL_DIR", &folder);
        run(command)
    };
    broken(&["ingest", "docs"]).assert_fails(1, "json");
    for arguments in
        [&["memory", "list"][..], &["memory", "set", "c", "text"], &["search", "kitten", "--mode", "lexical"]]
    {
        let run = broken(arguments);
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    }
    for arguments in [&["search", "kitten"][..], &["ask", "Where does the kitten sleep?"], &["chat"]] {
        let run = broken(arguments);
        assert_eq!(run.status, Some(0), "{run:?}");
        assert!(run.stderr.contains("holds no vectors") && run.stderr.contains("arshai ingest"), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    for mode in ["dense", "hybrid"] {
        broken(&["search", "kitten", "--mode", mode]).assert_fails(1, "holds no vectors");
    }
    broken(&["search", "kitten", "--collection", "absent"]).assert_fails(1, "does not exist");
}

#[test]
fn a_damaged_model_is_told_and_done_without_unless_it_was_asked_for() {
    let program = with_docs();
    program.write("model/model.onnx", "no model");
    std::fs::copy(weights().join("tokenizer.json"), program.path().join("model/tokenizer.json")).unwrap();
    let run = run(offline(&program, &["ingest", "docs", "--json"]));
    assert_eq!((run.status, run.stderr.lines().count()), (Some(0), 1), "{run:?}");
    assert!(run.stderr.contains("model.onnx"), "{run:?}");
    assert_eq!(counts(&run.json()), [2, 2, 0, 0]);
    run_bounded(offline(&program, &["ingest", "docs", "--embedder", "local"])).assert_fails(1, "model.onnx");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let program = with_docs();
    program.write("model", "a file where a folder should be");
    let run = run_bounded(offline(&program, &["ingest", "docs", "--json"]));
    assert_eq!((run.status, run.stderr.lines().count()), (Some(0), 1), "{run:?}");
    assert!(run.stderr.contains(program.path().join("model").to_str().unwrap()), "{run:?}");
}

#[test]
fn a_question_in_other_words_finds_the_passage() {
    let program = with_docs();
    assert_eq!(counts(&success(with_weights(&program, &["ingest", "docs", "--json"]))), [2, 2, 2, 0]);
    let by_words = success(with_weights(&program, &["search", QUESTION, "--mode", "lexical", "--json"]));
    assert_eq!(sources(&by_words), Vec::<&str>::new());
    let run = run(with_weights(&program, &["search", QUESTION, "--json"]));
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    assert_eq!(run.json()["mode"], "hybrid");
    assert_eq!(sources(&run.json())[0], "docs/kitten.md");
    let by_meaning = success(with_weights(&program, &["search", QUESTION, "--mode", "dense", "--json"]));
    assert_eq!(sources(&by_meaning)[0], "docs/kitten.md");
}

#[test]
fn chunks_without_vectors_get_them_from_the_next_ingest() {
    let program = with_docs();
    assert_eq!(counts(&program.json(&["ingest", "docs"])), [2, 2, 0, 0]);
    let search = || success(with_weights(&program, &["search", QUESTION, "--json"]));
    assert_eq!((&search()["mode"], search()["hits"].as_array().unwrap().len()), (&json!("lexical"), 0));
    let ingest = || counts(&success(with_weights(&program, &["ingest", "docs", "--json"])));
    assert_eq!(ingest(), [2, 2, 2, 2], "the documents are unchanged, their chunks are written with vectors");
    assert_eq!(ingest(), [2, 0, 0, 2], "once");
    assert_eq!((&search()["mode"], sources(&search())[0]), (&json!("hybrid"), "docs/kitten.md"));
    // Into a collection with vectors too, and only what lacks one is written.
    program.write("docs/ships.md", "A vessel crosses the ocean.");
    assert_eq!(counts(&program.json(&["ingest", "docs"])), [3, 1, 0, 2]);
    assert_eq!(ingest(), [3, 1, 1, 3]);
    // Without an embedder nothing is taken away again.
    assert_eq!(counts(&program.json(&["ingest", "docs"])), [3, 0, 0, 3]);
    assert_eq!(ingest(), [3, 0, 0, 3]);
}

#[derive(Debug)]
struct OtherEmbedder;

#[async_trait::async_trait]
impl Embedder for OtherEmbedder {
    fn id(&self) -> &str {
        "another-model-1"
    }

    fn dimension(&self) -> Option<usize> {
        Some(384)
    }

    async fn embed(&self, texts: &[&str], _input: Input) -> Result<EmbeddingBatch> {
        let one = |text: &&str| (0..384).map(|n| ((n + text.len()) % 7 + 1) as f32).collect::<Vec<f32>>();
        EmbeddingBatch::new(texts.len(), 384, texts.iter().flat_map(one).collect())
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_collection_of_another_embedder_is_refused_with_both_ids_and_the_way_out() {
    let program = with_docs();
    program.json(&["memory", "list"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let file = SqliteFile::open(SqliteConfig::new(program.database())).await.unwrap();
        let base =
            KnowledgeBase::new(Arc::new(file.vectors()), "default").with_embedder(Arc::new(OtherEmbedder));
        let report = base.ingest_documents([Document::new("a", KITTEN)], &()).await.unwrap();
        assert_eq!(report.embedded, 1);
        file.close().await.unwrap();
    });
    for arguments in [&["ingest", "docs"][..], &["search", "kitten"], &["ask", "kitten?"], &["chat"]] {
        let run = run(with_weights(&program, &[arguments, &["--json"]].concat()));
        run.assert_fails(1, "already_exists");
        for part in ["another-model-1", "all-MiniLM-L6-v2-int8-", "--collection", "--embedder none"] {
            assert!(run.stderr.contains(part), "{part}: {run:?}");
        }
    }
    // The ways out.
    assert_eq!(
        success(with_weights(&program, &["search", "kitten", "--embedder", "none", "--json"]))["mode"],
        "lexical"
    );
    let other = |arguments: &[&str]| {
        with_weights(&program, &[arguments, &["--collection", "new", "--json"]].concat())
    };
    assert_eq!(counts(&success(other(&["ingest", "docs"]))), [2, 2, 2, 0]);
    assert_eq!(success(other(&["search", "kitten"]))["mode"], "hybrid");
}
