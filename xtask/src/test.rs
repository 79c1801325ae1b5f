//! `cargo xtask test`: everything that must hold, cheapest first, stopping at the first failure.
//!
//! One target folder and one profile for all steps, and lints passed behind `--` rather than in `RUSTFLAGS`, so that
//! no dependency is compiled twice for one purpose.

use anyhow::{Result, bail, ensure};

use crate::{
    counts::Counts,
    integration,
    process::{self, Output},
    steps::Steps,
    test_binaries, tidy,
};

/// Runs all steps and prints how long each took and how many tests ran.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::new();
    let ran = run_in(&mut steps)?;
    drop(steps);
    println!("\n{ran}");
    Ok(())
}

/// Runs all steps and says how many tests ran.
pub(crate) fn run_in(steps: &mut Steps) -> Result<String> {
    need_tool("fmt", "rustup component add rustfmt")?;
    need_tool("clippy", "rustup component add clippy")?;
    steps.run("format", || process::run(process::cargo(&["fmt", "--all", "--check"])))?;
    steps.run("house rules", tidy::run)?;
    steps.run("lints", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        process::run(process::cargo(&arguments))
    })?;
    let tests = steps.run("tests", run_tests)?;
    let on_engines =
        steps.run("integration", || integration::run(&integration::Options::everything_as_processes()))?;
    let doctests = steps.run("documentation examples", run_doctests)?;
    steps.run("documentation", || {
        // Libraries only: the program `arshai` and the crate `arshai` would write the same file.
        let mut command = process::cargo(&["doc", "--no-deps", "--workspace", "--lib", "--all-features"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        process::run(command)
    })?;
    Ok(format!(
        "{} tests ran and passed: {tests} tests, {on_engines} on engines, {doctests} documentation examples",
        tests + on_engines + doctests
    ))
}

fn need_tool(subcommand: &str, install: &str) -> Result<()> {
    ensure!(
        process::works(process::cargo(&[subcommand, "--version"])),
        "`cargo {subcommand}` is not installed; install it with `{install}`"
    );
    Ok(())
}

/// All tests but those that `integration` runs.
fn run_tests() -> Result<u64> {
    if !process::works(process::cargo(&["nextest", "--version"])) {
        println!("cargo-nextest is not installed (`cargo install cargo-nextest --locked`); doing without");
        return run_one_binary_after_the_other();
    }
    let left_out = integration::ENTRIES
        .iter()
        .map(|entry| format!("(package(={}) & kind(test) & binary(={}))", entry.package, entry.binary));
    let filter = format!("not ({})", left_out.collect::<Vec<_>>().join(" | "));
    let mut command = process::cargo(&["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]);
    command.args(["--config-file", ".ci/nextest.toml", "--filterset", &filter]);
    Counts::of_nextest(&process::run_and_read(command, Output::Stderr)?).complete()
}

fn run_one_binary_after_the_other() -> Result<u64> {
    let mut counts = Counts::default();
    let mut failed = Vec::new();
    for binary in test_binaries::build(&[])? {
        if integration::holds(&binary.package, &binary.name) {
            continue;
        }
        println!("\n{} {}", binary.package, binary.name);
        let mut command = std::process::Command::new(&binary.program);
        command.current_dir(&binary.folder).env("CARGO_MANIFEST_DIR", &binary.folder);
        let (lines, outcome) = process::run_and_keep(command, Output::Stdout)?;
        counts += Counts::of_libtest(lines.iter().map(String::as_str));
        if outcome.is_err() {
            failed.push(format!("{} {}", binary.package, binary.name));
        }
    }
    if !failed.is_empty() {
        bail!("tests failed in {}", failed.join(", "));
    }
    counts.complete()
}

fn run_doctests() -> Result<u64> {
    let command = process::cargo(&["test", "--workspace", "--all-features", "--doc"]);
    let lines = process::run_and_read(command, Output::Stdout)?;
    Counts::of_libtest(lines.iter().map(String::as_str)).complete()
}
