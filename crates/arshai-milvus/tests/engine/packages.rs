//! Packages of Python that tests need, pinned, unpacked once below the target folder.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// Where packages are unpacked.
fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().join("xtask").join("packages")
}

/// The folder with what these requirements say: the one that `cargo xtask` has filled (`known`), or one of the tests' own.
pub(crate) fn python(known: &str, requirements: &str) -> PathBuf {
    once(known, requirements, |folder| {
        let list = folder.join("requirements.txt");
        fs::write(&list, requirements).unwrap();
        let pip =
            ["-m", "pip", "--disable-pip-version-check", "install", "--no-input", "--quiet", "--no-deps"];
        let (folder, list) = (folder.display().to_string(), list.display().to_string());
        let what = ["--require-hashes", "--only-binary=:all:", "--target", &folder, "--requirement", &list];
        run(Command::new("python3").args(pip).args(what));
    })
}

/// The version of Python as the names of folders have it, `3.11`.
pub(crate) fn version() -> String {
    let version = "import sys; print('%d.%d' % sys.version_info[:2], end='')";
    run(Command::new("python3").args(["-c", version]))
}

/// The folder of that name if `cargo xtask` has filled it, or else one that `fill` makes once from `recipe`.
pub(crate) fn once(known: &str, recipe: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let packages = folder();
    if packages.join(known).join(".complete").is_file() {
        return packages.join(known);
    }
    let mut digest = DefaultHasher::new();
    (recipe, version()).hash(&mut digest);
    let folder = packages.join(format!("test-{known}-{:016x}", digest.finish()));
    if folder.is_dir() {
        return folder;
    }
    fs::create_dir_all(&packages).unwrap();
    let fresh = tempfile::tempdir_in(&packages).unwrap();
    fill(fresh.path());
    // Somebody else may have been faster, with the same.
    if fs::rename(fresh.path(), &folder).is_ok() {
        drop(fresh.keep());
    }
    folder
}

/// Runs a command to its end; what it says.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("python3 (3.11 or 3.12) is needed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
