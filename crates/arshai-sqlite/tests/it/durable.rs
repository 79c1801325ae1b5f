//! Nothing is lost or half done: dropped futures, a full disk, a backup under load.

use std::{
    fs,
    future::Future,
    pin::pin,
    task::{Context, Waker},
};

use arshai_core::{
    ErrorKind,
    memory::{Memory, MemoryKey, MemoryStore, MemoryStoreExt, Precondition},
    vector::{CollectionSpec, ItemOutcome, Output, Record, RowQuery, VectorStore},
};
use arshai_sqlite::{SqliteConfig, SqliteFile};

use crate::{Fixture, put, texts};

/// Polls a future a few times and drops it.
async fn drop_after(polls: usize, future: impl Future) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_dropped_write_is_done_or_not_and_the_next_one_works() {
    let fixture = Fixture::new().await;
    let (store, memory) = (fixture.file.vectors(), fixture.file.memory());
    store.open(&CollectionSpec::new("c")).await.unwrap();
    let key = MemoryKey::new("c").unwrap();
    for polls in 0..12 {
        let records: Vec<Record> =
            (0..1_500).map(|n| Record::new(format!("p{polls}")).with_id(format!("{polls}-{n}"))).collect();
        drop_after(polls, store.upsert("c", records)).await;
        drop_after(polls, memory.put(&key, &Memory::new(format!("{polls}")), Precondition::Any)).await;
        memory.append(&key, &[], arshai_core::memory::TrimPolicy::default()).await.unwrap();
        put(&store, "c", texts(&[("last", "after")])).await;
        let rows =
            store.query("c", &RowQuery::all().limit(100_000).output(Output::ids())).await.unwrap().rows;
        let mine = rows.iter().filter(|row| row.id.to_string().starts_with(&format!("{polls}-"))).count();
        assert!([0, 1_000, 1_500].contains(&mine), "a batch was written in part: {mine}");
        assert_eq!(rows.len() as u64, store.stats("c").await.unwrap().rows);
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_acknowledged_and_leaves_nothing_half() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("small.db")).with_max_bytes(2_000_000);
    let file = SqliteFile::open(config).await.unwrap();
    let store = file.vectors();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    let records: Vec<Record> = (0..5_000)
        .map(|n| Record::new(format!("w{n} {}", "some filler text ".repeat(30))).with_id(format!("{n:04}")))
        .collect();
    let report = store.upsert("c", records.clone()).await.unwrap();
    let written: Vec<String> = report.ids().map(ToString::to_string).collect();
    assert!(!written.is_empty() && written.len() < 5_000, "{}", written.len());
    let (_, error) = report.failed().next().unwrap();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("full"), "{error}");
    assert!(matches!(report.items.last(), Some(ItemOutcome::NotAttempted)));
    let rows = store.query("c", &RowQuery::all().limit(9_999).output(Output::ids())).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>(), written);
    let error = store.upsert("c", records).await.map(|report| report.into_complete()).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    file.close().await.unwrap();
    // With space again, the rest goes in.
    let file = SqliteFile::open(SqliteConfig::new(folder.path().join("small.db"))).await.unwrap();
    let rest: Vec<Record> = (0..5_000).map(|n| Record::new("short").with_id(format!("{n:04}"))).collect();
    put(&file.vectors(), "c", rest).await;
    assert_eq!(file.vectors().stats("c").await.unwrap().rows, 5_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_moment_of_the_file() {
    let fixture = Fixture::new().await;
    let (store, memory) = (fixture.file.vectors(), fixture.file.memory());
    store.open(&CollectionSpec::new("c").with_dense(2)).await.unwrap();
    let batch = |round: u32| {
        (0..300).map(move |n| {
            Record::new(format!("round w{round}")).with_id(format!("{round}-{n}")).with_dense(vec![1.0, 2.0])
        })
    };
    put(&store, "c", batch(0).collect()).await;
    memory.update(&MemoryKey::new("m").unwrap(), "kept").await.unwrap();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for round in 1..12 {
                put(&store, "c", batch(round).collect()).await;
            }
        }
    });
    let copy = fixture.folder.path().join("copy.db");
    for _ in 0..3 {
        fixture.file.backup(&copy).await.unwrap();
        let file = SqliteFile::open(SqliteConfig::new(&copy)).await.unwrap();
        let stats = file.vectors().stats("c").await.unwrap();
        assert!(stats.rows >= 300 && stats.rows % 300 == 0 && stats.dense_rows == stats.rows, "{stats:?}");
        let rows = file
            .vectors()
            .query("c", &RowQuery::all().limit(99_999).output(Output::ids()))
            .await
            .unwrap()
            .rows;
        assert_eq!(rows.len() as u64, stats.rows);
        assert_eq!(
            file.memory().retrieve(&MemoryKey::new("m").unwrap()).await.unwrap().unwrap().text,
            "kept"
        );
        file.close().await.unwrap();
    }
    writer.await.unwrap();
    let left: Vec<String> = fs::read_dir(fixture.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("partial"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn a_backup_never_replaces_the_file_itself_or_one_in_use() {
    let fixture = Fixture::new().await;
    let error = fixture.file.backup(&fixture.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let other = fixture.folder.path().join("other.db");
    let in_use = SqliteFile::open(SqliteConfig::new(&other)).await.unwrap();
    let error = fixture.file.backup(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    in_use.health().await.unwrap();
    let nowhere = fixture.file.backup(&fixture.folder.path().join("none").join("x.db")).await.unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::Io);
}
