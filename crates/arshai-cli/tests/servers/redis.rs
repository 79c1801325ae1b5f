//! Conversations in Redis.

use std::{process::Stdio, thread};

use crate::program::{Program, Run};

/// A conversation of this test alone.
fn conversation(test: &str) -> String {
    format!("cli-{test}-{:016x}", fastrand::u64(..))
}

fn run(program: &Program, arguments: &[&str]) -> Run {
    let mut command = program.command(&[arguments, &["--json"]].concat());
    Run::of(&command.env("ARSHAI_MEMORY", crate::address("ARSHAI_TEST_REDIS_URL")).output().unwrap())
}

#[test]
fn a_conversation_is_kept_listed_shown_and_forgotten() {
    let (program, id) = (Program::new(), conversation("life"));
    program.write("docs/moon.md", "The moon orbits the earth in 27 days.");
    let asked = run(&program, &["ask", "What orbits the earth?", "--docs", "docs", "--conversation", &id]);
    assert_eq!(asked.json()["citations"][0]["source"], "docs/moon.md", "{asked:?}");
    let shown = run(&program, &["memory", "show", &id]).json();
    assert!(shown["working_memory"].as_str().unwrap().contains("User: What orbits the earth?"), "{shown}");
    let ttl = shown["ttl_seconds"].as_u64().unwrap();
    assert!((12 * 3600 - 60..=12 * 3600).contains(&ttl), "{ttl}");
    let listed = run(&program, &["memory", "list"]).json();
    assert!(listed["conversations"].as_array().unwrap().contains(&id.clone().into()));
    assert_eq!(run(&program, &["memory", "delete", &id]).json()["deleted"], true);
    run(&program, &["memory", "show", &id]).assert_fails(1, "not_found");
}

#[test]
fn redis_by_name_is_where_the_environment_says() {
    let (program, id) = (Program::new(), conversation("name"));
    let mut command = program.command(&["memory", "set", &id, "kept", "--memory", "redis", "--json"]);
    let set = Run::of(&command.env("REDIS_URL", crate::address("ARSHAI_TEST_REDIS_URL")).output().unwrap());
    assert_eq!(set.json()["working_memory"], "kept");
    assert_eq!(run(&program, &["memory", "show", &id]).json()["working_memory"], "kept");
    assert_eq!(run(&program, &["memory", "delete", &id]).json()["deleted"], true);
}

#[test]
fn two_processes_talking_in_one_conversation_keep_every_turn() {
    let (program, id) = (Program::new(), conversation("two"));
    let talk = |word: &str| {
        let input: String = (0..8).map(|n| format!("{word}{n}\n")).collect();
        let mut command = program.command(&["chat", "--json", "--conversation", &id]);
        let mut child = command
            .env("ARSHAI_MEMORY", crate::address("ARSHAI_TEST_REDIS_URL"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        Run::of(&child.wait_with_output().unwrap())
    };
    run(&program, &["ingest", "."]);
    thread::scope(|scope| {
        let talks = [scope.spawn(|| talk("left")), scope.spawn(|| talk("right"))];
        for talk in talks {
            let run = talk.join().unwrap();
            assert_eq!((run.status, run.stdout.lines().count()), (Some(0), 8), "{run:?}");
        }
    });
    let kept = run(&program, &["memory", "show", &id]).json();
    assert_eq!(kept["working_memory"].as_str().unwrap().matches("\nUser: ").count(), 16, "{kept}");
    run(&program, &["memory", "delete", &id]);
}

#[test]
fn a_server_that_is_not_there_is_an_error_without_the_password() {
    let program = Program::new();
    let mut command = program.command(&["memory", "list"]);
    // Nobody listens on port 1.
    let run = Run::of(&command.env("ARSHAI_MEMORY", "redis://:hunter2@127.0.0.1:1/0").output().unwrap());
    run.assert_fails(1, "127.0.0.1:1");
    assert!(!run.stderr.contains("hunter2") && !run.stderr.contains("file"), "{run:?}");
}
