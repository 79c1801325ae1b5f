//! The store.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arshai_core::{
    Deadline, Effect, Error, Result,
    vector::{
        Capabilities, Collection, CollectionSpec, CollectionStats, Consistency, Hit, ItemOutcome, Record,
        RowPage, RowQuery, Search, Selection, VectorStore, WriteReport,
    },
};
use async_trait::async_trait;

use crate::{
    config::MilvusConfig,
    connection::{Connection, Safety},
    failure::Failure,
    inner::Inner,
    proto::milvus::{ShowCollectionsRequest, ShowCollectionsResponse},
    write::Mode,
};

/// Collections on a Milvus server. Clones share connections and what they know.
///
/// Nothing is sent before the first operation, and every operation has a finite deadline.
///
/// # What differs from other engines
///
/// * *Session*, the default consistency, shows this store's own writes; one that has not written yet is promised nothing
///   about others'. [`Consistency::Strong`] shows everybody's, and costs a full Milvus about 200 ms; `stats` and `delete`
///   read so.
/// * Every record of a collection with dense vectors needs one, and a collection without cannot gain them.
/// * Servers differ in what a filter means. What a server does not decide as core does is finished here, reading at most
///   [`MilvusConfig::filter_scan_rows`] rows; beyond, the filter is refused with [`arshai_core::ErrorKind::Unsupported`].
/// * `insert` looks, at `Strong`, for keys that exist before it writes; two that insert one key at the same time may both
///   succeed. `upsert` does not look, and is what may be sent again when a reply is lost.
/// * [`Search::params`] are Milvus' own: `group_by_field`, `group_size`, `strict_group_size`, `ignore_growing` and
///   `round_decimal` stand beside the query; all others, such as `ef`, `nprobe`, `radius` and `range_filter`, go to the
///   index that is asked. A hybrid search gives those of sparse vectors (`drop_ratio_search`, `dim_max_score_ratio`) to
///   its sparse and text legs and all others to its dense ones.
/// * A search's limit and offset together, and a leg's limit, are at most 16,384, as servers have it; beyond, the search is
///   refused.
/// * Sparse vectors have no negative values. The index 4,294,967,294 is that of records without a sparse vector.
/// * Keys hold no control characters; texts are at most 65,535 bytes, metadata as JSON at most 65,535 bytes.
///
/// # Examples
///
/// ```
/// use arshai_milvus::{MilvusConfig, MilvusStore};
///
/// // Nothing listens yet, and nothing has to.
/// let store = MilvusStore::new(MilvusConfig::from_url("milvus://localhost:19530")?)?;
/// assert!(format!("{store:?}").contains("localhost"));
/// # Ok::<(), arshai_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MilvusStore {
    pub(crate) inner: Arc<Inner>,
}

impl MilvusStore {
    /// A store on this server. It connects when it is first used.
    ///
    /// # Errors
    ///
    /// [`arshai_core::ErrorKind::Config`] when a setting cannot work.
    pub fn new(config: MilvusConfig) -> Result<Self> {
        Ok(Self { inner: Arc::new(Inner::new(Connection::new(config)?)) })
    }

    /// The settings it was made with.
    pub fn config(&self) -> &MilvusConfig {
        &self.inner.connection.config
    }

    /// The server's version, as it says it; `None` when it does not say.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn server_version(&self) -> Result<Option<String>> {
        let asking = async { Ok(self.inner.engine().await?.version.clone()) };
        let version = self.run("milvus.version", "", Box::pin(asking)).await?;
        Ok(Some(version).filter(|version| !version.is_empty()))
    }

    /// Runs an operation that changes nothing, and cuts it off at its deadline.
    async fn run<T>(
        &self,
        operation: &'static str,
        collection: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T> {
        self.cut_off(operation, collection, Effect::NotApplied, work).await
    }

    /// Runs an operation and cuts it off at its deadline, with this effect: nothing inside waits longer, whatever it
    /// waits for.
    async fn cut_off<T>(
        &self,
        operation: &'static str,
        collection: &str,
        effect: Effect,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T> {
        let deadline = Deadline::current_or(self.config().timeout);
        let work = async { Ok(work.await?) };
        let work = async { Ok(deadline.run(operation, effect, work).await?) };
        self.inner.traced(operation, collection, work).await
    }

    async fn names(&self) -> Result<Vec<String>, Failure> {
        let request = ShowCollectionsRequest::default();
        let shown: ShowCollectionsResponse =
            self.inner.call("ShowCollections", &request, Safety::Read).await?;
        Ok(shown.collection_names)
    }

    async fn write(
        &self,
        operation: &'static str,
        collection: &str,
        records: Vec<Record>,
        mode: Mode,
    ) -> Result<WriteReport> {
        let (inner, records) = (&*self.inner, &records);
        let writing = inner.write_anew(collection, records, mode);
        // Each batch has a deadline of its own: how long a write takes depends on how much there is.
        let report = self.inner.traced(operation, collection, writing).await?;
        let items = report.items.into_iter().map(|item| match item {
            ItemOutcome::Failed(error) => ItemOutcome::Failed(error.with_operation(operation)),
            other => other,
        });
        Ok(WriteReport { items: items.collect() })
    }
}

#[async_trait]
impl VectorStore for MilvusStore {
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities> {
        let asking = async {
            let engine = self.inner.engine().await?;
            match collection {
                None => Ok(engine.capabilities()),
                Some(name) => Ok(self.inner.look(name).await?.shape.capabilities(engine)),
            }
        };
        self.run("vectors.capabilities", collection.unwrap_or_default(), Box::pin(asking)).await
    }

    /// Goes on when the future is dropped, so that no collection is left half made while this program runs.
    async fn open(&self, spec: &CollectionSpec) -> Result<Collection> {
        let operation = "vectors.open";
        spec.validate().map_err(|error| error.with_operation(operation))?;
        let deadline = Deadline::current_or(self.config().open_timeout);
        let (store, spec) = (self.clone(), spec.clone());
        let opening = tokio::spawn(async move {
            let opening = async { Ok(store.inner.open(&spec).await?) };
            let opening = async { Ok(deadline.run(operation, Effect::Unknown, opening).await?) };
            Box::pin(store.inner.traced(operation, &spec.name, opening)).await
        });
        match opening.await {
            Ok(opened) => opened,
            Err(error) => Err(Error::internal("opening a collection ended early")
                .with_operation(operation)
                .with_source(error)),
        }
    }

    async fn describe(&self, collection: &str) -> Result<Option<Collection>> {
        let seen = self.run("vectors.describe", collection, Box::pin(self.inner.seen(collection))).await?;
        Ok(seen.map(|(shape, _)| Collection::new(shape.spec)))
    }

    async fn collections(&self) -> Result<Vec<String>> {
        let mut names = self.run("vectors.collections", "", self.names()).await?;
        names.sort_unstable();
        Ok(names)
    }

    async fn drop_collection(&self, collection: &str) -> Result<bool> {
        let dropping = self.inner.drop_collection(collection);
        self.cut_off("vectors.drop", collection, Effect::Unknown, Box::pin(dropping)).await
    }

    async fn stats(&self, collection: &str) -> Result<CollectionStats> {
        let inner = &*self.inner;
        let counting = inner.on(collection, |known| async move {
            let all = Inner::all(&known.shape);
            let rows = inner.count(&known, &all, Consistency::Strong).await?;
            Ok(CollectionStats::new(rows, if known.shape.dense.is_some() { rows } else { 0 }))
        });
        self.run("vectors.stats", collection, Box::pin(counting)).await
    }

    async fn insert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        self.write("vectors.insert", collection, records, Mode::Insert).await
    }

    async fn upsert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        self.write("vectors.upsert", collection, records, Mode::Upsert).await
    }

    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64> {
        let inner = &*self.inner;
        // Of every attempt: those that an attempt which failed had removed are gone.
        let removed = &AtomicU64::new(0);
        let deleting =
            inner.on(collection, |known| async move { inner.delete(&known, selection, removed).await });
        let deleted = self.cut_off("vectors.delete", collection, Effect::Unknown, Box::pin(deleting)).await;
        match (deleted, removed.load(Ordering::Relaxed)) {
            (Ok(()), removed) => Ok(removed),
            (Err(error), 0) => Err(error),
            (Err(error), removed) => Err(error.with_effect(Effect::Unknown).with_context("removed", removed)),
        }
    }

    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>> {
        let inner = &*self.inner;
        let searching = inner.on(collection, |known| async move { inner.search(&known, search).await });
        self.run("vectors.search", collection, Box::pin(searching)).await
    }

    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage> {
        let inner = &*self.inner;
        let querying = inner.on(collection, |known| async move { inner.query(&known, query).await });
        self.run("vectors.query", collection, Box::pin(querying)).await
    }

    async fn health(&self) -> Result<()> {
        self.run("vectors.health", "", self.names()).await.map(|_| ())
    }

    async fn close(&self) -> Result<()> {
        let deadline = Deadline::current_or(self.config().timeout);
        let closing = async {
            self.inner.connection.close().await;
            Ok(())
        };
        deadline.run("vectors.close", Effect::NotApplied, closing).await
    }
}
