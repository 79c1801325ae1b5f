//! What outside programs rely on: arguments, JSON, exit statuses.

use serde_json::{Value, json};

use crate::program::{Program, keys};

const MOON: &str = "# The Moon\n\nThe moon orbits the earth in about twenty-seven days.\n";
const BREAD: &str = "# Bread\n\nSourdough bread needs a starter of flour and water.\n";

fn with_docs() -> Program {
    let program = Program::new();
    program.write("docs/moon.md", MOON);
    program.write("docs/bread.md", BREAD);
    program
}

#[test]
fn ingest_reports_every_number_and_a_second_run_writes_nothing() {
    let program = with_docs();
    program.write("docs/.hidden.md", "hidden");
    program.write("docs/.gitignore", "ignored.md\n");
    program.write("docs/ignored.md", "ignored");
    program.write("docs/blank.txt", " \n\t\n");
    program.write("docs/image.md", b"\x89PNG\0\0\0");
    program.write("docs/data.xyz", "unsupported");
    let report = program.json(&["ingest", "docs"]);
    assert_eq!(
        keys(&report),
        [
            "chunks",
            "documents",
            "embedded",
            "failed",
            "not_attempted",
            "removed",
            "skipped",
            "unchanged",
            "written"
        ]
    );
    assert_eq!(report["documents"], 2);
    assert_eq!(report["written"], report["chunks"]);
    assert_eq!(
        report["skipped"],
        json!({"hidden": 2, "ignored": 1, "binary": 1, "empty": 1, "unsupported": 1})
    );
    let again = program.json(&["ingest", "./docs/"]);
    assert_eq!(
        (&again["written"], &again["unchanged"], &again["removed"]),
        (&json!(0), &json!(2), &json!(0))
    );
}

#[test]
fn a_changed_file_is_replaced_and_a_gone_one_removed() {
    let program = with_docs();
    program.write("docs/third.md", "The third document speaks of lighthouses.");
    program.json(&["ingest", "docs"]);
    program.write("docs/moon.md", "# The Moon\n\nThe moon is made of basalt.\n");
    std::fs::remove_file(program.path().join("docs/bread.md")).unwrap();
    let report = program.json(&["ingest", "docs"]);
    assert_eq!((&report["removed"], &report["unchanged"]), (&json!(1), &json!(1)));
    let sources = |query: &str| -> Vec<Value> {
        let found = program.json(&["search", query]);
        found["hits"].as_array().unwrap().iter().map(|hit| hit["source"].clone()).collect()
    };
    assert_eq!(sources("sourdough starter"), Vec::<Value>::new());
    assert_eq!(sources("orbits twenty-seven days"), Vec::<Value>::new());
    assert_eq!(sources("basalt"), [json!("docs/moon.md")]);
}

#[test]
fn an_emptied_folder_is_kept_until_prune() {
    let program = with_docs();
    program.json(&["ingest", "docs"]);
    std::fs::remove_dir_all(program.path().join("docs")).unwrap();
    std::fs::create_dir(program.path().join("docs")).unwrap();
    assert_eq!(program.json(&["ingest", "docs"])["removed"], 0);
    assert_eq!(program.json(&["search", "moon"])["hits"].as_array().unwrap().len(), 1);
    assert_eq!(program.json(&["ingest", "docs", "--prune"])["removed"], 2);
    assert_eq!(program.json(&["search", "moon"])["hits"], json!([]));
}

#[test]
fn search_prints_mode_and_hits() {
    let program = with_docs();
    program.json(&["ingest", "docs"]);
    let found = program.json(&["search", "how long does the moon take to orbit?", "--limit", "1"]);
    assert_eq!(keys(&found), ["hits", "mode"]);
    assert_eq!(found["mode"], "lexical");
    let hits = found["hits"].as_array().unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(keys(&hits[0]), ["id", "legs", "metadata", "score", "source", "text"]);
    assert_eq!(hits[0]["source"], "docs/moon.md");
    let filtered = program.json(&["search", "the", "--filter", r#"source == "docs/bread.md""#]);
    assert!(filtered["hits"].as_array().unwrap().iter().all(|hit| hit["source"] == "docs/bread.md"));
}

#[test]
fn ask_answers_with_citations_from_the_given_docs_only() {
    let program = with_docs();
    program.write("other/moon.md", "The moon orbits the earth in about ninety days, says the other folder.");
    program.json(&["ingest", "other"]);
    let answer =
        program.json(&["ask", "--docs", "docs", "How many days does the moon need to orbit the earth?"]);
    assert_eq!(keys(&answer), ["answer", "citations", "conversation", "usage"]);
    assert_eq!(answer["conversation"], "default");
    let citations = answer["citations"].as_array().unwrap();
    assert!(!citations.is_empty(), "{answer}");
    assert_eq!(keys(&citations[0]), ["id", "n", "score", "source", "text"]);
    assert!(citations.iter().all(|citation| citation["source"] == "docs/moon.md"), "{answer}");
    assert!(answer["answer"].as_str().unwrap().contains(&format!("[{}]", citations[0]["n"])));
    assert!(answer["answer"].as_str().unwrap().contains("twenty-seven"));
}

#[test]
fn what_is_not_in_the_documents_is_not_answered() {
    let program = with_docs();
    let answer = program.json(&["ask", "--docs", "docs", "Who won the football championship in Brazil?"]);
    assert_eq!(answer["citations"], json!([]));
}

#[test]
fn a_conversation_is_kept_shown_set_and_deleted() {
    let program = with_docs();
    program.json(&["ask", "--docs", "docs", "--conversation", "c1", "What does sourdough bread need?"]);
    let kept = program.json(&["memory", "show", "c1"]);
    assert_eq!(
        keys(&kept),
        [
            "conversation",
            "created_at",
            "last_update",
            "memory_type",
            "metadata",
            "revision",
            "ttl_seconds",
            "working_memory"
        ]
    );
    assert_eq!((&kept["memory_type"], &kept["ttl_seconds"]), (&json!("WORKING_MEMORY"), &Value::Null));
    assert!(
        kept["working_memory"]
            .as_str()
            .unwrap()
            .starts_with("\nUser: What does sourdough bread need?\nAssistant: ")
    );
    assert_eq!(program.json(&["memory", "list"])["conversations"], json!(["c1"]));
    let set = program.json(&["memory", "set", "c1", "short"]);
    assert_eq!((&set["working_memory"], &set["created_at"]), (&json!("short"), &kept["created_at"]));
    assert_ne!(set["revision"], kept["revision"]);
    assert_eq!(program.json(&["memory", "delete", "c1"])["deleted"], true);
    assert_eq!(program.json(&["memory", "delete", "c1"])["deleted"], false);
    program.run(&["memory", "show", "c1", "--json"]).assert_fails(1, "not_found");
}

#[test]
fn chat_answers_line_by_line_and_remembers() {
    let program = with_docs();
    program.json(&["ingest", "docs"]);
    let input = b"What does sourdough bread need?\nHow many days does the moon take to orbit the earth?\n";
    let run = program.run_with_input(&["chat", "--json", "--conversation", "talk"], input);
    assert_eq!(run.status, Some(0), "{run:?}");
    let replies: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replies.len(), 2);
    let first_source = |reply: &Value| reply["citations"][0]["source"].clone();
    assert_eq!(first_source(&replies[0]), "docs/bread.md");
    assert_eq!(first_source(&replies[1]), "docs/moon.md");
    let kept = program.json(&["memory", "show", "talk"]);
    assert_eq!(kept["working_memory"].as_str().unwrap().matches("\nUser: ").count(), 2);
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_known() {
    let program = Program::new();
    for (arguments, message) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["ingest"], "PATH"),
        (&["search", "x", "--limit", "0"], "limit"),
        (&["search", "x", "--filter", "a ="], "--filter"),
        #[cfg(not(feature = "milvus"))]
        (&["search", "x", "--store", "milvus://localhost:19530"], "feature `milvus`"),
        #[cfg(not(feature = "redis"))]
        (&["memory", "list", "--memory", "redis://localhost"], "feature `redis`"),
        (&["memory", "list", "--memory", "redis://:hunter2@localhost"], "ARSHAI_MEMORY"),
        (&["memory", "list", "--memory", "foo://x"], "known"),
        (&["ask", "x", "--model", "foo://:hunter2@localhost"], "ARSHAI_MODEL"),
        (&["ask", "x", "--embedder", "foo://:hunter2@localhost"], "ARSHAI_EMBEDDER"),
        // Nobody asked for what forgets it at once.
        (&["memory", "set", "c", "hello", "--store", "memory://"], "--store memory://"),
        (&["memory", "set", "c", "hello", "--store", "in_memory"], "--store memory://"),
        #[cfg(not(feature = "openai"))]
        (&["ask", "x", "--model", "openai:gpt"], "feature `openai`"),
        #[cfg(feature = "openai")]
        (&["ask", "x", "--model", "openai"], "openai:MODEL"),
        (&["ask", ""], "empty"),
        (&["ask", "x", "--conversation", ""], "--conversation"),
        (&["ask", "x", "--docs", ".", "--model", "foo"], "foo"),
        (&["search", "x", "--collection", "a\"; drop"], "--collection"),
        (&["memory", "show", ""], "empty"),
        (&["search", "x", "--embedder", "foo"], "foo"),
        #[cfg(not(feature = "openai"))]
        (&["search", "x", "--embedder", "openai"], "feature `openai`"),
        (&["model"], "pull"),
        (&["model", "pull", "--url", "ftp://host/x"], "--url"),
        (&["model", "pull", "--url", "https://user:secret@host/x"], "password"),
    ] {
        program.run(arguments).assert_fails(2, message);
        let run = program.run(&[arguments, &["--json"]].concat());
        run.assert_fails(2, "");
        let error: Value = serde_json::from_str(&run.stderr).unwrap_or_else(|_| panic!("{run:?}"));
        assert_eq!(error["error"]["kind"], "usage", "{run:?}");
    }
}

#[test]
fn a_mode_that_is_not_possible_names_what_is_missing() {
    let program = with_docs();
    program.json(&["ingest", "docs"]);
    for mode in ["dense", "hybrid"] {
        program.run(&["search", "moon", "--mode", mode]).assert_fails(1, "embedder");
    }
}

#[test]
fn stores_can_be_named_by_url_and_memory_can_be_forgotten() {
    let program = with_docs();
    program.json(&["ingest", "docs", "--store", "sqlite://elsewhere.db"]);
    assert!(program.path().join("elsewhere.db").exists());
    assert_eq!(
        program.json(&["search", "moon", "--store", "sqlite://elsewhere.db"])["hits"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    program.json(&["ask", "moon orbit", "--memory", "memory://", "--store", "sqlite://elsewhere.db"]);
    assert_eq!(program.json(&["memory", "list"])["conversations"], json!([]));
    program.json(&["memory", "set", "c", "hello", "--memory", "memory://", "--store", "memory://"]);
}

#[test]
fn an_answer_on_part_of_the_named_documents_is_given_and_reported() {
    let program = with_docs();
    program.write("docs/latin1.txt", b"caf\xe9");
    for missing in [&["ask", "--docs", "docs"][..], &["ask", "--docs", "docs", "--docs", "nope"]] {
        let run = program.run(&[missing, &["What does sourdough bread need?", "--json"]].concat());
        run.assert_fails(1, "latin1.txt");
        assert_eq!(run.json()["citations"][0]["source"], "docs/bread.md");
        assert!(run.stderr.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{run:?}");
    }
}

#[test]
fn asking_an_empty_store_finds_nothing_and_says_that_there_is_nothing() {
    let program = Program::new();
    let run = program.run(&["ask", "anything?"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(run.stderr.contains("arshai ingest"), "{run:?}");
    let kept = program.json(&["memory", "show", "default"]);
    assert!(!kept["working_memory"].as_str().unwrap().contains("Error"), "{kept}");
}

#[test]
fn programs_are_told_what_people_are_told() {
    let program = with_docs();
    program.json(&["ingest", "docs"]);
    let run = program.run(&["search", "moon", "--json"]);
    let note: Value = serde_json::from_str(run.stderr.trim()).unwrap_or_else(|_| panic!("{run:?}"));
    assert!(note["note"].is_string());
}

#[test]
fn an_export_is_taken_in_elsewhere_and_broken_ones_are_refused() {
    let program = with_docs();
    program.json(&["ingest", "docs"]);
    program.json(&["memory", "set", "c", "hello"]);
    let file = program.json(&["export", "-o", "all.ndjson"]);
    assert!(file["lines"].as_u64().unwrap() > 4, "{file}");
    let taken = program.json(&["import", "all.ndjson", "--store", "sqlite://new.db"]);
    assert_eq!((&taken["memories"], &taken["written_memories"]), (&json!(1), &json!(1)));
    assert_eq!(taken["records"], taken["written_records"]);
    let found = |store: &[&str]| program.json(&[&["search", "moon"], store].concat())["hits"].clone();
    assert_eq!(found(&[]), found(&["--store", "sqlite://new.db"]));
    let again = program.json(&["import", "all.ndjson", "--store", "sqlite://new.db"]);
    assert_eq!((&again["written_records"], &again["written_memories"]), (&json!(0), &json!(0)));
    // Another conversation there is kept, and that is told.
    program.json(&["memory", "set", "c", "changed", "--store", "sqlite://new.db"]);
    let kept = program.run(&["import", "all.ndjson", "--store", "sqlite://new.db"]);
    kept.assert_fails(1, "--replace");
    program.json(&["import", "all.ndjson", "--store", "sqlite://new.db", "--replace"]);
    // Through a pipe, and cut off.
    let text = program.run(&["export"]).stdout;
    let piped =
        program.run_with_input(&["import", "-", "--store", "sqlite://piped.db", "--json"], text.as_bytes());
    assert_eq!(piped.json()["written_memories"], 1, "{piped:?}");
    let cut = text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>();
    let cut = program.run_with_input(&["import", "-", "--store", "sqlite://cut.db"], cut.as_bytes());
    cut.assert_fails(1, "not whole");
    // What it did is told beside why it ended.
    assert!(cut.stdout.contains("ended early after 1 records of 1 collections, 1 written"), "{cut:?}");
    let lines = text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>();
    let cut =
        program.run_with_input(&["import", "-", "--store", "sqlite://cut.db", "--json"], lines.as_bytes());
    assert_eq!((&cut.json()["complete"], &cut.json()["records"]), (&json!(false), &json!(1)), "{cut:?}");
    program.run(&["import", "docs/moon.md"]).assert_fails(1, "line");
    program.run(&["import", "absent"]).assert_fails(1, "absent");
    let memories = program.run(&["export", "--only", "memory"]).stdout;
    assert!(memories.contains("hello") && !memories.contains("moon"), "{memories}");
}
