//! Models of an OpenAI-compatible server.

use std::process::Stdio;

use serde_json::Value;

use crate::{
    address,
    program::{Program, Run},
};

#[test]
fn a_model_answers_and_its_words_come_as_it_writes_them() {
    let program = Program::new();
    program.write("docs/moon.md", "The moon orbits the earth in 27 days.");
    program.json(&["ingest", "docs"]);
    let command = |arguments: &[&str]| {
        let mut command = program.command(&[arguments, &["--model", "openai:any"]].concat());
        command
            .env("OPENAI_BASE_URL", address("ARSHAI_TEST_OPENAI_CHAT_URL"))
            .env("OPENAI_API_KEY", "unused");
        command
    };
    let asked = Run::of(
        &command(&["ask", "How long does the moon take?", "--conversation", "asked", "--json"])
            .output()
            .unwrap(),
    );
    let asked = asked.json();
    assert!(!asked["answer"].as_str().unwrap().is_empty(), "{asked}");
    assert!(asked["usage"]["completion_tokens"].as_u64().unwrap() > 0, "{asked}");

    let mut chat = command(&["chat"]);
    let mut child = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"Say hello.\n").unwrap();
    let talked = Run::of(&child.wait_with_output().unwrap());
    assert_eq!(talked.status, Some(0), "{talked:?}");
    assert!(!talked.stdout.trim().is_empty(), "{talked:?}");
    let kept = program.json(&["memory", "show", "default"])["working_memory"].as_str().unwrap().to_owned();
    let said = talked.stdout.split("\n\nSources:").next().unwrap().trim().to_owned();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert!(
        kept.split_whitespace().collect::<Vec<_>>().windows(words.len()).any(|window| window == words),
        "{kept}"
    );
}

#[test]
fn a_server_s_embeddings_find_what_shares_no_word() {
    let program = Program::new();
    program.write("docs/moon.md", "The moon orbits the earth in 27 days.");
    program.write("docs/bread.md", "Sourdough needs a starter of flour and water.");
    let run = |arguments: &[&str]| -> Value {
        let mut command = program.command(&[arguments, &["--embedder", "openai:minilm", "--json"]].concat());
        command.env("OPENAI_BASE_URL", address("ARSHAI_TEST_OPENAI_EMBEDDINGS_URL"));
        let run = Run::of(&command.env("OPENAI_API_KEY", "unused").output().unwrap());
        assert_eq!(run.status, Some(0), "{run:?}");
        run.json()
    };
    assert_eq!(run(&["ingest", "docs"])["embedded"], 2);
    let found = run(&["search", "satellite of our planet"]);
    assert_eq!((&found["mode"], &found["hits"][0]["source"]), (&"hybrid".into(), &"docs/moon.md".into()));
    // Vectors of another model are never compared with these.
    let other =
        program.command(&["search", "x", "--embedder", "openai:other"]).env("OPENAI_API_KEY", "x").output();
    Run::of(&other.unwrap()).assert_fails(1, "openai:minilm");
}

#[test]
fn a_wrong_key_is_told_without_the_key() {
    let program = Program::new();
    let mut command = program.command(&["ask", "x", "--model", "openai:any"]);
    command.env("OPENAI_BASE_URL", "http://db.example/v1").env("OPENAI_API_KEY", "sk-hunter2");
    let run = Run::of(&command.output().unwrap());
    run.assert_fails(2, "plaintext");
    assert!(!run.stderr.contains("hunter2"), "{run:?}");
}
