//! `cargo xtask tidy`: the house rules as code. Every broken rule is listed, not only the first.

mod commands;
mod links;
mod manifests;
mod sources;

use anyhow::{Result, bail};

use crate::{readme, workspace};

/// Checks all rules.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let mut broken = sources::check(&root)?;
    broken.extend(links::check(&root)?);
    broken.extend(commands::check(&root)?);
    broken.extend(manifests::check()?);
    if let Err(error) = readme::check() {
        broken.push(format!("{error:#}"));
    }
    if broken.is_empty() {
        return Ok(());
    }
    for rule in &broken {
        println!("  broken: {rule}");
    }
    bail!("{} house rules are broken (listed above)", broken.len())
}
