//! `cargo xtask test`: everything that must hold, cheapest first, stopping at the first failure.
//!
//! One target folder and one profile for all steps, and lints passed behind `--` rather than in `RUSTFLAGS`, so that
//! no dependency is compiled twice for one purpose.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    process::{self, Output},
    tidy,
};

/// Runs all steps and prints how many tests ran.
pub(crate) fn run() -> Result<()> {
    need_tool("fmt", "rustup component add rustfmt")?;
    need_tool("clippy", "rustup component add clippy")?;
    let mut steps = Steps::default();
    steps.run("format", || process::run(process::cargo(&["fmt", "--all", "--check"])))?;
    steps.run("house rules", tidy::run)?;
    steps.run("lints", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        process::run(process::cargo(&arguments))
    })?;
    let tests = steps.run("tests", run_tests)?;
    let doctests = steps.run("documentation examples", run_doctests)?;
    steps.run("documentation", || {
        // Libraries only: the program `arshai` and the crate `arshai` would write the same file.
        let mut command = process::cargo(&["doc", "--no-deps", "--workspace", "--lib", "--all-features"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        process::run(command)
    })?;
    steps.print();
    println!("\n{} tests ran and passed: {tests} tests, {doctests} documentation examples", tests + doctests);
    Ok(())
}

/// What was done and how long it took.
#[derive(Default)]
struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    fn run<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome =
            step().with_context(|| format!("the step `{name}` failed; the steps after it did not run"))?;
        self.0.push((name, start.elapsed()));
        Ok(outcome)
    }

    fn print(&self) {
        println!();
        for (name, took) in &self.0 {
            println!("  ok  {name:24} {:6.1} s", took.as_secs_f64());
        }
    }
}

fn need_tool(subcommand: &str, install: &str) -> Result<()> {
    ensure!(
        process::works(process::cargo(&[subcommand, "--version"])),
        "`cargo {subcommand}` is not installed; install it with `{install}`"
    );
    Ok(())
}

fn run_tests() -> Result<u64> {
    let counts = if process::works(process::cargo(&["nextest", "--version"])) {
        let mut command =
            process::cargo(&["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]);
        command.args(["--config-file", ".ci/nextest.toml"]);
        Counts::of_nextest(&process::run_and_read(command, Output::Stderr)?)
    } else {
        println!(
            "cargo-nextest is not installed (`cargo install cargo-nextest --locked`); using `cargo test`"
        );
        let command =
            process::cargo(&["test", "--workspace", "--all-features", "--all-targets", "--no-fail-fast"]);
        Counts::of_libtest(&process::run_and_read(command, Output::Stdout)?)
    };
    counts.complete()
}

fn run_doctests() -> Result<u64> {
    let command = process::cargo(&["test", "--workspace", "--all-features", "--doc"]);
    Counts::of_libtest(&process::run_and_read(command, Output::Stdout)?).complete()
}

/// How many tests a run reports.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    skipped: u64,
}

impl Counts {
    /// From nextest's `Summary [ 1.2s] 12 tests run: 12 passed (1 slow), 0 skipped`.
    fn of_nextest(lines: &[String]) -> Self {
        let summary =
            lines.iter().rev().map(|line| without_colour(line)).find(|line| line.contains("Summary ["));
        let summary = summary.unwrap_or_default();
        Self { passed: number_before(&summary, " passed"), skipped: number_before(&summary, " skipped") }
    }

    /// From libtest's `test result: ok. 3 passed; 0 failed; 1 ignored; …`, one line per binary.
    fn of_libtest(lines: &[String]) -> Self {
        let results =
            lines.iter().map(|line| without_colour(line)).filter(|line| line.starts_with("test result:"));
        results.fold(Self::default(), |sum, line| Self {
            passed: sum.passed + number_before(&line, " passed"),
            skipped: sum.skipped + number_before(&line, " ignored") + number_before(&line, " filtered out"),
        })
    }

    /// The number of tests, when all there are ran. A test that can be skipped silently is a defect.
    fn complete(self) -> Result<u64> {
        if self.passed == 0 {
            bail!("no test ran, or the summary of the run was not understood");
        }
        ensure!(self.skipped == 0, "{} tests were skipped; every test must run", self.skipped);
        Ok(self.passed)
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
        assert_eq!(Counts::of_nextest(&run), Counts { passed: 3, skipped: 2 });
        let run = lines(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.005s] \u{1b}[1m41\u{1b}[0m tests run: \u{1b}[1m41\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m",
        );
        assert_eq!(Counts::of_nextest(&run).complete().unwrap(), 41);
    }

    #[test]
    fn libtest_results_are_added() {
        let run = lines(
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        assert_eq!(Counts::of_libtest(&run), Counts { passed: 7, skipped: 1 });
    }

    #[test]
    fn a_run_without_tests_or_with_skipped_ones_fails() {
        assert!(Counts::of_nextest(&lines("error: something else")).complete().is_err());
        assert!(Counts { passed: 5, skipped: 1 }.complete().is_err());
    }
}
