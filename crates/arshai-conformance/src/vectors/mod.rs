//! The suite of [`VectorStore`].

mod collections;
mod filters;
mod generator;
mod hybrid;
mod lifecycle;
mod reads;
mod refusals;
mod search;
mod text;
mod writes;

use std::{future::Future, sync::Arc};

use arshai_core::{
    Filter, Result,
    vector::{
        Capabilities, Collection, CollectionSpec, Consistency, Hit, Id, Query, Record, Row, RowQuery, Search,
        VectorStore,
    },
};
use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::{
    Report,
    check::{Checks, Outcome, Problem, present, shown, unique},
};

/// Gives handles to one store.
///
/// Implemented for closures that return a future of a handle.
#[async_trait]
pub trait VectorFactory: Send + Sync {
    /// A handle to the store. Every call gives another handle to the *same* data, as another process would have.
    ///
    /// # Errors
    ///
    /// What keeps the store from being opened; the suite reports it.
    async fn open(&self) -> Result<Arc<dyn VectorStore>>;

    /// Whether the engine can evaluate this filter. One that cannot must refuse it with
    /// [`arshai_core::ErrorKind::Unsupported`]; the suite counts these. Default: it can evaluate every filter.
    fn evaluates(&self, filter: &Filter) -> bool {
        let _every_filter = filter;
        true
    }
}

#[async_trait]
impl<F, Opening> VectorFactory for F
where
    F: Fn() -> Opening + Send + Sync,
    Opening: Future<Output = Result<Arc<dyn VectorStore>>> + Send,
{
    async fn open(&self) -> Result<Arc<dyn VectorStore>> {
        self().await
    }
}

/// Runs every check a vector store must pass.
///
/// The store may hold other data: the suite's collections carry a name no other run has, and are dropped at the end.
///
/// # Cancel safety
///
/// Dropping the future stops the suite and leaves its collections behind.
pub async fn suite(factory: &dyn VectorFactory) -> Report {
    let mut checks = Checks::new("vectors");
    match Context::open(factory).await {
        Ok(context) => context.run(&mut checks).await,
        Err(error) => checks.fail("vectors.open", "VectorFactory::open", error.into()),
    }
    checks.finish()
}

/// What a check works with: two handles to the same store and collections of its own.
pub(crate) struct Context<'a> {
    factory: &'a dyn VectorFactory,
    store: Arc<dyn VectorStore>,
    other: Arc<dyn VectorStore>,
    can: Capabilities,
    run: String,
}

impl<'a> Context<'a> {
    async fn open(factory: &'a dyn VectorFactory) -> Result<Self> {
        let store = factory.open().await?;
        let can = store.capabilities(None).await?;
        Ok(Self { factory, other: factory.open().await?, store, can, run: unique("conformance_") })
    }

    async fn run(&self, checks: &mut Checks) {
        collections::run(self, checks).await;
        writes::run(self, checks).await;
        reads::run(self, checks).await;
        search::run(self, checks).await;
        text::run(self, checks).await;
        hybrid::run(self, checks).await;
        filters::run(self, checks).await;
        refusals::run(self, checks).await;
        lifecycle::dropped(self, checks).await;
        if let Err(problem) = self.clean().await {
            checks.note(format!("the suite's collections could not be removed: {}", problem.found));
        }
        lifecycle::closed(self, checks).await;
    }

    async fn clean(&self) -> Outcome {
        for name in self.store.collections().await? {
            if name.starts_with(&self.run) {
                self.store.drop_collection(&name).await?;
            }
        }
        Ok(())
    }

    /// A collection name of this run.
    fn name(&self, name: &str) -> String {
        format!("{}_{name}", self.run)
    }

    /// A spec the store can hold: text search only where it can.
    fn spec(&self, name: &str) -> CollectionSpec {
        let spec = CollectionSpec::new(self.name(name));
        if self.can.text { spec } else { spec.without_text_search() }
    }

    /// The same with dense vectors, where the store can; for checks that are not about vectors.
    fn any_spec(&self, name: &str) -> CollectionSpec {
        let spec = self.spec(name);
        if self.can.dense { spec.with_dense(2) } else { spec }
    }

    /// A record that fits [`Context::any_spec`].
    fn record(&self, id: impl Into<Id>, text: impl Into<String>) -> Record {
        let record = Record::new(text).with_id(id);
        if self.can.dense { record.with_dense(vec![0.6, 0.8]) } else { record }
    }

    async fn opened(&self, spec: &CollectionSpec) -> Outcome<Collection> {
        Ok(self.store.open(spec).await?)
    }

    /// Opens and fills a collection; its name.
    async fn filled(&self, spec: &CollectionSpec, records: Vec<Record>) -> Outcome<String> {
        self.opened(spec).await?;
        self.written(&spec.name, records).await?;
        Ok(spec.name.clone())
    }

    /// Writes records, each of which must be acknowledged, in order.
    async fn written(&self, collection: &str, records: Vec<Record>) -> Outcome<Vec<Id>> {
        let expected: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
        let report = if self.can.upsert && expected.iter().all(Option::is_some) {
            self.store.upsert(collection, records).await?
        } else {
            self.store.insert(collection, records).await?
        };
        let ids = report.into_complete()?;
        let in_order = ids.len() == expected.len()
            && ids
                .iter()
                .zip(&expected)
                .all(|(id, wanted)| wanted.as_ref().is_none_or(|wanted| wanted == id));
        if in_order {
            return Ok(ids);
        }
        let expected = format!("the report names every record of the batch in order: {}", shown(&expected));
        Err(Problem::new(expected, shown(&ids)))
    }

    /// Every row that the query finds, seen by this handle at strong consistency, over all pages.
    async fn rows(&self, collection: &str, query: RowQuery) -> Outcome<Vec<Row>> {
        const MOST_PAGES: usize = 2_000;
        let mut query = query.consistency(Consistency::Strong);
        let mut rows = Vec::new();
        for _ in 0..MOST_PAGES {
            let page = self.store.query(collection, &query).await?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => query = query.after(next),
                None => return Ok(rows),
            }
        }
        Err(Problem::new(format!("the rows end within {MOST_PAGES} pages"), "they go on"))
    }

    async fn row(&self, collection: &str, id: impl Into<Id>) -> Outcome<Row> {
        let id = id.into();
        let mut rows = self.rows(collection, RowQuery::ids(vec![id.clone()]).output(all_output())).await?;
        present(format!("the row {id}"), rows.pop())
    }

    /// The hits of one search at strong consistency.
    async fn hits(&self, collection: &str, search: Search) -> Outcome<Vec<Hit>> {
        let queries = search.queries.len();
        let mut lists = self.store.search(collection, &search.consistency(Consistency::Strong)).await?;
        if lists.len() != queries {
            return Err(Problem::new(
                format!("one list for each of {queries} queries"),
                format!("{}", lists.len()),
            ));
        }
        present("a list of hits", lists.pop())
    }

    async fn search(&self, collection: &str, query: Query, limit: usize) -> Outcome<Vec<Hit>> {
        self.hits(collection, Search::new(query).limit(limit)).await
    }
}

fn all_output() -> arshai_core::vector::Output {
    arshai_core::vector::Output::all()
}

fn ids(hits: &[Hit]) -> Vec<Id> {
    hits.iter().map(|hit| hit.id.clone()).collect()
}

fn row_ids(rows: &[Row]) -> Vec<Id> {
    rows.iter().map(|row| row.id.clone()).collect()
}

fn text_ids(names: &[&str]) -> Vec<Id> {
    names.iter().map(|name| Id::from(*name)).collect()
}

/// The members of a JSON object.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

/// Whether two scores are the same up to the rounding of another order of additions.
fn close_to(found: f32, expected: f32) -> bool {
    (found - expected).abs() <= 1e-4_f32.max(expected.abs() * 1e-4)
}

/// Hits are best first, equal scores by id, no record twice.
fn in_order(hits: &[Hit]) -> Outcome {
    let ordered = hits.windows(2).all(|pair| match pair {
        [a, b] => a.score > b.score || (a.score == b.score && a.id < b.id),
        _ => true,
    });
    let shown_hits: Vec<_> = hits.iter().map(|hit| (&hit.id, hit.score)).collect();
    crate::check::holds("hits are best first, equal scores by id, no record twice", ordered, &shown_hits)
}
