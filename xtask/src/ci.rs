//! `cargo xtask ci`: `cargo xtask test`, then what takes tools, a network, or patience.

use anyhow::{Result, bail};

use crate::{
    counts::Counts,
    process::{self, Output},
    public_types,
    steps::Steps,
    test,
    tools::{DENY, HACK},
};

/// What cargo-deny says when it cannot get the list of advisories, as against one of them being the matter.
const NO_ADVISORIES: &str = "failed to fetch advisory database";

/// Runs all steps.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::new();
    let ran = test::run_in(&mut steps)?;
    steps.run("the program as it is built without naming features", program_by_default)?;
    steps.run("bans, licences, sources", || {
        process::run(DENY.command(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"])?)
    })?;
    steps.run("advisories", advisories)?;
    steps.run("every feature alone", every_feature)?;
    steps.run("types of others in core", public_types::check)?;
    steps.run("packages", packages)?;
    drop(steps);
    println!("\n{ran}");
    Ok(())
}

/// What the program says to a URL that a feature it lacks would take: every other step has all features.
fn program_by_default() -> Result<()> {
    let command = process::cargo(&["test", "--package", "arshai-cli", "--test", "cli"]);
    let lines = process::run_and_read(command, Output::Stdout)?;
    Counts::of_libtest(lines.iter().map(String::as_str)).complete().map(drop)
}

/// Fails for an advisory, not for a list of them that cannot be reached.
fn advisories() -> Result<()> {
    let command = DENY.command(&["check", "--hide-inclusion-graph", "advisories"])?;
    let (lines, outcome) = process::run_and_keep(command, Output::Stderr)?;
    match outcome {
        Err(_) if lines.iter().any(|line| line.contains(NO_ADVISORIES)) => {
            println!("the advisories could not be reached from here and were NOT checked");
            Ok(())
        }
        outcome => outcome,
    }
}

/// Every crate that is published, packed as it would be, in the order in which they need each other.
fn packages() -> Result<()> {
    // What a package lacks is seen when it is packed; that it compiles, the steps before have shown.
    process::run(process::cargo(&["package", "--workspace", "--no-verify", "--allow-dirty", "--locked"]))
}

/// Every published crate with each of its features and nothing else, and with none.
fn every_feature() -> Result<()> {
    // Dev-dependencies lend their features to no build that leaves out the tests (resolver 3), so the manifests need
    // not be rewritten, which is what --no-dev-deps does. One target folder: what two features share is checked once.
    let mut command = HACK.command(&["check", "--workspace", "--each-feature", "--ignore-private"])?;
    command.env("CARGO_TERM_COLOR", "never");
    // A warning that only one combination has is seen nowhere else.
    let lines = process::run_and_read(command, Output::Stderr)?;
    match lines.iter().find(|line| line.starts_with("warning")) {
        Some(warning) => bail!("with some features alone there is a {warning}"),
        None => Ok(()),
    }
}
