//! What an export takes along, and what it says of the rest.

use std::fs;

use arshai_core::memory::{MemoryKey, MemoryStore as _, MemoryStoreExt as _};
use arshai_sqlite::{SqliteConfig, SqliteFile};
use serde_json::{Map, json};

use crate::program::{Program, Run};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Keeps `text` under these keys in the program's file, as another program with its own keys would.
fn keep(program: &Program, keys: &[MemoryKey], text: &str) {
    block_on(async {
        let file = SqliteFile::open(SqliteConfig::new(program.database())).await.unwrap();
        for key in keys {
            file.memory().store(key, text, Map::new()).await.unwrap();
        }
        file.close().await.unwrap();
    });
}

#[test]
fn conversations_of_tenants_and_of_other_types_are_exported_and_come_back() {
    let program = Program::new();
    program.json(&["memory", "set", "c", "bare"]);
    let key = || MemoryKey::new("c").unwrap();
    let others = [
        key().of_type("NOTES").unwrap(),
        key().in_tenant("shop", "a").unwrap(),
        key().of_type("NOTES").unwrap().in_tenant("", "b").unwrap(),
    ];
    keep(&program, &others, "others'");
    program.json(&["export", "-o", "all.ndjson"]);
    let taken = program.json(&["import", "all.ndjson", "--store", "sqlite://new.db"]);
    assert_eq!((&taken["memories"], &taken["written_memories"]), (&json!(4), &json!(4)), "{taken}");
    block_on(async {
        let file = SqliteFile::open(SqliteConfig::new(program.path().join("new.db"))).await.unwrap();
        for key in &others {
            let there = file.memory().get(key).await.unwrap().unwrap();
            assert_eq!(there.memory.text, "others'", "{key:?}");
        }
    });
}

#[test]
fn a_conversation_that_cannot_be_read_is_named_and_the_others_are_exported() {
    let program = Program::new();
    for name in ["first", "middle", "third"] {
        program.json(&["memory", "set", name, &format!("what was said: {name}")]);
    }
    // Its value begins with `{"data"`, and is no JSON when it begins otherwise.
    let mut bytes = fs::read(program.database()).unwrap();
    let place = |of: &[u8], bytes: &[u8]| bytes.windows(of.len()).rposition(|window| window == of).unwrap();
    let text = place(b"what was said: middle", &bytes);
    let value = place(b"{\"data\"", &bytes[..text]);
    bytes[value] = b'[';
    fs::write(program.database(), bytes).unwrap();

    let run = program.run(&["export", "-o", "all.ndjson", "--json"]);
    run.assert_fails(1, "memory:WORKING_MEMORY:middle");
    assert_eq!((&run.json()["lines"], &run.json()["unreadable"]), (&json!(4), &json!(1)), "{run:?}");
    let piped = program.run(&["export"]);
    piped.assert_fails(1, "memory:WORKING_MEMORY:middle");
    assert!(piped.stdout.ends_with("\"memories\":2,\"unreadable\":1}\n"), "{piped:?}");
    // An earlier export may hold it still, and is not replaced.
    let earlier = fs::read(program.path().join("all.ndjson")).unwrap();
    let again = program.run(&["export", "-o", "all.ndjson", "--json"]);
    again.assert_fails(1, "memory:WORKING_MEMORY:middle");
    assert!(again.json()["file"].as_str().unwrap().ends_with("all.ndjson.part"), "{again:?}");
    assert_eq!(fs::read(program.path().join("all.ndjson")).unwrap(), earlier);
    assert_eq!(fs::read(program.path().join("all.ndjson.part")).unwrap(), earlier);
    // Who imports it is told too.
    let taken = program.run(&["import", "all.ndjson", "--store", "sqlite://new.db", "--json"]);
    assert_eq!((taken.status, &taken.json()["written_memories"]), (Some(0), &json!(2)), "{taken:?}");
    assert!(taken.stderr.contains("1 conversations are not in the export"), "{taken:?}");
}

#[test]
fn the_collection_that_a_flag_or_the_environment_names_is_exported_alone() {
    let program = Program::new();
    program.write("one/a.md", "About foxes.");
    program.write("two/b.md", "About hens.");
    program.json(&["ingest", "one"]);
    program.json(&["ingest", "two", "--collection", "other"]);
    let export = |variable: Option<&str>, flags: &[&str]| {
        let mut command = program.command(&[&["export"], flags].concat());
        if let Some(name) = variable {
            command.env("ARSHAI_COLLECTION", name);
        }
        let run = Run::of(&command.output().unwrap());
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        (run.stdout.contains("foxes"), run.stdout.contains("hens"))
    };
    assert_eq!(export(None, &[]), (true, true));
    assert_eq!(export(Some("other"), &[]), (false, true));
    assert_eq!(export(None, &["--collection", "other"]), (false, true));
    assert_eq!(export(Some("other"), &["--collection", "default"]), (true, false));
    let mut command = program.command(&["export"]);
    Run::of(&command.env("ARSHAI_COLLECTION", "absent").output().unwrap()).assert_fails(1, "absent");
}
