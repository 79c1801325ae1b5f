//! Figures with their targets.

use std::time::Duration;

use anyhow::{Result, bail};

/// What was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    measured: usize,
    missed: Vec<String>,
}

impl Figures {
    pub(crate) fn at_least(&mut self, name: &str, value: f64, target: f64, unit: &str) {
        self.add(name, value, target, unit, "at least", value >= target);
    }

    pub(crate) fn at_most(&mut self, name: &str, value: f64, target: f64, unit: &str) {
        self.add(name, value, target, unit, "at most", value <= target);
    }

    /// A number without a target.
    pub(crate) fn note(&self, name: &str, value: f64, unit: &str) {
        println!("{name}: {value:.3} {unit}");
    }

    fn add(&mut self, name: &str, value: f64, target: f64, unit: &str, relation: &str, met: bool) {
        self.measured += 1;
        let verdict = if met { "met" } else { "MISSED" };
        println!("{name}: {value:.3} {unit} (target {relation} {target} {unit}: {verdict})");
        if !met {
            self.missed.push(name.to_owned());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.measured == 0
    }

    pub(crate) fn conclude(self) -> Result<()> {
        println!("# {} figures, {} missed", self.measured, self.missed.len());
        if !self.missed.is_empty() {
            bail!("missed: {}", self.missed.join(", "));
        }
        Ok(())
    }
}

/// The value below which `part` (0 to 1) of the durations lie, in milliseconds.
pub(crate) fn quantile(durations: &mut [Duration], part: f64) -> f64 {
    durations.sort_unstable();
    let last = durations.len().saturating_sub(1);
    let position = (last as f64 * part).round() as usize;
    durations.get(position).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
}

pub(crate) fn median(durations: &mut [Duration]) -> f64 {
    quantile(durations, 0.5)
}
