//! `cargo xtask bench`: the figures, measured in release on this machine.

use anyhow::Result;

use crate::process;

/// Builds the benchmarks in release and runs all of them, or those named.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    // One of them times the program itself.
    process::run(process::cargo(&["build", "--release", "-p", "arshai-cli"]))?;
    let mut command = process::cargo(&["run", "--release", "-p", "arshai-benches", "--"]);
    command.args(names);
    process::run(command)
}
