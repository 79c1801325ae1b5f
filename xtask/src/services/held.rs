//! Services that run for a command: started by it and stopped with it, unless it lets them live on.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use super::{
    addresses,
    catalog::{Provider, Service},
    check, external,
    folders::Folders,
    lock::Lock,
    process::Running,
    recipe, say,
    state::{self, State},
    stop,
};

/// A service that answers. One that this command started stops when this is dropped; one that ran before stays.
#[derive(Debug)]
pub(crate) struct Held {
    // In this order: the service stops before another command may start it.
    running: Option<Running>,
    state: State,
    _lock: Option<Lock>,
}

impl Held {
    /// Starts a service and waits until it is ready; or finds it running, or outside. The lock is the service's own.
    pub(crate) fn start(
        folders: &Folders,
        service: Service,
        provider: Option<Provider>,
        port_base: Option<u16>,
        lock: Lock,
    ) -> Result<Self> {
        if provider == Some(Provider::External) {
            let state = external::find(service)?;
            check(&state)?;
            say(&format!("{service} answers at {}", addresses(&state)));
            return Ok(Self { running: None, state, _lock: None });
        }
        let lock = Some(lock);
        if let Some(state) = State::read(folders, service)? {
            match check(&state) {
                Err(_) if !state.may_run() => stop(folders, &state).with_context(|| {
                    format!("removing what is left of {service}, which ended without being stopped")
                })?,
                Ok(()) if provider.is_some_and(|provider| provider != state.provider) => bail!(
                    "{service} runs already, by the provider {}; stop it with `cargo xtask services down {service}`",
                    state.provider
                ),
                Ok(()) => {
                    say(&format!("{service} runs already at {} ({})", addresses(&state), state.provider));
                    return Ok(Self { running: None, state, _lock: lock });
                }
                Err(error) => {
                    say(&format!("{service} runs but does not answer ({error:#}); starting it anew"));
                    stop(folders, &state)?;
                }
            }
        }
        let provider = provider.unwrap_or_else(|| match recipe::has_images(service, folders) {
            true => Provider::Docker,
            false => Provider::Process,
        });
        let running = Running::start(service, provider, folders, port_base)?;
        let state = running.state.clone();
        say(&format!("{service} is ready at {} ({})", addresses(&state), state.provider));
        Ok(Self { running: Some(running), state, _lock: lock })
    }

    /// Where tests find it: variables and their values.
    pub(crate) fn exports(&self) -> &BTreeMap<String, String> {
        &self.state.exports
    }

    /// Who runs it.
    pub(crate) fn provider(&self) -> Provider {
        self.state.provider
    }

    /// Lets all of them run on after this program, and writes where they are to the file `env`.
    pub(crate) fn keep_all(folders: &Folders, all: impl IntoIterator<Item = Self>) -> Result<()> {
        for mut held in all {
            if let Some(running) = held.running.take() {
                running.detach()?;
            }
        }
        state::write_exports(folders)
    }
}
