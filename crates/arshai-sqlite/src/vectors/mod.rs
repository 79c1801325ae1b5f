//! Collections in the file.

mod cache;
mod codes;
mod collection;
mod copied;
mod dense;
mod filter_sql;
mod rank;
mod rows;
mod scan;
mod search;
mod terms;
mod write;

use std::sync::Arc;

use arshai_core::{
    Deadline, Error, Result,
    vector::{
        Capabilities, Collection, CollectionSpec, CollectionStats, Hit, ItemOutcome, Record, RowPage,
        RowQuery, Search, Selection, VectorStore, WriteReport,
    },
};
use async_trait::async_trait;
use futures_util::future::join;
use rusqlite::Transaction;
use tokio::task::spawn_blocking;

pub(crate) use cache::Caches;
use collection::{Stored, store_capabilities};
use write::Prepared;

use crate::{
    file::{self, Handle},
    pool::Pool,
    session::Filters,
};

/// A transaction holds at most this many records.
const BATCH: usize = 1_000;
/// And is closed early when its texts are together longer than this.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Collections in a [`SqliteFile`](crate::SqliteFile). Clones share them.
///
/// Text search is BM25. Vector search is exact: a copy in memory, loaded at the first search (1.5 bytes per dimension and
/// some 40 per record), tells which records may be among the best, and the vectors of those are read from the file.
/// Idle cores help where there are many.
///
/// Writes go in transactions of at most 1,000 records; when one fails, the records of
/// those before it are written, its own are `Failed` and those after it `NotAttempted`. When the first one fails, the
/// whole call does. A filter `source == "…"` or `starts_with(source, "…")` on the metadata uses an index.
#[derive(Debug, Clone)]
pub struct SqliteVectors {
    handle: Handle,
}

impl SqliteVectors {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    async fn write_all(
        &self,
        operation: &'static str,
        collection: &str,
        records: Vec<Record>,
        replace: bool,
    ) -> Result<WriteReport> {
        let pool = self.handle.pool(operation)?;
        let deadline = Deadline::current_or(pool.config.timeout);
        deadline.scope(write_batches(&pool, operation, collection, records, replace)).await
    }
}

/// Makes a batch ready while the one before it is being written.
async fn write_batches(
    pool: &Arc<Pool>,
    operation: &'static str,
    collection: &str,
    records: Vec<Record>,
    replace: bool,
) -> Result<WriteReport> {
    let total = records.len();
    let mut batches = batches(records).into_iter();
    let mut report = WriteReport::default();
    let mut ready = prepare(batches.next().unwrap_or_default()).await?;
    loop {
        let size = ready.len();
        let name = collection.to_owned();
        let write =
            pool.write(operation, move |transaction, _| write::write(transaction, &name, ready, replace));
        let following = batches.next();
        let following_size = following.as_ref().map(Vec::len);
        let (outcome, following) = join(write, prepare(following.unwrap_or_default())).await;
        match outcome {
            Ok(items) => report.items.extend(items.into_iter().map(|item| match item {
                ItemOutcome::Failed(error) => ItemOutcome::Failed(error.with_operation(operation)),
                other => other,
            })),
            Err(error) => return give_up(report, size, total, error),
        }
        let Some(following_size) = following_size else { return Ok(report) };
        ready = match following {
            Ok(following) => following,
            Err(error) => {
                return give_up(report, following_size, total, error.with_operation(operation));
            }
        };
    }
}

/// The result when a batch of `size` records failed as a whole after those that `report` tells of.
fn give_up(mut report: WriteReport, size: usize, total: usize, error: Error) -> Result<WriteReport> {
    if report.written() == 0 {
        return Err(error);
    }
    report.items.extend((0..size).map(|_| ItemOutcome::Failed(error.duplicate())));
    report.items.resize_with(total, || ItemOutcome::NotAttempted);
    Ok(report)
}

async fn prepare(records: Vec<Record>) -> Result<Vec<Result<Prepared>>> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    spawn_blocking(move || write::prepare(records))
        .await
        .map_err(|lost| Error::internal("preparing records was lost").with_source(lost))
}

fn batches(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut batches: Vec<Vec<Record>> = Vec::new();
    let mut bytes = 0_usize;
    for record in records {
        bytes = bytes.saturating_add(record.text.len());
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes <= BATCH_BYTES => batch.push(record),
            _ => {
                bytes = record.text.len();
                batches.push(vec![record]);
            }
        }
    }
    batches
}

#[async_trait]
impl VectorStore for SqliteVectors {
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities> {
        const OPERATION: &str = "vectors.capabilities";
        let pool = self.handle.pool(OPERATION)?;
        let Some(name) = collection.map(str::to_owned) else { return Ok(store_capabilities()) };
        pool.read(OPERATION, move |session, _| Ok(Stored::load(&session.connection, &name)?.capabilities()))
            .await
    }

    async fn open(&self, spec: &CollectionSpec) -> Result<Collection> {
        const OPERATION: &str = "vectors.open";
        spec.validate()?;
        if spec.sparse {
            return Err(Error::unsupported(
                "the SQLite store has no sparse vectors; open the collection without them",
            )
            .with_operation(OPERATION)
            .with_context("collection", &spec.name));
        }
        let pool = self.handle.pool(OPERATION)?;
        let wanted = spec.clone();
        // Most of the time nothing has to be written, and then nobody has to be waited for.
        let unchanged = pool
            .read(OPERATION, move |session, _| {
                let Some(stored) = Stored::find(&session.connection, &wanted.name)? else { return Ok(None) };
                let opened = stored.adopt(&wanted)?;
                Ok((opened.spec == stored.spec).then_some(opened))
            })
            .await?;
        if let Some(opened) = unchanged {
            return Ok(opened);
        }
        let wanted = spec.clone();
        pool.write(OPERATION, move |transaction, _| {
            let Some(mut stored) = Stored::find(transaction, &wanted.name)? else {
                Stored::create(transaction, &wanted)?;
                return Ok(Collection::new(wanted));
            };
            let opened = stored.adopt(&wanted)?;
            if opened.spec != stored.spec {
                stored.spec = opened.spec.clone();
                stored.generation += 1;
                stored.save(transaction)?;
            }
            Ok(opened)
        })
        .await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Collection>> {
        const OPERATION: &str = "vectors.describe";
        let name = collection.to_owned();
        self.handle
            .pool(OPERATION)?
            .read(OPERATION, move |session, _| {
                Ok(Stored::find(&session.connection, &name)?.map(|stored| Collection::new(stored.spec)))
            })
            .await
    }

    async fn collections(&self) -> Result<Vec<String>> {
        const OPERATION: &str = "vectors.collections";
        self.handle
            .pool(OPERATION)?
            .read(OPERATION, |session, _| {
                let mut statement =
                    session.connection.prepare_cached("SELECT name FROM collection ORDER BY name")?;
                Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn drop_collection(&self, collection: &str) -> Result<bool> {
        const OPERATION: &str = "vectors.drop";
        let name = collection.to_owned();
        let work = move |transaction: &Transaction<'_>, _: &Filters| {
            let Some(stored) = Stored::find(transaction, &name)? else { return Ok(None) };
            stored.drop_tables(transaction)?;
            Ok(Some(stored.key))
        };
        let forget = |dropped: &Option<i64>, pool: &Pool| {
            if let Some(key) = dropped {
                pool.caches.forget(*key);
            }
        };
        Ok(self.handle.pool(OPERATION)?.write_then(OPERATION, work, forget).await?.is_some())
    }

    async fn stats(&self, collection: &str) -> Result<CollectionStats> {
        const OPERATION: &str = "vectors.stats";
        let name = collection.to_owned();
        self.handle
            .pool(OPERATION)?
            .read(OPERATION, move |session, _| Ok(Stored::load(&session.connection, &name)?.stats()))
            .await
    }

    async fn insert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        self.write_all("vectors.insert", collection, records, false).await
    }

    async fn upsert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        self.write_all("vectors.upsert", collection, records, true).await
    }

    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64> {
        const OPERATION: &str = "vectors.delete";
        let pool = self.handle.pool(OPERATION)?;
        if let Selection::Filter(filter) = selection {
            search::check_filter(Some(filter)).map_err(|error| error.with_operation(OPERATION))?;
        }
        let (name, selection) = (collection.to_owned(), selection.clone());
        pool.write(OPERATION, move |transaction, filters| {
            write::delete(transaction, filters, &name, &selection)
        })
        .await
    }

    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>> {
        const OPERATION: &str = "vectors.search";
        let pool = self.handle.pool(OPERATION)?;
        search::check_filter(search.filter.as_ref()).map_err(|error| error.with_operation(OPERATION))?;
        let deadline = Deadline::current_or(pool.config.timeout);
        let (name, search) = (collection.to_owned(), search.clone());
        pool.read_until(OPERATION, deadline, move |session, pool| {
            search::run(session, pool, &name, &search, deadline)
        })
        .await
    }

    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage> {
        const OPERATION: &str = "vectors.query";
        let pool = self.handle.pool(OPERATION)?;
        search::check_filter(query.filter.as_ref()).map_err(|error| error.with_operation(OPERATION))?;
        let (name, query) = (collection.to_owned(), query.clone());
        pool.read(OPERATION, move |session, _| rows::run(session, &name, &query)).await
    }

    async fn health(&self) -> Result<()> {
        file::health(&self.handle.pool("vectors.health")?, "vectors.health").await
    }

    async fn close(&self) -> Result<()> {
        self.handle.close("vectors.close").await
    }
}

#[cfg(test)]
mod tests {
    use arshai_core::ErrorKind;

    use super::*;

    #[test]
    fn what_was_written_before_a_failed_batch_is_told() {
        let error = || Error::new(ErrorKind::Io, "no");
        let mut report = WriteReport::default();
        report.items.push(ItemOutcome::Written(7.into()));
        let report = give_up(report, 2, 4, error()).unwrap();
        let [
            ItemOutcome::Written(_),
            ItemOutcome::Failed(_),
            ItemOutcome::Failed(_),
            ItemOutcome::NotAttempted,
        ] = report.items.as_slice()
        else {
            panic!("{report:?}");
        };
        assert_eq!(give_up(WriteReport::default(), 2, 4, error()).unwrap_err().kind(), ErrorKind::Io);
    }
}
