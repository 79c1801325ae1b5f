//! `cargo xtask`: the commands a person or a CI job runs on this workspace. One file or folder per command.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a terminal program of this repository only")]

mod bench;
mod ci;
mod codegen;
mod counts;
mod features;
mod integration;
mod machine;
mod process;
mod public_types;
mod readme;
mod services;
mod steps;
mod test;
mod test_binaries;
mod tidy;
mod tools;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The project's own commands
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that must hold before a commit: format, house rules, lints, tests, integration, docs
    Test,
    /// The same, and licences, sources, advisories, and every feature alone; installs the tools it needs
    Ci,
    /// The backends' tests on the engines they are for, which are started and stopped again
    Integration(integration::Options),
    /// The house rules alone, in a second
    Tidy,
    /// Build the benchmarks in release and run them, all or those named
    Bench(bench::Options),
    /// Measure what each feature of the crate arshai costs to compile, and write docs/features.md
    Features(features::Options),
    /// Write the Milvus messages of proto/ as Rust
    Codegen {
        /// Only fail when what is checked in differs
        #[arg(long)]
        check: bool,
    },
    /// Start, show and stop the real engines that tests talk to
    #[command(subcommand)]
    Services(services::Command),
    /// Write the library example into README.md
    Readme {
        /// Only fail when README.md and the example differ
        #[arg(long)]
        check: bool,
    },
    /// Started by `services`: keeps processes from outliving the command that started them
    #[command(hide = true)]
    Supervise,
    /// Started by `services`: TLS in front of a server that has none
    #[command(hide = true)]
    TerminateTls { listen: u16, to: u16, certificate: PathBuf, key: PathBuf },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Test => test::run(),
        Command::Ci => ci::run(),
        Command::Integration(options) => integration::run(&options).map(drop),
        Command::Tidy => tidy::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Features(options) => features::run(&options),
        Command::Codegen { check } => codegen::run(check),
        Command::Services(command) => services::run(&command),
        Command::Readme { check: true } => readme::check(),
        Command::Readme { check: false } => readme::write(),
        Command::Supervise => services::supervise(),
        Command::TerminateTls { listen, to, certificate, key } => {
            services::terminate_tls(listen, to, &certificate, &key)
        }
    }
}
