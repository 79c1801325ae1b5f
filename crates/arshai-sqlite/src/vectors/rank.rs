//! From scored candidates to the best ones that pass a filter.

use std::{cmp::Ordering, collections::BinaryHeap};

use arshai_core::vector::{Hit, Id};

use crate::error::Outcome;

/// A chunk and its score.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) score: f32,
    pub(super) doc: u32,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.doc.cmp(&self.doc))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// A hit that still knows its document number.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    pub(super) id: Id,
    pub(super) score: f32,
    pub(super) doc: u32,
}

/// Core's one order of hits: higher score first, then smaller id.
pub(super) fn best_first(a: &Ranked, b: &Ranked) -> Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id))
}

impl Ranked {
    pub(super) fn hit(self) -> Hit {
        Hit::new(self.id, self.score)
    }
}

/// Candidates, to be taken best first.
#[derive(Debug)]
pub(super) struct Ranking {
    heap: BinaryHeap<Candidate>,
    /// How far scores may be off, absolutely and relative to the score.
    slack: (f32, f32),
}

impl Ranking {
    pub(super) fn new(candidates: Vec<Candidate>) -> Self {
        Self { heap: candidates.into(), slack: (0.0, 0.0) }
    }

    pub(super) fn with_slack(mut self, absolute: f32, relative: f32) -> Self {
        self.slack = (absolute, relative);
        self
    }

    /// At least the `wanted` best that `accept` names, in falling order of (approximate) score; with them every
    /// further one that ties with the last, or may, as the scores are only so exact.
    pub(super) fn best(
        mut self,
        wanted: usize,
        mut accept: impl FnMut(u32) -> Outcome<Option<Id>>,
    ) -> Outcome<Vec<Ranked>> {
        let mut accepted: Vec<Ranked> = Vec::new();
        let mut floor = f32::NEG_INFINITY;
        while let Some(Candidate { score, doc }) = self.heap.pop() {
            if accepted.len() >= wanted && score < floor {
                break;
            }
            let Some(id) = accept(doc)? else { continue };
            accepted.push(Ranked { id, score, doc });
            if accepted.len() == wanted {
                floor = score - self.slack.0 - self.slack.1 * score.abs();
            }
        }
        Ok(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(scores: &[f32], wanted: usize, slack: f32) -> Vec<u32> {
        let candidates =
            scores.iter().zip(0..).map(|(score, doc)| Candidate { score: *score, doc }).collect();
        let ranking = Ranking::new(candidates).with_slack(slack, 0.0);
        let ranked = ranking.best(wanted, |doc| Ok((doc % 2 == 0).then(|| Id::Int(doc.into())))).unwrap();
        ranked.iter().map(|ranked| ranked.doc).collect()
    }

    #[test]
    fn ties_with_the_last_are_kept_and_refused_ones_are_not_counted() {
        assert_eq!(best(&[1.0, 9.0, 3.0, 8.0, 2.0, 7.0, 2.0], 2, 0.0), [2, 4, 6]);
        assert_eq!(best(&[1.0, 9.0, 3.0, 8.0, 2.0, 7.0, 2.0], 1, 0.0), [2]);
        assert_eq!(best(&[1.0, 9.0, 3.0, 8.0, 2.0, 7.0, 2.0], 1, 1.0), [2, 4, 6]);
    }
}
