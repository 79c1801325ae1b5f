//! Tests of what a program reads from its environment, each in a process of its own.

use std::process::Command;

const INSIDE: &str = "ARSHAI_TEST_INSIDE";

/// Runs `body` in another process, in which of our variables only these are set: this program again, told to run the
/// test that calls this. What it printed; `None` in that other process.
pub(crate) fn with_variables(
    module: &str,
    test: &str,
    variables: &[(&str, &str)],
    body: impl FnOnce(),
) -> Option<String> {
    let path = module.split_once("::").map_or(test.to_owned(), |(_, module)| format!("{module}::{test}"));
    if std::env::var(INSIDE).is_ok_and(|inside| inside == path) {
        body();
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let ours = ["ARSHAI_", "AZURE_", "MILVUS_", "OPENAI_", "REDIS_"].iter().any(|p| name.starts_with(p));
        if ours && !name.starts_with("ARSHAI_TEST_") {
            command.env_remove(name);
        }
    }
    command.env_remove("ENABLE_ASYNC_OPERATIONS").env_remove("ASYNC_FALLBACK_TO_SYNC");
    command.args([&path, "--exact", "--nocapture", "--test-threads=1"]);
    let output = command.envs(variables.iter().copied()).env(INSIDE, &path).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{path} with {variables:?}\n{printed}\n{said}");
    assert!(printed.contains("1 passed"), "{path} is no test: {printed}");
    Some(printed)
}
