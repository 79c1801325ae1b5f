//! A store that can do little, and says so, passes: every check is gated on what it needs.

use std::sync::Arc;

use arshai_conformance::vectors;
use arshai_core::{
    Error, ErrorKind, Result,
    vector::{
        Capabilities, Collection, CollectionSpec, CollectionStats, Hit, InMemoryVectors, ItemOutcome, Query,
        Record, RowPage, RowQuery, Search, Selection, VectorStore, WriteReport,
    },
};
use async_trait::async_trait;

/// Dense vectors, insert, delete by key: nothing else.
#[derive(Debug, Clone)]
struct DenseOnly {
    inner: InMemoryVectors,
}

impl DenseOnly {
    async fn exists(&self, collection: &str) -> Result<()> {
        self.inner.stats(collection).await.map(|_| ())
    }
}

fn refuse<T>(what: &'static str) -> Result<T> {
    Err(Error::unsupported(what))
}

#[async_trait]
impl VectorStore for DenseOnly {
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities> {
        let inner = self.inner.capabilities(collection).await?;
        let mut can = Capabilities::default();
        can.dense = inner.dense;
        Ok(can)
    }

    async fn open(&self, spec: &CollectionSpec) -> Result<Collection> {
        if spec.sparse {
            return refuse("no sparse vectors");
        }
        spec.validate()?;
        let existing = self.inner.describe(&spec.name).await?;
        if existing.is_some_and(|existing| existing.spec.dimension.is_none() && spec.dimension.is_some()) {
            return Err(Error::new(ErrorKind::AlreadyExists, "the collection exists without dense vectors"));
        }
        self.inner.open(spec).await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Collection>> {
        self.inner.describe(collection).await
    }

    async fn collections(&self) -> Result<Vec<String>> {
        self.inner.collections().await
    }

    async fn drop_collection(&self, collection: &str) -> Result<bool> {
        self.inner.drop_collection(collection).await
    }

    async fn stats(&self, collection: &str) -> Result<CollectionStats> {
        self.inner.stats(collection).await
    }

    async fn insert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        self.exists(collection).await?;
        let needs_dense = self.inner.capabilities(Some(collection)).await?.dense;
        let mut items = Vec::new();
        for record in records {
            if needs_dense && record.dense.is_none() {
                items.push(ItemOutcome::Failed(Error::invalid("a record needs a dense vector")));
            } else {
                items.extend(self.inner.insert(collection, vec![record]).await?.items);
            }
        }
        Ok(WriteReport { items })
    }

    async fn upsert(&self, _collection: &str, _records: Vec<Record>) -> Result<WriteReport> {
        self.inner.health().await?;
        refuse("no upsert")
    }

    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64> {
        match selection {
            Selection::Filter(_) => refuse("no delete by filter"),
            Selection::Ids(_) => self.inner.delete(collection, selection).await,
        }
    }

    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>> {
        self.exists(collection).await?;
        search.validate(None)?;
        if search.filter.is_some() || search.queries.iter().any(|query| matches!(query, Query::Hybrid { .. }))
        {
            return refuse("no filter, no hybrid search");
        }
        self.inner.search(collection, search).await
    }

    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage> {
        match query.filter {
            Some(_) => refuse("no filter"),
            None => self.inner.query(collection, query).await,
        }
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[tokio::test]
async fn a_store_that_can_do_little_passes_with_checks_skipped() {
    let shared = DenseOnly { inner: InMemoryVectors::new() };
    let report = vectors::suite(&|| {
        let handle: Arc<dyn VectorStore> = Arc::new(shared.clone());
        async { Ok(handle) }
    })
    .await;
    println!("{report}");
    report.assert_passed();
    let missing = |ability: &str| report.skipped.iter().filter(|skipped| skipped.missing == ability).count();
    for ability in ["text", "hybrid", "filter", "upsert", "sparse"] {
        assert!(missing(ability) > 0, "no check was skipped for want of {ability}");
    }
    for check in
        ["vectors.upsert_is_unsupported", "vectors.filter_is_unsupported", "vectors.hybrid_is_unsupported"]
    {
        assert!(report.passed.contains(&check), "{check} did not run");
    }
}
