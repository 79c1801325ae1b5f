//! Hybrid search: the order is the one core's formulas give for the legs fetched one by one.

use arshai_core::{
    ErrorKind,
    text::share_held,
    vector::{Fusion, Hit, Leg, LegQuery, Norm, Query, Record, Search, fuse},
};

use super::{Context, close_to, ids, in_order};
use crate::check::{Checks, Outcome, checks, equal, fails, holds, present};

const FUSE: &str = "arshai_core::vector::fuse";
const LEG: &str = "arshai_core::vector::Leg";
const ROWS: usize = 45;

pub(super) async fn run(context: &Context<'_>, checks: &mut Checks) {
    let can = context.can;
    let able = can.hybrid && can.dense && can.text;
    checks!(checks;
        "vectors.hybrid_rrf_equals_core" if able, "hybrid": FUSE => context.fused("rrf", vec![Fusion::rrf()]);
        "vectors.hybrid_weighted_rrf_equals_core" if able, "hybrid": FUSE => context.fused("weighted_rrf", vec![
            Fusion::weighted_rrf([5.0, 0.5]), Fusion::weighted_rrf([0.0, 1.0]), Fusion::Rrf { k: 1.0, weights: Vec::new() },
        ]);
        "vectors.hybrid_weighted_scores_equal_core" if able, "hybrid": FUSE => context.fused("weighted", vec![
            weighted(Norm::MinMax), weighted(Norm::Arctan), weighted(Norm::None),
        ]);
        "vectors.hybrid_leg_scores" if able, "hybrid": "arshai_core::vector::Hit::leg_scores" => context.leg_scores();
        "vectors.hybrid_min_score_applies_to_the_leg" if able, "hybrid": LEG => context.min_score();
        "vectors.hybrid_min_match_asks_for_words" if able, "hybrid": LEG => context.min_match();
        "vectors.hybrid_leg_limit_limits_the_leg" if able, "hybrid": LEG => context.leg_limit();
        "vectors.hybrid_limit_and_offset_cut_one_order" if able, "hybrid": FUSE => context.hybrid_pages();
        "vectors.hybrid_of_one_leg_keeps_its_order" if able, "hybrid": FUSE => context.one_leg();
    );
}

fn legs() -> [Leg; 2] {
    [Leg::dense([0.9, -0.1, 0.3, 0.2]), Leg::text("river stone")]
}

fn weighted(norm: Norm) -> Fusion {
    Fusion::Weighted { weights: vec![0.7, 0.3], norm }
}

impl Context<'_> {
    /// Texts whose words and vectors disagree about what is best.
    async fn mixed(&self, name: &str) -> Outcome<String> {
        let mut rng = fastrand::Rng::with_seed(5);
        let record = |n: usize| {
            let river = "river ".repeat(n % 4);
            let stone = if n % 3 == 0 { "stone" } else { "sand" };
            let filler = "and more words ".repeat(n % 7);
            let vector = (0..4).map(|_| rng.f32() * 2.0 - 1.0).collect();
            Record::new(format!("{river}{stone} {filler}{n}")).with_id(format!("m{n:02}")).with_dense(vector)
        };
        self.filled(&self.spec(name).with_dense(4), (0..ROWS).map(record).collect()).await
    }

    /// Each leg fetched alone and fused by core.
    async fn expected(
        &self,
        collection: &str,
        legs: &[Leg],
        fusion: &Fusion,
        wanted: usize,
    ) -> Outcome<Vec<Hit>> {
        let mut lists = Vec::new();
        for leg in legs {
            let query = match &leg.query {
                LegQuery::Dense(vector) => Query::Dense(vector.clone()),
                LegQuery::Sparse(vector) => Query::Sparse(vector.clone()),
                LegQuery::Text(text) => Query::Text(text.clone()),
                _ => continue,
            };
            let mut hits = self.search(collection, query, leg.depth(wanted)).await?;
            hits.retain(|hit| leg.min_score.is_none_or(|least| hit.score >= least));
            if let Some((terms, least)) = leg.wanted_terms() {
                hits.retain(|hit| share_held(&terms, &hit.text) >= least);
            }
            lists.push(hits);
        }
        Ok(fuse(fusion, lists))
    }

    async fn hybrid(
        &self,
        collection: &str,
        legs: &[Leg],
        fusion: &Fusion,
        limit: usize,
    ) -> Outcome<Vec<Hit>> {
        self.search(collection, Query::hybrid(legs.to_vec(), fusion.clone()), limit).await
    }

    async fn same_as_core(&self, collection: &str, legs: &[Leg], fusion: &Fusion) -> Outcome<Vec<Hit>> {
        let found = self.hybrid(collection, legs, fusion, ROWS).await?;
        let expected = self.expected(collection, legs, fusion, ROWS).await?;
        in_order(&found)?;
        equal(format!("order under {fusion:?}"), &ids(&found), &ids(&expected))?;
        for (found, expected) in found.iter().zip(&expected) {
            let what = format!("fused score of {} under {fusion:?}: {}", expected.id, expected.score);
            holds(what, close_to(found.score, expected.score), &found.score)?;
        }
        Ok(found)
    }

    async fn fused(&self, name: &str, fusions: Vec<Fusion>) -> Outcome {
        let collection = self.mixed(&format!("fused_{name}")).await?;
        for fusion in fusions {
            let found = self.same_as_core(&collection, &legs(), &fusion).await?;
            equal("hits: every record is in a leg", &found.len(), &ROWS)?;
        }
        Ok(())
    }

    async fn leg_scores(&self) -> Outcome {
        let collection = self.mixed("leg_scores").await?;
        let found = self.hybrid(&collection, &legs(), &Fusion::rrf(), ROWS).await?;
        let expected = self.expected(&collection, &legs(), &Fusion::rrf(), ROWS).await?;
        for (found, expected) in found.iter().zip(&expected) {
            let same = |(a, b): (&Option<f32>, &Option<f32>)| match (a, b) {
                (Some(a), Some(b)) => close_to(*a, *b),
                (a, b) => a == b,
            };
            // Empty: the server fused and does not tell.
            let right = found.leg_scores.is_empty()
                || (found.leg_scores.len() == 2
                    && found.leg_scores.iter().zip(&expected.leg_scores).all(same));
            holds(
                format!("leg scores of {}: {:?}", expected.id, expected.leg_scores),
                right,
                &found.leg_scores,
            )?;
        }
        Ok(())
    }

    async fn min_score(&self) -> Outcome {
        let collection = self.mixed("min_score").await?;
        let [dense, text] = legs();
        let scores = self.search(&collection, Query::text("river stone"), ROWS).await?;
        let middle = present("a text hit in the middle", scores.get(scores.len() / 2))?.score;
        let legs = [dense.clone().min_score(0.1), text.clone().min_score(middle)];
        let found = self.same_as_core(&collection, &legs, &Fusion::rrf()).await?;
        holds("fewer hits than without thresholds", found.len() < ROWS && !found.is_empty(), &found.len())?;
        let legs = [dense.min_score(2.0), text.min_score(f32::MAX)];
        let found = self.hybrid(&collection, &legs, &Fusion::rrf(), ROWS).await?;
        equal("hits above what no score reaches", &ids(&found), &Vec::new())
    }

    async fn min_match(&self) -> Outcome {
        let collection = self.mixed("min_match").await?;
        let [dense, text] = legs();
        // Weights under which a text hit too many changes the order.
        let fusion = Fusion::weighted_rrf([1.0, 3.0]);
        for share in [0.0, 0.5, 0.75, 1.0] {
            let legs = [dense.clone(), text.clone().min_match(share)];
            self.same_as_core(&collection, &legs, &fusion).await?;
        }
        let [one, both] = [0.5, 1.0].map(|share| [text.clone().min_match(share)]);
        let one = self.hybrid(&collection, &one, &Fusion::rrf(), ROWS).await?;
        let both = self.hybrid(&collection, &both, &Fusion::rrf(), ROWS).await?;
        holds(
            "fewer records hold both words than one of them",
            !both.is_empty() && both.len() < one.len(),
            &(one.len(), both.len()),
        )?;
        let wrong = Query::hybrid(vec![text.min_match(1.5)], Fusion::rrf());
        let found = self.store.search(&collection, &Search::new(wrong)).await;
        fails("a share above 1", found, ErrorKind::InvalidInput).map(|_| ())
    }

    async fn leg_limit(&self) -> Outcome {
        let collection = self.mixed("leg_limit").await?;
        let [dense, text] = legs();
        let legs = [dense.limit(3), text.limit(4)];
        let found = self.same_as_core(&collection, &legs, &Fusion::rrf()).await?;
        holds("at most as many hits as the legs contribute", (4..=7).contains(&found.len()), &found.len())
    }

    async fn hybrid_pages(&self) -> Outcome {
        let collection = self.mixed("hybrid_pages").await?;
        // Legs of fixed depth, so that every page is cut from the same fused list.
        let legs: Vec<_> = legs().into_iter().map(|leg| leg.limit(ROWS)).collect();
        let all = ids(&self.hybrid(&collection, &legs, &Fusion::rrf(), ROWS).await?);
        for (limit, offset) in [(1, 0), (4, 3), (10, 40), (3, 100)] {
            let search = Search::new(Query::hybrid(legs.clone(), Fusion::rrf())).limit(limit).offset(offset);
            let found = ids(&self.hits(&collection, search).await?);
            let expected: Vec<_> = all.iter().skip(offset).take(limit).cloned().collect();
            equal(format!("hits with limit {limit}, offset {offset}"), &found, &expected)?;
        }
        Ok(())
    }

    async fn one_leg(&self) -> Outcome {
        let collection = self.mixed("one_leg").await?;
        for leg in legs() {
            self.same_as_core(&collection, &[leg], &Fusion::rrf()).await?;
        }
        let nothing = [Leg::dense([0.1, 0.2, 0.3, 0.4]), Leg::text("zeppelin")];
        let found = self.same_as_core(&collection, &nothing, &Fusion::rrf()).await?;
        equal("hits when one leg finds nothing", &found.len(), &ROWS)
    }
}
