//! How long the first command of the README takes to build on a machine that has built nothing yet.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{process, workspace};

const TARGET_MINUTES: f64 = 6.0;
const HEAVIEST: usize = 5;

/// Builds the program in a target folder of its own, which is empty before and removed after.
pub(super) fn run() -> Result<()> {
    let folder = workspace::root().join("target").join("cold");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    // Downloading is not building.
    process::run(process::cargo(&["fetch", "--locked"]))?;
    let mut build =
        process::cargo(&["build", "--release", "--locked", "-p", "arshai-cli", "--timings", "--target-dir"]);
    build.arg(&folder);
    let started = Instant::now();
    process::run(build)?;
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    let report = fs::read_to_string(folder.join("cargo-timings/cargo-timing.html"));
    let mut units = units(&report.context("reading cargo's report of timings")?)?;
    remove(&folder)?;
    let verdict = if minutes <= TARGET_MINUTES { "met" } else { "MISSED" };
    println!(
        "# build\ncold release build: {minutes:.2} min (target at most {TARGET_MINUTES} min: {verdict})"
    );
    units.sort_by(|a, b| b.duration.total_cmp(&a.duration));
    for unit in units.iter().take(HEAVIEST) {
        println!("  {} {}: {:.1} s{}", unit.name, unit.version, unit.duration, unit.target);
    }
    if minutes > TARGET_MINUTES {
        bail!("missed: cold release build");
    }
    Ok(())
}

/// One run of the compiler or of a build script.
#[derive(Debug, Deserialize)]
struct Unit {
    name: String,
    version: String,
    #[serde(default)]
    target: String,
    duration: f64,
}

/// The units in cargo's report: a line of JavaScript that is JSON.
fn units(report: &str) -> Result<Vec<Unit>> {
    let (_, rest) = report.split_once("UNIT_DATA = ").context("cargo's report lists no units")?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter();
    values.next().context("cargo's report lists no units")?.context("reading cargo's report of timings")
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_from_the_report() {
        let report = r#"<script>const UNIT_DATA = [{"i":0,"name":"a","version":"1.0.0","mode":"todo","target":" build script","duration":2.5,"rmeta_time":null}];
const CONCURRENCY_DATA = [];"#;
        let units = units(report).unwrap();
        assert_eq!((units[0].name.as_str(), units[0].duration), ("a", 2.5));
        assert!(super::units("<html>").is_err());
    }
}
