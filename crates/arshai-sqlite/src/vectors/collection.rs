//! A collection in the file: its record, and the tables that belong to it.
//!
//! * `chunk_N`: the records. `changed` is the generation (the count of the collection's writes) of the row's last write,
//!   so that a copy in memory can be brought up to date from the index on it. `doc` is never used twice, so that a copy
//!   never takes one record for another.
//! * `dense_N`: vectors as little-endian f32, apart from the rest so that reading texts does not read them.
//! * `fts_N`, `vocab_N`: the text index; see `terms.rs`.

use arshai_core::{
    Error, ErrorKind, Result,
    vector::{Capabilities, Collection, CollectionSpec, CollectionStats},
};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::error::Outcome;

/// One row of the table `collection`.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Never used twice in a file, so that a copy of a dropped collection is never mistaken for a new one.
    pub(super) key: i64,
    pub(super) spec: CollectionSpec,
    /// How many writes there were.
    pub(super) generation: i64,
    /// The last write that removed something.
    pub(super) cleared: i64,
    pub(super) chunks: i64,
    pub(super) dense_chunks: i64,
    /// The lengths of all chunks in terms, summed.
    pub(super) terms: i64,
    pub(super) next_id: i64,
}

impl Stored {
    pub(super) fn find(connection: &Connection, name: &str) -> Outcome<Option<Self>> {
        let found = connection
            .prepare_cached(
                "SELECT id, spec, generation, cleared, chunks, dense_chunks, terms, next_id
                 FROM collection WHERE name = ?1",
            )?
            .query_row([name], |row| {
                Ok((
                    row.get::<_, String>(1)?,
                    Self {
                        key: row.get(0)?,
                        spec: CollectionSpec::new(name),
                        generation: row.get(2)?,
                        cleared: row.get(3)?,
                        chunks: row.get(4)?,
                        dense_chunks: row.get(5)?,
                        terms: row.get(6)?,
                        next_id: row.get(7)?,
                    },
                ))
            })
            .optional()?;
        let Some((spec, stored)) = found else { return Ok(None) };
        let spec = serde_json::from_str(&spec).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the record of the collection cannot be read")
                .with_context("collection", name)
                .with_source(error)
        })?;
        Ok(Some(Self { spec, ..stored }))
    }

    pub(super) fn load(connection: &Connection, name: &str) -> Outcome<Self> {
        Self::find(connection, name)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the collection does not exist")
                .with_context("collection", name.escape_debug())
                .into()
        })
    }

    pub(super) fn create(transaction: &Transaction<'_>, spec: &CollectionSpec) -> Outcome<()> {
        transaction
            .prepare_cached("INSERT INTO collection(name, spec) VALUES (?1, ?2)")?
            .execute(params![spec.name, encode(spec)?])?;
        let n = transaction.last_insert_rowid();
        transaction.execute_batch(&format!(
            "CREATE TABLE chunk_{n}(
                doc INTEGER PRIMARY KEY AUTOINCREMENT,
                id NOT NULL UNIQUE,
                changed INTEGER NOT NULL,
                length INTEGER NOT NULL,
                has_dense INTEGER NOT NULL,
                metadata BLOB NOT NULL,
                text TEXT NOT NULL
             );
             CREATE INDEX chunk_{n}_changed ON chunk_{n}(changed, length);
             CREATE INDEX chunk_{n}_source ON chunk_{n}(metadata -> '$.source');
             CREATE TABLE dense_{n}(doc INTEGER PRIMARY KEY, vector BLOB NOT NULL);"
        ))?;
        if spec.text_search {
            transaction.execute_batch(&format!(
                "CREATE VIRTUAL TABLE fts_{n} USING fts5(
                    t, content='', contentless_delete=1, detail=none, tokenize=\"ascii tokenchars '='\");
                 CREATE VIRTUAL TABLE vocab_{n} USING fts5vocab(fts_{n}, instance);"
            ))?;
        }
        Ok(())
    }

    pub(super) fn drop_tables(&self, transaction: &Transaction<'_>) -> Outcome<()> {
        let n = self.key;
        if self.spec.text_search {
            transaction.execute_batch(&format!("DROP TABLE vocab_{n}; DROP TABLE fts_{n};"))?;
        }
        transaction.execute_batch(&format!("DROP TABLE dense_{n}; DROP TABLE chunk_{n};"))?;
        transaction.execute("DELETE FROM collection WHERE id = ?1", [n])?;
        Ok(())
    }

    /// Writes the record back; `self.generation` is the caller's to count up.
    pub(super) fn save(&self, transaction: &Transaction<'_>) -> Outcome<()> {
        transaction
            .prepare_cached(
                "UPDATE collection SET spec = ?2, generation = ?3, cleared = ?4, chunks = ?5, dense_chunks = ?6,
                 terms = ?7, next_id = ?8 WHERE id = ?1",
            )?
            .execute(params![
                self.key,
                encode(&self.spec)?,
                self.generation,
                self.cleared,
                self.chunks,
                self.dense_chunks,
                self.terms,
                self.next_id
            ])?;
        Ok(())
    }

    /// What opening with `wanted` gives, by core's rule.
    pub(super) fn adopt(&self, wanted: &CollectionSpec) -> Result<Collection> {
        Collection::adopt(self.spec.clone(), wanted, true)
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        let mut can = store_capabilities();
        can.dense = self.spec.dimension.is_some();
        can.text = self.spec.text_search;
        can
    }

    pub(super) fn stats(&self) -> CollectionStats {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        CollectionStats::new(count(self.chunks), count(self.dense_chunks))
    }

    /// How many chunks there are.
    pub(super) fn total(&self) -> u64 {
        u64::try_from(self.chunks).unwrap_or(0)
    }
}

fn encode(spec: &CollectionSpec) -> Result<String> {
    serde_json::to_string(spec)
        .map_err(|error| Error::internal("a collection's record cannot be written").with_source(error))
}

pub(super) fn store_capabilities() -> Capabilities {
    let mut can = Capabilities::default();
    can.dense = true;
    can.text = true;
    can.hybrid = true;
    can.filter = true;
    can.upsert = true;
    can.delete_by_filter = true;
    can.optional_dense = true;
    can.gain_dense = true;
    can.persistent = true;
    can.shared = true;
    can
}
