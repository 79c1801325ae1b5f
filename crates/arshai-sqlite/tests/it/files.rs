//! The file itself: what is opened, what is refused, who may read it.

use std::{fs, path::Path};

use arshai_core::{
    Error, ErrorKind,
    memory::{MemoryKey, MemoryStore, MemoryStoreExt, Ttl},
    vector::{CollectionSpec, Query, VectorStore, VectorStoreExt},
};
use arshai_sqlite::{SqliteConfig, SqliteFile};
use rusqlite::Connection;

use crate::{Fixture, ids, put, texts};

async fn refused(path: &Path) -> Error {
    let error = SqliteFile::open(SqliteConfig::new(path)).await.unwrap_err();
    assert!(error.to_string().contains(&*path.to_string_lossy()), "the path is missing: {error}");
    error
}

/// A closed file with a collection of many pages.
async fn filled() -> Fixture {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    let long: Vec<(String, String)> =
        (0..200).map(|n| (format!("{n}"), format!("w{n} filler ").repeat(40))).collect();
    let pairs: Vec<(&str, &str)> = long.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
    put(&store, "c", texts(&pairs)).await;
    fixture.file.close().await.unwrap();
    fixture
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let fixture = filled().await;
    assert!(!fixture.folder.path().join("arshai.db-wal").exists(), "closing tidies up");
    let again = fixture.again().await.vectors();
    assert_eq!(again.stats("c").await.unwrap().rows, 200);
    assert_eq!(ids(&again.search_one("c", Query::text("w77"), 3).await.unwrap()), ["77"]);
}

#[tokio::test]
async fn a_closed_file_says_so_and_a_closed_store_leaves_the_other_working() {
    let fixture = Fixture::new().await;
    let (vectors, memory) = (fixture.file.vectors(), fixture.file.memory());
    vectors.close().await.unwrap();
    vectors.close().await.unwrap();
    assert_eq!(vectors.health().await.unwrap_err().kind(), ErrorKind::Closed);
    memory.health().await.unwrap();
    fixture.file.close().await.unwrap();
    fixture.file.close().await.unwrap();
    assert_eq!(memory.health().await.unwrap_err().kind(), ErrorKind::Closed);
    let key = MemoryKey::new("c").unwrap();
    assert_eq!(memory.delete(&key).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(fixture.file.health().await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn garbage_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let garbage = b"these are my notes, not a database\n".repeat(100);
    fs::write(&path, &garbage).unwrap();
    assert_eq!(refused(&path).await.kind(), ErrorKind::Corrupt);
    assert_eq!(fs::read(&path).unwrap(), garbage);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was left beside it");
}

#[tokio::test]
async fn a_file_cut_short_is_refused() {
    let fixture = filled().await;
    let whole = fs::read(fixture.path()).unwrap();
    for part in [whole.len() / 2, 4096, 1000, 50] {
        fs::write(fixture.path(), &whole[..part]).unwrap();
        assert_eq!(refused(&fixture.path()).await.kind(), ErrorKind::Corrupt, "{part} bytes");
    }
}

#[tokio::test]
async fn damage_inside_is_an_error_and_never_a_panic() {
    let fixture = filled().await;
    let whole = fs::read(fixture.path()).unwrap();
    let mut corrupt = 0;
    for page in 1..whole.len() / 4096 {
        let mut damaged = whole.clone();
        damaged[page * 4096..page * 4096 + 200].fill(0xA5);
        fs::write(fixture.path(), &damaged).unwrap();
        let Ok(file) = SqliteFile::open(SqliteConfig::new(fixture.path())).await else { continue };
        if let Err(error) = file.vectors().search_one("c", Query::text("filler w3"), 3).await {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            corrupt += 1;
        }
        drop(file);
        for journal in ["arshai.db-wal", "arshai.db-shm"] {
            drop(fs::remove_file(fixture.folder.path().join(journal)));
        }
    }
    assert!(corrupt > 0, "no damage was ever met");
}

#[tokio::test]
async fn another_program_s_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE mine(x); INSERT INTO mine VALUES (1);")
        .unwrap();
    let before = fs::read(&path).unwrap();
    assert_eq!(refused(&path).await.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused_naming_both_versions() {
    let fixture = filled().await;
    Connection::open(fixture.path()).unwrap().pragma_update(None, "user_version", 41).unwrap();
    let error = refused(&fixture.path()).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("41") && error.to_string().contains("update arshai"), "{error}");
}

/// The first version's file, as it was.
const VERSION_1: &str = "
    CREATE TABLE collection(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL,
        generation INTEGER NOT NULL DEFAULT 0, cleared INTEGER NOT NULL DEFAULT 0, chunks INTEGER NOT NULL DEFAULT 0,
        dense_chunks INTEGER NOT NULL DEFAULT 0, terms INTEGER NOT NULL DEFAULT 0, next_id INTEGER NOT NULL DEFAULT 1) STRICT;
    CREATE TABLE memory(key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    PRAGMA application_id = 0x61727368;
    PRAGMA user_version = 1;";

#[tokio::test]
async fn an_older_file_is_migrated_and_keeps_its_memories() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(VERSION_1).unwrap();
    let value = br#"{"data":{"working_memory":"kept"},"metadata":{},"created_at":"2026-01-01T10:00:00","last_update":"2026-01-01T10:00:00"}"#;
    old.execute("INSERT INTO memory VALUES ('memory:WORKING_MEMORY:c', ?1)", [value.as_slice()]).unwrap();
    old.close().unwrap();
    let file = SqliteFile::open(SqliteConfig::new(&path)).await.unwrap();
    let (memory, key) = (file.memory(), MemoryKey::new("c").unwrap());
    assert_eq!(memory.retrieve(&key).await.unwrap().unwrap().text, "kept");
    assert_eq!(memory.ttl(&key).await.unwrap(), Some(Ttl::Forever));
    file.vectors().open(&CollectionSpec::new("c")).await.unwrap();
    file.close().await.unwrap();
    let version: i64 =
        Connection::open(&path).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_create_one_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep").join("er").join("arshai.db");
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move {
                let file = SqliteFile::open(SqliteConfig::new(path)).await.unwrap();
                file.vectors().open(&CollectionSpec::new("c").with_dense(3)).await.unwrap();
            })
        })
        .collect();
    for opened in opened {
        opened.await.unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_and_its_journal_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new().await;
    fixture.file.vectors().open(&CollectionSpec::new("c")).await.unwrap();
    let copy = fixture.folder.path().join("copy.db");
    fixture.file.backup(&copy).await.unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(fixture.folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert_eq!(seen, 4, "the file, its -wal, its -shm and the copy");
}

#[tokio::test]
async fn a_folder_in_the_way_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(refused(folder.path()).await.kind(), ErrorKind::Io);
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(refused(&file.join("below.db")).await.kind(), ErrorKind::Io);
    let empty = SqliteFile::open(SqliteConfig::new("")).await.unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::Config);
}
