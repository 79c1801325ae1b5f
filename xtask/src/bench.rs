//! `cargo xtask bench`: the figures and the measurements, in release on this machine.
//!
//! Figures have a target each and are printed as they come. Measurements are operations under load: each side does the
//! same, in several rounds that alternate between the sides, on servers that are started here and stopped again. One
//! line of JSON is printed for each measurement, also for those that figures are taken from, then a table with the ratios
//! between the sides. `--against python` without names writes `docs/performance.md` from them, unless `--concurrency` asks
//! for other numbers than the usual ones.

mod build;
mod catalog;
mod measurement;
mod performance;
mod rounds;
mod table;
mod target;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::Value;

use self::{
    catalog::Plan,
    measurement::{InRound, Measurement},
};
use crate::{
    process,
    services::{Folders, Lock, Provider},
    workspace,
};

/// `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The benchmarks; without any, all that need no server, or with --against all that have that side
    names: Vec<String>,
    /// Measure this side as well, for the benchmarks that have it; without names and numbers, write docs/performance.md
    /// from that
    #[arg(long, value_enum)]
    against: Option<Against>,
    /// As many operations at a time, instead of the usual numbers
    #[arg(long, value_delimiter = ',')]
    concurrency: Vec<usize>,
    /// As many rounds for each side
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print only the lines of JSON
    #[arg(long)]
    json: bool,
    /// Who runs the servers; by default containers where an engine has their images already, else processes
    #[arg(long, value_enum)]
    provider: Option<Provider>,
}

impl Options {
    /// Whether everything is measured that the page is about, at the numbers that it is about.
    fn makes_the_page(&self) -> bool {
        self.against.is_some() && self.names.is_empty() && self.concurrency.is_empty()
    }
}

/// Whom we are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Against {
    /// The scripts of `benches/python`
    Python,
}

/// Builds the benchmarks in release and runs all of them, or those named. `build` times a build and is run only by name.
pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = Plan::of(&options.names, options.against.is_some())?;
    ensure!(options.rounds > 0, "no round measures nothing");
    ensure!(options.concurrency.iter().all(|number| *number > 0), "a concurrency of 0 does nothing");
    if options.against.is_some() {
        let without: Vec<&str> = plan.clients.iter().filter(|c| c.python.is_none()).map(|c| c.name).collect();
        let all_without = plan.clients.len() == without.len();
        ensure!(!all_without, "none of these benchmarks has a side in Python: {}", catalog::with_python());
    }
    if plan.build {
        build::run()?;
    }
    if plan.figures.is_empty() && plan.clients.is_empty() {
        return Ok(());
    }
    let folders = Folders::of_checkout();
    // Two at once would measure each other.
    let _lock = Lock::take(&folders, "bench")?;
    let program = built(&plan)?;
    let (mut measured, mut verdicts, mut missed) = (Vec::new(), Vec::new(), 0);
    for client in &plan.clients {
        let rounds = rounds::measure(client, options, &folders, &program)?;
        let (lines, more) = target::verdicts(client.targets, &rounds);
        verdicts.extend(lines.into_iter().map(|line| format!("{} {line}", client.name)));
        missed += more;
        measured.extend(rounds);
    }
    let lines = measurement::merged(&measured);
    print_lines(&lines)?;
    if options.makes_the_page() {
        performance::write(&measured, options.rounds)?;
    }
    if !options.json {
        print!("{}", table::of(&measured));
    }
    for line in verdicts {
        if options.json { eprintln!("{line}") } else { println!("{line}") }
    }
    if !plan.figures.is_empty() {
        figures(&plan.figures, &program, options.json)?;
    }
    ensure!(missed == 0, "{missed} targets were missed");
    Ok(())
}

fn print_lines(lines: &[Measurement]) -> Result<()> {
    for line in lines {
        println!("{}", serde_json::to_string(line).context("encoding a measurement")?);
    }
    Ok(())
}

/// Runs the benchmarks that print figures, and prints the measurements that these were taken from when they are over.
/// With `--json` the figures, which are none themselves, go to the other output.
fn figures(names: &[&str], program: &Path, json: bool) -> Result<()> {
    let mut command = Command::new(program);
    command.args(names).current_dir(workspace::root());
    let mut measured = String::new();
    let outcome = process::run_and_sort(command, |line| match line.starts_with('{') {
        true => measured.extend([line, "\n"]),
        false if json => eprintln!("{line}"),
        false => println!("{line}"),
    });
    let of_one_run = |measurement| InRound { round: 0, measurement };
    let all: Vec<InRound> = Measurement::all_in(&measured)?.into_iter().map(of_one_run).collect();
    print_lines(&measurement::merged(&all))?;
    outcome
}

/// The program of the benchmarks, built now.
fn built(plan: &Plan) -> Result<PathBuf> {
    let mut command = process::cargo(&["build", "--release", "-p", "arshai-benches"]);
    if plan.figures.contains(&"cli") {
        // This one times the program itself.
        command.args(["-p", "arshai-cli"]);
    }
    command.arg("--message-format=json-render-diagnostics");
    let messages = String::from_utf8(process::read(command)?).context("reading cargo's messages")?;
    let program = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_ours = message.pointer("/target/name")?.as_str()? == "arshai-benches";
        message.get("executable")?.as_str().filter(|_| is_ours).map(Into::into)
    });
    match program {
        Some(program) => Ok(program),
        None => bail!("cargo built no program arshai-benches"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_comparison_does_not_replace_the_page_of_all_of_it() {
        let asked = |names: &[&str], against, concurrency: &[usize]| {
            let names = names.iter().copied().map(String::from).collect();
            Options {
                names,
                against,
                concurrency: concurrency.to_vec(),
                rounds: 1,
                json: false,
                provider: None,
            }
            .makes_the_page()
        };
        assert!(asked(&[], Some(Against::Python), &[]));
        assert!(!asked(&["redis"], Some(Against::Python), &[]));
        assert!(!asked(&[], Some(Against::Python), &[64]));
        assert!(!asked(&[], None, &[]));
    }
}
