//! `update_with` on SQLite against bare rusqlite doing the same transactions at the same durability.

use anyhow::{Context as _, Result, ensure};
use arshai_core::memory::{Memory, MemoryKey, MemoryStoreExt as _};
use arshai_sqlite::{SqliteConfig, SqliteFile};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::{
    figure::Figures,
    tally::{Stretch, Tally},
};

/// Short rounds in turn: a disk whose speed drifts is the same for both sides of a round.
const ROUNDS: usize = 101;
const UPDATES: usize = 20;
const VALUE_BYTES: usize = 1_500;

pub(crate) async fn run(figures: &mut Figures) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = SqliteFile::open(SqliteConfig::new(folder.path().join("ours.db"))).await?;
    let store = file.memory();
    let key = MemoryKey::new("bench")?;
    let mut bare = Bare::open(&folder.path().join("bare.db"))?;
    let (mut ours, mut theirs, mut ratios) = (Tally::default(), Tally::default(), Vec::new());
    for round in 0..=ROUNDS {
        // The first round warms both up.
        if round == 1 {
            (ours, theirs) = (Tally::default(), Tally::default());
        }
        let stretch = Stretch::begin()?;
        for number in 0..UPDATES {
            let change = |_: Option<&Memory>| Ok(Memory::new(value(number)));
            store.update_with(&key, change).await?;
        }
        let our_time = ours.end(&stretch, UPDATES)?;
        let stretch = Stretch::begin()?;
        for number in 0..UPDATES {
            bare.update(&key.stored(), value(number).as_bytes())?;
        }
        let their_time = theirs.end(&stretch, UPDATES)?;
        if round > 0 {
            ratios.push(their_time.as_secs_f64() / our_time.as_secs_f64());
        }
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let ratio = ratios.get(ROUNDS / 2).copied().context("no round was run")?;
    figures.note("update_with, one at a time", UPDATES as f64 / ours.median() * 1e3, "updates/s");
    figures.note("bare rusqlite, one at a time", UPDATES as f64 / theirs.median() * 1e3, "updates/s");
    figures.at_least("update_with against bare rusqlite", ratio, 0.7, "×");
    ours.tell("memory", "arshai", "update_with", 1);
    theirs.tell("memory", "rusqlite", "update_with", 1);
    file.close().await?;
    Ok(())
}

fn value(number: usize) -> String {
    format!("{number:0VALUE_BYTES$}")
}

/// The same work without arshai: read, then compare and write in one immediate transaction, WAL, `synchronous=FULL`.
struct Bare {
    connection: Connection,
}

impl Bare {
    fn open(path: &std::path::Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection
            .execute_batch("CREATE TABLE memory (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")?;
        Ok(Self { connection })
    }

    fn update(&mut self, key: &str, value: &[u8]) -> Result<()> {
        const READ: &str = "SELECT value FROM memory WHERE key = ?1";
        let read = |connection: &Connection| {
            connection
                .prepare_cached(READ)?
                .query_row(params![key], |row| row.get::<_, Vec<u8>>(0))
                .optional()
        };
        let before = read(&self.connection)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        ensure!(read(&transaction)? == before, "nobody else writes here");
        transaction
            .prepare_cached(
                "INSERT INTO memory (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?
            .execute(params![key, value])?;
        transaction.commit()?;
        Ok(())
    }
}
