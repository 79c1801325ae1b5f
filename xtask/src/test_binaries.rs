//! The workspace's test programs, built with the features of the whole workspace, so that no dependency is compiled
//! for them a second time.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::process;

/// A test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestBinary {
    /// The package.
    pub(crate) package: String,
    /// The target: a file or folder of `tests`, or the crate itself for its unit tests.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// The folder of the package, in which cargo runs its tests.
    pub(crate) folder: PathBuf,
}

/// Builds the tests called `names` in any package; all there are when none is named.
pub(crate) fn build(names: &[&str]) -> Result<Vec<TestBinary>> {
    let mut command = process::cargo(&["test", "--workspace", "--all-features", "--no-run"]);
    command.arg("--message-format=json-render-diagnostics");
    names.iter().for_each(|name| {
        command.args(["--test", name]);
    });
    let output = String::from_utf8(process::read(command)?).context("reading cargo's messages")?;
    Ok(output.lines().filter_map(of_message).collect())
}

/// As much of cargo's message about a built target as is needed here.
#[derive(Deserialize)]
struct Artifact {
    package_id: String,
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

fn of_message(line: &str) -> Option<TestBinary> {
    let Artifact { package_id, manifest_path, target, profile, executable } =
        serde_json::from_str(line).ok()?;
    let program = executable.filter(|_| profile.test)?;
    let folder = manifest_path.parent().map(Path::to_path_buf)?;
    Some(TestBinary { package: package_of(&package_id)?, name: target.name, program, folder })
}

/// `path+file:///folder/name#0.1.0`, or `path+file:///folder#name@0.1.0` when the two differ.
fn package_of(id: &str) -> Option<String> {
    let (address, version) = id.rsplit_once('#')?;
    let name = match version.split_once('@') {
        Some((name, _)) => name,
        None => address.rsplit('/').next()?,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_test_programs_are_taken_from_cargos_messages() {
        let message = |id: &str, test: bool, program: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"{id}","manifest_path":"/w/tests/Cargo.toml",
                "target":{{"kind":["test"],"name":"it"}},"profile":{{"test":{test}}},"executable":{program}}}"#
            )
        };
        let found =
            of_message(&message("path+file:///w/tests#arshai-tests@0.1.0", true, r#""/t/it-1""#)).unwrap();
        assert_eq!((found.package.as_str(), found.name.as_str()), ("arshai-tests", "it"));
        assert_eq!((found.program, found.folder), (PathBuf::from("/t/it-1"), PathBuf::from("/w/tests")));
        assert_eq!(package_of("path+file:///w/arshai-core#0.1.0").as_deref(), Some("arshai-core"));
        assert_eq!(of_message(&message("path+file:///w/x#0.1.0", true, "null")), None);
        assert_eq!(of_message(&message("path+file:///w/x#0.1.0", false, r#""/t/x""#)), None);
        assert_eq!(of_message(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
