//! The measurements for people: medians over the rounds, and the ratios between the sides with their spread.

use std::fmt;

use super::measurement::{InRound, Measurement, median, merged};

/// The side that others are compared with.
pub(super) const OURS: &str = "arshai";

/// The whole table; nothing when nothing was measured.
pub(super) fn of(all: &[InRound]) -> String {
    let lines = merged(all);
    let mut done: Vec<&Measurement> = Vec::new();
    let mut table = String::new();
    for first in &lines {
        if done.iter().any(|other| other.is_of_the_same(first)) {
            continue;
        }
        done.push(first);
        if table.is_empty() {
            let names = ["side", "ops/s", "CPU µs/op", "p50 ms", "p99 ms", "RSS MB"];
            table += &row("operation", names.map(str::to_owned));
        }
        let name = format!("{} {} ×{}", first.bench, first.op, first.concurrency);
        let same: Vec<&Measurement> = lines.iter().filter(|line| line.is_of_the_same(first)).collect();
        for line in &same {
            let figures = [line.ops_per_s, line.client_cpu_us_per_op, line.p50_ms, line.p99_ms, line.rss_mb];
            let [a, b, c, d, e] = figures.map(|figure| figure.map_or_else(|| "-".to_owned(), shown));
            table += &row(&name, [line.side.clone(), a, b, c, d, e]);
        }
        if same.iter().any(|line| line.side == OURS) {
            for other in same.iter().filter(|line| line.side != OURS) {
                table += &compared(all, other);
            }
        }
    }
    table
}

/// How many times as many operations we do, and what part of the CPU time each takes, round by round.
fn compared(all: &[InRound], other: &Measurement) -> String {
    let told = |field: fn(&Measurement) -> Option<f64>| {
        ratios(all, other, field).map_or_else(|| "-".to_owned(), |spread| spread.to_string())
    };
    format!(
        "    {OURS} against {}: ops/s {}, CPU {}\n",
        other.side,
        told(|m| m.ops_per_s),
        told(|m| m.client_cpu_us_per_op)
    )
}

/// Our figure over the other side's, in each round that has both.
pub(super) fn ratios(
    all: &[InRound],
    other: &Measurement,
    field: fn(&Measurement) -> Option<f64>,
) -> Option<Spread> {
    let theirs = all.iter().filter(|m| m.measurement.side == other.side);
    let theirs = theirs.filter(|m| m.measurement.is_of_the_same(other));
    let ratios = theirs.filter_map(|theirs| {
        let ours = all.iter().find(|ours| {
            ours.round == theirs.round
                && ours.measurement.side == OURS
                && ours.measurement.is_of_the_same(other)
        })?;
        Some(field(&ours.measurement)? / field(&theirs.measurement)?)
    });
    Spread::of(&ratios.collect::<Vec<_>>())
}

/// Values of several rounds: shown as their median and, in brackets, the least and the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let least = values.iter().copied().min_by(f64::total_cmp)?;
        let most = values.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { median: median(values)?, least, most })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}× ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}

/// Three digits or so.
pub(super) fn shown(figure: f64) -> String {
    let digits = if figure < 10.0 { 3 } else { usize::from(figure < 1000.0) };
    format!("{figure:.digits$}")
}

fn row(operation: &str, [side, figures @ ..]: [String; 6]) -> String {
    let figures: String = figures.iter().map(|figure| format!(" {figure:>10}")).collect();
    format!("{operation:32} {side:10}{figures}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measurement::tests::measured;

    #[test]
    fn ratios_are_taken_within_rounds_and_shown_with_their_spread() {
        let mut all = Vec::new();
        // The machine slows down: the ratios within rounds stay what they are.
        for (round, speed) in [1000.0, 500.0, 100.0].into_iter().enumerate() {
            let faster = [2.0, 2.5, 3.0][round];
            all.push(measured(round, "python", "store", speed));
            all.push(measured(round, "arshai", "store", speed * faster));
        }
        let table = of(&all);
        assert!(
            table.contains("arshai against python: ops/s 2.50× (2.00–3.00), CPU 1.00× (1.00–1.00)"),
            "{table}"
        );
        assert_eq!(table.lines().count(), 4, "{table}");
        assert_eq!(of(&[]), "");
    }

    #[test]
    fn a_side_alone_is_shown_without_a_ratio() {
        let table = of(&[measured(0, "python", "store", 1234.5)]);
        assert!(table.contains("1234") && !table.contains("against"), "{table}");
    }
}
