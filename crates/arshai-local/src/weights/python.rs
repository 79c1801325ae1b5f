//! Python, which downloads for us: where pip is, Python is, and it knows the user's proxies and certificates.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use arshai_core::{Error, ErrorKind, Result};

const POLL: Duration = Duration::from_millis(20);

/// Goes before every script. The program that started it holds the other end of its standard input; when that ends,
/// however it ends, so does the script, and takes the folder of the fetch with it. Ctrl-C is for the program to answer.
const WATCH: &str = "import sys
sys.path[:] = [path for path in sys.path if path]
import os, shutil, signal, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)
folder = os.getcwd()
def watch():
    try:
        while os.read(0, 1):
            pass
    finally:
        if os.path.basename(folder).startswith('.fetch-'):
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(70)
threading.Thread(target=watch, daemon=True).start()
";

/// How Python is called.
#[derive(Debug, Clone)]
pub(super) struct Python {
    /// Its names, in the order they are tried.
    pub(super) names: Vec<OsString>,
    /// More variables for it.
    pub(super) environment: Vec<(OsString, OsString)>,
}

impl Default for Python {
    fn default() -> Self {
        Self { names: vec!["python3".into(), "python".into()], environment: Vec::new() }
    }
}

/// What a script that ended left.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// What it wrote to standard error.
    pub(super) said: String,
}

impl Ended {
    /// The last line it wrote: of an uncaught exception, its name and message.
    pub(super) fn last_line(&self) -> String {
        self.said.lines().last().unwrap_or_default().trim().to_owned()
    }
}

impl Python {
    /// Runs `script` in `folder` until it ends, calling `meanwhile` every now and then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] without Python, [`ErrorKind::Timeout`] when it has not ended at `until`, and
    /// [`ErrorKind::Io`]. The status it ends with is for the caller to judge.
    pub(super) fn run(
        &self,
        script: &str,
        arguments: &[&OsStr],
        folder: &Path,
        until: Instant,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Ended> {
        let log = folder.join("log");
        let script = format!("{WATCH}{script}");
        let partial = folder.join("partial");
        fs::create_dir_all(&partial)?;
        let start = |name: &OsString| {
            let mut command = Command::new(name);
            command.arg("-c").arg(&script).args(arguments).current_dir(folder);
            command.envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, &partial)));
            command.envs(self.environment.iter().map(|(name, value)| (name, value)));
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
            command.spawn()
        };
        let child = self.names.iter().find_map(|name| start(name).ok()).ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "the model is fetched with python3, which was not found")
                .with_retryable(false)
        })?;
        let mut child = Owned(child);
        loop {
            let ended = child.0.try_wait()?;
            meanwhile();
            match ended {
                Some(status) => {
                    let said = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
                    return Ok(Ended { status, said });
                }
                None if Instant::now() >= until => {
                    return Err(Error::new(ErrorKind::Timeout, "the download of the model took too long"));
                }
                None => std::thread::sleep(POLL),
            }
        }
    }
}

/// A child that does not outlive its owner.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes of all files below a folder; what vanishes meanwhile does not count.
pub(super) fn size(folder: &Path) -> u64 {
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
