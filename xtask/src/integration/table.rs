//! What a run found, for people: what its tests printed, and suite × engine.

use std::collections::BTreeMap;

use super::outcome::Outcome;

/// As many printed lines of one binary are shown: more than any prints whose figures are promised, and no endless log.
const MOST: usize = 400;

/// What the tests of one binary printed on one engine.
pub(crate) fn print_figures(outcome: &Outcome) {
    print!("{}", figures(outcome));
}

fn figures(outcome: &Outcome) -> String {
    let (entry, lines) = (outcome.run.entry, &outcome.printed);
    if lines.is_empty() {
        return String::new();
    }
    let mut text =
        format!("\nprinted by {}/{} on {}:\n", entry.package, entry.binary, outcome.run.engine.name);
    lines.iter().take(MOST).for_each(|line| text += &format!("  {line}\n"));
    if lines.len() > MOST {
        text += &format!("  and {} lines more, in its log\n", lines.len() - MOST);
    }
    text
}

/// One line per test binary and engine, and below it one per suite of arshai-conformance in it.
pub(crate) fn print(outcomes: &[Outcome]) {
    println!("\n{}", of(outcomes));
}

fn of(outcomes: &[Outcome]) -> String {
    let mut table = line("suite", "engine", ["passed", "failed", "unsupported", "seconds"].map(String::from));
    let mut lacking = String::new();
    for outcome in outcomes {
        let (entry, engine) = (outcome.run.entry, outcome.run.engine.name);
        let name = format!("{}/{}", entry.package, entry.binary);
        let failed = match (&outcome.error, outcome.tests.failed) {
            // It did not run, or not to its end: no number would be right.
            (Some(_), 0) => "!".to_owned(),
            (_, failed) => failed.to_string(),
        };
        let seconds = format!("{:.1}", outcome.took.as_secs_f64());
        table += &line(&name, engine, [outcome.tests.passed.to_string(), failed, "-".to_owned(), seconds]);
        for report in &outcome.reports {
            let counts = [&report.passed.len(), &report.failed.len(), &report.unsupported.len()];
            let [passed, failed, unsupported] = counts.map(ToString::to_string);
            let name = format!("  {}", report.suite);
            table += &line(&name, engine, [passed, failed, unsupported, String::new()]);
            let mut by_ability: BTreeMap<&str, usize> = BTreeMap::new();
            report.unsupported.iter().for_each(|u| *by_ability.entry(&u.missing).or_default() += 1);
            for (ability, checks) in by_ability {
                lacking +=
                    &format!("unsupported: {engine} has no {ability} ({checks} of {})\n", report.suite);
            }
        }
    }
    table + &lacking
}

fn line(suite: &str, engine: &str, [passed, failed, unsupported, seconds]: [String; 4]) -> String {
    let text = format!("{suite:30} {engine:20} {passed:>6} {failed:>6} {unsupported:>11} {seconds:>8}");
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integration::{
        catalog,
        outcome::{Report, Unsupported},
    };

    #[test]
    fn what_an_engine_lacks_and_what_did_not_run_is_shown() {
        let run = catalog::select(&["sqlite".to_owned()]).unwrap()[0];
        let mut outcome = Outcome::missing(run, "redis is missing".to_owned());
        outcome.reports.push(Report {
            suite: "vectors".to_owned(),
            passed: vec!["a".to_owned(), "b".to_owned()],
            unsupported: vec![Unsupported { check: "c".to_owned(), missing: "sparse".to_owned() }],
            failed: Vec::new(),
        });
        outcome.printed = (0..MOST + 2).map(|n| format!("count {n}")).collect();
        let shown = figures(&outcome);
        assert!(shown.starts_with("\nprinted by arshai-sqlite/it on sqlite:\n  count 0\n"), "{shown}");
        assert!(shown.ends_with("and 2 lines more, in its log\n"), "{shown}");
        outcome.printed.truncate(300);
        assert!(figures(&outcome).ends_with("\n  count 299\n"), "promised figures are not cut off");
        let table = of(&[outcome]);
        let words = |at: usize| table.lines().nth(at).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(words(1), ["arshai-sqlite/it", "sqlite", "0", "!", "-", "0.0"]);
        assert_eq!(words(2), ["vectors", "sqlite", "2", "0", "1"]);
        assert!(table.contains("sqlite has no sparse (1 of vectors)"), "{table}");
    }
}
