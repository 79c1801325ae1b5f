//! The vector suite can fail: each deliberate fault is caught by the check that is named for it.

use std::sync::Arc;

use arshai_conformance::{Report, vectors};
use arshai_core::{
    Error, Filter, Result,
    vector::{
        Capabilities, Collection, CollectionSpec, CollectionStats, Fusion, Hit, Id, InMemoryVectors,
        ItemOutcome, Metric, Query, Record, RowPage, RowQuery, Search, Selection, VectorStore, WriteReport,
    },
};
use async_trait::async_trait;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// L2 as a distance: smaller is better.
    WrongSign,
    /// `not` is not heard.
    IgnoresNot,
    /// The filter looks only at the hits within the limit.
    FiltersAfterLimit,
    /// The last record of a batch is acknowledged and not written.
    DropsARecord,
    /// One bad record fails all.
    FailsWholeBatches,
    /// A word after NOT is an operator's.
    HearsOperators,
    /// Fusion weights are not heard.
    IgnoresWeights,
    /// A text leg's share of words is not heard.
    IgnoresMinMatch,
    /// A raw filter means everything.
    AcceptsRaw,
    /// A record's text is written before its vector.
    TornUpsert,
    /// Integers in metadata become floats.
    RoundsIntegers,
    /// A page of rows repeats its cursor.
    RepeatsRows,
    /// Another dimension is adopted.
    AdoptsAnyDimension,
    /// Works on after close.
    NeverCloses,
}

#[derive(Debug, Clone)]
struct Broken {
    fault: Fault,
    inner: InMemoryVectors,
}

fn without_not(filter: Filter) -> Filter {
    match filter {
        Filter::Not(inner) => without_not(*inner),
        Filter::And(parts) => Filter::And(parts.into_iter().map(without_not).collect()),
        Filter::Or(parts) => Filter::Or(parts.into_iter().map(without_not).collect()),
        leaf => leaf,
    }
}

impl Broken {
    fn filter(&self, filter: Option<Filter>) -> Option<Filter> {
        match self.fault {
            Fault::IgnoresNot => filter.map(without_not),
            Fault::AcceptsRaw => filter.filter(|filter| !filter.has_raw()),
            _ => filter,
        }
    }

    fn query(&self, query: Query) -> Query {
        match query {
            Query::Text(text) if self.fault == Fault::HearsOperators => {
                Query::Text(text.split(" NOT ").next().unwrap_or_default().to_owned())
            }
            Query::Hybrid { legs, fusion } if self.fault == Fault::IgnoresWeights => {
                let fusion = match fusion {
                    Fusion::Rrf { k, .. } => Fusion::Rrf { k, weights: Vec::new() },
                    other => other,
                };
                Query::Hybrid { legs, fusion }
            }
            Query::Hybrid { mut legs, fusion } if self.fault == Fault::IgnoresMinMatch => {
                for leg in legs.iter_mut().filter(|leg| leg.min_match.is_some_and(|share| share <= 1.0)) {
                    leg.min_match = None;
                }
                Query::Hybrid { legs, fusion }
            }
            other => other,
        }
    }

    async fn hits(&self, collection: &str, mut search: Search) -> Result<Vec<Vec<Hit>>> {
        search.filter = self.filter(search.filter);
        search.queries = search.queries.into_iter().map(|query| self.query(query)).collect();
        let after = if self.fault == Fault::FiltersAfterLimit { search.filter.take() } else { None };
        let mut lists = self.inner.search(collection, &search).await?;
        let metric = self.inner.describe(collection).await?.map(|collection| collection.spec.metric);
        for hits in &mut lists {
            if let Some(filter) = &after {
                hits.retain(|hit| {
                    let (id, text, metadata) = (&hit.id, hit.text.as_str(), &hit.metadata);
                    filter.matches(&arshai_core::filter::Subject { id, text, metadata })
                });
            }
            if self.fault == Fault::WrongSign && metric == Some(Metric::L2) {
                hits.iter_mut().for_each(|hit| hit.score = -hit.score);
                hits.reverse();
            }
        }
        Ok(lists)
    }

    async fn write(&self, collection: &str, mut records: Vec<Record>, replace: bool) -> Result<WriteReport> {
        let last = if self.fault == Fault::DropsARecord && records.len() > 1 { records.pop() } else { None };
        if self.fault == Fault::RoundsIntegers {
            for value in records.iter_mut().flat_map(|record| record.metadata.values_mut()) {
                if let Some(float) = value.as_i64().filter(|int| int.unsigned_abs() > 1 << 53) {
                    *value = (float as f64).into();
                }
            }
        }
        let bad = |record: &Record| record.dense.iter().flatten().any(|value| !value.is_finite());
        if self.fault == Fault::FailsWholeBatches && records.iter().any(bad) {
            let items = records.iter().map(|_| ItemOutcome::Failed(Error::invalid("a bad batch"))).collect();
            return Ok(WriteReport { items });
        }
        if self.fault == Fault::TornUpsert && replace {
            let mut half = records.clone();
            half.iter_mut().for_each(|record| record.dense = None);
            let _half = self.inner.upsert(collection, half).await?;
            tokio::task::yield_now().await;
        }
        let mut report = match replace {
            true => self.inner.upsert(collection, records).await?,
            false => self.inner.insert(collection, records).await?,
        };
        if let Some(id) = last.and_then(|record| record.id) {
            report.items.push(ItemOutcome::Written(id));
        }
        Ok(report)
    }
}

#[async_trait]
impl VectorStore for Broken {
    async fn capabilities(&self, collection: Option<&str>) -> Result<Capabilities> {
        self.inner.capabilities(collection).await
    }

    async fn open(&self, spec: &CollectionSpec) -> Result<Collection> {
        let mut spec = spec.clone();
        if self.fault == Fault::AdoptsAnyDimension {
            if let Some(existing) = self.inner.describe(&spec.name).await? {
                spec.dimension = existing.spec.dimension;
            }
        }
        self.inner.open(&spec).await
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
        self.write(collection, records, false).await
    }

    async fn upsert(&self, collection: &str, records: Vec<Record>) -> Result<WriteReport> {
        self.write(collection, records, true).await
    }

    async fn delete(&self, collection: &str, selection: &Selection) -> Result<u64> {
        self.inner.delete(collection, selection).await
    }

    async fn search(&self, collection: &str, search: &Search) -> Result<Vec<Vec<Hit>>> {
        self.hits(collection, search.clone()).await
    }

    async fn query(&self, collection: &str, query: &RowQuery) -> Result<RowPage> {
        let mut query = query.clone();
        query.filter = self.filter(query.filter);
        let cursor = query.cursor.clone();
        let mut page = self.inner.query(collection, &query).await?;
        if let (Fault::RepeatsRows, Some(Id::Text(id))) = (self.fault, cursor) {
            page.rows.extend(self.inner.query(collection, &RowQuery::ids(vec![id.into()])).await?.rows);
        }
        Ok(page)
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }

    async fn close(&self) -> Result<()> {
        if self.fault == Fault::NeverCloses { Ok(()) } else { self.inner.close().await }
    }
}

async fn report(fault: Fault) -> Report {
    let store = Broken { fault, inner: InMemoryVectors::new() };
    vectors::suite(&|| {
        let handle: Arc<dyn VectorStore> = Arc::new(store.clone());
        async { Ok(handle) }
    })
    .await
}

#[tokio::test]
async fn every_fault_is_caught_by_the_check_named_for_it() {
    for (fault, check) in [
        (Fault::WrongSign, "vectors.dense_scores_l2"),
        (Fault::IgnoresNot, "vectors.random_filters_agree_with_core"),
        (Fault::FiltersAfterLimit, "vectors.filter_applies_to_every_kind_of_search"),
        (Fault::DropsARecord, "vectors.large_batch_is_written_whole"),
        (Fault::FailsWholeBatches, "vectors.bad_record_fails_alone"),
        (Fault::HearsOperators, "vectors.text_operators_are_data"),
        (Fault::IgnoresWeights, "vectors.hybrid_weighted_rrf_equals_core"),
        (Fault::IgnoresMinMatch, "vectors.hybrid_min_match_asks_for_words"),
        (Fault::AcceptsRaw, "vectors.raw_filter_is_unsupported"),
        (Fault::TornUpsert, "vectors.dropped_upsert_leaves_whole_records"),
        (Fault::RoundsIntegers, "vectors.odd_keys_texts_and_metadata_survive"),
        (Fault::RoundsIntegers, "vectors.filter_numbers_are_exact"),
        (Fault::RepeatsRows, "vectors.query_pages_hold_every_row_once_in_key_order"),
        (Fault::AdoptsAnyDimension, "vectors.adopt_refuses_another_dimension"),
        (Fault::NeverCloses, "vectors.closed_store_says_closed"),
    ] {
        let report = report(fault).await;
        assert!(report.failed(check), "{fault:?} was not caught by {check}: {report}");
        assert!(report.passed.contains(&"vectors.empty_batch_is_nothing"), "{fault:?}: {report}");
    }
}

#[tokio::test]
async fn a_failed_filter_names_seed_filter_and_row() {
    let report = report(Fault::IgnoresNot).await;
    let failure =
        report.failures.iter().find(|f| f.check == "vectors.random_filters_agree_with_core").unwrap();
    let text = failure.to_string();
    for part in ["seed ", "not (", "metadata {", "arshai_core::filter"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn stores_that_share_nothing_are_caught() {
    let report = vectors::suite(&|| {
        let handle: Arc<dyn VectorStore> = Arc::new(InMemoryVectors::new());
        async { Ok(handle) }
    })
    .await;
    assert!(report.failed("vectors.strong_search_sees_another_handle_s_writes"), "{report}");
}
