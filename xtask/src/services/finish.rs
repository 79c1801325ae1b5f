//! Other programs run to their end, in finite time.

use std::{
    fs::OpenOptions,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::logs;

/// Runs a command to its end with its output in a log, whose end is shown when the command fails.
pub(crate) fn finish(mut command: Command, log: &Path, patience: Duration) -> Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    let file = file.with_context(|| format!("writing {}", log.display()))?;
    let errors = file.try_clone().context("sharing a log")?;
    command.stdin(Stdio::null()).stdout(file).stderr(errors);
    let mut child =
        command.spawn().with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("waiting")? {
            break status;
        }
        if start.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            bail!("gave up after {} s; see {}", patience.as_secs(), log.display());
        }
        thread::sleep(Duration::from_millis(50));
    };
    ensure!(status.success(), "{status}:\n{}", logs::tail(log, 20));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_shows_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo the reason; exit 3"]);
        let error =
            finish(command, &folder.path().join("log"), Duration::from_secs(60)).unwrap_err().to_string();
        assert!(error.contains("the reason") && error.contains('3'), "{error}");
    }

    #[test]
    fn a_command_that_does_not_end_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("600");
        let error = finish(command, &folder.path().join("log"), Duration::ZERO).unwrap_err().to_string();
        assert!(error.starts_with("gave up after 0 s"), "{error}");
    }
}
