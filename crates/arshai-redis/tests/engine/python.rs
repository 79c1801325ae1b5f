//! The Python package beside this crate on the same server: the real one, at its version 1.15.0.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash as _, Hasher as _},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arshai_core::{
    ErrorKind,
    memory::{
        Memory, MemoryKey, MemoryStore as _, MemoryStoreExt as _, Precondition, Put, TrimPolicy, Ttl, Turn,
    },
};
use serde_json::{Map, Value, json};

use crate::{
    harness::{Test, tests},
    key, memory,
    server::command,
    settings,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        each_reads_and_changes_what_the_other_wrote,
        python_writing_between_our_read_and_our_write_is_a_conflict,
        an_update_takes_in_what_python_wrote_meanwhile,
        python_changing_our_text_drops_our_turns_and_keeps_the_rest,
        what_python_writes_that_is_not_json_is_refused_by_name,
        times_without_a_zone_are_read,
        what_one_deletes_the_other_does_not_find,
    ]
}

const REQUIREMENTS: &str = include_str!("python/requirements.txt");
const PROGRAM: &str = include_str!("python/memory.py");

/// A Python process with the package in it.
struct Python {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-W", "ignore", "-c", PROGRAM])
            .arg(format!("redis://{}/0", settings().address()))
            .env("PYTHONPATH", library())
            // Its times carry no zone.
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (requests, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, requests, answers: BufReader::new(answers) }
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.ask_in(&request.to_string())
    }

    /// The same for a request that is JSON to Python only.
    fn ask_in(&mut self, request: &str) -> Value {
        writeln!(self.requests, "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{request} is answered by {answer:?}: {error}"))
    }

    fn store(&mut self, key: &MemoryKey, text: &str, metadata: &Value) {
        let stored =
            self.ask(&json!({ "do": "store", "id": key.conversation(), "text": text, "metadata": metadata }));
        assert_eq!(stored, json!(key.stored()), "both name the key alike");
    }

    fn update(&mut self, key: &MemoryKey, text: &str) {
        self.ask(&json!({ "do": "update", "id": key.conversation(), "text": text }));
    }

    fn retrieve(&mut self, key: &MemoryKey) -> Value {
        self.ask(&json!({ "do": "retrieve", "id": key.conversation() }))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder with the package; installs it below the target folder when it is not there.
fn library() -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let program = std::env::current_exe().unwrap();
    let target = program.ancestors().nth(3).unwrap();
    let version = python(&["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
    let mut digest = DefaultHasher::new();
    (REQUIREMENTS, version).hash(&mut digest);
    let packages = target.join("xtask").join("packages");
    let folder = packages.join(format!("arshai-python-{:016x}", digest.finish()));
    if folder.is_dir() {
        return folder;
    }
    fs::create_dir_all(&packages).unwrap();
    let fresh = tempfile::tempdir_in(&packages).unwrap();
    install(fresh.path());
    // Somebody else may have been faster, with the same.
    if fs::rename(fresh.path(), &folder).is_ok() {
        drop(fresh.keep());
    }
    folder
}

fn install(folder: &Path) {
    let list = folder.join("requirements.txt");
    fs::write(&list, REQUIREMENTS).unwrap();
    let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--no-input", "--quiet", "--no-deps"];
    let (folder, list) = (folder.display().to_string(), list.display().to_string());
    let what = ["--require-hashes", "--only-binary=:all:", "--target", &folder, "--requirement", &list];
    python(&[pip.as_slice(), &what].concat());
}

fn python(arguments: &[&str]) -> String {
    let output = Command::new("python3").args(arguments).output().expect("python3 (3.11 or 3.12) is needed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON that stands in the server.
async fn raw(key: &MemoryKey) -> Value {
    serde_json::from_str(stored(key).await.split_once("\r\n").unwrap().1.trim_end()).unwrap()
}

/// The server's answer that holds it.
async fn stored(key: &MemoryKey) -> String {
    String::from_utf8(command(&settings(), &[b"GET", key.stored().as_bytes()]).await).unwrap()
}

async fn each_reads_and_changes_what_the_other_wrote() {
    let (mut python, store, key) = (Python::start(), memory(settings()), key("python"));
    let text = "grüße 👨‍👩‍👧\u{0}\nUser: \"hi\"";
    let metadata =
        json!({ "empty": [], "none": null, "n": 12_345_678_901_234_567_i64, "deep": { "x": 0.1 } });
    python.store(&key, text, &metadata);
    let read = store.get(&key).await.unwrap().unwrap();
    assert_eq!((read.memory.text.as_str(), &Value::Object(read.memory.metadata)), (text, &metadata));
    let Some(Ttl::Remaining(left)) = store.ttl(&key).await.unwrap() else { panic!("no end") };
    assert!(left <= store.config().ttl.unwrap(), "both keep it as long");
    let before = raw(&key).await;

    store.update(&key, "ours 🦀").await.unwrap();
    assert_eq!(python.retrieve(&key), json!(["ours 🦀"]));
    let after = raw(&key).await;
    assert_eq!(after["metadata"], metadata);
    let zoned = format!("{}Z", before["created_at"].as_str().unwrap());
    let created = after["created_at"].as_str().unwrap();
    assert!(created == zoned || created.replace("+00:00", "Z") == zoned, "{created} was {zoned}");

    python.update(&key, "theirs again");
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "theirs again");
    store.append(&key, &[Turn::user("and ours")], TrimPolicy::default()).await.unwrap();
    assert_eq!(python.retrieve(&key), json!(["theirs again\nUser: and ours"]));
}

async fn python_writing_between_our_read_and_our_write_is_a_conflict() {
    let (mut python, store, key) = (Python::start(), memory(settings()), key("between"));
    let ours = store.store(&key, "ours", Map::new()).await.unwrap();
    python.update(&key, "theirs");
    let put = store.put(&key, &Memory::new("lost"), Precondition::Matches(ours.revision)).await.unwrap();
    let Put::Conflict(Some(winner)) = put else { panic!("{put:?}") };
    assert_eq!(winner.memory.text, "theirs");
    python.store(&key, "theirs anew", &json!({}));
    let put = store.put(&key, &Memory::new("lost"), Precondition::Matches(winner.revision)).await.unwrap();
    assert!(matches!(put, Put::Conflict(Some(_))), "{put:?}");
    let put = store.put(&key, &Memory::new("lost"), Precondition::Absent).await.unwrap();
    assert!(matches!(put, Put::Conflict(Some(_))), "{put:?}");
    assert_eq!(python.retrieve(&key), json!(["theirs anew"]));
}

async fn an_update_takes_in_what_python_wrote_meanwhile() {
    let (mut python, store, key) = (Python::start(), memory(settings()), key("meanwhile"));
    store.update(&key, "ours").await.unwrap();
    let mut runs = 0;
    let change = |old: Option<&Memory>| {
        runs += 1;
        if runs <= 3 {
            python.update(&key, &format!("theirs {runs}"));
        }
        Ok(Memory::new(format!("{} and ours", old.map_or("", |memory| memory.text.as_str()))))
    };
    store.update_with(&key, change).await.unwrap();
    assert_eq!(runs, 4);
    assert_eq!(python.retrieve(&key), json!(["theirs 3 and ours"]));
}

async fn python_changing_our_text_drops_our_turns_and_keeps_the_rest() {
    let (mut python, store, key) = (Python::start(), memory(settings()), key("turns"));
    let metadata = Map::from_iter([("user".to_owned(), json!("u-1"))]);
    store.store(&key, "", metadata.clone()).await.unwrap();
    let ours = store
        .append(&key, &[Turn::user("one"), Turn::assistant("two")], TrimPolicy::default())
        .await
        .unwrap();
    assert_eq!(python.retrieve(&key), json!(["\nUser: one\nAssistant: two"]));
    python.update(&key, "\nUser: one\nAssistant: forged");
    let read = store.retrieve(&key).await.unwrap().unwrap();
    assert_eq!((read.text.as_str(), &read.turns), ("\nUser: one\nAssistant: forged", &None));
    assert_eq!((read.created_at, read.metadata), (ours.memory.created_at, metadata));
}

async fn what_python_writes_that_is_not_json_is_refused_by_name() {
    let (mut python, store) = (Python::start(), memory(settings()));
    for (what, text, metadata, names) in [
        ("surrogate", r#""half \ud83d""#, "{}", "surrogate"),
        ("surrogate in metadata", r#""x""#, r#"{"name": "\udc00"}"#, "surrogate"),
        ("not a number", r#""x""#, r#"{"score": NaN}"#, "NaN"),
        ("infinity", r#""x""#, r#"{"score": -Infinity}"#, "Infinity"),
        ("no text", "7", "{}", "working_memory"),
    ] {
        let key = key("odd");
        let id = key.conversation();
        python.ask_in(&format!(r#"{{"do": "store", "id": "{id}", "text": {text}, "metadata": {metadata}}}"#));
        let before = stored(&key).await;
        assert!(before.len() > 100, "{what}: Python wrote nothing");
        let read = store.get(&key).await.unwrap_err();
        let write = store.update(&key, "ours").await.unwrap_err();
        for error in [read, write] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            let shown = format!("{error} {error:?}");
            assert!(error.to_string().contains(&key.stored()) && shown.contains(names), "{what}: {shown}");
        }
        assert_eq!(stored(&key).await, before, "{what}: it is as Python left it");
    }
}

async fn times_without_a_zone_are_read() {
    let (mut python, store, key) = (Python::start(), memory(settings()), key("naive"));
    // What is written is cut to microseconds.
    let before = SystemTime::now() - Duration::from_millis(1);
    python.store(&key, "x", &json!({}));
    let after = SystemTime::now();
    assert!(!raw(&key).await["created_at"].as_str().unwrap().ends_with('Z'));
    let read = store.retrieve(&key).await.unwrap().unwrap();
    for time in [read.created_at, read.last_update] {
        assert!(before <= time && time <= after, "{time:?} is not between {before:?} and {after:?}");
    }
}

async fn what_one_deletes_the_other_does_not_find() {
    let (mut python, store, key) = (Python::start(), memory(settings()), key("delete"));
    assert_eq!((store.get(&key).await.unwrap(), python.retrieve(&key)), (None, json!([])));
    python.store(&key, "x", &json!({}));
    assert!(store.delete(&key).await.unwrap());
    assert_eq!(python.retrieve(&key), json!([]));
    store.update(&key, "y").await.unwrap();
    python.ask(&json!({ "do": "delete", "id": key.conversation() }));
    assert_eq!(store.get(&key).await.unwrap(), None);
}
