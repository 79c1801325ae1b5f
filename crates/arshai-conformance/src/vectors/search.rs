//! Vector search: scores, order, pages, several queries.

use arshai_core::{
    ErrorKind,
    vector::{Hit, Metric, Output, Query, Record, Search, SparseVector},
};
use serde_json::json;

use super::{Context, close_to, ids, in_order, object, text_ids};
use crate::check::{Checks, Outcome, Problem, checks, equal, fails, holds, shown};

const SEARCH: &str = "arshai_core::vector::VectorStore::search";
const SCORES: &str = "arshai_core::vector::Hit";
const DIMENSION: usize = 8;

pub(super) async fn run(context: &Context<'_>, checks: &mut Checks) {
    let can = context.can;
    checks!(checks;
        "vectors.dense_scores_cosine" if can.dense, "dense": SCORES => context.dense(Metric::Cosine);
        "vectors.dense_scores_inner_product" if can.dense, "dense": SCORES => context.dense(Metric::InnerProduct);
        "vectors.dense_scores_l2" if can.dense, "dense": SCORES => context.dense(Metric::L2);
        "vectors.equal_scores_are_ordered_by_key" if can.dense, "dense": SEARCH => context.ties();
        "vectors.sparse_scores" if can.sparse, "sparse": SCORES => context.sparse();
        "vectors.limit_and_offset_cut_one_order" if can.dense, "dense": SEARCH => context.pages_of_hits();
        "vectors.several_queries_in_one_call" if can.dense, "dense": SEARCH => context.several();
        "vectors.hits_hold_what_was_asked_for": "arshai_core::vector::Output" => context.hit_output();
        "vectors.bad_searches_are_invalid": "arshai_core::vector::Search::validate" => context.invalid();
        "vectors.empty_collection_has_no_hits": SEARCH => context.empty();
    );
}

/// Reproducible vectors with entries in −1 … 1.
fn vectors(seed: u64, count: usize) -> Vec<Vec<f32>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (0..DIMENSION).map(|_| rng.f32() * 2.0 - 1.0).collect()).collect()
}

impl Context<'_> {
    async fn points(&self, name: &str, metric: Metric, vectors: &[Vec<f32>]) -> Outcome<String> {
        let record = |(n, vector): (usize, &Vec<f32>)| {
            Record::new(format!("point {n}")).with_id(format!("p{n:03}")).with_dense(vector.clone())
        };
        let spec = self.spec(name).with_dense(DIMENSION).with_metric(metric);
        self.filled(&spec, vectors.iter().enumerate().map(record).collect()).await
    }

    async fn dense(&self, metric: Metric) -> Outcome {
        let points = vectors(7, 60);
        let collection =
            self.points(&format!("dense_{}", metric.to_string().to_lowercase()), metric, &points).await?;
        for query in vectors(8, 5).into_iter().chain(points.first().cloned()) {
            let hits = self.search(&collection, Query::dense(query.clone()), 60).await?;
            in_order(&hits)?;
            equal("hits", &hits.len(), &points.len())?;
            let mut best = f32::NEG_INFINITY;
            for (n, vector) in points.iter().enumerate() {
                let id = format!("p{n:03}").into();
                let expected = metric.score(&query, vector);
                best = best.max(expected);
                let found = hits.iter().find(|hit| hit.id == id).map(|hit| hit.score);
                let right = found.is_some_and(|found| close_to(found, expected));
                holds(format!("{metric} score of {id}: {expected}, higher is better"), right, &found)?;
            }
            let first = hits.first().map(|hit| hit.score);
            holds(
                format!("the first hit has the best score, {best}"),
                first.is_some_and(|s| close_to(s, best)),
                &first,
            )?;
            let legs =
                hits.iter().all(|hit| hit.leg_scores.is_empty() || hit.leg_scores == [Some(hit.score)]);
            holds("leg_scores of a query without legs is its score", legs, &hits.first())?;
        }
        Ok(())
    }

    async fn ties(&self) -> Outcome {
        let record = |id: &str| Record::new("same").with_id(id).with_dense(vec![0.6, 0.8]);
        let records = ["d", "b", "a", "c"].map(record).to_vec();
        let collection = self.filled(&self.spec("ties").with_dense(2), records).await?;
        for limit in [4, 2] {
            let hits = self.search(&collection, Query::dense([0.6, 0.8]), limit).await?;
            let expected: Vec<_> = text_ids(&["a", "b", "c", "d"]).into_iter().take(limit).collect();
            equal(format!("hits of equal score, limit {limit}"), &ids(&hits), &expected)?;
        }
        Ok(())
    }

    async fn sparse(&self) -> Outcome {
        let vector = |pairs: &[(u32, f32)]| SparseVector::new(pairs.to_vec());
        let mut records = Vec::new();
        for (id, pairs) in [
            ("both", [(3, 0.5), (4_000_000_000, 2.0)].as_slice()),
            ("one", &[(3, 1.0)]),
            ("other", &[(9, 5.0)]),
        ] {
            records.push(self.record(id, id).with_sparse(vector(pairs)?));
        }
        let collection = self.filled(&self.any_spec("sparse").with_sparse(), records).await?;
        let query = vector(&[(3, 1.0), (4_000_000_000, 1.0)])?;
        let hits = self.search(&collection, Query::Sparse(query), 5).await?;
        in_order(&hits)?;
        equal("hits", &ids(&hits), &text_ids(&["both", "one"]))?;
        let scores: Vec<_> = hits.iter().map(|hit| hit.score).collect();
        let right = matches!(scores.as_slice(), [a, b] if close_to(*a, 2.5) && close_to(*b, 1.0));
        holds("scores are inner products: 2.5, 1.0", right, &scores)
    }

    async fn pages_of_hits(&self) -> Outcome {
        let collection = self.points("offsets", Metric::Cosine, &vectors(9, 40)).await?;
        let query = Query::dense(vectors(10, 1).pop().unwrap_or_default());
        let all = ids(&self.search(&collection, query.clone(), 40).await?);
        for (limit, offset) in [(1, 0), (5, 0), (5, 5), (10, 35), (5, 40), (5, 1_000)] {
            let found =
                ids(&self.hits(&collection, Search::new(query.clone()).limit(limit).offset(offset)).await?);
            let expected: Vec<_> = all.iter().skip(offset).take(limit).cloned().collect();
            equal(format!("hits with limit {limit}, offset {offset}"), &found, &expected)?;
        }
        Ok(())
    }

    async fn several(&self) -> Outcome {
        let collection = self.points("several", Metric::L2, &vectors(11, 30)).await?;
        let mut queries: Vec<_> = vectors(12, 4).into_iter().map(Query::dense).collect();
        if self.can.text {
            queries.push(Query::text("point 7"));
        }
        let search = |queries: Vec<Query>| {
            Search::many(queries).limit(6).consistency(arshai_core::vector::Consistency::Strong)
        };
        let together = self.store.search(&collection, &search(queries.clone())).await?;
        equal("lists of hits", &together.len(), &queries.len())?;
        for (query, found) in queries.into_iter().zip(together) {
            let alone = self.search(&collection, query, 6).await?;
            equal("hits of a query among others", &ids(&found), &ids(&alone))?;
        }
        Ok(())
    }

    async fn hit_output(&self) -> Outcome {
        let record = self.record("a", "words").with_metadata(object(json!({ "n": 1 })));
        let collection = self.filled(&self.any_spec("hit_output"), vec![record]).await?;
        for (output, expected) in [
            (Output::default(), ("words", 1)),
            (Output::ids(), ("", 0)),
            (Output::metadata(), ("", 1)),
            (Output::all(), ("words", 1)),
        ] {
            let query = if self.can.text { Query::text("words") } else { Query::dense([0.6, 0.8]) };
            let hits = self.hits(&collection, Search::new(query).output(output.clone())).await?;
            let found: Vec<_> =
                hits.iter().map(|hit: &Hit| (hit.text.as_str(), hit.metadata.len())).collect();
            equal(format!("text and metadata members with {output:?}"), &found, &vec![expected])?;
        }
        Ok(())
    }

    async fn invalid(&self) -> Outcome {
        let collection = self.filled(&self.any_spec("invalid"), vec![self.record("a", "x")]).await?;
        let good = if self.can.text { Query::text("x") } else { Query::dense([0.6, 0.8]) };
        let mut bad = vec![("no query", Search::many(Vec::new())), ("limit 0", Search::new(good).limit(0))];
        if self.can.dense {
            bad.extend([
                ("a short vector", Search::new(Query::dense([1.0]))),
                ("a long vector", Search::new(Query::dense([1.0, 0.0, 0.0]))),
                ("an empty vector", Search::new(Query::dense(Vec::new()))),
                ("NaN", Search::new(Query::dense([f32::NAN, 0.0]))),
                ("infinity", Search::new(Query::dense([0.0, f32::INFINITY]))),
                ("a hybrid query without legs", Search::new(Query::hybrid(Vec::new(), Default::default()))),
                (
                    "one good and one bad query",
                    Search::many(vec![Query::dense([0.6, 0.8]), Query::dense([1.0])]),
                ),
            ]);
        }
        for (what, search) in bad {
            fails(
                format!("a search with {what}"),
                self.store.search(&collection, &search).await,
                ErrorKind::InvalidInput,
            )?;
        }
        Ok(())
    }

    async fn empty(&self) -> Outcome {
        let spec = self.any_spec("empty");
        self.opened(&spec).await?;
        let mut queries = Vec::new();
        if self.can.dense {
            queries.push(Query::dense([0.6, 0.8]));
        }
        if self.can.text {
            queries.push(Query::text("anything"));
        }
        for query in queries {
            let hits = self.search(&spec.name, query.clone(), 5).await?;
            if !hits.is_empty() {
                return Err(Problem::new(
                    format!("no hits for {query:?} in an empty collection"),
                    shown(&hits),
                ));
            }
        }
        Ok(())
    }
}
