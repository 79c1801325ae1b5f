//! Vectors in twelve bits a dimension, and the most that the exact score of one can be.
//!
//! A vector v is kept as |v|·(s·c + r): its length, a scale, one small integer per dimension, and of the rest r only the
//! length. For a query q, taken apart in the same way with fifteen bits, the cosine differs from the one of the
//! integers by at most |r| + |r_q|·(1 + |r|) (Cauchy-Schwarz). So what the codes say bounds the exact score from
//! above, for every vector, and whoever reads the exact vectors in the order of the bounds misses nothing.
//!
//! The upper eight bits of the integers lie apart and are all that a scan reads; the lower four sharpen the bound of
//! the few that may be among the best.

use arshai_core::vector::Metric;

/// Vectors are coded in blocks of this many dimensions; the last one is filled up.
pub(super) const BLOCK: usize = 32;
const HALF: usize = BLOCK / 2;
/// The integers of vectors are −2047 to 2047, stored without sign, which spares the scan the signs.
const MOST: f64 = 2_047.0;
const ZERO: f64 = 2_048.0;
/// What the lower bits are taken for where they are not looked at.
const MIDDLE: f64 = 7.5;
/// The largest integer of a query.
const MOST_OF_QUERY: f64 = 16_383.0;
/// So many blocks are summed in 32 bits: 16 × 32 × 16,383 × 255 is below 2³¹.
const SPAN: usize = 16;
/// So many vectors are compared before their bounds are computed.
const AT_ONCE: usize = 64;
/// 2⁻⁵⁰. Squares of shorter vectors lose digits in 32 bits, and with them core's cosine; nothing is said about those.
const SHORTEST: f64 = 8.9e-16;

/// What is kept of a vector beside its codes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    norm: f64,
    scale: f32,
    /// The length of what the upper bits leave out of the unit vector; infinite when they say nothing.
    coarse_error: f32,
    /// The same of all bits.
    fine_error: f32,
}

impl Shape {
    /// That of a vector of which nothing is known.
    pub(super) const UNKNOWN: Self =
        Self { norm: f64::NAN, scale: 0.0, coarse_error: f32::INFINITY, fine_error: f32::INFINITY };
}

/// Writes the codes of a vector: the upper bits of every dimension, and the lower ones of two in a byte.
///
/// The first search of a process waits for this, so it is done in 32 bits, where the compiler makes the most of it.
pub(super) fn encode(vector: &[f32], upper: &mut [u8], lower: &mut [u8]) -> Shape {
    let Some(Size { norm, largest }) = Size::of(vector) else { return Shape::UNKNOWN };
    // A scale in 32 bits from the start, so that codes and errors belong to the one that is kept.
    let scale = (largest / MOST) as f32;
    let inverse = if scale > 0.0 { (1.0 / (norm * f64::from(scale))) as f32 } else { 0.0 };
    let (mut coarse, mut fine) = ([0.0; HALF], [0.0; HALF]);
    let outputs = upper.as_chunks_mut::<BLOCK>().0.iter_mut().zip(lower.as_chunks_mut::<HALF>().0);
    for (values, (upper, lower)) in vector.chunks(BLOCK).zip(outputs) {
        // Where the vector has ended, the query has zeros.
        let mut scaled = [0.0; BLOCK];
        for (scaled, value) in scaled.iter_mut().zip(values) {
            *scaled = value * inverse;
        }
        (*upper, *lower) = encode_block(&scaled, &mut coarse, &mut fine);
    }
    // In units of the scale a value is off by less than 0.001 for the roundings in 32 bits: it is at most 4096, and
    // three times rounded to a part of 2⁻²⁴. The sums of the squares are off by less than a part of n·2⁻²³.
    let count = upper.len() as f64;
    let length = |squares: [f32; HALF]| {
        let sum = squares.iter().map(|square| f64::from(*square)).sum::<f64>() * (1.0 + count * 1.2e-7);
        ((sum.sqrt() + 1e-3 * count.sqrt()) * f64::from(scale)) as f32
    };
    Shape { norm, scale, coarse_error: length(coarse).next_up(), fine_error: length(fine).next_up() }
}

/// The codes of one block of values from −2047 to 2047. Adds the squares of what each misses.
fn encode_block(
    values: &[f32; BLOCK],
    coarse: &mut [f32; HALF],
    fine: &mut [f32; HALF],
) -> ([u8; BLOCK], [u8; HALF]) {
    // From 2²³ on, numbers of 32 bits are integers, so adding it rounds, and the integer is in the lowest bits.
    const WHOLE: f32 = 8_388_608.0;
    let (mut upper, mut lower) = ([0; BLOCK], [0; BLOCK]);
    for ((upper, lower), value) in upper.iter_mut().zip(&mut lower).zip(values) {
        let code = (value + ZERO as f32 + WHOLE).to_bits();
        (*upper, *lower) = ((code >> 4) as u8, (code & 15) as u8);
    }
    for half in 0..2 {
        let (values, lower) = (values.iter().skip(half * HALF), lower.iter().skip(half * HALF));
        for (((coarse, fine), value), lower) in coarse.iter_mut().zip(fine.iter_mut()).zip(values).zip(lower)
        {
            let value = value + ZERO as f32;
            let left = value - (value + WHOLE - WHOLE);
            *fine += left * left;
            let left = left + f32::from(*lower) - MIDDLE as f32;
            *coarse += left * left;
        }
    }
    let (first, second) = lower.split_at(HALF);
    let mut both = [0; HALF];
    for ((both, first), second) in both.iter_mut().zip(first).zip(second) {
        *both = first | second << 4;
    }
    (upper, both)
}

/// How long a vector is, and the largest of its values when it is made one of length 1.
struct Size {
    norm: f64,
    largest: f64,
}

impl Size {
    /// `None` for one whose length 32 bits are too narrow for.
    fn of(vector: &[f32]) -> Option<Self> {
        const LANES: usize = 8;
        let (mut squares, mut largest) = ([0.0; LANES], [0.0_f32; LANES]);
        let (blocks, rest) = vector.as_chunks::<LANES>();
        let mut last = [0.0; LANES];
        last.iter_mut().zip(rest).for_each(|(last, value)| *last = *value);
        for block in blocks.iter().chain([&last]) {
            for ((square, largest), value) in squares.iter_mut().zip(&mut largest).zip(block) {
                *square += f64::from(*value) * f64::from(*value);
                *largest = largest.max(value.abs());
            }
        }
        let norm = squares.iter().sum::<f64>().sqrt();
        let largest = f64::from(largest.into_iter().fold(0.0, f32::max));
        match norm {
            0.0 => Some(Self { norm, largest }),
            _ if norm.is_finite() && norm >= SHORTEST => Some(Self { norm, largest: largest / norm }),
            _ => None,
        }
    }
}

/// A query, ready to be compared with codes.
#[derive(Debug)]
pub(super) struct CodedQuery {
    metric: Metric,
    codes: Vec<i16>,
    /// Their sum.
    sum: f64,
    norm: f64,
    scale: f64,
    error: f64,
    /// How far core's sums of 32 bits may be off: each of n products by at most n·ε·|a|·|b|.
    rounding: f64,
}

impl CodedQuery {
    pub(super) fn new(metric: Metric, query: &[f32]) -> Self {
        let rounding = 4.0 * (query.len() as f64 + 8.0) * f64::from(f32::EPSILON);
        let mut codes = vec![0; query.len().next_multiple_of(BLOCK)];
        let Some(Size { norm, largest }) = Size::of(query) else {
            let (norm, error) = (f64::NAN, f64::INFINITY);
            return Self { metric, codes, sum: 0.0, norm, scale: 0.0, error, rounding };
        };
        let scale = largest / MOST_OF_QUERY;
        let (to_unit, inverse) = if norm > 0.0 { (1.0 / norm, 1.0 / scale) } else { (0.0, 0.0) };
        let mut left = 0.0;
        for (value, code) in query.iter().zip(&mut codes) {
            let value = f64::from(*value) * to_unit;
            *code = (value * inverse).round() as i16;
            left += (value - scale * f64::from(*code)).powi(2);
        }
        let sum = codes.iter().map(|code| f64::from(*code)).sum();
        Self { metric, codes, sum, norm, scale, error: left.sqrt(), rounding }
    }

    /// No score that core computes for a vector is above its bound. Reads the upper bits only, `stride` for each.
    pub(super) fn coarse_bounds(&self, upper: &[u8], stride: usize, shapes: &[Shape], bounds: &mut [f32]) {
        // In two steps, as the second would wait for the first at every vector.
        let mut dots = [0.0; AT_ONCE];
        let groups = upper.chunks(AT_ONCE * stride).zip(shapes.chunks(AT_ONCE));
        for ((upper, shapes), bounds) in groups.zip(bounds.chunks_mut(AT_ONCE)) {
            for (dot_, upper) in dots.iter_mut().zip(upper.chunks_exact(stride)) {
                *dot_ = dot(&self.codes, upper) as f64 * 16.0 + (MIDDLE - ZERO) * self.sum;
            }
            let all = dots.iter().zip(shapes).zip(bounds);
            // The metric is chosen once and not for every vector.
            let with = |metric| {
                all.for_each(|((dot, shape), bound)| {
                    *bound = self.bound(metric, *dot, shape.coarse_error, shape)
                });
            };
            match self.metric {
                Metric::Cosine => with(Metric::Cosine),
                Metric::InnerProduct => with(Metric::InnerProduct),
                Metric::L2 => with(Metric::L2),
            }
        }
    }

    /// The same of one vector, and sixteen times closer.
    pub(super) fn fine_bound(&self, upper: &[u8], lower: &[u8], shape: &Shape) -> f32 {
        let dot = (dot(&self.codes, upper) * 16 + dot_lower(&self.codes, lower)) as f64 - ZERO * self.sum;
        self.bound(self.metric, dot, shape.fine_error, shape)
    }

    #[inline]
    fn bound(&self, metric: Metric, dot: f64, error: f32, shape: &Shape) -> f32 {
        let error = f64::from(error);
        // The margins below are far larger than what 64 bits lose.
        let cosine = dot * (self.scale * f64::from(shape.scale)) + error + self.error * (1.0 + error);
        let bound = match metric {
            Metric::Cosine => cosine + self.rounding,
            Metric::InnerProduct => {
                self.norm * shape.norm * (cosine + self.rounding) + f64::from(f32::MIN_POSITIVE)
            }
            Metric::L2 => {
                let squares = self.norm * self.norm + shape.norm * shape.norm;
                let distance = squares * (1.0 - 1e-12) - 2.0 * self.norm * shape.norm * cosine.min(1.0);
                f64::from(f32::MIN_POSITIVE) - distance.max(0.0) * (1.0 - self.rounding)
            }
        };
        // Up to the next number of 32 bits.
        let bound = (bound + bound.abs() * f64::from(f32::EPSILON)) as f32;
        // Not a number where nothing is known. Scores are clamped to what 32 bits can hold, so bounds are too.
        if bound.is_nan() { f32::INFINITY } else { bound.max(f32::MIN) }
    }
}

/// The sum of the products.
fn dot(query: &[i16], codes: &[u8]) -> i64 {
    let (query, _) = query.as_chunks::<BLOCK>();
    let (codes, _) = codes.as_chunks::<BLOCK>();
    let spans = query.chunks(SPAN).zip(codes.chunks(SPAN));
    spans.map(|(query, codes)| i64::from(dot_of_span(query, codes))).sum()
}

/// The same for the lower bits, of which a byte holds those of dimensions i and i + 16.
fn dot_lower(query: &[i16], lower: &[u8]) -> i64 {
    let (query, _) = query.as_chunks::<BLOCK>();
    let (lower, _) = lower.as_chunks::<HALF>();
    let mut codes = [[0; BLOCK]; SPAN];
    let spans = query.chunks(SPAN).zip(lower.chunks(SPAN));
    let sums = spans.map(|(query, lower)| {
        for (codes, lower) in codes.iter_mut().zip(lower) {
            let (first, second) = codes.split_at_mut(HALF);
            first.iter_mut().zip(lower).for_each(|(code, lower)| *code = lower & 15);
            second.iter_mut().zip(lower).for_each(|(code, lower)| *code = lower >> 4);
        }
        i64::from(dot_of_span(query, &codes))
    });
    sums.sum()
}

/// Written so that the compiler makes it multiply-adds of eight pairs at a time where all it may use is SSE2: blocks of
/// one constant number of unsigned bytes and 16-bit integers, and sums of 32 bits throughout. Anything else (signed
/// bytes, longer blocks, a wider sum) is two to five times slower there. [`SPAN`] is short enough that no sum wraps.
fn dot_of_span(query: &[[i16; BLOCK]], codes: &[[u8; BLOCK]]) -> i32 {
    let block = |query: &[i16; BLOCK], codes: &[u8; BLOCK]| {
        let products = query.iter().zip(codes).map(|(query, code)| i32::from(*query) * i32::from(*code));
        products.fold(0, i32::wrapping_add)
    };
    query.iter().zip(codes).map(|(query, codes)| block(query, codes)).fold(0, i32::wrapping_add)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    /// The exact score, the coarse bound and the fine one.
    fn score(metric: Metric, query: &[f32], vector: &[f32]) -> [f32; 3] {
        let padded = vector.len().next_multiple_of(BLOCK);
        let (mut upper, mut lower) = (vec![7; padded], vec![7; padded / 2]);
        let shape = encode(vector, &mut upper, &mut lower);
        let coded = CodedQuery::new(metric, query);
        let mut coarse = [f32::NAN];
        coded.coarse_bounds(&upper, padded, &[shape], &mut coarse);
        [metric.score(query, vector), coarse[0], coded.fine_bound(&upper, &lower, &shape)]
    }

    const METRICS: [Metric; 3] = [Metric::Cosine, Metric::InnerProduct, Metric::L2];

    /// Vectors that make codes and sums as wrong as they get.
    fn adversarial(rng: &mut Rng, dimension: usize) -> Vec<f32> {
        let size = 10.0_f32.powi(rng.i32(-44..=38));
        let kind = rng.u8(0..7);
        let mut vector: Vec<f32> = (0..dimension)
            .map(|place| match kind {
                0 => 0.0,
                // One value far above the others, which then have no digits left.
                1 if place == 0 => 1.0,
                1 => rng.f32() * 0.003,
                // Every value half way between two codes.
                2 if place == 0 => 1.0,
                2 => (f32::from(rng.i8(-100..100)) + 0.499) / 127.0,
                3 => f32::from(rng.i8(-1..=1)),
                4 => 10.0_f32.powi(rng.i32(-30..=0)) * if rng.bool() { 1.0 } else { -1.0 },
                5 => 1.0,
                _ => rng.f32() * 2.0 - 1.0,
            })
            .map(|value| value * size)
            .collect();
        if kind == 6 && rng.bool() {
            vector.iter_mut().for_each(|value| *value = value.signum() * f32::MAX / 2.0);
        }
        vector
    }

    #[test]
    fn no_score_is_above_its_bound() {
        let rng = &mut Rng::with_seed(1);
        for round in 0..6_000 {
            let dimension = [1, 2, 31, 32, 33, 100, 384, 1_000][round % 8];
            let query = adversarial(rng, dimension);
            // Sometimes nearly the query itself: the largest cosine and the smallest distance.
            let vector = match rng.u8(0..4) {
                0 => query.iter().map(|value| value * (1.0 + rng.f32() * 1e-6)).collect(),
                _ => adversarial(rng, dimension),
            };
            for metric in METRICS {
                let [score, coarse, fine] = score(metric, &query, &vector);
                assert!(score <= coarse, "{metric} {score} > {coarse}\n{query:?}\n{vector:?}");
                assert!(score <= fine, "{metric} {score} > {fine}\n{query:?}\n{vector:?}");
            }
        }
    }

    #[test]
    fn bounds_of_usual_vectors_are_close() {
        let rng = &mut Rng::with_seed(2);
        for _ in 0..200 {
            let mut vector = || (0..384).map(|_| rng.f32() - 0.5).collect::<Vec<f32>>();
            let (query, vector) = (vector(), vector());
            let [score, coarse, fine] = score(Metric::Cosine, &query, &vector);
            assert!(coarse - score < 0.01 && fine - score < 0.001, "{score} {coarse} {fine}");
        }
    }

    #[test]
    fn of_a_vector_too_short_for_32_bits_nothing_is_said() {
        let (short, zero) = ([3e-23, 1e-23], [0.0, 0.0]);
        for (query, vector) in [([1.0, 1.0], short), (short, [1.0, 1.0])] {
            let [_, coarse, fine] = score(Metric::Cosine, &query, &vector);
            assert_eq!([coarse, fine], [f32::INFINITY; 2]);
        }
        let [_, zero, _] = score(Metric::Cosine, &[1.0, 1.0], &zero);
        assert!((0.0..1e-4).contains(&zero), "a zero vector is known: {zero}");
    }

    #[test]
    fn the_sum_of_products_does_not_overflow() {
        let (query, codes) = (vec![-16_383_i16; 32_768], vec![255_u8; 32_768]);
        assert_eq!(dot(&query, &codes), -16_383 * 255 * 32_768_i64);
        assert_eq!(dot_lower(&query, &codes), -16_383 * 15 * 32_768_i64);
    }
}
