//! The Python package itself, at its version 1.15.0, beside this crate on the same servers.

use std::{
    collections::hash_map::DefaultHasher,
    ffi::OsString,
    fs,
    hash::{Hash as _, Hasher as _},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::place::{address, url};

const PROGRAM: &str = include_str!("python/in_place.py");
/// The package with what its Redis memory imports, and the client of Milvus.
const REQUIREMENTS: [(&str, &str); 2] = [
    ("arshai", include_str!("../../../crates/arshai-redis/tests/engine/python/requirements.txt")),
    ("pymilvus", include_str!("../../../benches/python/milvus.txt")),
];

/// A Python process with the package in it.
pub(crate) struct Python {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    pub(crate) fn start() -> Self {
        let libraries = REQUIREMENTS.map(|(name, list)| library(name, list).into_os_string());
        let milvus = address("milvus");
        let (host, port) = milvus.rsplit_once(':').unwrap();
        let mut child = Command::new("python3")
            .args(["-W", "ignore", "-c", PROGRAM])
            .env("PYTHONPATH", libraries.join(&OsString::from(":")))
            .env("REDIS_URL", format!("{}/0", url("redis").trim_end_matches("/0")))
            .envs([
                ("MILVUS_HOST", host),
                ("MILVUS_PORT", port),
                ("MILVUS_DB_NAME", "default"),
                ("TZ", "UTC"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (requests, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, requests, answers: BufReader::new(answers) }
    }

    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.requests, "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{} is answered by {answer:?}: {error}", request["do"]))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder with what a list of requirements names, installed below the target folder when it is not there.
fn library(name: &str, requirements: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let packages = program.ancestors().nth(3).unwrap().join("xtask").join("packages");
    let version = python(&["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
    let mut digest = DefaultHasher::new();
    (requirements, version).hash(&mut digest);
    let folder = packages.join(format!("{name}-python-{:016x}", digest.finish()));
    if folder.is_dir() {
        return folder;
    }
    fs::create_dir_all(&packages).unwrap();
    let fresh = tempfile::tempdir_in(&packages).unwrap();
    install(requirements, fresh.path());
    // Somebody else may have been faster, with the same.
    if fs::rename(fresh.path(), &folder).is_ok() {
        drop(fresh.keep());
    }
    folder
}

fn install(requirements: &str, folder: &Path) {
    let list = folder.join("requirements.txt");
    fs::write(&list, requirements).unwrap();
    let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--no-input", "--quiet", "--no-deps"];
    let (folder, list) = (folder.display().to_string(), list.display().to_string());
    let what = ["--require-hashes", "--only-binary=:all:", "--target", &folder, "--requirement", &list];
    python(&[pip.as_slice(), &what].concat());
}

fn python(arguments: &[&str]) -> String {
    let output = Command::new("python3").args(arguments).output().unwrap_or_else(|error| {
        panic!("python3 (3.11 or 3.12) with pip is needed: {error}");
    });
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
