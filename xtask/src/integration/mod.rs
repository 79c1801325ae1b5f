//! `cargo xtask integration`: every backend's tests on the engines they are for, started here and stopped again.
//!
//! Nothing is skipped: an engine that cannot be had, a binary in which no test ran, a suite that was not heard of, a
//! check without an engine, and an engine that can do more or less than expected each fail the run.

mod catalog;
mod expected;
mod outcome;
mod printed;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

pub(crate) use self::catalog::{ENTRIES, holds};
use self::{catalog::Run, expected::Expected, outcome::Outcome};
use crate::{
    services::{Folders, Held, Lock, Provider, Service, has_container, redis_server, take_all},
    test_binaries::{self, TestBinary},
    workspace,
};

/// `cargo xtask integration`.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Only these engines, services, suites, packages or test binaries
    #[arg(long, num_args = 1..)]
    only: Vec<String>,
    /// Who runs the services; by default containers where an engine has their images already, else processes
    #[arg(long, value_enum)]
    provider: Option<Provider>,
    /// Leave the services running afterwards; `cargo xtask services down` stops them
    #[arg(long)]
    keep: bool,
    /// A program in place of every test binary, for the tests of this command itself
    #[arg(long, hide = true)]
    binary: Option<PathBuf>,
}

impl Options {
    /// Everything, on services that are processes of this user.
    pub(crate) fn everything_as_processes() -> Self {
        Self { provider: Some(Provider::Process), ..Self::default() }
    }
}

/// Runs what is asked for, prints the table, and returns how many tests passed.
pub(crate) fn run(options: &Options) -> Result<u64> {
    let expected = Expected::of_checkout()?;
    let runs = catalog::select(&options.only)?;
    let folders = Folders::of_checkout();
    let _lock = Lock::take(&folders, "integration")?;
    let binaries = match &options.binary {
        Some(program) => Binaries::InPlace(program.clone()),
        None => Binaries::built_for(&runs)?,
    };
    // All at once and in their order: taken one by one as they are needed, they could be those that another command
    // has, which waits for one of ours.
    let services: BTreeSet<Service> = runs.iter().flat_map(|run| run.engine.services).copied().collect();
    let mut engines = Engines::new(&folders, options.provider, take_all(&folders, services)?);
    let mut outcomes = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        println!("{}/{} on {}", run.entry.package, run.entry.binary, run.engine.name);
        outcomes.push(match engines.start(run.engine.services) {
            Ok(variables) => Outcome::of(*run, &binaries.of(run)?, variables, &folders),
            Err(error) => Outcome::missing(*run, format!("{error:#}")),
        });
        if !options.keep {
            let rest = runs.iter().skip(at + 1).flat_map(|run| run.engine.services);
            engines.stop_all_but(&rest.copied().collect());
        }
    }
    if options.keep {
        engines.keep()?;
    }
    outcomes.iter().for_each(table::print_figures);
    table::print(&outcomes);
    let problems = expected.problems(&outcomes);
    if !problems.is_empty() {
        bail!("this is wrong:\n- {}", problems.join("\n- "));
    }
    let tests = outcomes.iter().map(|outcome| outcome.tests.passed).sum();
    let checks: usize =
        outcomes.iter().flat_map(|outcome| &outcome.reports).map(|report| report.passed.len()).sum();
    println!("{tests} tests passed, with {checks} checks of the suites in them");
    Ok(tests)
}

/// Whether tests that start further servers of this kind do not find the program by asking the service: it may run in a
/// container, or on another machine.
fn lacks_program(service: Service, provider: Provider) -> bool {
    service.is_redis() && provider != Provider::Process
}

/// The path with the folder of a program before all others.
fn search_path(program: &Path) -> Result<String> {
    let own = program.parent().context("the program is in no folder")?.to_path_buf();
    let usual = env::var_os("PATH").unwrap_or_default();
    let all = env::join_paths(std::iter::once(own).chain(env::split_paths(&usual)))?;
    all.into_string().ok().context("PATH is not Unicode")
}

/// The programs to run.
enum Binaries {
    Built(Vec<TestBinary>),
    InPlace(PathBuf),
}

impl Binaries {
    fn built_for(runs: &[Run]) -> Result<Self> {
        let names: BTreeSet<&str> = runs.iter().map(|run| run.entry.binary).collect();
        Ok(Self::Built(test_binaries::build(&names.into_iter().collect::<Vec<_>>())?))
    }

    fn of(&self, run: &Run) -> Result<TestBinary> {
        let (package, name) = (run.entry.package, run.entry.binary);
        match self {
            Self::Built(all) => {
                let found = all.iter().find(|binary| binary.package == package && binary.name == name);
                found.cloned().with_context(|| format!("cargo built no test {name} of {package}"))
            }
            Self::InPlace(program) => Ok(TestBinary {
                package: package.to_owned(),
                name: name.to_owned(),
                program: program.clone(),
                folder: workspace::root(),
            }),
        }
    }
}

/// The services that run for us. They stop with this value, and with this program however it ends.
struct Engines<'a> {
    folders: &'a Folders,
    provider: Option<Provider>,
    /// Of those that were not started yet.
    locks: BTreeMap<Service, Lock>,
    held: BTreeMap<Service, Held>,
    /// Those that did not start: they are not tried once more.
    failed: BTreeMap<Service, String>,
}

impl<'a> Engines<'a> {
    fn new(folders: &'a Folders, provider: Option<Provider>, locks: Vec<(Service, Lock)>) -> Self {
        let locks = locks.into_iter().collect();
        Self { folders, provider, locks, held: BTreeMap::new(), failed: BTreeMap::new() }
    }

    /// Starts what does not run yet, and says where all of it is found.
    fn start(&mut self, services: &[Service]) -> Result<BTreeMap<String, String>> {
        let mut variables = BTreeMap::new();
        for service in services {
            if let Some(error) = self.failed.get(service) {
                bail!("{error}");
            }
            if !self.held.contains_key(service) {
                let lock = self.locks.remove(service).context("a service is started twice")?;
                match Held::start(self.folders, *service, self.provider_of(*service), None, lock) {
                    Ok(held) => drop(self.held.insert(*service, held)),
                    Err(error) => {
                        let text = format!("the service {service} is missing: {error:#}");
                        self.failed.insert(*service, text.clone());
                        bail!("{text}");
                    }
                }
            }
            let exports = self.held.get(service).into_iter().flat_map(Held::exports);
            variables.extend(exports.map(|(name, value)| (name.clone(), value.clone())));
            variables.extend(self.server_program(*service));
        }
        Ok(variables)
    }

    /// Who runs a service: what has no container runs as a process beside those that have.
    fn provider_of(&self, service: Service) -> Option<Provider> {
        let as_process = self.provider == Some(Provider::Docker) && !has_container(service);
        if as_process {
            println!("{service} has no compose file and runs as a process");
        }
        if as_process { Some(Provider::Process) } else { self.provider }
    }

    /// Some tests start further servers of the same kind, which they find on the path when the service itself is no
    /// process of ours.
    fn server_program(&self, service: Service) -> Option<(String, String)> {
        let held = self.held.get(&service)?;
        if !lacks_program(service, held.provider()) {
            return None;
        }
        match redis_server(self.folders).and_then(|program| search_path(&program)) {
            Ok(path) => Some(("PATH".to_owned(), path)),
            Err(error) => {
                println!("the tests that start a redis-server find only one of the path: {error:#}");
                None
            }
        }
    }

    fn stop_all_but(&mut self, needed: &BTreeSet<Service>) {
        self.held.retain(|service, _| needed.contains(service));
    }

    fn keep(self) -> Result<()> {
        Held::keep_all(self.folders, self.held.into_values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_start_servers_are_given_the_program_unless_the_service_is_a_process() {
        for provider in [Provider::Docker, Provider::External] {
            assert!(
                lacks_program(Service::Redis, provider) && lacks_program(Service::RedisSentinel, provider)
            );
            assert!(!lacks_program(Service::Milvus, provider));
        }
        assert!(!lacks_program(Service::Redis, Provider::Process));
    }
}
