//! The SQLite file, where the program was built with it.

use std::{path::Path, sync::Arc};

use arshai_core::{memory::MemoryStore, vector::VectorStore};

use crate::failure::Outcome;

#[cfg(feature = "sqlite")]
#[derive(Clone)]
pub(crate) struct File(arshai_sqlite::SqliteFile);

#[cfg(feature = "sqlite")]
impl File {
    pub(crate) async fn open(path: &Path) -> Outcome<Self> {
        Ok(Self(arshai_sqlite::SqliteFile::open(arshai_sqlite::SqliteConfig::new(path)).await?))
    }

    pub(crate) fn vectors(&self) -> Arc<dyn VectorStore> {
        Arc::new(self.0.vectors())
    }

    pub(crate) fn memory(&self) -> Arc<dyn MemoryStore> {
        Arc::new(self.0.memory())
    }

    pub(crate) async fn close(&self) -> Outcome {
        Ok(self.0.close().await?)
    }
}

#[cfg(not(feature = "sqlite"))]
#[derive(Clone)]
pub(crate) enum File {}

#[cfg(not(feature = "sqlite"))]
impl File {
    pub(crate) async fn open(_path: &Path) -> Outcome<Self> {
        Err(crate::backends::usage(
            "sqlite://PATH, the default, needs the Cargo feature `sqlite`, which this program was built without",
        ))
    }

    pub(crate) fn vectors(&self) -> Arc<dyn VectorStore> {
        match *self {}
    }

    pub(crate) fn memory(&self) -> Arc<dyn MemoryStore> {
        match *self {}
    }

    pub(crate) async fn close(&self) -> Outcome {
        match *self {}
    }
}
