//! A copy of the file as it stands at one moment.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use arshai_core::{Deadline, Effect, Error, ErrorKind};
use rusqlite::{
    Connection, TransactionBehavior,
    backup::{Backup, StepResult},
};

use crate::{error::Outcome, session::Session};

const PAGES_PER_STEP: i32 = 1024;

pub(crate) fn run(session: &mut Session, from: &Path, to: &Path, deadline: Deadline) -> Outcome<()> {
    refuse_unsafe(from, to)?;
    let partial = Partial::create(to)?;
    copy(session, &partial.path, deadline)?;
    partial.finish(to)
}

/// A target that is this file, or that somebody has open, would be destroyed and not replaced.
fn refuse_unsafe(from: &Path, to: &Path) -> Outcome<()> {
    let same = match (fs::canonicalize(from), fs::canonicalize(to)) {
        (Ok(from), Ok(to)) => from == to,
        _ => from == to,
    };
    if same {
        return Err(Error::invalid("a backup goes to another file")
            .with_context("path", to.display())
            .into());
    }
    if beside(to, "", "-wal").exists() {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            "a program has the target of the backup open as a database; name another target",
        )
        .with_context("path", to.display())
        .into());
    }
    Ok(())
}

fn copy(session: &mut Session, to: &Path, deadline: Deadline) -> Outcome<()> {
    // Reading something first fixes the moment: what others write from here on is not seen, and does not make the
    // copy begin again.
    let moment = session.connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    moment.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    let mut target = Connection::open(to)?;
    target.execute_batch("PRAGMA synchronous = FULL;")?;
    {
        let backup = Backup::new(&moment, &mut target)?;
        loop {
            if deadline.is_past() {
                return Err(Deadline::error("sqlite.backup", Effect::NotApplied).into());
            }
            match backup.step(PAGES_PER_STEP)? {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        }
    }
    target.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// The unfinished copy; gone when it is not finished.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn create(to: &Path) -> Outcome<Self> {
        let path = beside(to, ".", &format!(".partial-{:08x}", fastrand::u32(..)));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).map_err(|error| failed(error, to))?;
        Ok(Self { path })
    }

    fn finish(self, to: &Path) -> Outcome<()> {
        let finish = || {
            fs::File::open(&self.path)?.sync_all()?;
            fs::rename(&self.path, to)?;
            if let Some(folder) = to.parent() {
                // Some systems cannot sync a folder; the copy itself is on the disk by now.
                drop(fs::File::open(folder).and_then(|folder| folder.sync_all()));
            }
            Ok(())
        };
        finish().map_err(|error: std::io::Error| failed(error, to).into())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        for end in ["", "-journal", "-wal", "-shm"] {
            // After the rename there is nothing left, and that is fine.
            drop(fs::remove_file(beside(&self.path, "", end)));
        }
    }
}

fn beside(path: &Path, start: &str, end: &str) -> PathBuf {
    let mut name = OsString::from(start);
    name.push(path.file_name().unwrap_or_default());
    name.push(end);
    path.with_file_name(name)
}

fn failed(error: std::io::Error, to: &Path) -> Error {
    Error::new(ErrorKind::Io, "the backup cannot be written; look at the folder and its permissions")
        .with_context("path", to.display())
        .with_source(error)
}
