//! Writing and removing records.

use arshai_core::{
    Error, ErrorKind, Filter, Result,
    vector::{Id, ItemOutcome, Record, Selection},
};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{collection::Stored, dense, filter_sql::Condition, rows::key_value, terms::index_text};
use crate::{error::Outcome, session::Filters};

const LARGEST_RECORD: usize = 256 * 1024 * 1024;

/// A record made ready without touching the file.
#[derive(Debug)]
pub(super) struct Prepared {
    record: Record,
    metadata: String,
    tokens: String,
    length: u32,
    vector: Option<Vec<u8>>,
}

/// Makes records ready; a bad one is an error of its own.
pub(super) fn prepare(records: Vec<Record>) -> Vec<Result<Prepared>> {
    records.into_iter().map(prepare_one).collect()
}

fn prepare_one(record: Record) -> Result<Prepared> {
    record.validate()?;
    let metadata = serde_json::to_string(&record.metadata)
        .map_err(|error| Error::invalid("the metadata cannot be written as JSON").with_source(error))?;
    if record.text.len() + metadata.len() > LARGEST_RECORD {
        return Err(Error::invalid("the record is too large; split the text")
            .with_context("bytes", record.text.len() + metadata.len())
            .with_context("limit", LARGEST_RECORD));
    }
    let (tokens, length) = index_text(&record.text);
    let vector = record.dense.as_deref().map(dense::to_bytes);
    Ok(Prepared { record, metadata, tokens, length, vector })
}

/// Writes one batch. A bad record fails alone; a failure of the file fails the batch.
pub(super) fn write(
    transaction: &Transaction<'_>,
    collection: &str,
    batch: Vec<Result<Prepared>>,
    replace: bool,
) -> Outcome<Vec<ItemOutcome>> {
    let mut stored = Stored::load(transaction, collection)?;
    stored.generation += 1;
    let mut outcomes = Vec::with_capacity(batch.len());
    for prepared in batch {
        let checked = prepared
            .and_then(|prepared| Ok((stored.spec.key_for(&prepared.record, stored.next_id)?, prepared)));
        outcomes.push(match checked {
            Err(error) => ItemOutcome::Failed(error),
            Ok((id, prepared)) => match put(transaction, &mut stored, &id, prepared, replace)? {
                Ok(()) => ItemOutcome::Written(id),
                Err(error) => ItemOutcome::Failed(error),
            },
        });
    }
    stored.save(transaction)?;
    Ok(outcomes)
}

fn put(
    transaction: &Transaction<'_>,
    stored: &mut Stored,
    id: &Id,
    prepared: Prepared,
    replace: bool,
) -> Outcome<Result<()>> {
    let n = stored.key;
    let key = key_value(id);
    let old: Option<Old> = transaction
        .prepare_cached(&format!("SELECT doc, length, has_dense FROM chunk_{n} WHERE id = ?1"))?
        .query_row([&key], Old::read)
        .optional()?;
    if old.is_some() && !replace {
        let error = Error::new(ErrorKind::AlreadyExists, "a record with this key exists; upsert replaces it");
        return Ok(Err(error.with_context("key", id.to_string().escape_debug())));
    }
    let Prepared { record, metadata, tokens, length, vector } = prepared;
    let has_dense = vector.is_some();
    let doc = match &old {
        Some(old) => {
            transaction
                .prepare_cached(&format!(
                    "UPDATE chunk_{n} SET changed = ?2, length = ?3, has_dense = ?4, metadata = jsonb(?5), text = ?6
                     WHERE doc = ?1"
                ))?
                .execute(params![old.doc, stored.generation, length, has_dense, metadata, record.text])?;
            stored.forget_entries(transaction, old)?;
            old.doc
        }
        None => {
            transaction
                .prepare_cached(&format!(
                    "INSERT INTO chunk_{n}(id, changed, length, has_dense, metadata, text)
                     VALUES (?1, ?2, ?3, ?4, jsonb(?5), ?6)"
                ))?
                .execute(params![key, stored.generation, length, has_dense, metadata, record.text])?;
            transaction.last_insert_rowid()
        }
    };
    if stored.spec.text_search && !tokens.is_empty() {
        transaction
            .prepare_cached(&format!("INSERT INTO fts_{n}(rowid, t) VALUES (?1, ?2)"))?
            .execute(params![doc, tokens])?;
    }
    if let Some(vector) = vector {
        transaction
            .prepare_cached(&format!("INSERT INTO dense_{n}(doc, vector) VALUES (?1, ?2)"))?
            .execute(params![doc, vector])?;
    }
    stored.chunks += 1;
    stored.dense_chunks += i64::from(has_dense);
    stored.terms += i64::from(length);
    if let Id::Int(number) = id {
        stored.next_id = stored.next_id.max(number.saturating_add(1));
    }
    Ok(Ok(()))
}

/// What must be known of a row to remove it.
struct Old {
    doc: i64,
    length: i64,
    has_dense: bool,
}

impl Old {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { doc: row.get(0)?, length: row.get(1)?, has_dense: row.get(2)? })
    }
}

impl Stored {
    /// Removes what other tables hold about a row, and the row from the numbers.
    fn forget_entries(&mut self, transaction: &Transaction<'_>, old: &Old) -> Outcome<()> {
        let n = self.key;
        if self.spec.text_search && old.length > 0 {
            transaction
                .prepare_cached(&format!("DELETE FROM fts_{n} WHERE rowid = ?1"))?
                .execute([old.doc])?;
        }
        if old.has_dense {
            transaction
                .prepare_cached(&format!("DELETE FROM dense_{n} WHERE doc = ?1"))?
                .execute([old.doc])?;
        }
        self.chunks -= 1;
        self.dense_chunks -= i64::from(old.has_dense);
        self.terms -= old.length;
        Ok(())
    }
}

/// Removes the selected records; how many there were.
pub(super) fn delete(
    transaction: &Transaction<'_>,
    filters: &Filters,
    collection: &str,
    selection: &Selection,
) -> Outcome<u64> {
    let mut stored = Stored::load(transaction, collection)?;
    let olds = match selection {
        Selection::Ids(ids) => by_ids(transaction, &stored, ids)?,
        Selection::Filter(filter) => by_filter(transaction, filters, &stored, filter)?,
    };
    if olds.is_empty() {
        return Ok(0);
    }
    stored.generation += 1;
    stored.cleared = stored.generation;
    let mut remove =
        transaction.prepare_cached(&format!("DELETE FROM chunk_{} WHERE doc = ?1", stored.key))?;
    for old in &olds {
        remove.execute([old.doc])?;
        stored.forget_entries(transaction, old)?;
    }
    stored.save(transaction)?;
    Ok(olds.len() as u64)
}

fn by_ids(transaction: &Transaction<'_>, stored: &Stored, ids: &[Id]) -> Outcome<Vec<Old>> {
    let mut ids: Vec<&Id> = ids.iter().collect();
    ids.sort();
    ids.dedup();
    let mut statement = transaction
        .prepare_cached(&format!("SELECT doc, length, has_dense FROM chunk_{} WHERE id = ?1", stored.key))?;
    let mut olds = Vec::new();
    for id in ids {
        olds.extend(statement.query_row([key_value(id)], Old::read).optional()?);
    }
    Ok(olds)
}

fn by_filter(
    transaction: &Transaction<'_>,
    filters: &Filters,
    stored: &Stored,
    filter: &Filter,
) -> Outcome<Vec<Old>> {
    let condition = Condition::new(filter)?;
    filters.set(condition.matched.clone());
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT c.doc, c.length, c.has_dense FROM chunk_{} c WHERE {}",
        stored.key, condition.sql
    ))?;
    condition.bind(&mut statement)?;
    let mut rows = statement.raw_query();
    let mut olds = Vec::new();
    while let Some(row) = rows.next()? {
        olds.push(Old::read(row)?);
    }
    Ok(olds)
}
