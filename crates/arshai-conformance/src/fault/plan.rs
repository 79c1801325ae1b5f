//! What goes wrong, said beforehand.

use std::collections::BTreeMap;

use super::Fault;

/// Which connections meet which faults.
///
/// Connections are counted from 0 in the order the proxy accepted them since the plan was given to it.
///
/// # Examples
///
/// ```
/// use arshai_conformance::fault::{Fault, Plan};
///
/// let second_is_reset = Plan::new().connection(1, [Fault::reset()]);
/// let one_in_ten = Plan::seeded(42).probability(0.1, [Fault::reset(), Fault::lose_reply()]);
/// # let _ = (second_is_reset, one_in_ten);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Plan {
    connections: BTreeMap<u64, Vec<Fault>>,
    every: Vec<Fault>,
    random: Option<Random>,
}

#[derive(Debug, Clone)]
struct Random {
    seed: u64,
    probability: f64,
    faults: Vec<Fault>,
}

impl Plan {
    /// A plan in which nothing goes wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// A plan whose random choices follow from `seed`; say what is chosen among with [`Plan::probability`].
    pub fn seeded(seed: u64) -> Self {
        Self { random: Some(Random { seed, probability: 0.0, faults: Vec::new() }), ..Self::default() }
    }

    /// The faults of the connection of this number, from 0, instead of those of [`Plan::every_connection`].
    #[must_use]
    pub fn connection(mut self, number: u64, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.connections.entry(number).or_default().extend(faults);
        self
    }

    /// The faults of every connection accepted from now on that has no list of its own.
    #[must_use]
    pub fn every_connection(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.every.extend(faults);
        self
    }

    /// Each request, also on connections that are open already, meets one of `faults` with this probability (0 to 1),
    /// each as likely as the others, in addition to what the plan says of its connection.
    ///
    /// The fault concerns that request and its reply; bytes of [`Fault::after_bytes`] are counted from its beginning.
    /// A plan made with [`Plan::new`] draws with seed 0.
    #[must_use]
    pub fn probability(mut self, probability: f64, faults: impl IntoIterator<Item = Fault>) -> Self {
        let seed = self.random.as_ref().map_or(0, |random| random.seed);
        self.random = Some(Random { seed, probability, faults: faults.into_iter().collect() });
        self
    }

    /// The faults said of the connection of this number.
    pub(super) fn faults_of(&self, connection: u64) -> &[Fault] {
        self.connections.get(&connection).unwrap_or(&self.every)
    }

    /// The fault drawn for a request: the same for the same seed and numbers.
    pub(super) fn draw(&self, connection: u64, request: u64) -> Option<Fault> {
        let random = self.random.as_ref()?;
        let mut choice = fastrand::Rng::with_seed(mixed(mixed(mixed(random.seed) ^ connection) ^ request));
        if choice.f64() >= random.probability {
            return None;
        }
        let fault = choice.choice(&random.faults)?.clone();
        Some(Fault { request: None, ..fault })
    }
}

/// The finaliser of SplitMix64, so that neighbouring numbers give unrelated seeds.
/// Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
fn mixed(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_seed_does_not() {
        let drawn = |seed| {
            let plan =
                Plan::seeded(seed).probability(0.3, [Fault::reset(), Fault::close(), Fault::lose_reply()]);
            (0..20)
                .flat_map(|c| (0..50).map(move |r| (c, r)))
                .map(|(c, r)| plan.draw(c, r))
                .collect::<Vec<_>>()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let hit = drawn(7).iter().flatten().count();
        assert!((220..380).contains(&hit), "{hit} of 1,000 at probability 0.3");
    }

    #[test]
    fn probability_zero_never_and_one_always() {
        let never = Plan::seeded(1).probability(0.0, [Fault::reset()]);
        let always = Plan::seeded(1).probability(1.0, [Fault::reset()]);
        assert!((0..200).all(|request| never.draw(0, request).is_none()));
        assert!((0..200).all(|request| always.draw(0, request).is_some()));
        assert!(Plan::seeded(1).probability(1.0, []).draw(0, 0).is_none());
    }
}
