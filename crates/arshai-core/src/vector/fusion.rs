//! How the legs of a hybrid query become one order. The formulas live here and nowhere else; a server that
//! computes the same formula may do it, any other has its legs fused by [`fuse`].

use std::{cmp::Ordering, collections::HashMap};

use super::{Hit, Id};
use crate::{Error, Result};

/// How several ranked lists become one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fusion {
    /// Reciprocal rank fusion, Σ wᵢ / (k + rankᵢ) with ranks from 1 (Cormack, Clarke and Büttcher, SIGIR 2009).
    /// A record absent from a leg gets nothing from it.
    Rrf {
        /// The constant k; larger flattens the ranks. Default: 60.
        k: f32,
        /// One weight per leg; empty means 1 for each.
        weights: Vec<f32>,
    },
    /// Weighted sum of scores, Σ wᵢ · norm(scoreᵢ).
    Weighted {
        /// One weight per leg; empty means 1 for each.
        weights: Vec<f32>,
        /// How scores are made comparable first.
        norm: Norm,
    },
}

/// How a leg's scores are made comparable with other legs'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Norm {
    /// As they are.
    None,
    /// Linear from the leg's worst hit (0) to its best (1); a leg whose hits all score the same gives 1.
    MinMax,
    /// (2/π)·atan(score): bounded, keeps the order, needs no other hit.
    Arctan,
}

impl Default for Fusion {
    fn default() -> Self {
        Self::rrf()
    }
}

impl Fusion {
    /// Reciprocal rank fusion with k = 60 and equal weights.
    pub fn rrf() -> Self {
        Self::Rrf { k: 60.0, weights: Vec::new() }
    }

    /// Reciprocal rank fusion with k = 60 and these weights.
    pub fn weighted_rrf(weights: impl Into<Vec<f32>>) -> Self {
        Self::Rrf { k: 60.0, weights: weights.into() }
    }

    /// Whether every leg counts the same.
    pub fn has_equal_weights(&self) -> bool {
        let (Self::Rrf { weights, .. } | Self::Weighted { weights, .. }) = self;
        weights.windows(2).all(|pair| matches!(pair, [a, b] if a == b))
    }

    pub(crate) fn validate(&self, legs: usize) -> Result<()> {
        let (Self::Rrf { weights, .. } | Self::Weighted { weights, .. }) = self;
        if !weights.is_empty() && weights.len() != legs {
            return Err(Error::invalid("the fusion has not one weight per leg")
                .with_context("weights", weights.len())
                .with_context("legs", legs));
        }
        if weights.iter().any(|weight| !weight.is_finite() || *weight < 0.0) {
            return Err(Error::invalid("a fusion weight is finite and not negative"));
        }
        match self {
            Self::Rrf { k, .. } if !k.is_finite() || *k <= 0.0 => {
                Err(Error::invalid("the k of reciprocal rank fusion is finite and above 0"))
            }
            _ => Ok(()),
        }
    }

    fn weight(&self, leg: usize) -> f64 {
        let (Self::Rrf { weights, .. } | Self::Weighted { weights, .. }) = self;
        weights.get(leg).copied().map_or(1.0, f64::from)
    }

    /// What each hit of leg number `leg`, best first, adds to its record's fused score.
    fn contributions(&self, leg: usize, hits: &[Hit]) -> Vec<f64> {
        let weight = self.weight(leg);
        match self {
            Self::Rrf { k, .. } => {
                (1..=hits.len()).map(|rank| weight / (f64::from(*k) + rank as f64)).collect()
            }
            Self::Weighted { norm, .. } => norm.apply(hits).into_iter().map(|score| weight * score).collect(),
        }
    }
}

impl Norm {
    fn apply(self, hits: &[Hit]) -> Vec<f64> {
        let scores = hits.iter().map(|hit| f64::from(hit.score));
        match self {
            Self::None => scores.collect(),
            Self::Arctan => scores.map(|score| score.atan() * std::f64::consts::FRAC_2_PI).collect(),
            Self::MinMax => {
                let (low, high) = scores
                    .clone()
                    .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), s| (low.min(s), high.max(s)));
                scores.map(|s| if high > low { (s - low) / (high - low) } else { 1.0 }).collect()
            }
        }
    }
}

/// Fuses the hits of each leg (best first) into one list, best first; equal scores are ordered by id.
/// The same legs give the same order wherever they came from.
///
/// # Examples
///
/// ```
/// use arshai_core::vector::{Fusion, Hit, fuse};
///
/// let leg = |ids: &[i64]| ids.iter().map(|id| Hit::new((*id).into(), 1.0)).collect();
/// let fused = fuse(&Fusion::rrf(), vec![leg(&[1, 2]), leg(&[2, 3])]);
/// let ids: Vec<_> = fused.iter().map(|hit| hit.id.to_string()).collect();
/// assert_eq!(ids, ["2", "1", "3"]);
/// ```
pub fn fuse(fusion: &Fusion, legs: Vec<Vec<Hit>>) -> Vec<Hit> {
    let count = legs.len();
    let mut fused: HashMap<Id, (f64, Hit)> = HashMap::new();
    for (leg, hits) in legs.into_iter().enumerate() {
        let contributions = fusion.contributions(leg, &hits);
        for (hit, contribution) in hits.into_iter().zip(contributions) {
            let leg_score = hit.score;
            let (score, kept) = fused
                .entry(hit.id.clone())
                .or_insert_with(|| (0.0, Hit { leg_scores: vec![None; count], ..hit }));
            if let Some(slot) = kept.leg_scores.get_mut(leg) {
                *slot = Some(leg_score);
            }
            *score += contribution;
        }
    }
    let mut hits: Vec<Hit> =
        fused.into_values().map(|(score, hit)| Hit { score: score as f32, ..hit }).collect();
    hits.sort_by(best_first);
    hits
}

/// The one order of hits: higher score first, then smaller id.
pub(crate) fn best_first(a: &Hit, b: &Hit) -> Ordering {
    // Adding 0 makes −0 the same as 0.
    (b.score + 0.0).total_cmp(&(a.score + 0.0)).then_with(|| a.id.cmp(&b.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(scores: &[(i64, f32)]) -> Vec<Hit> {
        scores.iter().map(|(id, score)| Hit::new(Id::Int(*id), *score)).collect()
    }

    #[test]
    fn rrf_weights_move_the_order() {
        let legs = || vec![leg(&[(1, 9.0), (2, 8.0)]), leg(&[(2, 0.9), (3, 0.8), (1, 0.1)])];
        let first = |fusion: Fusion| fuse(&fusion, legs())[0].id.clone();
        assert_eq!(first(Fusion::rrf()), Id::Int(2));
        assert_eq!(first(Fusion::weighted_rrf([10.0, 0.1])), Id::Int(1));
    }

    #[test]
    fn leg_scores_are_kept_apart() {
        let fused = fuse(&Fusion::rrf(), vec![leg(&[(1, 9.0)]), leg(&[(2, 0.5)])]);
        assert_eq!(fused[0].leg_scores, [Some(9.0), None]);
        assert_eq!(fused[1].leg_scores, [None, Some(0.5)]);
    }

    #[test]
    fn norms() {
        let hits = leg(&[(1, 3.0), (2, 2.0), (3, 1.0)]);
        assert_eq!(Norm::MinMax.apply(&hits), [1.0, 0.5, 0.0]);
        assert_eq!(Norm::MinMax.apply(&leg(&[(1, 3.0)])), [1.0]);
        assert!((Norm::Arctan.apply(&leg(&[(1, 1.0)]))[0] - 0.5).abs() < 1e-9);
    }

    #[test]
    fn bad_weights_are_refused() {
        assert!(Fusion::weighted_rrf([1.0]).validate(2).is_err());
        assert!(Fusion::weighted_rrf([1.0, f32::NAN]).validate(2).is_err());
        assert!(Fusion::Rrf { k: 0.0, weights: Vec::new() }.validate(2).is_err());
    }
}
