//! `cargo xtask features`: what each feature of the umbrella crate costs a project that turns it on.
//!
//! Each is measured as a newcomer meets it: a package of its own that takes the crate by path, with the profile cargo has
//! by default and the versions of our lock file, in a target folder that is empty before and removed after.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::{machine, process, workspace};

const FILE: &str = "docs/features.md";
/// The crate without any feature, in place of a feature's name.
const NONE: &str = "none";

/// `cargo xtask features`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these features, or `none`, printed; without any name, all of them are written to docs/features.md
    names: Vec<String>,
}

/// What one feature costs.
#[derive(Debug, PartialEq)]
struct Cost {
    feature: String,
    /// Crates that are compiled for it, with what their build needs.
    crates: usize,
    check: f64,
    build: f64,
}

/// Measures them one after the other.
pub(crate) fn run(options: &Options) -> Result<()> {
    let all = all()?;
    for name in &options.names {
        ensure!(all.contains(name), "arshai has no feature {name}; there are: {}", all.join(", "));
    }
    let names = if options.names.is_empty() { &all } else { &options.names };
    // Downloading is not compiling.
    process::run(process::cargo(&["fetch", "--locked"]))?;
    let mut costs = Vec::new();
    for feature in names {
        let cost = measure(feature)?;
        print!("{}", row(&cost));
        costs.push(cost);
    }
    if options.names.is_empty() {
        let page = page(&costs, &machine::today(), &machine::facts());
        fs::write(workspace::root().join(FILE), page).with_context(|| format!("writing {FILE}"))?;
        println!("wrote {FILE}");
    }
    Ok(())
}

/// `none` and every feature of the umbrella, the default ones among them as `default`.
fn all() -> Result<Vec<String>> {
    let output = process::read(process::cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_slice(&output).context("reading `cargo metadata`")?;
    let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
    let ours = packages.iter().find(|package| package.get("name") == Some(&"arshai".into()));
    let features = ours.and_then(|package| package.get("features")?.as_object()).context("no features")?;
    Ok(std::iter::once(NONE.to_owned()).chain(features.keys().cloned()).collect())
}

fn measure(feature: &str) -> Result<Cost> {
    let folder = tempfile::tempdir().context("making a folder")?;
    newcomer(folder.path(), feature)?;
    let cargo = |words: &[&str]| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(words).current_dir(folder.path());
        command.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
        // Of the variables that cargo sets for us, none is meant for another package.
        command.env_remove("CARGO_MANIFEST_DIR");
        command
    };
    // Also what only a build script or a macro needs: it is compiled as well.
    let tree = process::read(cargo(&[
        "tree",
        "--offline",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let crates = crates(&String::from_utf8_lossy(&tree));
    let target = folder.path().join("target");
    let mut seconds = [0.0; 2];
    for (taken, command) in seconds.iter_mut().zip(["check", "build"]) {
        remove(&target)?;
        let started = Instant::now();
        process::run(cargo(&[command, "--offline", "--quiet"])).with_context(|| format!("with {feature}"))?;
        *taken = started.elapsed().as_secs_f64();
    }
    let [check, build] = seconds;
    Ok(Cost { feature: feature.to_owned(), crates, check, build })
}

/// A package that stands on the umbrella with one feature.
fn newcomer(folder: &Path, feature: &str) -> Result<()> {
    let root = workspace::root();
    let umbrella = root.join("crates").join("arshai");
    let features = if feature == NONE { String::new() } else { format!("{feature:?}") };
    let manifest = format!(
        "[package]\nname = \"newcomer\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         arshai = {{ path = {:?}, default-features = false, features = [{features}] }}\n",
        umbrella.display().to_string()
    );
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    write("Cargo.toml", &manifest)?;
    // Versions that are here already; what the package does not need of them, cargo drops.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).context("copying Cargo.lock")?;
    fs::create_dir(folder.join("src")).context("making a folder")?;
    write("src/main.rs", "fn main() {}\n")?;
    Ok(())
}

/// The crates in what `cargo tree` prints, the package itself left out.
fn crates(tree: &str) -> usize {
    let lines = tree.lines().skip(1).map(|line| line.trim_end_matches(" (*)").trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with('[')).collect::<BTreeSet<_>>().len()
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("removing {}: {error}", folder.display())
        }
        _ => Ok(()),
    }
}

fn row(cost: &Cost) -> String {
    let Cost { feature, crates, check, build } = cost;
    let feature = if feature == NONE { "no feature".to_owned() } else { format!("`{feature}`") };
    format!("| {feature} | {crates} | {check:.0} | {build:.0} |\n")
}

fn page(costs: &[Cost], day: &str, facts: &str) -> String {
    let rows: String = costs.iter().map(row).collect();
    format!(
        "# What each feature costs\n\n\
         <!-- written by `cargo xtask features`; a change by hand is lost -->\n\n\
         Each feature of the crate `arshai` alone, with `default-features = false`: how many crates are in the tree of a\n\
         package that turns it on (those of build scripts and macros among them), and the seconds that `cargo check` and\n\
         `cargo build` take in the default profile when nothing was compiled before. What two features share is compiled\n\
         once.\n\n\
         | feature | crates | check, s | build, s |\n|---|---|---|---|\n{rows}\n\
         Measured on {day} by `cargo xtask features`; one feature by `cargo xtask features NAME`:\n\n{facts}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_counted_once_and_the_package_itself_is_not() {
        let tree = "newcomer v0.1.0 (/t)\narshai v0.1.0 (/w)\nserde v1.0.1\nserde v1.0.1 (*)\nsyn v2.0.1 (proc-macro)\n\n";
        assert_eq!(crates(tree), 3);
    }

    #[test]
    fn every_feature_of_the_umbrella_is_known_and_so_is_none() {
        let all = all().unwrap();
        for name in [NONE, "default", "redis", "full"] {
            assert!(all.iter().any(|feature| feature == name), "{name}: {all:?}");
        }
        let error = run(&Options { names: vec!["wings".to_owned()] }).unwrap_err().to_string();
        assert!(error.contains("wings") && error.contains("redis"), "{error}");
    }

    #[test]
    fn the_page_has_a_line_for_each() {
        let cost = |feature: &str| Cost { feature: feature.to_owned(), crates: 40, check: 9.6, build: 12.4 };
        let page = page(&[cost(NONE), cost("redis")], "2027-01-31", "- memory: much\n");
        assert!(page.contains("| no feature | 40 | 10 | 12 |\n| `redis` | 40 | 10 | 12 |\n"), "{page}");
        assert!(page.contains("2027-01-31") && page.ends_with("- memory: much\n"), "{page}");
    }
}
