//! `cargo xtask services`: the real engines that the tests talk to, started, asked, and stopped.

mod catalog;
mod dial;
mod external;
mod finish;
mod folders;
mod health;
mod held;
mod http;
mod identity;
mod lock;
mod logs;
mod packages;
mod process;
mod recipe;
mod resp;
mod state;
mod supervise;
mod tls;

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};

use self::state::State;
pub(crate) use self::{
    catalog::{Provider, Service},
    folders::Folders,
    held::Held,
    lock::{Lock, take_all},
    logs::tail,
    packages::{Python, library},
    recipe::{has_container, redis_server},
    supervise::{End, Job, Launch, Supervised, run as supervise},
    tls::terminate as terminate_tls,
};

/// What is done with the services.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start services, all or none, and wait until they are ready; one that runs already is left as it is
    Up(Up),
    /// Stop services: those named, or all
    Down(Names),
    /// Show what runs, where, and whether it answers
    Status(Status),
    /// Show the end of what services printed
    Logs(Logs),
}

/// Which services.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// The services
    #[arg(value_enum)]
    names: Vec<Service>,
}

/// `services up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The services
    #[arg(value_enum, required = true)]
    names: Vec<Service>,
    /// Who runs them; by default containers where an engine has their images already, else processes
    #[arg(long, value_enum)]
    provider: Option<Provider>,
    /// Ports from this number on, instead of free ones that the machine chooses
    #[arg(long)]
    port_base: Option<u16>,
    /// Print only lines that set the variables with the addresses, for `eval`
    #[arg(long)]
    env: bool,
}

/// `services status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    names: Names,
    /// `external` shows the services that the environment names
    #[arg(long, value_enum)]
    provider: Option<Provider>,
    /// Print only lines that set the variables with the addresses, for `eval`
    #[arg(long)]
    env: bool,
}

/// `services logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    names: Names,
    /// How many lines of each log
    #[arg(long, default_value_t = 50)]
    lines: usize,
}

impl Names {
    /// Each once and in order; all when none is named.
    fn all(&self) -> Vec<Service> {
        let named: BTreeSet<Service> = self.names.iter().copied().collect();
        if named.is_empty() { Service::ALL.into() } else { named.into_iter().collect() }
    }
}

/// Runs one of the commands.
pub(crate) fn run(command: &Command) -> Result<()> {
    let folders = Folders::of_checkout();
    match command {
        Command::Up(up) => start_all(&folders, up),
        Command::Down(names) => stop_all(&folders, names),
        Command::Status(status) => show(&folders, status),
        Command::Logs(logs) => show_logs(&folders, logs),
    }
}

/// Progress, apart from what a command is asked to print.
fn say(text: &str) {
    eprintln!("services: {text}");
}

/// What a command is asked to print. Whoever reads it may stop reading, as `head` does.
fn write_out(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("printing"),
        _ => Ok(()),
    }
}

/// All of them or none: what was started before one that fails, or before an interrupt, is stopped again.
fn start_all(folders: &Folders, up: &Up) -> Result<()> {
    let names = Names { names: up.names.clone() };
    let mut all = Vec::new();
    for service in names.all() {
        // One after the other, in the order in which services are locked.
        let lock = Lock::take(folders, service.name())?;
        all.push(Held::start(folders, service, up.provider, up.port_base, lock)?);
    }
    let external = up.provider == Some(Provider::External);
    let mut outside = String::new();
    if external {
        let exports = all.iter().flat_map(Held::exports);
        exports.for_each(|(name, value)| outside.push_str(&state::export(name, value)));
    }
    Held::keep_all(folders, all)?;
    if up.env {
        write_out(&format!("{}{outside}", state::exports(folders)?))?;
    } else if !external {
        let path = folders.run()?.join("env");
        say(&format!("the variables for tests are in {}", path.display()));
    }
    Ok(())
}

fn stop_all(folders: &Folders, names: &Names) -> Result<()> {
    for service in names.all() {
        let _lock = Lock::take(folders, service.name())?;
        if let Some(state) = State::read(folders, service)? {
            let ran = state.may_run();
            stop(folders, &state)?;
            let word = if ran { "is stopped" } else { "had ended; what was left of it is removed" };
            say(&format!("{service} {word}"));
        }
    }
    state::write_exports(folders)
}

fn stop(folders: &Folders, state: &State) -> Result<()> {
    process::stop(state).with_context(|| format!("stopping {}", state.service))?;
    State::remove(folders, state.service)
}

fn check(state: &State) -> Result<()> {
    if let Some(member) = state.processes.iter().find(|member| !member.id.is_alive()) {
        bail!("{} (pid {}) ended", member.name, member.id.pid);
    }
    state.probes.iter().try_for_each(health::Probe::check)
}

fn addresses(state: &State) -> String {
    state.probes.iter().map(health::Probe::address).collect::<Vec<_>>().join(" ")
}

fn show(folders: &Folders, status: &Status) -> Result<()> {
    if status.env {
        return write_out(&state::exports(folders)?);
    }
    let mut table = format!("{:16} {:9} {:10} {:>8}  address\n", "service", "provider", "state", "pid");
    for service in status.names.all() {
        let state = match status.provider {
            Some(Provider::External) => external::find(service).ok(),
            _ => State::running(folders, service)?,
        };
        let wanted = |state: &State| status.provider.is_none_or(|provider| provider == state.provider);
        let Some(state) = state.filter(wanted) else {
            table.push_str(&format!("{service:16} {:9} {:10} {:>8}\n", "-", "stopped", "-"));
            continue;
        };
        let health = check(&state);
        let word = if health.is_ok() { "ready" } else { "unwell" };
        let pid = state.processes.first().map_or_else(|| "-".to_owned(), |member| member.id.pid.to_string());
        let line = format!("{service:16} {:9} {word:10} {pid:>8}  {}\n", state.provider, addresses(&state));
        table.push_str(&line);
        if let Err(error) = health {
            table.push_str(&format!("{:16} {error:#}\n", ""));
        }
    }
    write_out(&table)
}

fn show_logs(folders: &Folders, logs: &Logs) -> Result<()> {
    let folder = folders.logs()?;
    for service in logs.names.all() {
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(&folder).context("listing the logs")? {
            let path = entry?.path();
            let role = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if role == service.name() || role.strip_prefix(service.name()).is_some_and(|r| r.starts_with('.'))
            {
                files.push(path);
            }
        }
        files.sort();
        for file in files {
            let end = tail(&file, logs.lines);
            write_out(&format!("==> {} <==\n{end}\n\n", file.display()))?;
        }
    }
    Ok(())
}
