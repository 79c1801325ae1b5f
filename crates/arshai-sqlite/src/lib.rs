//! Collections and conversation memory in one SQLite file: no server, no setup.
//!
//! [`SqliteFile`] opens the file; [`SqliteFile::vectors`] and [`SqliteFile::memory`] give the stores, which share its
//! connections. Several processes may open one file at the same time and see each other's writes at once.
//!
//! ```
//! use arshai_core::vector::{CollectionSpec, Query, Record, VectorStore as _, VectorStoreExt as _};
//! use arshai_sqlite::{SqliteConfig, SqliteFile};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> arshai_core::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("arshai.db");
//! let file = SqliteFile::open(SqliteConfig::new(path)).await?;
//! let store = file.vectors();
//! store.open(&CollectionSpec::new("docs")).await?;
//! let records = vec![Record::new("A memory is kept for twelve hours.").with_id("a")];
//! store.upsert("docs", records).await?.into_complete()?;
//! let hits = store.search_one("docs", Query::text("how long is memory kept?"), 3).await?;
//! assert_eq!(hits[0].text, "A memory is kept for twelve hours.");
//! # file.close().await
//! # }
//! ```
//!
//! # What is promised
//!
//! * A write that was acknowledged is on the disk: WAL with `synchronous=FULL`.
//! * A batch of at most 1,000 records is one transaction, and so is every change of a memory.
//! * Text search is BM25 with the terms and formula of [`arshai_core::text`]; vector search is exact.
//! * The file is created for its owner alone (mode 0600), and refused when a newer version of this crate wrote it.

mod backup;
mod config;
mod error;
mod file;
mod memory;
mod pool;
mod provider;
mod schema;
mod session;
mod vectors;

pub use config::SqliteConfig;
pub use file::SqliteFile;
pub use memory::SqliteMemory;
pub use provider::SqliteFiles;
pub use vectors::SqliteVectors;
