//! Every pair of a vector store and a memory store.

use std::sync::Arc;

use arshai_core::{
    memory::{InMemoryMemory, MemoryStore},
    vector::{InMemoryVectors, VectorStore},
};
use arshai_sqlite::{SqliteConfig, SqliteFile};
use tempfile::TempDir;

pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) vectors: Arc<dyn VectorStore>,
    pub(crate) memory: Arc<dyn MemoryStore>,
    _folder: TempDir,
}

/// All pairs, each fresh.
pub(crate) async fn all() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (name, vectors_on_disk, memory_on_disk) in [
        ("in memory + in memory", false, false),
        ("in memory + sqlite", false, true),
        ("sqlite + in memory", true, false),
        ("sqlite + sqlite", true, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteFile::open(SqliteConfig::new(folder.path().join("pair.db"))).await.unwrap();
        let vectors: Arc<dyn VectorStore> =
            if vectors_on_disk { Arc::new(file.vectors()) } else { Arc::new(InMemoryVectors::new()) };
        let memory: Arc<dyn MemoryStore> =
            if memory_on_disk { Arc::new(file.memory()) } else { Arc::new(InMemoryMemory::new()) };
        pairs.push(Pair { name, vectors, memory, _folder: folder });
    }
    pairs
}
