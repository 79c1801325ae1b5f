//! `cargo xtask bench`: the figures, measured in release on this machine.

mod build;

use anyhow::Result;

use crate::process;

/// Builds the benchmarks in release and runs all of them, or those named. `build` times a build and is run only by name.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    let (builds, names): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| **name == "build");
    if !builds.is_empty() {
        build::run()?;
        if names.is_empty() {
            return Ok(());
        }
    }
    // One of them times the program itself.
    process::run(process::cargo(&["build", "--release", "-p", "arshai-cli"]))?;
    let mut command = process::cargo(&["run", "--release", "-p", "arshai-benches", "--"]);
    command.args(names);
    process::run(command)
}
