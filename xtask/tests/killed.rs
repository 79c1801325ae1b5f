//! A command that is killed or interrupted leaves no process and no container behind.
#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

mod processes;

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::processes::{PATIENCE, assert_all_end, runs};

/// A script that is still open for writing in a child of another test cannot be started.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A folder in place of the target folder, with a program of ours in it.
struct Stage {
    folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    fn new() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Self { folder: tempfile::tempdir().unwrap(), _alone: alone }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A line of shell that starts a child, writes both numbers to a file, and waits.
    fn family(&self) -> String {
        let file = self.path("family");
        let file = file.display();
        format!("sleep 600 & echo $! $$ > '{file}.new'; mv '{file}.new' '{file}'; wait")
    }

    /// `cargo xtask` with these words, as the leader of a group, as in a terminal.
    fn xtask(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(words).process_group(0).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.env("CARGO_TARGET_DIR", self.folder.path()).env("PATH", self.search_path());
        command
    }

    fn search_path(&self) -> std::ffi::OsString {
        let usual = env::var_os("PATH").unwrap_or_default();
        let own = self.folder.path().to_path_buf();
        env::join_paths(std::iter::once(own).chain(env::split_paths(&usual))).unwrap()
    }

    /// The numbers that the family wrote.
    fn numbers(&self) -> Vec<u64> {
        let text = wait_for(&self.path("family"));
        text.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }
}

fn wait_for(file: &Path) -> String {
    let start = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(file) {
            return text;
        }
        assert!(start.elapsed() < PATIENCE, "{} did not appear", file.display());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn kill(arguments: &[&str]) {
    assert!(Command::new("kill").args(arguments).status().unwrap().success());
}

/// Runs `integration` on a test that never ends, and ends it so.
fn integration_ended_by(end: impl FnOnce(&str)) {
    let stage = Stage::new();
    let binary = stage.program("endless", &stage.family());
    let words = ["integration", "--only", "in-memory", "--binary", &binary.to_string_lossy()];
    let mut command = stage.xtask(&words).spawn().unwrap();
    let family = stage.numbers();
    assert_eq!(family.len(), 2);
    assert!(family.iter().all(|pid| runs(*pid)));
    end(&command.id().to_string());
    assert!(!command.wait().unwrap().success());
    assert_all_end(&family);
}

#[test]
fn a_killed_integration_takes_its_test_binaries_along() {
    integration_ended_by(|pid| kill(&["-KILL", pid]));
}

#[test]
fn an_interrupt_from_the_terminal_ends_integration_and_its_test_binaries() {
    integration_ended_by(|pid| kill(&["-INT", "--", &format!("-{pid}")]));
}

#[test]
fn a_killed_up_takes_its_processes_along_and_removes_its_containers() {
    let stage = Stage::new();
    let (family, removed) = (stage.family(), stage.path("removed"));
    stage.program(
        "docker",
        &format!(
            "case \"$*\" in *' up '*) {family};; *' down '*) echo \"$*\" > '{}';; esac",
            removed.display()
        ),
    );
    let mut command = stage.xtask(&["services", "up", "redis", "--provider", "docker"]).spawn().unwrap();
    let family = stage.numbers();
    assert!(family.iter().all(|pid| runs(*pid)));
    kill(&["-KILL", &command.id().to_string()]);
    command.wait().unwrap();
    assert_all_end(&family);
    let words = wait_for(&removed);
    assert!(words.starts_with("compose --project-name arshai-") && words.contains(" --volumes "), "{words}");
}

#[test]
fn a_command_whose_own_program_was_built_anew_meanwhile_still_starts_processes() {
    let stage = Stage::new();
    let own = stage.path("own");
    fs::copy(env!("CARGO_BIN_EXE_xtask"), &own).unwrap();
    // The first test binary puts another file in the program's place.
    let passed = "echo 'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out'";
    let binary = stage.program(
        "passes",
        &format!("cp '{own}' '{own}.new'; mv '{own}.new' '{own}'; {passed}", own = own.display()),
    );
    let words = ["integration", "--only", "arshai-conformance", "arshai-tests", "--binary"];
    let mut command = Command::new(&own);
    command.args(words).arg(&binary).env("CARGO_TARGET_DIR", stage.folder.path());
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    // The suites of the first did not report; nothing is the matter with the second.
    assert!(errors.contains("the suite memory did not run"), "{errors}");
    assert!(!errors.contains("arshai-tests"), "{errors}");
}

#[test]
fn a_test_program_without_tests_and_one_that_breaks_off_fail_integration() {
    let stage = Stage::new();
    let nothing = "echo 'test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out'";
    for (name, script, reason) in [
        ("empty", nothing, "no test ran"),
        ("broken", "echo 'running 3 tests'; kill -SEGV $$", "it ended without a result"),
    ] {
        let binary = stage.program(name, script);
        let words = ["integration", "--only", "sqlite", "--binary", &binary.to_string_lossy()];
        let output = stage.xtask(&words).stderr(Stdio::piped()).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && errors.contains(reason), "{errors}");
    }
}
