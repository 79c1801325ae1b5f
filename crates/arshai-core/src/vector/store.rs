//! The contract of a vector store.

use std::{fmt, future::Future, sync::Arc};

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::stream;

use super::{
    Capabilities, Collection, CollectionSpec, CollectionStats, Hit, Id, Query, Record, Row, RowPage,
    RowQuery, Search, WriteReport,
};
use crate::{Filter, Result};

/// Which records an operation is about.
#[derive(Debug, Clone)]
pub enum Selection {
    /// The records with these keys.
    Ids(Vec<Id>),
    /// The records for which this holds.
    Filter(Filter),
}

/// A place where collections of records live.
///
/// Every operation has a finite deadline: the caller's ([`crate::Deadline`]) or the backend's default. What a store
/// or collection cannot do is in [`VectorStore::capabilities`] and refused with [`crate::ErrorKind::Unsupported`].
/// An operation on a collection that does not exist fails with [`crate::ErrorKind::NotFound`].
///
/// # Cancel safety
///
/// Dropping any of these futures leaves the store usable. A dropped write may have been applied for some of its
/// records; each record is written whole or not at all.
#[async_trait]
pub trait VectorStore: Send + Sync + fmt::Debug {
    /// What the store (`None`) or a collection of it can do.
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities>;

    /// Opens a collection, creating it when it does not exist. Opening is idempotent and may be done by many at once.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::AlreadyExists`] showing both sides when it exists in an incompatible shape
    /// (see [`Collection::adopt`]).
    async fn open(&self, spec: &CollectionSpec) -> Result<Collection>;

    /// The collection as it stands; `None` when it does not exist.
    async fn describe(&self, collection: &str) -> Result<Option<Collection>>;

    /// The names of all collections, sorted.
    async fn collections(&self) -> Result<Vec<String>>;

    /// Removes a collection and its records; `false` when it did not exist.
    async fn drop_collection(&self, collection: &str) -> Result<bool>;

    /// Numbers about a collection.
    async fn stats(&self, collection: &str) -> Result<CollectionStats>;

    /// Adds records. A record whose key exists already fails with [`crate::ErrorKind::AlreadyExists`] where the
    /// engine checks; use [`VectorStore::upsert`] to replace.
    async fn insert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport>;

    /// Adds records, replacing those with the same key. When a key is given twice, the last record wins.
    ///
    /// A record of wrong dimension or with a value that is not finite fails alone; the others are written.
    async fn upsert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport>;

    /// Removes records; how many there were.
    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64>;

    /// One list of hits per query, best first; equal scores are ordered by id.
    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>>;

    /// One page of rows, ordered by key.
    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage>;

    /// Whether the store answers, for a readiness probe.
    async fn health(&self) -> Result<()>;

    /// Waits for what is in flight and releases connections and files. Later calls fail with
    /// [`crate::ErrorKind::Closed`]. Closing twice is fine.
    async fn close(&self) -> Result<()>;
}

/// Sugar on top of [`VectorStore`]; implemented for every store, trait objects included.
#[async_trait]
pub trait VectorStoreExt: VectorStore {
    /// The hits of one query.
    ///
    /// # Errors
    ///
    /// As [`VectorStore::search`].
    async fn search_one(&self, collection: &str, query: Query, limit: usize) -> Result<Vec<Hit>> {
        let mut lists = self.search(collection, &Search::new(query).limit(limit)).await?;
        Ok(lists.pop().unwrap_or_default())
    }

    /// Every row of a query as a stream, read a page at a time.
    fn scan<'a>(
        &'a self,
        collection: &'a str,
        query: RowQuery,
    ) -> impl Stream<Item = Result<Row>> + Send + 'a {
        pages(query, move |query| async move {
            let page = self.query(collection, &query).await?;
            Ok((query, page))
        })
    }
}

/// As [`VectorStoreExt::scan`], keeping the store alive.
pub(crate) fn scan_owned<S: VectorStore + ?Sized + 'static>(
    store: Arc<S>,
    collection: String,
    query: RowQuery,
) -> impl Stream<Item = Result<Row>> + Send + 'static {
    pages(query, move |query| {
        let (store, collection) = (Arc::clone(&store), collection.clone());
        async move {
            let page = store.query(&collection, &query).await?;
            Ok((query, page))
        }
    })
}

/// The rows of page after page. `read` gives its query back beside the page.
fn pages<R, F>(query: RowQuery, read: R) -> impl Stream<Item = Result<Row>> + Send
where
    R: Fn(RowQuery) -> F + Send + Clone,
    F: Future<Output = Result<(RowQuery, RowPage)>> + Send,
{
    let pages = stream::try_unfold(Some(query), move |state| {
        let read = read.clone();
        async move {
            let Some(query) = state else { return Ok::<_, crate::Error>(None) };
            let (query, page) = read(query).await?;
            let next = page.next.map(|cursor| query.after(cursor));
            Ok(Some((stream::iter(page.rows.into_iter().map(Ok::<_, crate::Error>)), next)))
        }
    });
    futures_util::TryStreamExt::try_flatten(pages)
}

impl<S: VectorStore + ?Sized> VectorStoreExt for S {}
