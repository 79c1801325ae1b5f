//! Opening, adopting, describing and dropping collections.

use std::sync::Arc;

use arshai_core::{
    Error, ErrorKind,
    vector::{Collection, CollectionSpec, IdKind, Metric, Record},
};
use tokio::task::JoinSet;

use super::Context;
use crate::check::{Checks, Outcome, Problem, checks, equal, fails, holds, present};

const OPEN: &str = "arshai_core::vector::VectorStore::open";
const ADOPT: &str = "arshai_core::vector::Collection::adopt";

pub(super) async fn run(context: &Context<'_>, checks: &mut Checks) {
    let can = context.can;
    checks!(checks;
        "vectors.open_is_idempotent": OPEN => context.open_again();
        "vectors.open_by_many_at_once": OPEN => context.open_at_once();
        "vectors.open_refuses_bad_names": "arshai_core::vector::CollectionSpec::validate" => context.bad_names();
        "vectors.adopt_refuses_another_dimension" if can.dense, "dense": ADOPT => context.other_dimension();
        "vectors.adopt_refuses_another_embedder": ADOPT => context.other_embedder();
        "vectors.adopt_takes_an_embedder_when_there_is_none": ADOPT => context.no_embedder();
        "vectors.adopt_keeps_the_metric_with_a_note" if can.dense, "dense": ADOPT => context.other_metric();
        "vectors.adopt_refuses_another_kind_of_key": ADOPT => context.other_key();
        "vectors.collection_gains_dense_vectors" if can.dense && can.gain_dense, "gain_dense": ADOPT =>
            context.gains_dense();
        "vectors.collection_cannot_gain_dense_vectors" unless (!can.dense || can.gain_dense):
            ADOPT => context.cannot_gain_dense();
        "vectors.drop_removes_collection_and_records": "arshai_core::vector::VectorStore::drop_collection" =>
            context.drops();
        "vectors.health_of_an_open_store": "arshai_core::vector::VectorStore::health" => async {
            Ok(context.store.health().await?)
        };
    );
}

/// The error is "exists already" and shows both sides.
fn refused(what: &str, result: arshai_core::Result<Collection>, (asked, existing): (&str, &str)) -> Outcome {
    let error: Error = fails(what, result, ErrorKind::AlreadyExists)?;
    let text = error.to_string();
    let both = text.contains(asked) && text.contains(existing);
    holds(format!("the error of {what} names both {asked} and {existing}"), both, &text)
}

impl Context<'_> {
    async fn described(&self, spec: &CollectionSpec) -> Outcome<Collection> {
        present("the description", self.store.describe(&spec.name).await?)
    }

    async fn open_again(&self) -> Outcome {
        let spec = self.any_spec("again").with_embedder("model-1");
        equal("describe before open", &self.store.describe(&spec.name).await?, &None)?;
        let first = self.opened(&spec).await?;
        equal("the new collection's shape", &shape(&first.spec), &shape(&spec))?;
        self.written(&spec.name, vec![self.record("a", "kept")]).await?;
        let second = self.opened(&spec).await?;
        equal("the shape when opened again", &shape(&second.spec), &shape(&spec))?;
        let third = self.other.open(&spec).await?;
        equal("the shape when opened by another handle", &shape(&third.spec), &shape(&spec))?;
        equal("its description", &shape(&self.described(&spec).await?.spec), &shape(&spec))?;
        equal("the record", &self.row(&spec.name, "a").await?.text.as_str(), &"kept")?;
        let names = self.store.collections().await?;
        holds("the listing is sorted", names.is_sorted(), &names)?;
        equal("times it is listed", &names.iter().filter(|name| **name == spec.name).count(), &1)
    }

    async fn open_at_once(&self) -> Outcome {
        for round in 0..5 {
            let spec = self.any_spec(&format!("at_once_{round}"));
            let mut tasks = JoinSet::new();
            for opener in 0..8 {
                let store = Arc::clone(if opener % 2 == 0 { &self.store } else { &self.other });
                let spec = spec.clone();
                tasks.spawn(async move { store.open(&spec).await });
            }
            while let Some(joined) = tasks.join_next().await {
                let opened = joined.map_err(|error| Problem::new("no opener panics", error.to_string()))?;
                equal("the shape every opener gets", &shape(&opened?.spec), &shape(&spec))?;
            }
            self.written(&spec.name, vec![self.record("a", "x")]).await?;
        }
        Ok(())
    }

    async fn bad_names(&self) -> Outcome {
        let long = "x".repeat(256);
        for name in ["", "1a", "a-b", "a b", "a\"; DROP TABLE x; --", "é", "a\0", "../a", long.as_str()] {
            let opened = self.store.open(&CollectionSpec::new(name)).await;
            fails(format!("opening {name:?}"), opened, ErrorKind::InvalidInput)?;
            equal(format!("describing {name:?}"), &self.store.describe(name).await?, &None)?;
        }
        let zero = self.store.open(&self.spec("zero").with_dense(0)).await;
        fails("a dimension of 0", zero, ErrorKind::InvalidInput).map(|_| ())
    }

    async fn other_dimension(&self) -> Outcome {
        let spec = self.spec("dimension").with_dense(21);
        self.opened(&spec).await?;
        let other = self.store.open(&spec.clone().with_dense(34)).await;
        refused("opening with another dimension", other, ("34", "21"))?;
        equal("the dimension", &self.described(&spec).await?.spec.dimension, &Some(21))
    }

    async fn other_embedder(&self) -> Outcome {
        let spec = self.any_spec("embedder").with_embedder("model-of-then");
        self.opened(&spec).await?;
        let other = self.other.open(&spec.clone().with_embedder("model-of-now")).await;
        refused("opening with another embedder", other, ("model-of-now", "model-of-then"))?;
        let kept = self.described(&spec).await?.spec.embedder;
        equal("the embedder", &kept.as_deref(), &Some("model-of-then"))
    }

    async fn no_embedder(&self) -> Outcome {
        let spec = self.any_spec("no_embedder");
        self.opened(&spec).await?;
        let adopted = self.opened(&spec.clone().with_embedder("model-1")).await?;
        equal("the embedder", &adopted.spec.embedder.as_deref(), &Some("model-1"))?;
        let noted = adopted.notes.iter().any(|note| note.contains("model-1"));
        holds("a note says that the embedder was adopted", noted, &adopted.notes)?;
        let plain = self.opened(&spec).await?;
        equal("the embedder when none is asked for", &plain.spec.embedder.as_deref(), &Some("model-1"))?;
        let other = self.store.open(&spec.with_embedder("model-2")).await;
        refused("opening with another embedder after that", other, ("model-2", "model-1"))
    }

    async fn other_metric(&self) -> Outcome {
        let spec = self.spec("metric").with_dense(2).with_metric(Metric::L2);
        self.opened(&spec).await?;
        let adopted = self.opened(&spec.clone().with_metric(Metric::Cosine)).await?;
        equal("the metric", &adopted.spec.metric, &Metric::L2)?;
        let noted = adopted.notes.iter().any(|note| note.contains("L2") && note.contains("COSINE"));
        holds("a note names both metrics", noted, &adopted.notes)
    }

    async fn other_key(&self) -> Outcome {
        let spec = self.any_spec("key");
        self.opened(&spec).await?;
        let other = self.store.open(&spec.with_id(IdKind::Int)).await;
        fails("opening with integer keys", other, ErrorKind::AlreadyExists).map(|_| ())
    }

    async fn gains_dense(&self) -> Outcome {
        let spec = self.spec("gains");
        self.filled(&spec, vec![Record::new("old").with_id("old")]).await?;
        let wanted = spec.clone().with_dense(3).with_metric(Metric::L2).with_embedder("model-1");
        let gained = self.opened(&wanted).await?.spec;
        let found = (gained.dimension, gained.metric, gained.embedder.as_deref());
        equal("the gained dimension, metric and embedder", &found, &(Some(3), Metric::L2, Some("model-1")))?;
        equal("the description afterwards", &self.described(&spec).await?.spec.dimension, &Some(3))?;
        let record = Record::new("new").with_id("new").with_dense(vec![1.0, 2.0, 3.0]);
        self.written(&spec.name, vec![record]).await?;
        let hits = self.search(&spec.name, arshai_core::vector::Query::dense([1.0, 2.0, 3.0]), 5).await?;
        equal("hits of a dense search", &super::ids(&hits), &super::text_ids(&["new"]))?;
        equal("the old record", &self.row(&spec.name, "old").await?.text.as_str(), &"old")
    }

    async fn cannot_gain_dense(&self) -> Outcome {
        let spec = self.spec("cannot_gain");
        self.opened(&spec).await?;
        let gained = self.store.open(&spec.with_dense(3)).await;
        fails("opening a collection without dense vectors with them", gained, ErrorKind::AlreadyExists)
            .map(|_| ())
    }

    async fn drops(&self) -> Outcome {
        let spec = self.any_spec("drops");
        equal("dropping a missing collection", &self.store.drop_collection(&spec.name).await?, &false)?;
        self.filled(&spec, vec![self.record("a", "old")]).await?;
        equal("dropping it", &self.store.drop_collection(&spec.name).await?, &true)?;
        equal("describe", &self.other.describe(&spec.name).await?, &None)?;
        let names = self.store.collections().await?;
        holds("it is not listed", !names.contains(&spec.name), &names)?;
        fails("stats of a dropped collection", self.other.stats(&spec.name).await, ErrorKind::NotFound)?;
        self.opened(&spec).await?;
        equal(
            "rows when created anew",
            &self.rows(&spec.name, arshai_core::vector::RowQuery::all()).await?.len(),
            &0,
        )
    }
}

/// The parts of a spec that must come back as given.
fn shape(spec: &CollectionSpec) -> (String, Option<usize>, Metric, bool, Option<String>) {
    (spec.name.clone(), spec.dimension, spec.metric, spec.text_search, spec.embedder.clone())
}
