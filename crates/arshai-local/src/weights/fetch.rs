//! Fetching once: lock, bring, put in place.

use std::{
    fmt::Debug,
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use arshai_core::{Error, ErrorKind, Result};

use super::{Pinned, Progress, sha256};

/// A fetch that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// What a killed fetch left is removed when it is this old, where nothing tells whether it is still in use.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// Begins the names of the folders of fetches under way. The scripts know it too.
const PREFIX: &str = ".fetch-";

/// Where files come from.
pub(super) trait Source: Debug {
    /// The files to bring; none when `folder` is complete.
    fn missing(&self, folder: &Path) -> Result<Vec<&'static Pinned>>;

    /// Puts `files`, whole and checked, into `work` under their names.
    fn bring(
        &self,
        files: &[&'static Pinned],
        work: &Path,
        until: Instant,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()>;

    /// How to do without this program's download.
    fn by_hand(&self) -> String;
}

/// A fetch into a folder.
#[derive(Debug)]
pub(super) struct Fetch<'a> {
    pub(super) folder: &'a Path,
    pub(super) from: &'a dyn Source,
}

impl Fetch<'_> {
    /// Brings what is missing.
    pub(super) fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<()> {
        let until = Instant::now() + LONGEST;
        if self.from.missing(self.folder)?.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(self.folder)?;
        let lock = self.lock(until)?;
        // Another program may have fetched meanwhile.
        let missing = self.from.missing(self.folder)?;
        if missing.is_empty() {
            return Ok(());
        }
        self.remove_leftovers(lock.is_some());
        let work = Work::new(self.folder)?;
        self.from
            .bring(&missing, &work.0, until, progress)
            .map_err(|error| error.with_context("by hand", self.from.by_hand()))?;
        for file in &missing {
            self.refuse_to_replace(file, &work.0)?;
        }
        for file in &missing {
            self.install(file, &work.0)?;
        }
        Ok(())
    }

    fn refuse_to_replace(&self, file: &Pinned, work: &Path) -> Result<()> {
        let existing = self.folder.join(file.name);
        if existing.exists() && sha256(&existing)? != sha256(&work.join(file.name))? {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                "the folder holds another file of this name; remove it, or name another folder",
            )
            .with_context("file", file.name)
            .with_context("variable", super::VARIABLE));
        }
        Ok(())
    }

    /// Gives a file its name in one step.
    fn install(&self, file: &Pinned, work: &Path) -> Result<()> {
        let new = work.join(file.name);
        OpenOptions::new().write(true).open(&new)?.sync_all()?;
        fs::rename(&new, self.folder.join(file.name))?;
        Ok(())
    }

    /// Held by one program at a time, where the file system can; where it cannot, each fetches for itself, and renaming
    /// keeps that safe.
    fn lock(&self, until: Instant) -> Result<Option<File>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join(".fetch.lock"))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::Error(_)) => return Ok(None),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        "another program has been fetching the model for too long; end it, then try again",
                    ));
                }
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        tracing::info!(folder = %self.folder.display(), "another program fetches the model; waiting for it");
                        told = true;
                    }
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// Removes what killed fetches left. Whoever holds the lock is the only one who fetches.
    fn remove_leftovers(&self, alone: bool) {
        let now = SystemTime::now();
        for entry in fs::read_dir(self.folder).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
            if is_ours && (alone || age.is_some_and(|age| age > STALE)) {
                // When it cannot be removed it is only in the way of nobody.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A folder of this fetch alone, gone when it ends.
struct Work(PathBuf);

impl Work {
    fn new(folder: &Path) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Scripts run inside it, so its path must hold from anywhere.
        let path = std::path::absolute(folder)?.join(format!("{PREFIX}{}-{number}", process::id()));
        // One that is there already is somebody else's, and what lies in it is not to be run.
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "the temporary folder of a download could not be removed");
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::weights::PINNED;

    /// What a folder holds.
    pub(in crate::weights) fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Brings files of these bytes.
    #[derive(Debug)]
    struct Given(&'static str);

    impl Source for Given {
        fn missing(&self, folder: &Path) -> Result<Vec<&'static Pinned>> {
            Ok(PINNED.iter().filter(|file| !folder.join(file.name).exists()).collect())
        }

        fn bring(
            &self,
            _files: &[&'static Pinned],
            work: &Path,
            _until: Instant,
            _progress: &mut dyn FnMut(Progress),
        ) -> Result<()> {
            for file in &PINNED {
                fs::write(work.join(file.name), self.0)?;
            }
            Ok(())
        }

        fn by_hand(&self) -> String {
            "not".to_owned()
        }
    }

    #[test]
    fn what_a_killed_fetch_left_is_gone_after_the_next() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".fetch-1-0")).unwrap();
        fs::write(folder.path().join(".fetch-1-0/model.onnx"), "half").unwrap();
        fs::write(folder.path().join("tokenizer.json"), "old").unwrap();
        Fetch { folder: folder.path(), from: &Given("whole") }.run(&mut |_| {}).unwrap();
        assert_eq!(names(folder.path()), [".fetch.lock", "model.onnx", "tokenizer.json"]);
        assert_eq!(fs::read(folder.path().join("model.onnx")).unwrap(), b"whole");
        assert_eq!(fs::read(folder.path().join("tokenizer.json")).unwrap(), b"old", "it was not asked for");
    }
}
