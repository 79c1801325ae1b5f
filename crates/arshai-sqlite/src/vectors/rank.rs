//! From scored candidates to the best ones that pass a filter.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use arshai_core::vector::{Hit, Id};

use crate::error::Outcome;

/// A chunk and its score, or the most that may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) score: f32,
    pub(super) doc: u32,
    /// Whether the score is as close as it can be told without looking at the chunk.
    pub(super) sharp: bool,
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

/// Looks at candidates.
pub(super) trait Judge {
    /// Whether a chunk may be accepted, as far as it is known without looking at it.
    fn may_pass(&self, doc: u32) -> bool;

    /// A closer bound of a candidate that is not sharp.
    fn sharpen(&self, doc: u32) -> Option<f32>;

    /// Key and score of a sharp candidate, if it is accepted.
    fn judge(&mut self, candidate: Candidate) -> Outcome<Option<(Id, f32)>>;
}

/// Candidates, to be taken best first.
#[derive(Debug)]
pub(super) struct Ranking<'a> {
    heap: BinaryHeap<Candidate>,
    bounded: Option<Bounded<'a>>,
}

impl<'a> Ranking<'a> {
    /// With the scores of all of them.
    pub(super) fn scored(candidates: Vec<Candidate>) -> Self {
        Self { heap: candidates.into(), bounded: None }
    }

    /// With a bound for each of the chunks.
    pub(super) fn bounded(bounds: Vec<f32>, docs: &'a [u32]) -> Self {
        Self { heap: BinaryHeap::new(), bounded: Some(Bounded { bounds, docs, least: None, size: 0 }) }
    }

    /// The `wanted` best that `judge` accepts, and with them every further one that ties with the last, in no order.
    pub(super) fn best(mut self, wanted: usize, judge: &mut impl Judge) -> Outcome<Vec<Ranked>> {
        let mut accepted: Vec<Ranked> = Vec::new();
        // The scores of the best so far, the lowest first.
        let mut scores: BinaryHeap<Reverse<Candidate>> = BinaryHeap::new();
        let mut floor = None;
        while let Some(candidate) = self.next(wanted, floor, judge) {
            if floor.is_some_and(|floor| candidate.score < floor) {
                break;
            }
            let doc = candidate.doc;
            if !judge.may_pass(doc) {
                continue;
            }
            if !candidate.sharp {
                self.heap.extend(judge.sharpen(doc).map(|score| Candidate { score, doc, sharp: true }));
                continue;
            }
            let Some((id, score)) = judge.judge(candidate)? else { continue };
            accepted.push(Ranked { id, score, doc });
            scores.push(Reverse(Candidate { score, doc, sharp: true }));
            if scores.len() > wanted {
                scores.pop();
            }
            if scores.len() == wanted {
                floor = scores.peek().map(|Reverse(lowest)| lowest.score);
            }
        }
        accepted.retain(|ranked| floor.is_none_or(|floor| ranked.score >= floor));
        Ok(accepted)
    }

    /// The one with the highest score or bound of all.
    fn next(&mut self, wanted: usize, floor: Option<f32>, judge: &impl Judge) -> Option<Candidate> {
        while let Some(bounded) = &mut self.bounded {
            let is_first =
                |least: f32| self.heap.peek().is_some_and(|top| top.score.total_cmp(&least).is_ge());
            let is_enough = |least: f32| floor.is_some_and(|floor| least <= floor);
            if bounded.least.is_some_and(|least| is_first(least) || is_enough(least)) {
                break;
            }
            if !bounded.next(wanted, &mut self.heap, judge) {
                self.bounded = None;
            }
        }
        self.heap.pop()
    }
}

/// The smallest first portion; later ones are larger.
const FIRST: usize = 256;
const GROWTH: usize = 8;

/// Candidates of which only a bound is known. Few of them are ever looked at, so they go into the heap in portions,
/// those with the highest bounds first.
#[derive(Debug)]
struct Bounded<'a> {
    bounds: Vec<f32>,
    docs: &'a [u32],
    /// Those with this bound or a higher one are in the heap.
    least: Option<f32>,
    size: usize,
}

impl Bounded<'_> {
    /// Adds the next portion to the heap; whether more are left.
    fn next(&mut self, wanted: usize, heap: &mut BinaryHeap<Candidate>, judge: &impl Judge) -> bool {
        self.size = match self.size {
            0 => wanted.saturating_mul(4).max(FIRST),
            size => size.saturating_mul(GROWTH),
        };
        let before = self.least;
        let is_left = |bound: f32| before.is_none_or(|before| bound.total_cmp(&before).is_lt());
        let least = nth_largest(self.bounds.iter().copied().filter(|bound| is_left(*bound)), self.size);
        for (score, doc) in self.bounds.iter().zip(self.docs) {
            let is_in = is_left(*score) && least.is_none_or(|least| score.total_cmp(&least).is_ge());
            if is_in && judge.may_pass(*doc) {
                heap.push(Candidate { score: *score, doc: *doc, sharp: false });
            }
        }
        self.least = least;
        least.is_some()
    }
}

/// The `n`-th largest; `None` when there are not more than `n`.
fn nth_largest(values: impl Iterator<Item = f32>, n: usize) -> Option<f32> {
    let mut largest: Vec<f32> = Vec::new();
    let cut = |largest: &mut Vec<f32>| {
        let nth = *largest.select_nth_unstable_by(n.saturating_sub(1), |a, b| b.total_cmp(a)).1;
        largest.truncate(n);
        nth
    };
    let (mut count, mut nth) = (0_usize, f32::NEG_INFINITY);
    for value in values {
        count += 1;
        if value < nth {
            continue;
        }
        largest.push(value);
        if largest.len() >= n.saturating_mul(2) {
            nth = cut(&mut largest);
        }
    }
    (count > n).then(|| cut(&mut largest))
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    /// One document in `every` passes. That is known without looking from the `known`-th look on.
    struct Every<'a> {
        every: u32,
        known: usize,
        bounds: &'a dyn Fn(u32) -> f32,
        scores: &'a dyn Fn(u32) -> f32,
        judged: usize,
    }

    impl Judge for Every<'_> {
        fn may_pass(&self, doc: u32) -> bool {
            self.judged < self.known || doc.is_multiple_of(self.every)
        }

        fn sharpen(&self, doc: u32) -> Option<f32> {
            Some((self.bounds)(doc))
        }

        fn judge(&mut self, Candidate { doc, .. }: Candidate) -> Outcome<Option<(Id, f32)>> {
            self.judged += 1;
            Ok(doc.is_multiple_of(self.every).then(|| (Id::Int(doc.into()), (self.scores)(doc))))
        }
    }

    fn docs(mut ranked: Vec<Ranked>) -> Vec<u32> {
        ranked.sort_by(best_first);
        ranked.iter().map(|ranked| ranked.doc).collect()
    }

    fn best(scores: &[f32], wanted: usize, every: u32) -> Vec<u32> {
        let candidates =
            scores.iter().zip(0..).map(|(score, doc)| Candidate { score: *score, doc, sharp: true });
        let score = |doc: u32| scores[doc as usize];
        let mut judge =
            Every { every, known: usize::MAX, bounds: &|_| unreachable!(), scores: &score, judged: 0 };
        docs(Ranking::scored(candidates.collect()).best(wanted, &mut judge).unwrap())
    }

    #[test]
    fn ties_with_the_last_are_kept_and_refused_ones_are_not_counted() {
        assert_eq!(best(&[1.0, 9.0, 3.0, 8.0, 2.0, 7.0, 2.0], 2, 2), [2, 4, 6]);
        assert_eq!(best(&[1.0, 9.0, 3.0, 8.0, 2.0, 7.0, 2.0], 1, 2), [2]);
    }

    #[test]
    fn bounds_lead_to_the_same_as_scores_and_few_chunks_are_looked_at() {
        let rng = &mut Rng::with_seed(5);
        for round in 0..400 {
            let count = [0, 1, 300, 3_000, 3_000][round % 5];
            // Few distinct values, so that many tie, and some bounds far off.
            let scores: Vec<f32> = (0..count).map(|_| f32::from(rng.u8(..)) / 8.0).collect();
            let mut bound = |score: &f32| match rng.u8(..) {
                0 => f32::INFINITY,
                off => score + f32::from(off % 4) / 8.0,
            };
            let bounds: Vec<f32> = scores.iter().map(&mut bound).collect();
            let numbers: Vec<u32> = (0..count).collect();
            let wanted = [1, 3, 20, 400, usize::MAX][rng.usize(0..5)];
            // A portion is used up when few pass.
            let every = [2, 12, 90][rng.usize(0..3)];
            let mut judge = Every {
                every,
                known: [0, 10, usize::MAX][rng.usize(0..3)],
                bounds: &|doc| scores[doc as usize] + f32::from(doc % 3 == 0) / 8.0,
                scores: &|doc| scores[doc as usize],
                judged: 0,
            };
            let found = Ranking::bounded(bounds, &numbers).best(wanted, &mut judge).unwrap();
            assert_eq!(docs(found), best(&scores, wanted, every), "{count} {wanted} {every}");
            let few = count < 3_000 || wanted > 3 || every > 2 || judge.judged < 100;
            assert!(few, "{} were looked at", judge.judged);
        }
    }

    #[test]
    fn what_is_better_than_the_found_ones_is_not_lost_behind_a_portion() {
        let bounds: Vec<f32> = (0..400).map(|doc| if doc < FIRST { 9.4 } else { 9.0 }).collect();
        let numbers: Vec<u32> = (0..400).collect();
        let ranking = Ranking::bounded(bounds, &numbers);
        let mut judge = Every {
            every: 300,
            known: usize::MAX,
            // The first is taken for as good as it may be until it is looked at.
            bounds: &|doc| if doc == 0 { 9.4 } else { 9.0 },
            scores: &|doc| if doc == 0 { 8.5 } else { 9.0 },
            judged: 0,
        };
        assert_eq!(docs(ranking.best(1, &mut judge).unwrap()), [300]);
    }

    #[test]
    fn the_nth_largest_is_found_in_any_order() {
        let mut values: Vec<f32> = (0..1_000_u16).map(|n| f32::from(n / 2)).collect();
        let rng = &mut Rng::with_seed(6);
        for _ in 0..5 {
            for (n, expected) in [(1, 499.0), (2, 499.0), (3, 498.0), (999, 0.0)] {
                assert_eq!(nth_largest(values.iter().copied(), n), Some(expected));
            }
            assert_eq!(nth_largest(values.iter().copied(), 1_000), None);
            rng.shuffle(&mut values);
        }
    }
}
