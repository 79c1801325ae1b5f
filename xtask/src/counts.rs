//! How many tests ran, from what test programs print.

use std::ops::AddAssign;

use anyhow::{Result, bail, ensure};

/// How many tests a run reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ran and passed.
    pub(crate) passed: u64,
    /// Ran and failed.
    pub(crate) failed: u64,
    /// Did not run.
    pub(crate) skipped: u64,
}

impl Counts {
    /// From nextest's `Summary [ 1.2s] 12 tests run: 12 passed (1 slow), 0 skipped`.
    pub(crate) fn of_nextest(lines: &[String]) -> Self {
        let summary =
            lines.iter().rev().map(|line| without_colour(line)).find(|line| line.contains("Summary ["));
        let summary = summary.unwrap_or_default();
        Self {
            passed: number_before(&summary, " passed"),
            failed: number_before(&summary, " failed"),
            skipped: number_before(&summary, " skipped"),
        }
    }

    /// From libtest's `test result: ok. 3 passed; 0 failed; 1 ignored; …`, one line per binary.
    pub(crate) fn of_libtest<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut sum = Self::default();
        for line in lines.into_iter().map(without_colour).filter(|line| line.starts_with("test result:")) {
            sum += Self {
                passed: number_before(&line, " passed"),
                failed: number_before(&line, " failed"),
                skipped: number_before(&line, " ignored") + number_before(&line, " filtered out"),
            };
        }
        sum
    }

    /// From the last such line: of one binary, whose tests may have printed others.
    pub(crate) fn of_last_libtest<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let last = lines.into_iter().filter(|line| without_colour(line).starts_with("test result:")).last();
        Self::of_libtest(last)
    }

    /// The number of tests, when all there are ran and passed. A test that can be skipped silently is a defect.
    pub(crate) fn complete(self) -> Result<u64> {
        ensure!(self.failed == 0, "{} tests failed", self.failed);
        if self.passed == 0 {
            bail!("no test ran, or the summary of the run was not understood");
        }
        ensure!(self.skipped == 0, "{} tests were skipped; every test must run", self.skipped);
        Ok(self.passed)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

fn number_before(line: &str, word: &str) -> u64 {
    let before = line.find(word).and_then(|at| line.get(..at)).unwrap_or_default();
    let digits: String = before.chars().rev().take_while(char::is_ascii_digit).collect();
    digits.chars().rev().collect::<String>().parse().unwrap_or(0)
}

fn without_colour(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            // A colour is ESC, `[`, parameters, `m`.
            characters.by_ref().find(|c| *c == 'm');
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn nextest_summaries_are_counted() {
        let run = lines("     Summary [   0.005s] 3 tests run: 3 passed (1 slow), 2 skipped\n");
        assert_eq!(Counts::of_nextest(&run), Counts { passed: 3, failed: 0, skipped: 2 });
        let run = lines(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.005s] \u{1b}[1m41\u{1b}[0m tests run: \u{1b}[1m41\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m",
        );
        assert_eq!(Counts::of_nextest(&run).complete().unwrap(), 41);
    }

    #[test]
    fn libtest_results_are_added() {
        let run = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                   test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(Counts::of_libtest(run.lines()), Counts { passed: 7, failed: 2, skipped: 1 });
        // One binary has one result; what stands before it, a test of it printed.
        assert_eq!(Counts::of_last_libtest(run.lines()), Counts { passed: 4, failed: 2, skipped: 1 });
        assert_eq!(Counts::of_last_libtest(["running 1 test"]), Counts::default());
    }

    #[test]
    fn a_run_without_tests_or_with_failed_or_skipped_ones_fails() {
        assert!(Counts::of_nextest(&lines("error: something else")).complete().is_err());
        assert!(Counts { passed: 5, failed: 0, skipped: 1 }.complete().is_err());
        assert!(Counts { passed: 5, failed: 1, skipped: 0 }.complete().is_err());
    }
}
