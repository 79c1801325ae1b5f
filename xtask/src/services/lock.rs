//! Locks between the commands of one checkout, held by a file each in `target/xtask/run`.
//!
//! Whoever takes more than one takes them in this order, so that no two commands wait for each other: `integration` or
//! `bench`; then services in the order of [`Service::ALL`]; then `packages`.

use std::{
    collections::BTreeSet,
    env,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
    process,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};

use super::{catalog::Service, folders::Folders, say};

/// How long a command waits for another one. It is longer than any of them works: fetching packages takes up to half an
/// hour for each, the tests on all engines several hours on a slow machine. The lock of a command that dies is free.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// How often a command that waits says so.
const REMINDER: Duration = Duration::from_secs(60);

/// While it lives, no other command of this checkout does the same: starts or stops a service, or fetches packages.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Waits for the lock, and says for whom when another command has it.
    pub(crate) fn take(folders: &Folders, name: &str) -> Result<Self> {
        Self::take_within(folders, name, PATIENCE, &mut |text| say(text))
    }

    fn take_within(
        folders: &Folders,
        name: &str,
        patience: Duration,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let path = folders.run()?.join(format!("{name}.lock"));
        // What stands in it belongs to the holder: it is not cut off here.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut lock = Self { file: file.with_context(|| format!("opening {}", path.display()))? };
        let start = Instant::now();
        let mut said = None;
        while flock(&lock.file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let waited = start.elapsed();
            if waited >= patience {
                bail!(
                    "{} has been busy with {name} for {} s; stop it, or try again later",
                    holder(&path),
                    waited.as_secs()
                );
            }
            if said.is_none_or(|said| waited.saturating_sub(said) >= REMINDER) {
                said = Some(waited);
                say(&format!("waiting for {}, which is busy with {name}", holder(&path)));
            }
            std::thread::sleep(Duration::from_millis(100).min(patience.saturating_sub(waited)));
        }
        lock.sign().with_context(|| format!("writing {}", path.display()))?;
        Ok(lock)
    }

    /// Writes who holds it.
    fn sign(&mut self) -> std::io::Result<()> {
        let words: Vec<String> = env::args().skip(1).collect();
        self.file.set_len(0)?;
        write!(self.file, "`cargo xtask {}` (pid {})", words.join(" "), process::id())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The name of one who is gone would mislead.
        let _ = self.file.set_len(0);
    }
}

fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(1024).read_to_string(&mut text));
    match read {
        Ok(1..) => text,
        _ => "another command".to_owned(),
    }
}

/// The locks of several services, taken in their order, whatever the order of the names.
pub(crate) fn take_all(
    folders: &Folders,
    services: impl IntoIterator<Item = Service>,
) -> Result<Vec<(Service, Lock)>> {
    let services: BTreeSet<Service> = services.into_iter().collect();
    services.into_iter().map(|service| Ok((service, Lock::take(folders, service.name())?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_waits_says_for_whom_and_gives_up_in_the_end() {
        let target = tempfile::tempdir().unwrap();
        let folders = Folders::below(target.path());
        let held = Lock::take(&folders, "redis").unwrap();
        let mut said = Vec::new();
        let mut say = |text: &str| said.push(text.to_owned());
        let error = Lock::take_within(&folders, "redis", Duration::from_millis(1), &mut say).unwrap_err();
        let own = format!("(pid {})", process::id());
        assert!(error.to_string().contains(&own), "{error}");
        assert!(
            said.len() == 1 && said[0].starts_with("waiting for `cargo xtask") && said[0].contains(&own),
            "{said:?}"
        );
        // The next one is told its own holder, not this one.
        drop(held);
        let path = folders.run().unwrap().join("redis.lock");
        assert_eq!(holder(&path), "another command");
        let _again = Lock::take_within(&folders, "redis", Duration::ZERO, &mut |_| ()).unwrap();
        assert!(holder(&path).contains(&own));
    }

    #[test]
    fn services_are_locked_in_one_order_and_each_once() {
        let target = tempfile::tempdir().unwrap();
        let folders = Folders::below(target.path());
        let locks = take_all(&folders, [Service::Milvus, Service::Redis, Service::Milvus]).unwrap();
        let order: Vec<Service> = locks.iter().map(|(service, _)| *service).collect();
        assert_eq!(order, [Service::Redis, Service::Milvus]);
    }
}
