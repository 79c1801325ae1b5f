//! Exact vector search over a coded copy of the vectors in memory.

use std::collections::HashMap;

use arshai_core::{Deadline, Effect, Error, ErrorKind, vector::Metric};
use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::{
    cache::grow,
    codes::{BLOCK, CodedQuery, Shape, encode},
    collection::Stored,
    copied::Refresh,
};
use crate::error::Outcome;

/// How many vectors are read between two looks at the clock.
const READ_PER_LOOK: u32 = 64;

/// Every vector of a collection, coded, one after the other.
#[derive(Debug)]
pub(super) struct Vectors {
    generation: i64,
    dimension: usize,
    docs: Vec<u32>,
    /// The upper bits of their codes, and the lower ones.
    upper: Vec<u8>,
    lower: Vec<u8>,
    shapes: Vec<Shape>,
    places: HashMap<u32, u32>,
    /// The vector that is being put.
    vector: Vec<f32>,
}

impl Default for Vectors {
    fn default() -> Self {
        Self {
            generation: -1,
            dimension: 0,
            docs: Vec::new(),
            upper: Vec::new(),
            lower: Vec::new(),
            shapes: Vec::new(),
            places: HashMap::new(),
            vector: Vec::new(),
        }
    }
}

impl Vectors {
    /// The document number of each.
    pub(super) fn docs(&self) -> &[u32] {
        &self.docs
    }

    /// What is kept of each beside its codes.
    pub(super) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// The upper bits of the codes of each, [`Vectors::stride`] of them.
    pub(super) fn upper(&self) -> &[u8] {
        &self.upper
    }

    pub(super) fn stride(&self) -> usize {
        self.dimension.next_multiple_of(BLOCK).max(BLOCK)
    }

    /// The closest bound that the copy can tell of a score.
    pub(super) fn fine_bound(&self, query: &CodedQuery, doc: u32) -> Option<f32> {
        let (place, stride) = (*self.places.get(&doc)? as usize, self.stride());
        let upper = self.upper.get(place * stride..(place + 1) * stride)?;
        let lower = self.lower.get(place * stride / 2..(place + 1) * stride / 2)?;
        Some(query.fine_bound(upper, lower, self.shapes.get(place)?))
    }

    fn put(&mut self, doc: u32, bytes: &[u8]) -> Outcome<()> {
        read_into(bytes, self.dimension, &mut self.vector)?;
        let stride = self.stride();
        let place = match self.places.get(&doc) {
            Some(place) => *place as usize,
            None => {
                let place = self.docs.len();
                grow(&mut self.upper, (place + 1) * stride, 0)?;
                grow(&mut self.lower, (place + 1) * stride / 2, 0)?;
                grow(&mut self.shapes, place + 1, Shape::UNKNOWN)?;
                grow(&mut self.docs, place + 1, doc)?;
                // Document numbers have 32 bits, so there are no more places.
                self.places.insert(doc, u32::try_from(place).unwrap_or(u32::MAX));
                place
            }
        };
        let upper = self.upper.get_mut(place * stride..(place + 1) * stride);
        let lower = self.lower.get_mut(place * stride / 2..(place + 1) * stride / 2);
        if let Some(((upper, lower), shape)) = upper.zip(lower).zip(self.shapes.get_mut(place)) {
            *shape = encode(&self.vector, upper, lower);
        }
        Ok(())
    }

    /// Moves the last vector into the place of the one that goes.
    fn remove(&mut self, doc: u32) {
        let Some(number) = self.places.remove(&doc) else { return };
        let (place, stride) = (number as usize, self.stride());
        self.docs.swap_remove(place);
        self.shapes.swap_remove(place);
        if let Some(moved) = self.docs.get(place) {
            self.places.insert(*moved, number);
        }
        let last = self.docs.len();
        for (codes, stride) in [(&mut self.upper, stride), (&mut self.lower, stride / 2)] {
            codes.copy_within(last * stride..(last + 1) * stride, place * stride);
            codes.truncate(last * stride);
        }
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
            let count = usize::try_from(stored.dense_chunks).unwrap_or(0);
            // Only a hint: a vector grows to twice what it holds otherwise.
            let _hint = self.upper.try_reserve_exact(count.saturating_mul(self.stride()));
            let _hint = self.lower.try_reserve_exact(count.saturating_mul(self.stride() / 2));
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

/// The vectors as they are in the file, one at a time, and core's own score of each.
pub(super) struct Exact<'a> {
    statement: CachedStatement<'a>,
    metric: Metric,
    query: &'a [f32],
    vector: Vec<f32>,
    deadline: Deadline,
    read: u32,
}

impl<'a> Exact<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        stored: &Stored,
        query: &'a [f32],
        deadline: Deadline,
    ) -> Outcome<Self> {
        let sql = format!("SELECT vector FROM dense_{} WHERE doc = ?1", stored.key);
        let statement = connection.prepare_cached(&sql)?;
        Ok(Self { statement, metric: stored.spec.metric, query, vector: Vec::new(), deadline, read: 0 })
    }

    /// `None` when the chunk has no vector, as the copy may show later writes than the file does here.
    pub(super) fn score(&mut self, doc: u32) -> Outcome<Option<f32>> {
        self.read = self.read.wrapping_add(1);
        if self.read.is_multiple_of(READ_PER_LOOK) && self.deadline.is_past() {
            return Err(Deadline::error("vectors.search", Effect::NotApplied).into());
        }
        let vector = &mut self.vector;
        let dimension = self.query.len();
        let found = self
            .statement
            .query_row([doc], |row| Ok(read_into(row.get_ref(0)?.as_bytes()?, dimension, vector)))
            .optional()?
            .transpose()?;
        Ok(found.map(|()| self.metric.score(self.query, &self.vector)))
    }
}

/// Reads a stored vector.
fn read_into(bytes: &[u8], dimension: usize, vector: &mut Vec<f32>) -> Result<(), Error> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if numbers.len() != dimension || !rest.is_empty() {
        return Err(Error::new(ErrorKind::Corrupt, "a stored vector has the wrong length")
            .with_context("bytes", bytes.len())
            .with_context("dimension", dimension));
    }
    vector.clear();
    vector.extend(numbers.iter().map(|number| f32::from_le_bytes(*number)));
    Ok(())
}

/// A vector as it is stored.
pub(super) fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A stored vector.
pub(super) fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arshai_core::vector::Id;

    use crate::vectors::{
        rank::{Candidate, Judge, Ranking, best_first},
        scan,
    };
    impl Vectors {
        /// A copy of these.
        pub(in crate::vectors) fn of(dimension: usize, rows: impl Iterator<Item = (u32, Vec<f32>)>) -> Self {
            let mut vectors = Self { dimension, ..Self::default() };
            rows.for_each(|(doc, vector)| vectors.put(doc, &to_bytes(&vector)).unwrap());
            vectors
        }

        /// The fine bound of one of them, when the coarse one is not below it.
        fn bound(&self, query: &[f32], doc: u32) -> Option<f32> {
            let place = *self.places.get(&doc)? as usize;
            assert_eq!(self.docs[place], doc);
            let query = CodedQuery::new(Metric::InnerProduct, query);
            let mut coarse = vec![f32::NAN; self.docs.len()];
            query.coarse_bounds(&self.upper, self.stride(), &self.shapes, &mut coarse);
            let (coarse, fine) = (coarse[place], self.fine_bound(&query, doc)?);
            assert!(coarse >= fine, "{coarse} {fine}");
            Some(fine)
        }
    }

    fn assert_true(vectors: &Vectors, expected: &[(u32, [f32; 2])]) {
        assert_eq!(vectors.docs.len(), expected.len());
        assert_eq!((vectors.places.len(), vectors.shapes.len()), (expected.len(), expected.len()));
        assert_eq!(vectors.upper.len(), expected.len() * vectors.stride());
        assert_eq!(vectors.lower.len(), expected.len() * vectors.stride() / 2);
        for (doc, vector) in expected {
            for query in [[1.0, 1.0], [-3.0, 0.5]] {
                let score = Metric::InnerProduct.score(&query, vector);
                let bound = vectors.bound(&query, *doc).unwrap();
                assert!(score <= bound && bound - score < 0.01, "{doc}: {score} {bound}");
            }
        }
    }

    fn vectors(rows: &[(u32, [f32; 2])]) -> Vectors {
        Vectors::of(2, rows.iter().map(|(doc, vector)| (*doc, vector.to_vec())))
    }

    #[test]
    fn removing_moves_the_last_vector_and_loses_no_other() {
        let mut vectors = vectors(&[(7, [1.0, 0.0]), (8, [0.0, 1.0]), (9, [2.0, 2.0])]);
        vectors.remove(7);
        vectors.remove(7);
        assert_eq!(vectors.bound(&[1.0, 1.0], 7), None);
        assert_true(&vectors, &[(9, [2.0, 2.0]), (8, [0.0, 1.0])]);
    }

    #[test]
    fn the_last_one_can_be_removed() {
        let mut vectors = vectors(&[(1, [1.0, 0.0])]);
        vectors.remove(1);
        assert!(vectors.docs.is_empty() && vectors.upper.is_empty() && vectors.places.is_empty());
    }

    #[test]
    fn changes_and_removals_in_any_order_leave_a_true_copy() {
        let rng = &mut fastrand::Rng::with_seed(8);
        let (mut vectors, mut expected) = (vectors(&[]), std::collections::BTreeMap::new());
        for _ in 0..2_000 {
            let doc = rng.u32(0..40);
            if rng.u8(0..3) == 0 {
                vectors.remove(doc);
                expected.remove(&doc);
            } else {
                let vector = [rng.f32() * 4.0 - 2.0, rng.f32() * 4.0 - 2.0];
                vectors.put(doc, &to_bytes(&vector)).unwrap();
                expected.insert(doc, vector);
            }
            let expected: Vec<(u32, [f32; 2])> =
                expected.iter().map(|(doc, vector)| (*doc, *vector)).collect();
            assert_true(&vectors, &expected);
        }
    }

    #[test]
    fn a_vector_of_another_length_is_corrupt() {
        let mut vectors = vectors(&[]);
        assert!(vectors.put(1, &[0; 7]).is_err());
        assert!(vectors.put(1, &[0; 12]).is_err());
    }

    /// Accepts everything and counts.
    struct Counting<'a> {
        vectors: &'a Vectors,
        query: &'a CodedQuery,
        score: &'a dyn Fn(u32) -> f32,
        read: usize,
    }

    impl Judge for Counting<'_> {
        fn may_pass(&self, _: u32) -> bool {
            true
        }

        fn sharpen(&self, doc: u32) -> Option<f32> {
            self.vectors.fine_bound(self.query, doc)
        }

        fn judge(&mut self, candidate: Candidate) -> Outcome<Option<(Id, f32)>> {
            self.read += 1;
            Ok(Some((i64::from(candidate.doc).into(), (self.score)(candidate.doc))))
        }
    }

    #[test]
    fn of_nearly_equal_vectors_few_are_read_and_the_best_are_found() {
        let rng = &mut fastrand::Rng::with_seed(9);
        let base: Vec<f32> = (0..96).map(|_| rng.f32() - 0.5).collect();
        let mut near = |noise: f32| base.iter().map(|v| v + noise * (rng.f32() - 0.5)).collect::<Vec<f32>>();
        let rows: Vec<Vec<f32>> = (0..2_000).map(|_| near(0.05)).collect();
        let question = near(1.0);
        let vectors = Vectors::of(96, (0..).zip(rows.iter().cloned()));
        for metric in [Metric::Cosine, Metric::InnerProduct, Metric::L2] {
            let query = CodedQuery::new(metric, &question);
            let later = Deadline::after(std::time::Duration::from_secs(60));
            let (bounds, ()) = scan::bounds(&vectors, &query, later, |_| Vec::new(), || Ok(())).unwrap();
            let score = |doc: u32| metric.score(&question, &rows[doc as usize]);
            let mut judge = Counting { vectors: &vectors, query: &query, score: &score, read: 0 };
            let mut ranked = Ranking::bounded(bounds, &vectors.docs).best(10, &mut judge).unwrap();
            ranked.sort_by(best_first);
            let found: Vec<u32> = ranked.iter().take(10).map(|ranked| ranked.doc).collect();
            let mut expected: Vec<u32> = (0..2_000).collect();
            expected.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
            assert_eq!(found, expected[..10], "{metric}");
            assert!(judge.read < 30, "{metric}: {} of 2,000 were read", judge.read);
        }
    }
}
