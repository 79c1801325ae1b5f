//! No process that a command of ours started outlives that command, however it ends.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing step fails the test")]

mod processes;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::processes::{PATIENCE, assert_all_end, runs};

/// A supervisor with its lifeline in our hands.
struct Supervisor {
    child: Child,
    lifeline: Option<ChildStdin>,
    answer: Value,
}

impl Supervisor {
    fn start(job: &Value) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("supervise").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lifeline = child.stdin.take().unwrap();
        writeln!(lifeline, "{job}").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, lifeline: Some(lifeline), answer: serde_json::from_str(&line).unwrap() }
    }

    fn pids(&self) -> Vec<u64> {
        let started = self.answer["started"].as_array().unwrap();
        started.iter().map(|member| member["id"]["pid"].as_u64().unwrap()).collect()
    }
}

fn launch(folder: &Path, name: &str, program: &str, script: &str) -> Value {
    json!({
        "name": name, "program": program, "arguments": ["-c", script], "environment": {},
        "folder": folder, "log": folder.join(format!("{name}.log")),
    })
}

/// A shell that starts a child of its own and writes both numbers to its log.
fn family(folder: &Path, name: &str) -> Value {
    launch(folder, name, "sh", "sleep 600 & echo $! $$; wait")
}

/// The numbers that a family wrote.
fn numbers(folder: &Path, name: &str) -> Vec<u64> {
    let log = folder.join(format!("{name}.log"));
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(&log).unwrap_or_default();
        if text.ends_with('\n') {
            return text.split_whitespace().map(|word| word.parse().unwrap()).collect();
        }
        assert!(start.elapsed() < PATIENCE, "{name} wrote nothing");
        std::thread::yield_now();
    }
}

#[test]
fn everything_ends_with_the_command_that_started_it_children_included() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut supervisor =
        Supervisor::start(&json!({ "launches": [family(folder, "one"), family(folder, "two")] }));
    let all = [numbers(folder, "one"), numbers(folder, "two")].concat();
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|pid| runs(*pid)));
    // What the end of the command does, by whatever signal.
    drop(supervisor.lifeline.take());
    assert!(supervisor.child.wait().unwrap().success());
    assert_all_end(&all);
}

#[test]
fn a_detached_service_lives_on_and_its_supervisor_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut supervisor = Supervisor::start(&json!({ "launches": [family(folder, "one")] }));
    let family = numbers(folder, "one");
    let mut lifeline = supervisor.lifeline.take().unwrap();
    lifeline.write_all(b"detach\n").unwrap();
    drop(lifeline);
    // Nothing tells that a signal was *not* sent; a supervisor that took this for the end would have sent it by now.
    std::thread::sleep(Duration::from_millis(300));
    assert!(family.iter().all(|pid| runs(*pid)), "detaching stopped the service");
    // The leader goes; what it left in its group must not stay.
    let leader = supervisor.pids()[0].to_string();
    assert!(Command::new("kill").args(["-9", &leader]).status().unwrap().success());
    assert!(supervisor.child.wait().unwrap().success());
    assert_all_end(&family);
}

#[test]
fn a_process_that_cannot_start_takes_the_others_down_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let missing = launch(folder, "two", "/no/such/program", "");
    let mut supervisor = Supervisor::start(&json!({ "launches": [family(folder, "one"), missing] }));
    assert!(supervisor.child.wait().unwrap().success());
    let reason = supervisor.answer["failed"].as_str().unwrap();
    assert!(reason.contains("/no/such/program"), "{reason}");
    let text = fs::read_to_string(folder.join("one.log")).unwrap();
    let started: Vec<u64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_all_end(&started);
}

#[test]
fn what_outlives_processes_is_cleaned_up_after_the_last_of_them_ended() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let started = json!([launch(
        folder,
        "one",
        "sh",
        "trap 'echo stopped >> order' EXIT; trap 'exit 0' TERM; echo up; sleep 600 & wait"
    )]);
    let cleanup = launch(folder, "cleanup", "sh", "echo cleaned >> order");
    let mut supervisor = Supervisor::start(&json!({ "launches": started, "cleanup": cleanup }));
    let start = Instant::now();
    while fs::read_to_string(folder.join("one.log")).unwrap_or_default().is_empty() {
        assert!(start.elapsed() < PATIENCE, "the process wrote nothing");
        std::thread::yield_now();
    }
    drop(supervisor.lifeline.take());
    assert!(supervisor.child.wait().unwrap().success());
    assert_eq!(fs::read_to_string(folder.join("order")).unwrap(), "stopped\ncleaned\n");
}
