//! Dropped futures, and the end of a store.

use arshai_core::{
    ErrorKind, Result,
    vector::{Query, Record, RowQuery, Search, Selection},
};
use serde_json::json;

use super::{Context, object, text_ids};
use crate::{
    Dropped,
    check::{Checks, Outcome, Problem, checks, equal, fails, holds},
    drop_harness,
};

const CANCEL: &str = "arshai_core::vector::VectorStore, # Cancel safety";
const BATCH: usize = 5;

pub(super) async fn dropped(context: &Context<'_>, checks: &mut Checks) {
    let can = context.can;
    for (name, operation, able) in [
        ("vectors.dropped_upsert_leaves_whole_records", Operation::Upsert, can.upsert),
        ("vectors.dropped_delete_leaves_whole_records", Operation::Delete, can.upsert),
        ("vectors.dropped_search_leaves_the_store_usable", Operation::Search, can.upsert),
        ("vectors.dropped_open_leaves_a_usable_collection", Operation::Open, can.upsert),
    ] {
        if able {
            checks.run_noted(name, CANCEL, Box::pin(context.dropping(operation))).await;
        } else {
            checks.skip(name, "upsert");
        }
    }
}

pub(super) async fn closed(context: &Context<'_>, checks: &mut Checks) {
    checks!(checks;
        "vectors.closed_store_says_closed": "arshai_core::vector::VectorStore::close" => context.close();
    );
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Upsert,
    Delete,
    Search,
    Open,
}

impl Context<'_> {
    /// The batch of one run: text, metadata and vector all tell the generation.
    fn batch(&self, run: usize, generation: &str) -> Vec<Record> {
        let metadata = object(json!({ "generation": generation }));
        let vector = if generation == "old" { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
        (0..BATCH)
            .map(|n| {
                let record =
                    Record::new(generation).with_id(format!("{run}-{n}")).with_metadata(metadata.clone());
                if self.can.dense { record.with_dense(vector.clone()) } else { record }
            })
            .collect()
    }

    async fn operate(&self, operation: Operation, collection: &str, run: usize) -> Result<()> {
        let ids = || self.batch(run, "new").into_iter().filter_map(|record| record.id).collect();
        match operation {
            Operation::Upsert => {
                self.store.upsert(collection, self.batch(run, "new")).await?.into_complete().map(|_| ())
            }
            Operation::Delete => self.store.delete(collection, &Selection::Ids(ids())).await.map(|_| ()),
            Operation::Search => {
                let query = if self.can.text { Query::text("old new") } else { Query::dense([0.6, 0.8]) };
                self.store.search(collection, &Search::new(query)).await.map(|_| ())
            }
            Operation::Open => {
                let spec = self.any_spec(&format!("dropped_open_{run}"));
                self.store.open(&spec).await.map(|_| ())
            }
        }
    }

    async fn dropping(&self, operation: Operation) -> Outcome<String> {
        let spec = self.any_spec(&format!("dropped_{operation:?}").to_lowercase());
        self.opened(&spec).await?;
        // The first run's records are made here, each later run's at the end of the check before it.
        self.written(&spec.name, self.batch(1, "old")).await?;
        let polls = drop_harness(
            |run| self.operate(operation, &spec.name, run),
            async |run: usize, dropped: Dropped<Result<()>>| {
                let checked = self.after_drop(operation, &spec.name, run, dropped).await;
                checked.map_err(|problem| format!("expected {}; found {}", problem.expected, problem.found))
            },
        )
        .await
        .map_err(|failure| Problem::new(failure.expected, failure.found))?;
        Ok(format!("completes at poll {polls}, dropped at every one before"))
    }

    async fn after_drop(
        &self,
        operation: Operation,
        collection: &str,
        run: usize,
        dropped: Dropped<Result<()>>,
    ) -> Outcome {
        let completed = dropped.completed().transpose()?.is_some();
        if let Operation::Open = operation {
            let spec = self.any_spec(&format!("dropped_open_{run}"));
            self.opened(&spec).await?;
            self.written(&spec.name, vec![self.record("a", "x")]).await?;
            return equal("text in the collection", &self.row(&spec.name, "a").await?.text.as_str(), &"x");
        }
        let mut new = 0;
        for record in self.batch(run, "old") {
            let ids = record.id.clone().into_iter().collect();
            let rows = self.rows(collection, RowQuery::ids(ids).output(super::all_output())).await?;
            let Some(row) = rows.first() else {
                holds(
                    "a record is only absent after a delete",
                    matches!(operation, Operation::Delete),
                    &record.id,
                )?;
                new += 1;
                continue;
            };
            let generation = row.text.as_str();
            let whole = self.batch(run, generation).into_iter().any(|whole| {
                whole.id.as_ref() == Some(&row.id)
                    && whole.metadata == row.metadata
                    && whole.dense == row.dense
            });
            holds("a record is whole: text, metadata and vector of one generation", whole, row)?;
            new += usize::from(generation == "new");
        }
        let changes = !matches!(operation, Operation::Search);
        let expected = if completed && changes { BATCH..=BATCH } else { 0..=if changes { BATCH } else { 0 } };
        holds(format!("{expected:?} of {BATCH} records are changed"), expected.contains(&new), &new)?;
        self.written(collection, self.batch(run + 1, "old")).await.map(|_| ())
    }

    async fn close(&self) -> Outcome {
        let (store, kind) = (&self.store, ErrorKind::Closed);
        let name = self.name("closed");
        store.close().await?;
        store.close().await.map_err(|error| Problem::from(error).during("closing twice"))?;
        let query = if self.can.text { Query::text("x") } else { Query::dense([0.6, 0.8]) };
        fails("open after close", store.open(&self.any_spec("closed")).await, kind)?;
        fails("describe after close", store.describe(&name).await, kind)?;
        fails("collections after close", store.collections().await, kind)?;
        fails("drop after close", store.drop_collection(&name).await, kind)?;
        fails("stats after close", store.stats(&name).await, kind)?;
        fails("insert after close", store.insert(&name, vec![self.record("a", "x")]).await, kind)?;
        if self.can.upsert {
            fails("upsert after close", store.upsert(&name, vec![self.record("a", "x")]).await, kind)?;
        }
        fails("delete after close", store.delete(&name, &Selection::Ids(text_ids(&["a"]))).await, kind)?;
        fails("search after close", store.search(&name, &Search::new(query)).await, kind)?;
        fails("query after close", store.query(&name, &RowQuery::all()).await, kind)?;
        fails("health after close", store.health().await, kind)?;
        Ok(self.other.close().await?)
    }
}
