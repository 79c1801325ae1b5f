//! The handle a test holds.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    Event, Fault, Plan, Stats, Upstream,
    listen::{self, Command, Port},
    shared::Shared,
};

const WAIT: Duration = Duration::from_secs(10);

/// A TCP proxy on a loopback port that breaks connections on purpose; see the [module](super) for how to say what.
///
/// Dropping it aborts its tasks, which closes its sockets; [`FaultProxy::shutdown`] also waits for that.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy before `upstream`, with nothing wrong yet. The upstream is connected to once for each client, when
    /// the client connects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when no loopback port can be bound.
    ///
    /// # Cancel safety
    ///
    /// It does not wait; a dropped future leaves nothing behind.
    pub async fn start(upstream: impl Into<Upstream>) -> Result<Self> {
        Self::open(upstream.into(), false)
    }

    /// The same for an upstream that speaks HTTP/2 in cleartext with prior knowledge, such as gRPC without TLS:
    /// requests and replies are told apart by the streams' HEADERS frames.
    ///
    /// # Errors
    ///
    /// Those of [`FaultProxy::start`].
    ///
    /// # Cancel safety
    ///
    /// That of [`FaultProxy::start`].
    pub async fn start_http2(upstream: impl Into<Upstream>) -> Result<Self> {
        Self::open(upstream.into(), true)
    }

    fn open(upstream: Upstream, http2: bool) -> Result<Self> {
        let port = Port::open().map_err(|error| {
            Error::new(ErrorKind::Io, "cannot listen on a loopback port; look at the limit of open files")
                .with_operation("fault_proxy.start")
                .with_source(error)
        })?;
        let address = port.address();
        let shared = Shared::new(http2);
        let (commands, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(listen::run(port, upstream, Arc::clone(&shared), receiver));
        Ok(Self { address, shared, commands, task })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port clients connect to, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `scheme://127.0.0.1:port`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Replaces the plan. Connections are counted from 0 again; what the former plan did to open connections ends.
    pub fn plan(&self, plan: Plan) {
        self.shared.set_plan(plan);
    }

    /// Sets one fault live, for open connections and new ones, in place of the plan, until [`FaultProxy::heal`] or the
    /// next `set`. When it returns, [`Fault::reset`], [`Fault::close`] and [`Fault::down`] have ended every
    /// connection that was open, and refusing faults have closed the listener.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] when connections do not end within the [`Deadline`] (10 s); [`ErrorKind::Unavailable`]
    /// when a port that was closed before cannot be listened on again.
    ///
    /// # Cancel safety
    ///
    /// The fault is set before the first wait: a dropped future only gives up waiting for it to take effect.
    pub async fn set(&self, fault: Fault) -> Result<()> {
        let ends_all = fault.ends_all();
        self.shared.set_live(Some(fault));
        self.ask("fault_proxy.set", |done| Command::Follow { ends_all, done }).await
    }

    /// Ends every fault: the one set live, the plan, and one still waiting for its request. What a stall held arrives;
    /// a closed listener opens on the same port.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] when the port cannot be listened on again.
    ///
    /// # Cancel safety
    ///
    /// Faults are ended before the first wait; the listener opens even when the future is dropped.
    pub async fn heal(&self) -> Result<()> {
        self.shared.set_next_request(None);
        self.shared.set_plan(Plan::new());
        self.shared.set_live(None);
        self.ask("fault_proxy.heal", |done| Command::Follow { ends_all: false, done }).await
    }

    /// Lets the next request that begins, on whichever connection, meet `fault`, once; its triggers count from that
    /// request. A second call before that replaces the fault.
    pub fn next_request(&self, fault: Fault) {
        self.shared.set_next_request(Some(Fault { request: None, ..fault }));
    }

    /// Counts so far.
    pub fn stats(&self) -> Stats {
        *self.shared.stats.borrow()
    }

    /// The faults that took effect so far, at most the first 100,000.
    pub fn events(&self) -> Vec<Event> {
        self.shared.events()
    }

    /// Waits until the counts are as wanted, and returns them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] with the counts when they are not by the [`Deadline`] (10 s).
    ///
    /// # Cancel safety
    ///
    /// It only looks.
    pub async fn until(&self, wanted: impl FnMut(&Stats) -> bool) -> Result<Stats> {
        self.observer().until(wanted).await
    }

    /// A second pair of eyes, which stays valid after the proxy has been dropped.
    pub fn observer(&self) -> Observer {
        Observer { shared: Arc::clone(&self.shared) }
    }

    /// Ends every connection and the listener, waits until all are gone, and returns the last counts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] when they have not ended by the [`Deadline`] (10 s).
    ///
    /// # Cancel safety
    ///
    /// A dropped future drops the proxy, which ends the same things without waiting.
    pub async fn shutdown(self) -> Result<Stats> {
        self.ask("fault_proxy.shutdown", |done| Command::Stop { done }).await?;
        Ok(self.stats())
    }

    async fn ask(
        &self,
        operation: &'static str,
        command: impl FnOnce(oneshot::Sender<Result<()>>) -> Command,
    ) -> Result<()> {
        let gone = || {
            Error::new(ErrorKind::Closed, "the proxy's task has ended; is its runtime still running?")
                .with_operation(operation)
        };
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).map_err(|_| gone())?;
        let answered = async { answer.await.unwrap_or_else(|_| Err(gone())) };
        Deadline::current_or(WAIT).run(operation, Effect::Unknown, answered).await
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Looks at a proxy's counts and events, also from another task and after the proxy has gone.
#[derive(Debug, Clone)]
pub struct Observer {
    shared: Arc<Shared>,
}

impl Observer {
    /// As [`FaultProxy::stats`].
    pub fn stats(&self) -> Stats {
        *self.shared.stats.borrow()
    }

    /// As [`FaultProxy::events`].
    pub fn events(&self) -> Vec<Event> {
        self.shared.events()
    }

    /// As [`FaultProxy::until`].
    ///
    /// # Errors
    ///
    /// Those of [`FaultProxy::until`].
    ///
    /// # Cancel safety
    ///
    /// It only looks.
    pub async fn until(&self, mut wanted: impl FnMut(&Stats) -> bool) -> Result<Stats> {
        let mut stats = self.shared.stats.subscribe();
        let seen = async {
            let seen = stats.wait_for(|stats| wanted(stats)).await;
            seen.map(|stats| *stats).map_err(|_| Error::internal("the counts have no owner"))
        };
        let seen = Deadline::current_or(WAIT).run("fault_proxy.until", Effect::NotApplied, seen).await;
        seen.map_err(|error| error.with_context("stats", format!("{:?}", self.stats())))
    }
}
