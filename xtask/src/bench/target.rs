//! What a benchmark of operations has to reach, and whether it did.

use super::measurement::{InRound, Measurement, median, merged};

/// The side that is judged.
const OURS: &str = "arshai";

/// One figure. It is judged by the median over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Target {
    /// What is measured.
    pub(super) op: &'static str,
    /// As many at a time.
    pub(super) concurrency: u64,
    /// What it has to reach.
    pub(super) reach: Reach,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reach {
    /// Operations a second, at least.
    PerSecond(f64),
    /// CPU time of the client for one operation, at most, in microseconds.
    CpuMicros(f64),
    /// As many times the operations a second of this side, at least; judged only where that side was measured.
    Times(f64, &'static str),
}

/// A line on each target, and how many were missed. A target that nobody measured, as with other concurrencies than the
/// usual ones, is not judged.
pub(super) fn verdicts(targets: &[Target], all: &[InRound]) -> (Vec<String>, usize) {
    let judged: Vec<(String, bool)> = targets.iter().filter_map(|target| target.verdict(all)).collect();
    let missed = judged.iter().filter(|(_, is_met)| !is_met).count();
    (judged.into_iter().map(|(line, _)| line).collect(), missed)
}

impl Target {
    fn verdict(&self, all: &[InRound]) -> Option<(String, bool)> {
        let lines = merged(all);
        let ours = lines.iter().find(|line| line.side == OURS && self.is_about(line))?;
        let (value, target, unit, is_met, relation) = match self.reach {
            Reach::PerSecond(least) => {
                let value = ours.ops_per_s?;
                (value, least, "/s", value >= least, "at least")
            }
            Reach::CpuMicros(most) => {
                let value = ours.client_cpu_us_per_op?;
                (value, most, " µs of CPU each", value <= most, "at most")
            }
            Reach::Times(least, side) => {
                let value = self.times(all, side)?;
                (value, least, "×", value >= least, "at least")
            }
        };
        let against =
            if let Reach::Times(_, side) = self.reach { format!(" against {side}") } else { String::new() };
        let verdict = if is_met { "met" } else { "MISSED" };
        let line = format!(
            "{} ×{}{against}: {value:.2}{unit} (target {relation} {target}{unit}: {verdict})",
            self.op, self.concurrency
        );
        Some((line, is_met))
    }

    /// The median of the ratios within rounds: a machine whose speed drifts is the same for both sides of a round.
    fn times(&self, all: &[InRound], side: &str) -> Option<f64> {
        let of = |round: usize, side: &str| {
            let mut found = all.iter().filter(|m| m.round == round && m.measurement.side == side);
            found.find(|m| self.is_about(&m.measurement)).and_then(|m| m.measurement.ops_per_s)
        };
        let rounds = all.iter().map(|m| m.round).max()?;
        let ratios: Vec<f64> =
            (0..=rounds).filter_map(|round| Some(of(round, OURS)? / of(round, side)?)).collect();
        median(&ratios)
    }

    fn is_about(&self, line: &Measurement) -> bool {
        (line.op.as_str(), line.concurrency) == (self.op, self.concurrency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measurement::tests::measured;

    const STORE: Target = Target { op: "store", concurrency: 64, reach: Reach::Times(5.0, "python") };

    #[test]
    fn a_missed_target_is_counted_and_named() {
        let all = [measured(0, "arshai", "store", 99.0), measured(0, "python", "store", 20.0)];
        let slow = Target { reach: Reach::PerSecond(100.0), ..STORE };
        let cheap = Target { reach: Reach::CpuMicros(25.0), ..STORE };
        let (lines, missed) = verdicts(&[slow, cheap, STORE], &all);
        assert_eq!((lines.len(), missed), (3, 2), "{lines:?}");
        assert!(lines[0].contains("99.00/s (target at least 100/s: MISSED)"), "{lines:?}");
        assert!(lines[1].ends_with("met)") && lines[2].contains("4.95× (target"), "{lines:?}");
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let ours = [measured(0, "arshai", "store", 99.0)];
        let other = Target { op: "retrieve", reach: Reach::PerSecond(1.0), ..STORE };
        assert_eq!(verdicts(&[STORE, other], &ours), (Vec::new(), 0));
    }
}
