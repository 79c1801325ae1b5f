//! Death at any moment, and two at once.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use arshai_core::vector::{RowQuery, VectorStore};
use arshai_sqlite::{SqliteConfig, SqliteFile};
use serde_json::{Map, Value, json};

use crate::program::{Program, Run};

const KILLS: usize = 100;
const DOCUMENTS: usize = 120;

fn write_documents(program: &Program) {
    for number in 0..DOCUMENTS {
        let paragraphs: Vec<String> = (0..6)
            .map(|part| {
                format!(
                    "## Part {part}\n\nDocument {number} part {part}: {}",
                    "words about rivers ".repeat(60)
                )
            })
            .collect();
        program.write(&format!("docs/{number}.md"), paragraphs.join("\n\n"));
    }
}

type Rows = Vec<(String, String, Map<String, Value>)>;

/// Every chunk in the file.
fn rows(database: &Path) -> Rows {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let file = SqliteFile::open(SqliteConfig::new(database)).await.unwrap();
        let store: Arc<dyn VectorStore> = Arc::new(file.vectors());
        let page = store.query("default", &RowQuery::all().limit(1_000_000)).await.unwrap();
        file.close().await.unwrap();
        page.rows.into_iter().map(|row| (row.id.to_string(), row.text, row.metadata)).collect()
    })
}

#[test]
fn an_ingest_killed_at_any_point_is_completed_by_the_next() {
    let clean = Program::new();
    write_documents(&clean);
    let started = Instant::now();
    clean.json(&["ingest", "docs"]);
    let whole = started.elapsed();
    let expected = rows(&clean.database());
    assert!(expected.len() >= DOCUMENTS);
    let (mut killed, mut partial) = (0, 0);
    for trial in 0..KILLS {
        let _removed = std::fs::remove_dir_all(clean.path().join("data"));
        let mut child = clean.spawn(&["ingest", "docs"], Stdio::null());
        thread::sleep(whole.mul_f64(fastrand::f64()));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        let report = clean.json(&["ingest", "docs"]);
        partial += usize::from(report["unchanged"].as_u64().is_some_and(|n| n > 0 && n < DOCUMENTS as u64));
        assert_eq!(report["failed"], json!([]), "trial {trial}");
        let found = rows(&clean.database());
        assert!(found == expected, "trial {trial}: {} chunks instead of {}", found.len(), expected.len());
    }
    println!("{killed} of {KILLS} ingests were killed, {partial} of them with part of the documents written");
    assert!(killed > KILLS / 3, "the kills came too late to prove anything: {killed} of {KILLS}");
}

#[test]
fn two_processes_ingesting_at_once_lose_and_double_nothing() {
    let program = Program::new();
    write_documents(&program);
    let children: Vec<_> =
        (0..2).map(|_| program.spawn(&["ingest", "docs", "--json"], Stdio::null())).collect();
    for child in children {
        let run = Run::of(&child.wait_with_output().unwrap());
        assert_eq!(run.status, Some(0), "{run:?}");
    }
    let found = rows(&program.database());
    let clean = Program::new();
    write_documents(&clean);
    clean.json(&["ingest", "docs"]);
    assert!(found == rows(&clean.database()));
}

#[test]
fn two_processes_talking_in_one_conversation_keep_every_turn() {
    let program = Program::new();
    let ask = |word: &'static str| {
        let input: String = (0..10).map(|n| format!("{word}{n}\n")).collect();
        program.run_with_input(&["chat", "--json", "--conversation", "shared"], input.as_bytes())
    };
    thread::scope(|scope| {
        let runs = [scope.spawn(|| ask("left")), scope.spawn(|| ask("right"))];
        for run in runs {
            let run = run.join().unwrap();
            assert_eq!((run.status, run.stdout.lines().count()), (Some(0), 10), "{run:?}");
        }
    });
    // 20 turns of one conversation are under the 2000 characters from which memory is trimmed, or end with the last.
    let kept = program.json(&["memory", "show", "shared"])["working_memory"].as_str().unwrap().to_owned();
    let turns = kept.matches("\nUser: ").count();
    if kept.starts_with("...") {
        assert!(turns > 5, "{kept}");
    } else {
        assert_eq!(turns, 20, "{kept}");
    }
}

#[test]
fn an_interrupt_in_a_chat_leaves_the_file_sound() {
    let program = Program::new();
    program.json(&["memory", "set", "c", "before"]);
    let mut child = program.spawn(&["chat", "--json", "--conversation", "c"], Stdio::piped());
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"hello\n").unwrap();
    // The first whole answer on its output shows that it is running, and that the turn is kept.
    let mut answer = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut answer).unwrap();
    let interrupted =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "Ctrl-C did not end the chat");
        thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(130));
    let kept = program.json(&["memory", "show", "c"])["working_memory"].as_str().unwrap().to_owned();
    assert!(kept.starts_with("before") && kept.contains("\nUser: hello"), "{kept}");
}
