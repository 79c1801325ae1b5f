//! The lines of JSON that the sides print, and what several rounds of them amount to.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// One measurement: the contract between this command and all programs that measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measurement {
    /// The benchmark.
    pub(super) bench: String,
    /// Whose client it was.
    pub(super) side: String,
    /// What it did.
    pub(super) op: String,
    /// As many at a time.
    pub(super) concurrency: u64,
    /// Operations a second.
    pub(super) ops_per_s: Option<f64>,
    /// CPU time of the client for one operation, in microseconds.
    pub(super) client_cpu_us_per_op: Option<f64>,
    /// The median latency.
    pub(super) p50_ms: Option<f64>,
    /// The latency that 99 of 100 stay below.
    pub(super) p99_ms: Option<f64>,
    /// The resident memory of the client afterwards.
    pub(super) rss_mb: Option<f64>,
    /// How many rounds it is the median of.
    pub(super) rounds: usize,
}

impl Measurement {
    /// The measurements in what a side printed.
    pub(super) fn all_in(output: &str) -> Result<Vec<Self>> {
        let lines = output.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).with_context(|| format!("a measurement: {line}")))
            .collect()
    }

    /// Whether both measured the same thing, whoever did it.
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        (&self.bench, &self.op, self.concurrency) == (&other.bench, &other.op, other.concurrency)
    }
}

/// A measurement of one round.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InRound {
    /// The round.
    pub(super) round: usize,
    /// What was measured.
    pub(super) measurement: Measurement,
}

/// Each measurement once, with the medians over its rounds, in the order they first came.
pub(super) fn merged(all: &[InRound]) -> Vec<Measurement> {
    let mut groups: Vec<Vec<&Measurement>> = Vec::new();
    for InRound { measurement, .. } in all {
        let same = |group: &&mut Vec<&Measurement>| {
            group.first().is_some_and(|m| m.side == measurement.side && m.is_of_the_same(measurement))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(measurement),
            None => groups.push(vec![measurement]),
        }
    }
    let merge = |group: Vec<&Measurement>| {
        let over = |field: fn(&Measurement) -> Option<f64>| {
            median(&group.iter().copied().filter_map(field).collect::<Vec<_>>())
        };
        let merged = Measurement {
            ops_per_s: over(|m| m.ops_per_s),
            client_cpu_us_per_op: over(|m| m.client_cpu_us_per_op),
            p50_ms: over(|m| m.p50_ms),
            p99_ms: over(|m| m.p99_ms),
            rss_mb: over(|m| m.rss_mb),
            rounds: group.iter().map(|m| m.rounds).sum(),
            ..(*group.first()?).clone()
        };
        Some(merged)
    };
    groups.into_iter().filter_map(merge).collect()
}

/// The middle value, or the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values.get(low)? + values.get(high)?) / 2.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn measured(round: usize, side: &str, op: &str, ops_per_s: f64) -> InRound {
        let line = format!(
            r#"{{"bench":"redis","side":"{side}","op":"{op}","concurrency":64,"ops_per_s":{ops_per_s},
            "client_cpu_us_per_op":10.0,"p50_ms":null,"p99_ms":2.5,"rss_mb":20,"rounds":1}}"#
        );
        InRound { round, measurement: serde_json::from_str(&line).unwrap() }
    }

    #[test]
    fn rounds_become_medians_and_sides_and_operations_stay_apart() {
        let all = [
            measured(0, "arshai", "store", 10.0),
            measured(0, "python", "store", 1.0),
            measured(1, "arshai", "store", 30.0),
            measured(1, "arshai", "retrieve", 5.0),
            measured(2, "arshai", "store", 11.0),
        ];
        let merged = merged(&all);
        let told: Vec<_> =
            merged.iter().map(|m| (m.side.as_str(), m.op.as_str(), m.ops_per_s.unwrap(), m.rounds)).collect();
        let expected =
            [("arshai", "store", 11.0, 3), ("python", "store", 1.0, 1), ("arshai", "retrieve", 5.0, 1)];
        assert_eq!(told, expected);
        assert_eq!((merged[0].p50_ms, merged[0].p99_ms), (None, Some(2.5)));
    }

    #[test]
    fn a_line_that_does_not_keep_the_contract_is_an_error_and_other_output_is_not() {
        let line = serde_json::to_string(&measured(0, "a", "b", 1.0).measurement).unwrap();
        assert_eq!(Measurement::all_in(&format!("a warning\n{line}\n")).unwrap().len(), 1);
        assert!(Measurement::all_in(r#"{"bench":"redis"}"#).is_err());
        assert!(Measurement::all_in(&line.replace("\"op\"", "\"operation\"")).is_err());
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }
}
