//! The file from outside, one module per concern.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test says what is wrong by failing"
)]

mod bad_input;
mod conformance;
mod durable;
mod files;
mod memory;
mod oracle;
mod search;
mod sharing;

use arshai_core::vector::{Record, VectorStore};
use arshai_sqlite::{SqliteConfig, SqliteFile, SqliteVectors};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// A file in a folder of its own, gone with the test.
struct Fixture {
    folder: TempDir,
    file: SqliteFile,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteFile::open(SqliteConfig::new(folder.path().join("arshai.db"))).await.unwrap();
        Self { folder, file }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("arshai.db")
    }

    /// A second, independent set of connections to the same file, as another process would have.
    async fn again(&self) -> SqliteFile {
        SqliteFile::open(SqliteConfig::new(self.path())).await.unwrap()
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

async fn put(store: &SqliteVectors, collection: &str, records: Vec<Record>) {
    store.upsert(collection, records).await.unwrap().into_complete().unwrap();
}

fn texts(texts: &[(&str, &str)]) -> Vec<Record> {
    texts.iter().map(|(id, text)| Record::new(*text).with_id(*id)).collect()
}

fn ids(hits: &[arshai_core::vector::Hit]) -> Vec<String> {
    hits.iter().map(|hit| hit.id.to_string()).collect()
}
