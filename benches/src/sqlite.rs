//! Memory in a SQLite file: the operations of [`Conversations`], each write durable when it returns.

use std::sync::Arc;

use anyhow::Result;
use arshai_sqlite::{SqliteConfig, SqliteFile};

use crate::{conversations::Conversations, measure::Bench};

const CALLS: usize = 2_000;

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    for concurrency in bench.concurrencies(&[1, 64]) {
        let folder = tempfile::tempdir()?;
        let file = SqliteFile::open(SqliteConfig::new(folder.path().join("bench.db"))).await?;
        let conversations = Conversations::fill(Arc::new(file.memory())).await?;
        conversations.measure(bench, "arshai", concurrency, CALLS).await?;
        file.close().await?;
    }
    Ok(())
}
