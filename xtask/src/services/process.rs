//! What is started here: services as processes of this user, or as containers held by a process of this user.

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::{
    catalog::{Provider, Service},
    folders::Folders,
    health, logs,
    recipe::{self, Ports, Recipe},
    state::{Member, State},
    supervise::{CLEANUP, GRACE, Job, Supervised, clean_up},
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// How often a start is tried when the machine chose ports that somebody took in between.
const TRIES: usize = 3;

/// A service that was started here. Dropping it stops it; so does the end of this program, however it ends.
#[derive(Debug)]
pub(crate) struct Running {
    /// What is known of it.
    pub(crate) state: State,
    folders: Folders,
    supervised: Option<Supervised>,
}

impl Running {
    /// Starts a service that does not run, and waits until it is ready.
    pub(crate) fn start(
        service: Service,
        provider: Provider,
        folders: &Folders,
        port_base: Option<u16>,
    ) -> Result<Self> {
        let mut tries = 1;
        loop {
            let mut ports = Ports::new(port_base, service)?;
            let recipe = recipe::prepare(service, provider, folders, &mut ports)?;
            ports.release();
            match Self::launch(service, provider, folders, &recipe) {
                Err(error) if tries < TRIES && is_port_taken(&error) && ports.are_chosen_by_the_machine() => {
                    tries += 1;
                }
                done => return done.with_context(|| format!("starting {service}")),
            }
        }
    }

    fn launch(service: Service, provider: Provider, folders: &Folders, recipe: &Recipe) -> Result<Self> {
        let job = Job { launches: recipe.launches.clone(), cleanup: recipe.cleanup.clone() };
        // What a run left behind whose state is lost would be taken for ours.
        clean_up(job.cleanup.as_ref())?;
        let supervised = Supervised::start(&job)?;
        let state = State {
            service,
            provider,
            exports: recipe.exports(service),
            probes: recipe.probes.clone(),
            supervisor: Some(supervised.id.clone()),
            processes: supervised.members.clone(),
            cleanup: job.cleanup,
        };
        let running = Self { state, folders: folders.clone(), supervised: Some(supervised) };
        running.state.write(folders)?;
        match running.become_ready(recipe) {
            Ok(()) => Ok(running),
            Err(error) => bail!("{error:#}{}", running.ends_of_logs()),
        }
    }

    fn become_ready(&self, recipe: &Recipe) -> Result<()> {
        health::wait(&recipe.first, recipe.patience, || self.all_alive())?;
        if !recipe.cluster.is_empty() {
            recipe::form_cluster(&recipe.cluster).context("forming the cluster")?;
        }
        health::wait(&recipe.probes, recipe.patience, || self.all_alive())
    }

    fn all_alive(&self) -> Result<()> {
        match self.state.processes.iter().find(|member| !member.id.is_alive()) {
            Some(member) => bail!("{} ended before it was ready", member.name),
            None => Ok(()),
        }
    }

    /// Of those that ended; of all when none did.
    fn ends_of_logs(&self) -> String {
        let (alive, ended): (Vec<&Member>, Vec<&Member>) =
            self.state.processes.iter().partition(|member| member.id.is_alive());
        let shown = if ended.is_empty() { alive } else { ended };
        let ends = shown
            .iter()
            .map(|member| format!("\nthe end of {}:\n{}", member.log.display(), logs::tail(&member.log, 20)));
        ends.collect()
    }

    /// Lets it run on after this program.
    pub(crate) fn detach(mut self) -> Result<State> {
        if let Some(supervised) = self.supervised.take() {
            supervised.detach()?;
        }
        Ok(self.state.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(supervised) = self.supervised.take() {
            drop(supervised);
            let _ = State::remove(&self.folders, self.state.service);
        }
    }
}

fn is_port_taken(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}").to_lowercase();
    text.contains("address already in use") || text.contains("address in use")
}

/// Stops the processes of a service by the numbers they were started with, children included.
pub(crate) fn stop(state: &State) -> Result<()> {
    for (signal, patience) in [(Signal::TERM, GRACE), (Signal::KILL, GRACE)] {
        state.processes.iter().for_each(|member| member.id.signal_group(signal));
        if wait_until_gone(state, patience) {
            break;
        }
    }
    if let Some(supervisor) = &state.supervisor {
        // It collects its processes, cleans up and ends by itself.
        let start = Instant::now();
        while supervisor.is_alive() && start.elapsed() < GRACE + CLEANUP {
            thread::sleep(Duration::from_millis(10));
        }
        supervisor.signal(Signal::KILL);
    }
    // Once more, for a supervisor that did not live to do it; removing what is gone is no error.
    clean_up(state.cleanup.as_ref())?;
    match state.processes.iter().find(|member| member.id.is_alive()) {
        Some(member) => bail!("{} (pid {}) does not end", member.name, member.id.pid),
        None => Ok(()),
    }
}

fn wait_until_gone(state: &State, patience: Duration) -> bool {
    let start = Instant::now();
    loop {
        if state.processes.iter().all(|member| !member.id.is_alive()) {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
