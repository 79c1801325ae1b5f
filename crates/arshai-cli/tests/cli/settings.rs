//! What is in force, and what is said when a setting is wrong.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use crate::program::{Program, Run};

#[test]
fn config_shows_what_is_in_force_where_it_comes_from_and_no_secret() {
    let program = Program::new();
    let mut command = program.command(&["config", "--json", "--store", "sqlite://x.db"]);
    command.env("ARSHAI_MEMORY", "redis://user:hunter2@db.example/3").env("OPENAI_REQUEST_TIMEOUT", "2.50");
    command
        .env("ARSHAI_MODEL_URL", "https://user:hunter2@models.example/m")
        .env("ENABLE_ASYNC_OPERATIONS", "no");
    let run = Run::of(&command.output().unwrap());
    assert!(!run.stdout.contains("hunter2"), "{run:?}");
    let settings = run.json();
    let told = |name: &str| {
        let all = settings["settings"].as_array().unwrap();
        let one = all.iter().find(|setting| setting["name"] == name).unwrap();
        (one["value"].as_str().unwrap().to_owned(), one["origin"].as_str().unwrap().to_owned())
    };
    for (name, value, origin) in [
        ("ARSHAI_STORE", "sqlite://x.db", "flag"),
        ("ARSHAI_MODEL_URL", "https://***@models.example/m", "environment"),
        ("ARSHAI_MODEL", "extractive", "default"),
        ("ARSHAI_EMBEDDER", "none", "environment"),
        ("ENABLE_ASYNC_OPERATIONS", "false", "environment"),
        ("ARSHAI_LOG", "", "default"),
        ("ARSHAI_MEMORY", "redis://***@db.example/3", "environment"),
        ("OPENAI_REQUEST_TIMEOUT", "2.5", "environment"),
        ("REDIS_MAX_CONNECTIONS", "20", "default"),
    ] {
        assert_eq!(told(name), (value.to_owned(), origin.to_owned()));
    }
    let text = program.run(&["config"]).stdout;
    assert!(text.contains("ARSHAI_DATA = data (flag)"), "{text}");
    let mut command = program.command(&["memory", "list"]);
    let bad = Run::of(&command.env("ENABLE_ASYNC_OPERATIONS", "maybe").output().unwrap());
    bad.assert_fails(2, "ENABLE_ASYNC_OPERATIONS");
}

#[test]
fn a_wrong_variable_is_named_and_no_flag_that_nobody_gave() {
    let program = Program::new();
    program.write("docs/a.md", "words");
    for (variable, flag, value, command) in [
        ("ARSHAI_STORE", "--store", "postgres://hunter2@h", ["search", "words"]),
        ("ARSHAI_STORE", "--store", "sqlite://", ["search", "words"]),
        ("ARSHAI_STORE", "--store", "memory://", ["ingest", "docs"]),
        // Conversations follow the store, and so does the blame.
        ("ARSHAI_STORE", "--memory", "sqlite://", ["memory", "list"]),
        ("ARSHAI_STORE", "--memory", "memory://", ["memory", "list"]),
        ("ARSHAI_MEMORY", "--memory", "postgres://hunter2@h", ["memory", "list"]),
        ("ARSHAI_MEMORY", "--memory", "in_memory:hunter2", ["memory", "list"]),
        ("ARSHAI_EMBEDDER", "--embedder", "somebody", ["ingest", "docs"]),
        ("ARSHAI_EMBEDDER", "--embedder", "local:large", ["ingest", "docs"]),
        ("ARSHAI_MODEL", "--model", "somebody", ["ask", "anything?"]),
        ("ARSHAI_COLLECTION", "--collection", "", ["search", "words"]),
    ] {
        let mut run = program.command(&command);
        let run =
            Run::of(&run.env(variable, if value.is_empty() { "a/b c" } else { value }).output().unwrap());
        run.assert_fails(2, variable);
        assert!(!run.stderr.contains(flag) && !run.stderr.contains("hunter2"), "{run:?}");
        // Given as a flag, the flag is named.
        if value == "somebody" {
            program.run(&[&command[..], &[flag, value]].concat()).assert_fails(2, flag);
        }
    }
}

#[test]
fn a_model_or_embedder_that_is_a_url_does_not_show_its_password() {
    let program = Program::new();
    for variable in ["ARSHAI_MODEL", "ARSHAI_EMBEDDER"] {
        let mut command = program.command(&["config", "--json"]);
        let run = Run::of(&command.env(variable, "foo://u:hunter2@host").output().unwrap());
        let settings = run.json();
        let all = settings["settings"].as_array().unwrap();
        let one = all.iter().find(|setting| setting["name"] == variable).unwrap();
        assert_eq!(one["value"], "foo://***@host");
        assert!(!run.stdout.contains("hunter2") && !run.stderr.contains("hunter2"), "{run:?}");
    }
}

#[cfg(feature = "speech")]
#[test]
fn a_key_that_is_empty_is_none_and_azure_is_not_asked_for_the_rest() {
    let program = Program::new();
    for empty in ["", " "] {
        let run =
            Run::of(&program.command(&["config", "--json"]).env("AZURE_SPEECH_KEY", empty).output().unwrap());
        assert_eq!(run.json()["problems"], serde_json::json!([]), "{run:?}");
    }
}

#[test]
fn a_variable_that_is_no_text_is_not_passed_over() {
    let program = Program::new();
    for variable in ["ARSHAI_STORE", "ARSHAI_DATA", "OPENAI_REQUEST_TIMEOUT", "ARSHAI_LOG"] {
        let mut command = program.command(&["memory", "list"]);
        let run =
            Run::of(&command.env(variable, OsStr::from_bytes(b"sqlite://caf\xe9.db")).output().unwrap());
        run.assert_fails(2, variable);
    }
}

#[test]
fn a_wrong_filter_of_the_log_is_told_and_a_right_one_is_used() {
    let program = Program::new();
    let run =
        Run::of(&program.command(&["memory", "list"]).env("ARSHAI_LOG", "arshai=loudly").output().unwrap());
    run.assert_fails(2, "ARSHAI_LOG");
    let run = Run::of(&program.command(&["memory", "list"]).env("ARSHAI_LOG", "debug").output().unwrap());
    assert_eq!(run.status, Some(0), "{run:?}");
}

#[test]
fn config_says_what_is_wrong_before_a_command_comes_to_it() {
    let program = Program::new();
    for (variable, value) in [("ARSHAI_MODEL", "somebody"), ("ARSHAI_COLLECTION", "a/b c")] {
        let run = Run::of(&program.command(&["config", "--json"]).env(variable, value).output().unwrap());
        assert_eq!(run.status, Some(1), "{run:?}");
        let problem = &run.json()["problems"][0];
        assert_eq!(problem["context"]["variable"], variable, "{problem}");
    }
    let right = program.json(&["config"]);
    assert_eq!(right["problems"].as_array().map(Vec::len), Some(0), "{right}");
}
