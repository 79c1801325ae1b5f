//! The blocking way in, on real files.

use std::sync::Arc;

use arshai_core::{
    ErrorKind,
    blocking::{Blocking, MemoryStore as _, Runtime, VectorStore as _},
    memory::{MemoryKey, MemoryStore, TrimPolicy, Turn},
    vector::{CollectionSpec, Query, Record, Search, VectorStore},
};
use arshai_sqlite::{SqliteConfig, SqliteFile};

#[test]
fn a_program_without_async_uses_one_file_for_everything() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let config = SqliteConfig::new(folder.path().join("sync.db"));
    let file = runtime.block_on(SqliteFile::open(config)).unwrap().unwrap();
    let vectors = Blocking::new(Arc::new(file.vectors()) as Arc<dyn VectorStore>, runtime.clone());
    vectors.open(&CollectionSpec::new("docs")).unwrap();
    let report = vectors.upsert("docs", vec![Record::new("a red fox").with_id("fox")]).unwrap();
    assert!(report.is_complete());
    let found = vectors.search("docs", &Search::new(Query::text("fox"))).unwrap();
    assert_eq!(found[0][0].id.to_string(), "fox");

    let memory = Blocking::new(Arc::new(file.memory()) as Arc<dyn MemoryStore>, runtime);
    let key = MemoryKey::new("c").unwrap();
    memory.append(&key, &[Turn::user("hello")], TrimPolicy::default()).unwrap();
    assert_eq!(memory.retrieve(&key).unwrap().unwrap().text, "\nUser: hello");
    assert!(memory.delete(&key).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_code_is_refused_and_the_blocking_pool_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteFile::open(SqliteConfig::new(folder.path().join("sync.db"))).await.unwrap();
    let memory = Blocking::new(Arc::new(file.memory()) as Arc<dyn MemoryStore>, Runtime::new().unwrap());
    let key = MemoryKey::new("c").unwrap();
    assert_eq!(memory.retrieve(&key).unwrap_err().kind(), ErrorKind::BlockingInAsync);
    let pooled = tokio::task::spawn_blocking(move || memory.retrieve(&key)).await.unwrap();
    assert_eq!(pooled.unwrap(), None);
}
