//! Exact vector search over a copy of the vectors in memory.

use std::collections::HashMap;

use arshai_core::{Error, ErrorKind, vector::Metric};
use rusqlite::Connection;

use super::{
    cache::grow,
    collection::Stored,
    copied::Refresh,
    rank::{Candidate, Ranking},
};
use crate::error::Outcome;

/// Every vector of a collection, one after the other.
#[derive(Debug)]
pub(super) struct Vectors {
    generation: i64,
    dimension: usize,
    docs: Vec<u32>,
    values: Vec<f32>,
    /// See [`inverse`].
    inverse_norms: Vec<f32>,
    largest_norm: f32,
    places: HashMap<u32, usize>,
}

impl Default for Vectors {
    fn default() -> Self {
        Self {
            generation: -1,
            dimension: 0,
            docs: Vec::new(),
            values: Vec::new(),
            inverse_norms: Vec::new(),
            largest_norm: 0.0,
            places: HashMap::new(),
        }
    }
}

impl Vectors {
    /// Every vector by its approximate score. The exact score, core's own, is computed for the few that may win:
    /// see [`Ranking::slack`] and [`Vectors::score`].
    pub(super) fn rank(&self, metric: Metric, query: &[f32]) -> Ranking {
        let vectors = self.values.chunks_exact(self.dimension.max(1));
        let (norm, inverse) = (norm(query), inverse(query));
        let candidates = self.docs.iter().zip(vectors).zip(&self.inverse_norms);
        let candidates = candidates
            .map(|((doc, vector), inverse_norm)| {
                let score = match metric {
                    Metric::InnerProduct => dot(query, vector),
                    Metric::Cosine => dot(query, vector) * inverse * inverse_norm,
                    Metric::L2 => -squared_distance(query, vector),
                };
                // What is too large or too small for 32 bits on the way is not approximated.
                let score = if score.is_finite() { score } else { metric.score(query, vector) };
                Candidate { score, doc: *doc }
            })
            .collect();
        // Both sums of n products differ from the true one by at most n·ε·|a|·|b|.
        let error = 4.0 * (self.dimension as f32 + 8.0) * f32::EPSILON;
        let ranking = Ranking::new(candidates);
        match metric {
            Metric::Cosine => ranking.with_slack(error, 0.0),
            Metric::InnerProduct => {
                let slack = f64::from(error) * f64::from(norm) * f64::from(self.largest_norm);
                ranking.with_slack(slack as f32 + f32::MIN_POSITIVE, 0.0)
            }
            Metric::L2 => ranking.with_slack(f32::MIN_POSITIVE, error),
        }
    }

    /// The exact score of one chunk's vector.
    pub(super) fn score(&self, metric: Metric, query: &[f32], doc: u32) -> Option<f32> {
        let start = self.places.get(&doc)?.checked_mul(self.dimension)?;
        let vector = self.values.get(start..start.checked_add(self.dimension)?)?;
        Some(metric.score(query, vector))
    }

    fn put(&mut self, doc: u32, bytes: &[u8]) -> Outcome<()> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        if numbers.len() != self.dimension || !rest.is_empty() {
            return Err(Error::new(ErrorKind::Corrupt, "a stored vector has the wrong length")
                .with_context("bytes", bytes.len())
                .with_context("dimension", self.dimension)
                .into());
        }
        let place = match self.places.get(&doc) {
            Some(place) => *place,
            None => {
                let place = self.docs.len();
                grow(&mut self.values, (place + 1) * self.dimension, 0.0)?;
                grow(&mut self.inverse_norms, place + 1, 0.0)?;
                grow(&mut self.docs, place + 1, doc)?;
                self.places.insert(doc, place);
                place
            }
        };
        let start = place * self.dimension;
        let Some(slot) = self.values.get_mut(start..start + self.dimension) else { return Ok(()) };
        for (slot, number) in slot.iter_mut().zip(numbers) {
            *slot = f32::from_le_bytes(*number);
        }
        self.largest_norm = self.largest_norm.max(norm(slot));
        if let Some(kept) = self.inverse_norms.get_mut(place) {
            *kept = inverse(slot);
        }
        Ok(())
    }

    /// Moves the last vector into the place of the one that goes.
    fn remove(&mut self, doc: u32) {
        let Some(place) = self.places.remove(&doc) else { return };
        self.docs.swap_remove(place);
        self.inverse_norms.swap_remove(place);
        if let Some(moved) = self.docs.get(place) {
            self.places.insert(*moved, place);
        }
        let last = self.docs.len() * self.dimension;
        self.values.copy_within(last..last + self.dimension, place * self.dimension);
        self.values.truncate(last);
    }
}

impl Refresh for Vectors {
    fn generation(&self) -> i64 {
        self.generation
    }

    fn refresh(&mut self, connection: &Connection, stored: &Stored) -> Outcome<()> {
        let dimension = stored.spec.dimension.unwrap_or(0);
        if self.generation < stored.cleared || self.dimension != dimension {
            *self = Self { dimension, ..Self::default() };
        }
        if self.generation < 0 {
            let mut statement =
                connection.prepare_cached(&format!("SELECT doc, vector FROM dense_{}", stored.key))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                self.put(row.get(0)?, row.get_ref(1)?.as_bytes().map_err(rusqlite::Error::from)?)?;
            }
        } else {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT c.doc, d.vector FROM chunk_{n} c LEFT JOIN dense_{n} d ON d.doc = c.doc WHERE c.changed > ?1",
                n = stored.key
            ))?;
            let mut rows = statement.query([self.generation])?;
            while let Some(row) = rows.next()? {
                match row.get_ref(1)?.as_bytes_or_null().map_err(rusqlite::Error::from)? {
                    Some(bytes) => self.put(row.get(0)?, bytes)?,
                    None => self.remove(row.get(0)?),
                }
            }
        }
        self.generation = stored.generation;
        Ok(())
    }
}

/// A vector as it is stored.
pub(super) fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A stored vector.
pub(super) fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

const LANES: usize = 16;

/// Sums in independent lanes, which the compiler turns into SIMD.
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(*a, *b);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| term(*a, *b)).sum();
    lanes.iter().sum::<f32>() + rest
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |a, b| a * b)
}

/// |v|, also when its square is too large or too small for 32 bits.
fn norm(vector: &[f32]) -> f32 {
    let square = dot(vector, vector);
    match square.is_normal() {
        true => square.sqrt(),
        false => vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt() as f32,
    }
}

/// 1 / |v|, 0 for a zero vector, and NaN when 32 bits are too narrow to tell.
fn inverse(vector: &[f32]) -> f32 {
    let square = dot(vector, vector);
    match square.is_normal() {
        true => 1.0 / square.sqrt(),
        false if vector.iter().all(|value| *value == 0.0) => 0.0,
        false => f32::NAN,
    }
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |a, b| (a - b) * (a - b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(rows: &[(u32, [f32; 2])]) -> Vectors {
        let mut vectors = Vectors { dimension: 2, ..Vectors::default() };
        for (doc, values) in rows {
            vectors.put(*doc, &to_bytes(values)).unwrap();
        }
        vectors
    }

    #[test]
    fn removing_moves_the_last_vector_and_loses_no_other() {
        let mut vectors = vectors(&[(7, [1.0, 0.0]), (8, [0.0, 1.0]), (9, [2.0, 2.0])]);
        vectors.remove(7);
        vectors.remove(7);
        let score = |doc| vectors.score(Metric::InnerProduct, &[1.0, 1.0], doc);
        assert_eq!((score(7), score(8), score(9)), (None, Some(1.0), Some(4.0)));
        assert_eq!(vectors.values, [2.0, 2.0, 0.0, 1.0]);
    }

    #[test]
    fn the_last_one_can_be_removed() {
        let mut vectors = vectors(&[(1, [1.0, 0.0])]);
        vectors.remove(1);
        assert!(vectors.docs.is_empty() && vectors.values.is_empty() && vectors.places.is_empty());
    }

    #[test]
    fn a_vector_of_another_length_is_corrupt() {
        let mut vectors = vectors(&[]);
        assert!(vectors.put(1, &[0; 7]).is_err());
    }
}
