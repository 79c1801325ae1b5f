//! Running the program in a folder of its own.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use arshai_local::Weights;
use serde_json::Value;
use tempfile::TempDir;

/// A fresh folder with `data` for the program and room for documents.
pub(crate) struct Program {
    folder: TempDir,
}

/// What one run printed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("data/arshai.db")
    }

    /// Writes a file below the folder.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    /// The program with `arguments`, run in the folder, with its own data.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arshai"));
        command.current_dir(self.path()).args(["--data", "data"]).args(arguments).stdin(Stdio::null());
        for variable in ["STORE", "MEMORY", "MODEL", "MODEL_DIR", "MODEL_URL", "DATA", "LOG", "COLLECTION"] {
            command.env_remove(format!("ARSHAI_{variable}"));
        }
        // What is not about embedding must not take its time.
        command.env("ARSHAI_EMBEDDER", "none");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&self.command(arguments).output().unwrap())
    }

    /// Runs as somebody to whom permissions apply, even when the tests run as the superuser.
    pub(crate) fn run_unprivileged(&self, arguments: &[&str]) -> Run {
        const NOBODY: u32 = 65_534;
        if fs::metadata("/proc/self").map_or(0, |own| own.uid()) != 0 {
            return self.run(arguments);
        }
        // The folder that the program was built in may be closed to others.
        let program = self.path().join("arshai");
        fs::copy(env!("CARGO_BIN_EXE_arshai"), &program).unwrap();
        let owned =
            Command::new("chown").args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(self.path()).status();
        assert!(owned.unwrap().success());
        let mut command = Command::new(program);
        command.current_dir(self.path()).args(["--data", "data"]).args(arguments).env_clear();
        command.env("ARSHAI_EMBEDDER", "none");
        Run::of(&command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).output().unwrap())
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut child = self.spawn(arguments, Stdio::piped());
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
        let run = Run::of(&child.wait_with_output().unwrap());
        let _closed_early = writer.join().unwrap();
        run
    }

    pub(crate) fn spawn(&self, arguments: &[&str], input: Stdio) -> Child {
        let mut command = self.command(arguments);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs with `--json`, expects success, and parses the output.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(run.status, Some(0), "{arguments:?}: {run:?}");
        run.json()
    }
}

impl Run {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A failure that was told, and no panic.
    pub(crate) fn assert_fails(&self, status: i32, message: &str) {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(self.stderr.contains(message), "{message:?} is not in {self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

/// The real weights: those of the user where they are, otherwise fetched once below `target`.
pub(crate) fn weights() -> PathBuf {
    let found = match Weights::find().unwrap() {
        Some(found) => found,
        None => {
            Weights::fetch_into(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("models"), |_| {})
                .unwrap()
        }
    };
    std::path::absolute(found.folder()).unwrap()
}

/// The keys of a JSON object, in order.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}
