//! What each engine is expected to lack, in `expected.json`, and whether a run agrees.
//!
//! An engine that lacks more, or less, than the table says fails the run: no check is left out, and none appears,
//! unnoticed. Abilities that no engine has yet stand in `awaited`; a check that finds no engine for any other reason
//! fails the run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::outcome::Outcome;

/// The table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// Suite, engine, and the abilities that the engine lacks for it.
    lacks: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// Abilities that no engine has yet.
    awaited: BTreeSet<String>,
}

impl Expected {
    /// The table of this checkout.
    pub(crate) fn of_checkout() -> Result<Self> {
        serde_json::from_str(include_str!("expected.json")).context("expected.json")
    }

    /// Everything that is wrong with a run, one sentence each.
    pub(crate) fn problems(&self, outcomes: &[Outcome]) -> Vec<String> {
        let mut problems: Vec<String> = outcomes.iter().flat_map(|outcome| self.of_one(outcome)).collect();
        problems.extend(self.without_engine(outcomes));
        problems
    }

    fn of_one(&self, outcome: &Outcome) -> Vec<String> {
        let (entry, engine) = (outcome.run.entry, outcome.run.engine.name);
        let what = format!("{}/{} on {engine}", entry.package, entry.binary);
        if let Some(error) = &outcome.error {
            return vec![format!("{what}: {error}")];
        }
        let mut problems = Vec::new();
        if let Err(error) = outcome.tests.complete() {
            problems.push(format!("{what}: {error}"));
        }
        let reported: BTreeSet<&str> = outcome.reports.iter().map(|report| report.suite.as_str()).collect();
        for suite in entry.suites.iter().filter(|suite| !reported.contains(*suite)) {
            problems.push(format!("{what}: the suite {suite} did not run, or did not report"));
        }
        for suite in reported {
            let reports = || outcome.reports.iter().filter(move |report| report.suite == suite);
            if let Some(check) = reports().flat_map(|report| &report.failed).next() {
                problems.push(format!("{what}: {check} failed"));
            }
            if reports().all(|report| report.passed.is_empty()) {
                problems.push(format!("{what}: no check of the suite {suite} passed"));
            }
            let seen: BTreeSet<&String> =
                reports().flat_map(|report| &report.unsupported).map(|left_out| &left_out.missing).collect();
            problems.extend(self.deviation(suite, engine, &seen).map(|text| format!("{what}: {text}")));
        }
        problems
    }

    fn deviation(&self, suite: &str, engine: &str, seen: &BTreeSet<&String>) -> Option<String> {
        let Some(expected) = self.lacks.get(suite).and_then(|engines| engines.get(engine)) else {
            return Some(format!(
                "expected.json does not say what {engine} lacks for {suite}; it is {seen:?}"
            ));
        };
        let expected: BTreeSet<&String> = expected.iter().collect();
        (*seen != expected).then(|| {
            format!("{suite}: {engine} is expected to lack {expected:?} and lacks {seen:?} (expected.json)")
        })
    }

    /// Checks that no engine of the run took, though some engine can; and abilities awaited that are there.
    fn without_engine(&self, outcomes: &[Outcome]) -> Vec<String> {
        let reports = || outcomes.iter().flat_map(|outcome| &outcome.reports);
        let taken: BTreeSet<&String> =
            reports().flat_map(|report| report.passed.iter().chain(&report.failed)).collect();
        let left_out: BTreeSet<(&str, &String, &String)> = reports()
            .flat_map(|report| {
                report.unsupported.iter().map(|u| (report.suite.as_str(), &u.check, &u.missing))
            })
            .collect();
        let mut problems = Vec::new();
        for (suite, check, missing) in left_out {
            let awaited = self.awaited.contains(missing);
            match taken.contains(check) {
                true if awaited => problems.push(format!("{missing} is awaited no more: {check} ran")),
                false if !awaited && !self.is_taken_elsewhere(suite, missing, outcomes) => {
                    problems.push(format!("{check} found no engine in the whole run that has {missing}"));
                }
                _ => {}
            }
        }
        problems
    }

    /// Whether an engine that is not part of this run has the ability: then its own run is what proves the check.
    fn is_taken_elsewhere(&self, suite: &str, ability: &str, outcomes: &[Outcome]) -> bool {
        let here: BTreeSet<&str> = outcomes.iter().map(|outcome| outcome.run.engine.name).collect();
        self.lacks.get(suite).is_some_and(|engines| {
            engines.iter().any(|(engine, lacks)| !here.contains(engine.as_str()) && !lacks.contains(ability))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        counts::Counts,
        integration::{
            catalog::{self, ENTRIES},
            outcome::{Report, Unsupported},
        },
    };

    fn expected(text: &str) -> Expected {
        serde_json::from_str(text).unwrap()
    }

    /// A good run of the first entry: one check of each suite passes, and of the vectors one is left out.
    fn good() -> Outcome {
        let mut outcome = Outcome::missing(catalog::select(&[]).unwrap()[0], String::new());
        assert_eq!((outcome.run.engine.name, ENTRIES[0].suites), ("in-memory", &["memory", "vectors"][..]));
        outcome.error = None;
        outcome.tests = Counts { passed: 3, failed: 0, skipped: 0 };
        outcome.reports = ["memory", "vectors"]
            .map(|suite| Report {
                suite: suite.to_owned(),
                passed: vec![format!("{suite}.x")],
                unsupported: Vec::new(),
                failed: Vec::new(),
            })
            .into();
        let left_out = Unsupported { check: "vectors.wings".into(), missing: "wings".into() };
        outcome.reports[1].unsupported.push(left_out);
        outcome
    }

    const TABLE: &str = r#"{
        "lacks": { "memory": { "in-memory": [] }, "vectors": { "in-memory": ["wings"], "bird": [] } },
        "awaited": []
    }"#;

    fn only_problem(outcome: Outcome, table: &str) -> String {
        let [problem] = expected(table).problems(&[outcome]).try_into().unwrap();
        problem
    }

    #[test]
    fn a_run_that_agrees_with_the_table_is_good() {
        assert_eq!(expected(TABLE).problems(&[good()]), Vec::<String>::new());
    }

    #[test]
    fn a_missing_engine_zero_tests_and_skipped_tests_fail() {
        let missing = Outcome::missing(good().run, "redis is missing".to_owned());
        assert!(only_problem(missing, TABLE).ends_with("redis is missing"));
        let none = Outcome { tests: Counts::default(), ..good() };
        assert!(only_problem(none, TABLE).contains("no test ran"));
        let skipped = Outcome { tests: Counts { passed: 3, failed: 0, skipped: 1 }, ..good() };
        assert!(only_problem(skipped, TABLE).contains("1 tests were skipped"));
    }

    #[test]
    fn a_suite_that_does_not_report_or_reports_failures_fails() {
        let mut silent = good();
        silent.reports.remove(0);
        assert!(only_problem(silent, TABLE).contains("the suite memory did not run"));
        let mut failed = good();
        failed.reports[0].failed.push("memory.y".to_owned());
        assert!(only_problem(failed, TABLE).contains("memory.y failed"));
        let mut empty = good();
        empty.reports[0].passed.clear();
        assert!(only_problem(empty, TABLE).contains("no check of the suite memory passed"));
    }

    #[test]
    fn an_ability_lost_and_one_gained_deviate_from_the_table() {
        let table = TABLE.replace(r#"["wings"]"#, "[]");
        assert!(only_problem(good(), &table).contains("expected to lack {} and lacks {\"wings\"}"));
        let mut gained = good();
        gained.reports[1].unsupported.clear();
        assert!(only_problem(gained, TABLE).contains("expected to lack {\"wings\"} and lacks {}"));
        let unknown = TABLE.replace("in-memory\": [\"wings", "other\": [\"wings");
        assert!(only_problem(good(), &unknown).contains("does not say what in-memory lacks for vectors"));
    }

    #[test]
    fn a_check_that_no_engine_takes_fails_unless_its_ability_is_awaited() {
        let nobody = TABLE.replace(r#", "bird": []"#, "");
        assert!(only_problem(good(), &nobody).contains("vectors.wings found no engine"));
        let awaited = nobody.replace(r#""awaited": []"#, r#""awaited": ["wings"]"#);
        assert_eq!(expected(&awaited).problems(&[good()]), Vec::<String>::new());
        let mut taken = good();
        taken.reports[0].passed.push("vectors.wings".to_owned());
        assert!(only_problem(taken, &awaited).contains("wings is awaited no more"));
    }

    #[test]
    fn the_table_names_engines_and_suites_of_the_catalogue_and_only_those() {
        let table = Expected::of_checkout().unwrap();
        let mut known = BTreeSet::new();
        for entry in ENTRIES {
            for suite in entry.suites {
                known
                    .extend(entry.engines.iter().map(|engine| ((*suite).to_owned(), engine.name.to_owned())));
            }
        }
        let listed = table.lacks.iter();
        let listed =
            listed.flat_map(|(suite, e)| e.keys().map(move |engine| (suite.clone(), engine.clone())));
        assert_eq!(listed.collect::<BTreeSet<_>>(), known);
    }
}
