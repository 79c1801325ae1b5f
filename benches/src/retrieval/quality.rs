//! The usual measures, for questions with one right place each.

use std::fmt;

/// How many places count.
pub(crate) const DEPTH: usize = 10;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quality {
    /// The share of questions whose place is among the first ten.
    pub(crate) recall: f64,
    /// The mean of 1 / rank.
    pub(crate) mrr: f64,
    /// The mean of 1 / log₂(rank + 1): with one right place the ideal is 1.
    pub(crate) ndcg: f64,
}

impl Quality {
    /// From the position of each question's place, from 0.
    pub(crate) fn of(positions: &[Option<usize>]) -> Self {
        let found = || positions.iter().flatten().filter(|position| **position < DEPTH);
        let mean = |value: fn(f64) -> f64| {
            found().map(|position| value((position + 1) as f64)).sum::<f64>() / positions.len() as f64
        };
        Self {
            recall: mean(|_| 1.0),
            mrr: mean(|rank| 1.0 / rank),
            ndcg: mean(|rank| 1.0 / (rank + 1.0).log2()),
        }
    }
}

/// The rest of a line of a table.
impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} | {:.3} | {:.3} |", self.recall, self.mrr, self.ndcg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_count_what_is_found_and_where() {
        let quality = Quality::of(&[Some(0), Some(1), Some(10), None]);
        assert_eq!((quality.recall, quality.mrr), (0.5, 0.375));
        assert!((quality.ndcg - (1.0 + 1.0 / 3_f64.log2()) / 4.0).abs() < 1e-12);
    }
}
