//! What is known of a running service, in `target/xtask/run/NAME.json`, so that another command can find and stop it.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{
    catalog::{Provider, Service},
    folders::Folders,
    health::Probe,
    identity::ProcessId,
    supervise::Launch,
};

/// One running service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Which one.
    pub(crate) service: Service,
    /// Who runs it.
    pub(crate) provider: Provider,
    /// Variables and their values: where tests find it.
    pub(crate) exports: BTreeMap<String, String>,
    /// How to ask whether it answers.
    pub(crate) probes: Vec<Probe>,
    /// The program that watches over the processes; none for what others run.
    pub(crate) supervisor: Option<ProcessId>,
    /// Its processes, each the leader of a group of its own.
    pub(crate) processes: Vec<Member>,
    /// What removes what outlives its processes.
    pub(crate) cleanup: Option<Launch>,
}

/// One process of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Its role, as in the name of its log.
    pub(crate) name: String,
    /// The process.
    pub(crate) id: ProcessId,
    /// Where it writes.
    pub(crate) log: PathBuf,
}

impl State {
    /// The state of a service that runs: something of it at least.
    pub(crate) fn running(folders: &Folders, service: Service) -> Result<Option<Self>> {
        Ok(Self::read(folders, service)?.filter(Self::may_run))
    }

    /// The last known state of a service. When nothing of it runs any more, a restart of the machine or a kill ended
    /// it, and what outlives its processes may still be there.
    pub(crate) fn read(folders: &Folders, service: Service) -> Result<Option<Self>> {
        let path = path(folders, service)?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let state: Self = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is not a state this version wrote; stop what it names by hand and remove it",
                path.display()
            )
        })?;
        Ok(Some(state))
    }

    /// Whether any process of it is alive. That of containers is the compose command that holds them.
    pub(crate) fn may_run(&self) -> bool {
        self.processes.iter().any(|member| member.id.is_alive())
    }

    /// Writes the state, whole or not at all.
    pub(crate) fn write(&self, folders: &Folders) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("encoding a state")?;
        write_whole(&path(folders, self.service)?, &text)
    }

    /// Forgets a service.
    pub(crate) fn remove(folders: &Folders, service: Service) -> Result<()> {
        let path = path(folders, service)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn path(folders: &Folders, service: Service) -> Result<PathBuf> {
    Ok(folders.run()?.join(format!("{service}.json")))
}

fn write_whole(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, text).with_context(|| format!("writing {}", draft.display()))?;
    fs::rename(&draft, path).with_context(|| format!("writing {}", path.display()))
}

/// `export NAME='value'` for everything that runs, for `eval` and `source`.
pub(crate) fn exports(folders: &Folders) -> Result<String> {
    let mut lines = String::new();
    for service in Service::ALL {
        for (name, value) in State::running(folders, service)?.map(|state| state.exports).unwrap_or_default()
        {
            lines.push_str(&export(&name, &value));
        }
    }
    Ok(lines)
}

/// One such line.
pub(crate) fn export(name: &str, value: &str) -> String {
    format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
}

/// Writes those lines to `target/xtask/run/env`.
pub(crate) fn write_exports(folders: &Folders) -> Result<()> {
    write_whole(&folders.run()?.join("env"), &exports(folders)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(pid: u32, start: &str) -> State {
        State {
            service: Service::Redis,
            provider: Provider::Process,
            exports: BTreeMap::from([("ARSHAI_TEST_REDIS_URL".to_owned(), "redis://it's".to_owned())]),
            probes: vec![Probe::Http { address: "127.0.0.1:1".to_owned(), path: "/health".to_owned() }],
            supervisor: None,
            processes: vec![Member {
                name: "redis".to_owned(),
                id: ProcessId { pid, start: start.to_owned() },
                log: PathBuf::from("redis.log"),
            }],
            cleanup: None,
        }
    }

    #[test]
    fn a_state_comes_back_while_its_process_lives() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::below(folder.path());
        let own = ProcessId::of(std::process::id()).unwrap();
        let state = state(own.pid, &own.start);
        state.write(&folders).unwrap();
        assert_eq!(State::running(&folders, Service::Redis).unwrap(), Some(state));
        assert_eq!(State::running(&folders, Service::Milvus).unwrap(), None);
        assert_eq!(exports(&folders).unwrap(), "export ARSHAI_TEST_REDIS_URL='redis://it'\\''s'\n");
    }

    #[test]
    fn a_process_that_is_gone_does_not_run_and_is_not_exported() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::below(folder.path());
        // Our own number, started at another time: a pid in use again.
        state(std::process::id(), "another boot/1").write(&folders).unwrap();
        assert_eq!(State::running(&folders, Service::Redis).unwrap(), None);
        assert!(State::read(&folders, Service::Redis).unwrap().is_some(), "nobody can clean up after it");
        assert_eq!(exports(&folders).unwrap(), "");
    }

    #[test]
    fn a_state_of_another_version_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::below(folder.path());
        let path = path(&folders, Service::Redis).unwrap();
        fs::write(&path, "{}").unwrap();
        assert!(State::read(&folders, Service::Redis).is_err());
        assert!(path.exists());
    }
}
