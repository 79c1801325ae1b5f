//! Several handles and processes on one file.

use std::{process::Command, time::Duration};

use arshai_core::{
    Deadline, Effect, ErrorKind,
    memory::{MemoryKey, MemoryStoreExt},
    vector::{CollectionSpec, Metric, Query, Record, Search, Selection, VectorStore, VectorStoreExt},
};
use arshai_sqlite::{SqliteConfig, SqliteFile};

use crate::{Fixture, ids, put, texts};

#[tokio::test]
async fn a_write_through_one_handle_is_found_by_the_other_s_next_search() {
    let fixture = Fixture::new().await;
    let (one, other) = (fixture.file.vectors(), fixture.again().await.vectors());
    let spec = CollectionSpec::new("c").with_dense(2);
    one.open(&spec).await.unwrap();
    let handles = [&one, &other];
    for n in 0..10_u8 {
        let (writer, reader) = (handles[usize::from(n % 2)], handles[usize::from((n + 1) % 2)]);
        let vector = vec![f32::from(n) + 1.0, 1.0];
        put(
            writer,
            "c",
            vec![Record::new(format!("number w{n}")).with_id(format!("{n}")).with_dense(vector.clone())],
        )
        .await;
        assert_eq!(
            ids(&reader.search_one("c", Query::text(format!("w{n}")), 3).await.unwrap()),
            [n.to_string()]
        );
        assert_eq!(ids(&reader.search_one("c", Query::dense(vector), 1).await.unwrap()), [n.to_string()]);
        if n % 3 == 2 {
            assert_eq!(reader.delete("c", &Selection::Ids(vec![n.to_string().into()])).await.unwrap(), 1);
            assert!(writer.search_one("c", Query::text(format!("w{n}")), 3).await.unwrap().is_empty());
            let all = writer.search_one("c", Query::dense([1.0, 1.0]), 20).await.unwrap();
            assert!(!ids(&all).contains(&n.to_string()));
        }
    }
    assert!(other.drop_collection("c").await.unwrap());
    assert_eq!(one.search_one("c", Query::text("number"), 3).await.unwrap_err().kind(), ErrorKind::NotFound);
}

const CHILD: &str = "ARSHAI_SQLITE_TEST_CHILD";

/// Not a test of its own: what the other process of the next test does.
#[tokio::test]
async fn child_process() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let file = SqliteFile::open(SqliteConfig::new(path)).await.unwrap();
    let key = MemoryKey::new("c").unwrap();
    assert_eq!(file.memory().retrieve(&key).await.unwrap().unwrap().text, "from the parent");
    let store = file.vectors();
    assert_eq!(ids(&store.search_one("c", Query::text("parent"), 3).await.unwrap()), ["p"]);
    put(&store, "c", texts(&[("k", "written by the child")])).await;
    file.memory().update(&key, "from the child").await.unwrap();
    // No close: a process may end without one.
}

#[tokio::test]
async fn two_processes_see_each_other_s_writes() {
    let fixture = Fixture::new().await;
    let (store, memory) = (fixture.file.vectors(), fixture.file.memory());
    let key = MemoryKey::new("c").unwrap();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    put(&store, "c", texts(&[("p", "written by the parent")])).await;
    memory.update(&key, "from the parent").await.unwrap();
    assert!(store.search_one("c", Query::text("child"), 3).await.unwrap().is_empty());
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sharing::child_process"])
        .env(CHILD, fixture.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(ids(&store.search_one("c", Query::text("child"), 3).await.unwrap()), ["k"]);
    assert_eq!(memory.retrieve(&key).await.unwrap().unwrap().text, "from the child");
}

#[tokio::test]
async fn a_lock_held_by_another_program_ends_the_wait_at_the_deadline() {
    let fixture = Fixture::new().await;
    let memory = fixture.file.memory();
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let key = MemoryKey::new("c").unwrap();
    let error = Deadline::after(Duration::from_millis(50)).scope(memory.update(&key, "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied), "{error}");
    assert_eq!(memory.retrieve(&key).await.unwrap(), None, "reading does not wait for writers");
    other.execute_batch("ROLLBACK").unwrap();
    memory.update(&key, "x").await.unwrap();
}

#[tokio::test]
async fn a_close_that_could_not_wait_long_enough_leaves_the_file_open() {
    let fixture = Fixture::new().await;
    let memory = fixture.file.memory();
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let key = MemoryKey::new("c").unwrap();
    let close = async {
        // By then the write waits for the other program's lock.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let short = Deadline::after(Duration::from_millis(50));
        let error = short.scope(fixture.file.close()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        fixture.file.health().await.unwrap();
        other.execute_batch("ROLLBACK").unwrap();
    };
    let (written, ()) = tokio::join!(memory.update(&key, "x"), close);
    written.unwrap();
    assert_eq!(memory.retrieve(&key).await.unwrap().unwrap().text, "x");
    fixture.file.close().await.unwrap();
    assert_eq!(fixture.file.health().await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_score_is_never_that_of_another_record() {
    let fixture = Fixture::new().await;
    let store = fixture.file.vectors();
    let spec = CollectionSpec::new("c").with_dense(1).with_metric(Metric::InnerProduct);
    store.open(&spec).await.unwrap();
    let (done, _) = tokio::sync::watch::channel(false);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (store.clone(), done.subscribe());
            tokio::spawn(async move {
                while !*done.borrow() {
                    // Many queries, so that others write and search meanwhile.
                    let search = Search::many(vec![Query::dense([1.0]); 200]).limit(3);
                    for hit in store.search("c", &search).await.unwrap().concat() {
                        assert_eq!(hit.id.to_string(), hit.score.to_string());
                    }
                }
            })
        })
        .collect();
    for n in 1..150_u8 {
        let id = n.to_string();
        put(&store, "c", vec![Record::new("x").with_id(id.as_str()).with_dense(vec![f32::from(n)])]).await;
        assert_eq!(store.delete("c", &Selection::Ids(vec![id.into()])).await.unwrap(), 1);
    }
    done.send_replace(true);
    for reader in readers {
        reader.await.unwrap();
    }
}
