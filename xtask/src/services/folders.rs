//! Where services keep what they fetch, write and leave behind: all below `target/xtask`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::catalog::Service;
use crate::workspace;

/// The folders of one checkout.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    root: PathBuf,
}

impl Folders {
    /// Those of this checkout: below the target folder, so `cargo clean` takes them along.
    pub(crate) fn of_checkout() -> Self {
        Self::below(&workspace::target())
    }

    /// Those below another target folder.
    pub(crate) fn below(target: &Path) -> Self {
        Self { root: target.join("xtask") }
    }

    /// The folder that holds all the others.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// States of what runs, and the file `env`.
    pub(crate) fn run(&self) -> Result<PathBuf> {
        self.folder("run")
    }

    /// What the services print.
    pub(crate) fn logs(&self) -> Result<PathBuf> {
        self.folder("logs")
    }

    /// What the test binaries of `integration` print and report.
    pub(crate) fn integration(&self) -> Result<PathBuf> {
        self.folder("integration")
    }

    /// What the sides of benchmarks print.
    pub(crate) fn bench(&self) -> Result<PathBuf> {
        self.folder("bench")
    }

    /// Unpacked packages, one folder each, kept between runs.
    pub(crate) fn packages(&self) -> Result<PathBuf> {
        self.folder("packages")
    }

    /// Certificates of `redis-tls`.
    pub(crate) fn tls(&self) -> Result<PathBuf> {
        self.folder("tls")
    }

    /// An empty folder for what a service stores; whatever an earlier run left there is removed.
    pub(crate) fn fresh_data(&self, service: Service) -> Result<PathBuf> {
        let folder = self.root.join("data").join(service.name());
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(folder)
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(folder)
    }
}
