//! Files by URL.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Weak},
};

use arshai_core::{
    Error, ErrorKind, Result,
    memory::MemoryStore,
    registry::{Address, Provider},
    vector::VectorStore,
};
use tokio::sync::Mutex;

use crate::{SqliteConfig, SqliteFile, pool::Pool};

/// Opens `sqlite://PATH` and `sqlite:PATH`. A memory and a store in one file share its connections while either is in use.
#[derive(Debug, Clone, Default)]
pub struct SqliteFiles {
    open: Arc<Mutex<HashMap<PathBuf, Weak<Pool>>>>,
}

impl SqliteFiles {
    /// A provider of memories, as `sqlite://PATH` or `sqlite:PATH`.
    pub fn memories(&self) -> Provider<dyn MemoryStore> {
        let files = self.clone();
        let open = move |address: Address| {
            let files = files.clone();
            async move { Ok(Arc::new(files.file(&address).await?.memory()) as Arc<dyn MemoryStore>) }
        };
        Provider::new(open).with_names(["sqlite"]).with_schemes(["sqlite"])
    }

    /// A provider of vector stores, as `sqlite://PATH` or `sqlite:PATH`.
    pub fn stores(&self) -> Provider<dyn VectorStore> {
        let files = self.clone();
        let open = move |address: Address| {
            let files = files.clone();
            async move { Ok(Arc::new(files.file(&address).await?.vectors()) as Arc<dyn VectorStore>) }
        };
        Provider::new(open).with_names(["sqlite"]).with_schemes(["sqlite"])
    }

    async fn file(&self, address: &Address) -> Result<SqliteFile> {
        let url = address.url().and_then(|url| url.split_once("://")).map(|(_, path)| path);
        let path = url.or(address.argument()).filter(|path| !path.is_empty()).ok_or_else(|| {
            Error::new(ErrorKind::Config, "the address names no file; write sqlite://PATH")
                .with_context("given", address)
        })?;
        let path = std::path::absolute(path)?;
        let mut open = self.open.lock().await;
        open.retain(|_, pool| pool.strong_count() > 0);
        if let Some(pool) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(SqliteFile { pool });
        }
        let file = SqliteFile::open(SqliteConfig::new(&path)).await?;
        open.insert(path, Arc::downgrade(&file.pool));
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use arshai_core::{
        memory::{MemoryKey, MemoryStoreExt as _},
        registry::Registry,
    };

    use super::*;

    #[tokio::test]
    async fn a_memory_and_a_store_share_a_file_and_open_it_again_once_closed() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite://{}", folder.path().join("a.db").display());
        let files = SqliteFiles::default();
        let mut memories = Registry::new("memory");
        memories.register(files.memories());
        let mut stores = Registry::new("vector store");
        stores.register(files.stores());
        let key = MemoryKey::new("c").unwrap();
        for round in 0..2 {
            let memory = memories.open(&address).await.unwrap();
            let store = stores.open(&address).await.unwrap();
            assert_eq!(files.open.lock().await.len(), 1);
            memory.append(&key, &[arshai_core::memory::Turn::user("hi")], Default::default()).await.unwrap();
            memory.close().await.unwrap();
            store.health().await.unwrap();
            store.close().await.unwrap();
            assert!(files.open.lock().await.values().all(|pool| pool.strong_count() == 0), "round {round}");
        }
        for nameless in ["sqlite://", "sqlite"] {
            assert_eq!(memories.open(nameless).await.unwrap_err().kind(), ErrorKind::Config);
        }
        let named = format!("sqlite:{}", folder.path().join("a.db").display());
        let memory = memories.open(&named).await.unwrap();
        assert!(memory.retrieve(&key).await.unwrap().is_some());
    }
}
