//! The published suites, with a set of connections of its own for every handle, as other processes would have.

use std::{path::Path, sync::Arc};

use arshai_conformance::{
    Dropped,
    capabilities::{expect_capabilities, expect_memory_capabilities},
    drop_harness, memory, vectors,
};
use arshai_core::{
    memory::{Memory, MemoryKey, MemoryStore, MemoryStoreExt},
    vector::VectorStore,
};
use arshai_sqlite::{SqliteConfig, SqliteFile};

use crate::Fixture;

async fn open(path: &Path) -> arshai_core::Result<SqliteFile> {
    SqliteFile::open(SqliteConfig::new(path)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("arshai.db");
    let report = vectors::suite(&|| {
        let path = path.clone();
        async move { Ok(Arc::new(open(&path).await?.vectors()) as Arc<dyn VectorStore>) }
    })
    .await;
    report.assert_passed();
    let store = open(&path).await.unwrap().vectors();
    expect_capabilities("sqlite", &store.capabilities(None).await.unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("arshai.db");
    let report = memory::suite(&|| {
        let path = path.clone();
        async move { Ok(Arc::new(open(&path).await?.memory()) as Arc<dyn MemoryStore>) }
    })
    .await;
    report.assert_passed();
    let store = open(&path).await.unwrap().memory();
    expect_memory_capabilities("sqlite", &store.capabilities()).unwrap();
}

#[tokio::test]
async fn an_update_dropped_anywhere_leaves_the_old_or_the_new_memory() {
    let fixture = Fixture::new().await;
    let memory = fixture.file.memory();
    let key = MemoryKey::new("c").unwrap();
    let count = |old: Option<&Memory>| old.map_or(0, |memory| memory.text.parse::<usize>().unwrap());
    let add = |_run| {
        let (memory, key) = (memory.clone(), key.clone());
        async move {
            memory.update_with(&key, |old| Ok(Memory::new((count(old) + 1).to_string()))).await.map(|_| ())
        }
    };
    let check = |run: usize, _dropped: Dropped<arshai_core::Result<()>>| {
        let (memory, key) = (memory.clone(), key.clone());
        async move {
            let found = memory.retrieve(&key).await.map_err(|error| error.to_string())?;
            // Every run adds one or nothing.
            match count(found.as_ref()) <= run {
                true => Ok(()),
                false => Err(format!("{run} runs made more than {run} updates: {found:?}")),
            }
        }
    };
    let polls = drop_harness(add, check).await.unwrap();
    println!("dropped at {} points", polls - 1);
    assert!(polls > 1, "the operation never waited");
}
