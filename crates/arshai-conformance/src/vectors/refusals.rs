//! What a store refuses: missing collections, and what its capabilities say it cannot do.

use arshai_core::{
    ErrorKind, Filter,
    filter::Field,
    vector::{Fusion, Id, Leg, Query, Record, RowQuery, Search, Selection, SparseVector},
};

use super::{Context, row_ids, text_ids};
use crate::check::{Checks, Outcome, checks, equal, fails, holds};

const STORE: &str = "arshai_core::vector::VectorStore";
const CAPABILITIES: &str = "arshai_core::vector::Capabilities";

pub(super) async fn run(context: &Context<'_>, checks: &mut Checks) {
    let can = context.can;
    checks!(checks;
        "vectors.missing_collection_is_not_found": STORE => context.missing();
        "vectors.collection_capabilities_follow_its_shape": CAPABILITIES => context.shapes();
        "vectors.collection_without_dense_refuses_dense_search": CAPABILITIES => context.without_dense();
        "vectors.collection_without_text_refuses_text_search" if can.dense || can.sparse, "vectors": CAPABILITIES =>
            context.without_text();
        "vectors.collection_without_sparse_refuses_sparse_search": CAPABILITIES => context.without_sparse();
        "vectors.sparse_collection_is_unsupported" unless (can.sparse): CAPABILITIES =>
            context.no_sparse();
        "vectors.dense_collection_is_unsupported" unless (can.dense): CAPABILITIES => context.no_dense();
        "vectors.filter_is_unsupported" unless (can.filter): CAPABILITIES => context.no_filter();
        "vectors.upsert_is_unsupported" unless (can.upsert): CAPABILITIES => context.no_upsert();
        "vectors.delete_by_filter_is_unsupported" unless (can.delete_by_filter):
            CAPABILITIES => context.no_delete_by_filter();
        "vectors.hybrid_is_unsupported" unless (can.hybrid): CAPABILITIES => context.no_hybrid();
    );
}

impl Context<'_> {
    async fn missing(&self) -> Outcome {
        let store = &self.store;
        let query = || if self.can.text { Query::text("x") } else { Query::dense([0.6, 0.8]) };
        for name in [self.name("missing"), "no'such\"; DROP TABLE x; --".to_owned(), String::new()] {
            let what = |operation: &str| format!("{operation} on the missing collection {name:?}");
            let missing = ErrorKind::NotFound;
            equal(what("describe"), &store.describe(&name).await?, &None)?;
            equal(what("drop"), &store.drop_collection(&name).await?, &false)?;
            fails(what("capabilities"), store.capabilities(Some(&name)).await, missing)?;
            fails(what("stats"), store.stats(&name).await, missing)?;
            fails(what("insert"), store.insert(&name, vec![self.record("a", "x")]).await, missing)?;
            if self.can.upsert {
                fails(what("upsert"), store.upsert(&name, vec![self.record("a", "x")]).await, missing)?;
            }
            fails(what("delete"), store.delete(&name, &Selection::Ids(text_ids(&["a"]))).await, missing)?;
            fails(what("search"), store.search(&name, &Search::new(query())).await, missing)?;
            fails(what("query"), store.query(&name, &RowQuery::all()).await, missing)?;
        }
        let error = fails("stats", store.stats(&self.name("missing")).await, ErrorKind::NotFound)?;
        holds("the error names the collection", error.to_string().contains(&self.name("missing")), &error)
    }

    async fn shapes(&self) -> Outcome {
        let spec = self.spec("shape_text");
        self.opened(&spec).await?;
        let can = self.store.capabilities(Some(&spec.name)).await?;
        equal(
            "dense, sparse, text of a collection of texts",
            &(can.dense, can.sparse, can.text),
            &(false, false, self.can.text),
        )?;
        if self.can.dense {
            let spec = self.spec("shape_dense").with_dense(2).without_text_search();
            self.opened(&spec).await?;
            let can = self.store.capabilities(Some(&spec.name)).await?;
            equal(
                "dense, sparse, text of a collection of vectors",
                &(can.dense, can.sparse, can.text),
                &(true, false, false),
            )?;
        }
        let whole = self.store.capabilities(None).await?;
        equal("the store's own capabilities", &whole, &self.can)
    }

    /// Each of these queries is refused as unsupported and finds nothing.
    async fn refused(&self, collection: &str, queries: Vec<Query>) -> Outcome {
        for query in queries {
            let found = self.store.search(collection, &Search::new(query.clone())).await;
            fails(format!("the search {query:?}"), found, ErrorKind::Unsupported)?;
        }
        Ok(())
    }

    async fn without_dense(&self) -> Outcome {
        let spec = self.spec("without_dense");
        let collection = self.filled(&spec, vec![Record::new("x").with_id("a")]).await?;
        let legs = vec![Leg::text("x"), Leg::dense([1.0, 0.0])];
        let queries = vec![Query::dense([1.0, 0.0]), Query::hybrid(legs, Fusion::rrf())];
        self.refused(&collection, queries).await?;
        let report =
            self.store.insert(&collection, vec![Record::new("y").with_id("b").with_dense(vec![1.0])]).await?;
        equal("records written with a vector the collection cannot hold", &report.written(), &0)?;
        equal("rows", &row_ids(&self.rows(&collection, RowQuery::all()).await?), &text_ids(&["a"]))
    }

    async fn without_text(&self) -> Outcome {
        let spec = self.any_spec("without_text").without_text_search();
        let collection = self.filled(&spec, vec![self.record("a", "x")]).await?;
        let legs = vec![Leg::dense([0.6, 0.8]), Leg::text("x")];
        self.refused(&collection, vec![Query::text("x"), Query::hybrid(legs, Fusion::rrf())]).await
    }

    async fn without_sparse(&self) -> Outcome {
        let collection = self.filled(&self.any_spec("without_sparse"), vec![self.record("a", "x")]).await?;
        let sparse = SparseVector::new(vec![(1, 1.0)])?;
        let legs = vec![Leg::sparse(sparse.clone())];
        self.refused(&collection, vec![Query::Sparse(sparse.clone()), Query::hybrid(legs, Fusion::rrf())])
            .await?;
        let report = self.store.insert(&collection, vec![self.record("b", "x").with_sparse(sparse)]).await?;
        equal("records written with a vector the collection cannot hold", &report.written(), &0)
    }

    async fn no_sparse(&self) -> Outcome {
        let spec = self.any_spec("no_sparse").with_sparse();
        fails(
            "opening a collection with sparse vectors",
            self.store.open(&spec).await,
            ErrorKind::Unsupported,
        )?;
        equal("describe", &self.store.describe(&spec.name).await?, &None)
    }

    async fn no_dense(&self) -> Outcome {
        let spec = self.spec("no_dense").with_dense(2);
        fails("opening a collection with dense vectors", self.store.open(&spec).await, ErrorKind::Unsupported)
            .map(|_| ())
    }

    async fn no_filter(&self) -> Outcome {
        let collection = self.filled(&self.any_spec("no_filter"), vec![self.record("a", "x")]).await?;
        let query = RowQuery::all().filter(Filter::eq(Field::Text, "x"));
        fails("a query with a filter", self.store.query(&collection, &query).await, ErrorKind::Unsupported)
            .map(|_| ())
    }

    async fn no_upsert(&self) -> Outcome {
        let collection = self.filled(&self.any_spec("no_upsert"), vec![self.record("a", "old")]).await?;
        let upserted = self.store.upsert(&collection, vec![self.record("a", "new")]).await;
        fails("upsert", upserted, ErrorKind::Unsupported)?;
        equal("text", &self.row(&collection, Id::from("a")).await?.text.as_str(), &"old")
    }

    async fn no_delete_by_filter(&self) -> Outcome {
        let collection = self.filled(&self.any_spec("no_delete"), vec![self.record("a", "x")]).await?;
        let selection = Selection::Filter(Filter::eq(Field::Text, "x"));
        fails("delete by filter", self.store.delete(&collection, &selection).await, ErrorKind::Unsupported)?;
        self.row(&collection, Id::from("a")).await.map(|_| ())
    }

    async fn no_hybrid(&self) -> Outcome {
        let collection = self.filled(&self.any_spec("no_hybrid"), vec![self.record("a", "x")]).await?;
        let leg = if self.can.text { Leg::text("x") } else { Leg::dense([0.6, 0.8]) };
        self.refused(&collection, vec![Query::hybrid(vec![leg], Fusion::rrf())]).await
    }
}
