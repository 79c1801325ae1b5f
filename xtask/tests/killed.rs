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
    let (family, downs) = (stage.family(), stage.path("downs"));
    let down = format!("echo \"$*\" >> '{}'", downs.display());
    stage.program("docker", &format!("case \"$*\" in *' up '*) {family};; *' down '*) {down};; esac"));
    let mut command = stage.xtask(&["services", "up", "redis", "--provider", "docker"]).spawn().unwrap();
    let family = stage.numbers();
    assert!(family.iter().all(|pid| runs(*pid)));
    // What an earlier run may have left was removed before anything was started.
    assert_eq!(wait_for(&downs).lines().count(), 1);
    kill(&["-KILL", &command.id().to_string()]);
    command.wait().unwrap();
    assert_all_end(&family);
    let start = Instant::now();
    let words = loop {
        let words = wait_for(&downs);
        if words.lines().count() > 1 {
            break words;
        }
        assert!(start.elapsed() < PATIENCE, "the containers were not removed");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    for line in words.lines() {
        assert!(
            line.starts_with("compose --project-name arshai-") && line.contains(" --volumes "),
            "{words}"
        );
    }
}

#[test]
fn a_killed_up_takes_the_fetching_of_packages_along() {
    let stage = Stage::new();
    let (family, python) = (stage.family(), stage.path("python3"));
    let told = format!("echo '{}'; echo 3.11", python.display());
    stage.program("python3", &format!("case \"$*\" in -c*) {told};; *' --version') ;; *) {family};; esac"));
    let mut command = stage.xtask(&["services", "up", "redis6", "--provider", "process"]).spawn().unwrap();
    let family = stage.numbers();
    assert!(family.iter().all(|pid| runs(*pid)));
    kill(&["-KILL", &command.id().to_string()]);
    command.wait().unwrap();
    assert_all_end(&family);
}

/// The state of a service whose processes and supervisor were all killed, with what would clean up after it.
fn dead_state(stage: &Stage, cleanup: &Path) -> PathBuf {
    let folder = stage.path("xtask/run");
    fs::create_dir_all(&folder).unwrap();
    let gone = serde_json::json!({ "pid": std::process::id(), "start": "another boot/1" });
    let state = serde_json::json!({
        "service": "redis", "provider": "docker", "exports": {}, "probes": [], "supervisor": gone,
        "processes": [{ "name": "redis", "id": gone, "log": stage.path("redis.log") }],
        "cleanup": {
            "name": "redis", "program": cleanup, "arguments": [], "environment": {},
            "folder": stage.folder.path(), "log": stage.path("redis.log"),
        },
    });
    let path = folder.join("redis.json");
    fs::write(&path, state.to_string()).unwrap();
    path
}

#[test]
fn what_a_service_left_that_was_killed_with_its_supervisor_is_removed_by_down_and_by_up() {
    let stage = Stage::new();
    let cleaned = stage.path("cleaned");
    let cleanup = stage.program("clean", &format!("echo cleaned > '{}'", cleaned.display()));
    let state = dead_state(&stage, &cleanup);
    assert!(stage.xtask(&["services", "status"]).status().unwrap().success());
    assert!(state.exists(), "only a command that cleans up may forget a service");
    assert!(stage.xtask(&["services", "down", "redis"]).status().unwrap().success());
    assert!(cleaned.exists() && !state.exists());

    fs::remove_file(&cleaned).unwrap();
    dead_state(&stage, &cleanup);
    // It cannot start, and cleans up before it tries.
    stage.program("docker", "exit 1");
    assert!(!stage.xtask(&["services", "up", "redis", "--provider", "docker"]).status().unwrap().success());
    assert!(cleaned.exists());
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
    let words = ["integration", "--only", "arshai-conformance", "across", "--binary"];
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
    let passed = "echo 'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out'";
    let nothing = "echo 'test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out'";
    for (name, script, reason) in [
        ("empty", nothing, "no test ran"),
        ("broken", "echo 'running 3 tests'; kill -SEGV $$", "it ended without a result"),
        ("late", &format!("{passed}; exit 3"), "it failed all the same (exit status: 3)"),
        ("later", &format!("{passed}; kill -SEGV $$"), "it failed all the same (signal: 11"),
    ] {
        let binary = stage.program(name, script);
        let words = ["integration", "--only", "sqlite", "--binary", &binary.to_string_lossy()];
        let output = stage.xtask(&words).stderr(Stdio::piped()).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && errors.contains(reason), "{errors}");
    }
}
