//! Programs that `cargo xtask ci` needs beside Rust itself: those of the machine, or pinned ones built once below the
//! target folder.

use std::{
    env,
    ffi::OsString,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{process, services::Folders};

/// A subcommand of cargo.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    /// As in `cargo NAME`.
    subcommand: &'static str,
    /// The version that is installed where there is none.
    version: &'static str,
}

/// Licences, sources, bans, advisories.
pub(crate) const DENY: Tool = Tool { subcommand: "deny", version: "0.20.2" };
/// Every feature alone.
pub(crate) const HACK: Tool = Tool { subcommand: "hack", version: "0.6.46" };

impl Tool {
    /// `cargo SUBCOMMAND` with these arguments. The tool is installed when neither the machine has it nor we do.
    pub(crate) fn command(self, arguments: &[&str]) -> Result<Command> {
        if !process::works(self.cargo(&["--version"])?) {
            self.install()?;
        }
        self.cargo(arguments)
    }

    fn cargo(self, arguments: &[&str]) -> Result<Command> {
        let mut command = process::cargo(&[self.subcommand]);
        command.args(arguments).env("PATH", path()?);
        Ok(command)
    }

    fn install(self) -> Result<()> {
        let package = format!("cargo-{}", self.subcommand);
        println!("{package} is not installed; building {} of it below the target folder", self.version);
        let root = folder();
        let mut command = process::cargo(&["install", &package, "--version", self.version, "--locked"]);
        command.arg("--root").arg(&root).stdin(Stdio::null());
        process::run(command).with_context(|| format!("installing {package}"))
    }
}

fn folder() -> std::path::PathBuf {
    Folders::of_checkout().root().join("tools")
}

/// The machine's own programs first, then ours.
fn path() -> Result<OsString> {
    let own = env::var_os("PATH").unwrap_or_default();
    let all = env::split_paths(&own).chain([folder().join("bin")]);
    env::join_paths(all).context("adding the folder of our tools to PATH")
}
