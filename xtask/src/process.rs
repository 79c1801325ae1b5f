//! Running other programs and saying clearly when they fail.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::workspace;

/// `cargo` with these arguments, in the workspace: the same cargo that started us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace::root());
    command
}

/// This program, to be started once more: also after a build has put a new one in its place, as `cargo test` on the
/// whole workspace may do while we run.
pub(crate) fn own_program() -> Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    match running.exists() {
        true => Ok(running.to_path_buf()),
        false => std::env::current_exe().context("finding this program"),
    }
}

/// Whether a command runs at all and succeeds; its output is not shown.
pub(crate) fn works(mut command: Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs a command with its output shown as it comes.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let line = shown(&command);
    let status = command.status().with_context(|| format!("starting `{line}`"))?;
    match status.success() {
        true => Ok(()),
        false => bail!("`{line}` failed ({status})"),
    }
}

/// Which output of a command is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Runs a command, shows its output as it comes, and returns the lines of one of its two outputs.
pub(crate) fn run_and_read(command: Command, output: Output) -> Result<Vec<String>> {
    let (lines, outcome) = run_and_keep(command, output)?;
    outcome.map(|()| lines)
}

/// The same, with the lines also of a command that fails.
pub(crate) fn run_and_keep(mut command: Command, output: Output) -> Result<(Vec<String>, Result<()>)> {
    let line = shown(&command);
    match output {
        Output::Stdout => command.stdout(Stdio::piped()),
        Output::Stderr => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().with_context(|| format!("starting `{line}`"))?;
    let lines = match output {
        Output::Stdout => child.stdout.take().map(|pipe| copy_lines(pipe, std::io::stdout())),
        Output::Stderr => child.stderr.take().map(|pipe| copy_lines(pipe, std::io::stderr())),
    };
    let status = child.wait().with_context(|| format!("waiting for `{line}`"))?;
    let lines = lines.context("the output of the command was not read")??;
    let outcome = match status.success() {
        true => Ok(()),
        false => Err(anyhow!("`{line}` failed ({status})")),
    };
    Ok((lines, outcome))
}

/// Runs a command and returns its standard output; it is not shown.
pub(crate) fn read(mut command: Command) -> Result<Vec<u8>> {
    let line = shown(&command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("starting `{line}`"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => bail!("`{line}` failed ({})", output.status),
    }
}

/// Runs a command and gives each line of its standard output to `take` as it comes.
pub(crate) fn run_and_sort(mut command: Command, mut take: impl FnMut(&str)) -> Result<()> {
    let line = shown(&command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting `{line}`"))?;
    let pipe = child.stdout.take().context("the output of the command was not read")?;
    for line in BufReader::new(pipe).lines() {
        take(&line.context("reading what a command prints")?);
    }
    let status = child.wait().with_context(|| format!("waiting for `{line}`"))?;
    match status.success() {
        true => Ok(()),
        false => bail!("`{line}` failed ({status})"),
    }
}

fn copy_lines(from: impl std::io::Read, mut to: impl std::io::Write) -> Result<Vec<String>> {
    let mut from = BufReader::new(from);
    let mut lines = Vec::new();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    Ok(lines)
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .map(|word| if word.contains(' ') { format!("{word:?}") } else { word.into_owned() })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named() {
        let error = run(cargo(&["no-such-subcommand-of-cargo"])).unwrap_err();
        assert!(error.to_string().starts_with("`cargo no-such-subcommand-of-cargo` failed"), "{error}");
    }

    #[test]
    fn lines_are_read_and_the_last_needs_no_line_break() {
        let mut copy = Vec::new();
        let lines = copy_lines(&b"one\r\ntwo"[..], &mut copy).unwrap();
        assert_eq!((lines, copy.as_slice()), (vec!["one".to_owned(), "two".to_owned()], &b"one\r\ntwo"[..]));
    }
}
