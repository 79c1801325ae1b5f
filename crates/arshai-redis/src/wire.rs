//! Sending commands: connecting when needed, repeating what may be repeated, ending at the deadline.
//!
//! Every command given to [`Wire::run`] may be executed twice without harm; that is what the compare-and-set is for.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use fred::types::{Value, config::TlsConfig};
use tracing::Instrument as _;

use crate::{
    config::RedisConfig,
    connection::{Command, Connection, closed, tls_of},
    reply::{Verdict, judge},
    script,
};

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// An attempt to connect is not given less than this while there is time.
const LEAST_TO_CONNECT: Duration = Duration::from_secs(1);
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The way to the server. Shared by all clones of the memory.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) config: RedisConfig,
    tls: Option<TlsConfig>,
    slots: Vec<Slot>,
    turn: AtomicUsize,
    closed: AtomicBool,
    /// Operations hold it shared, closing waits for it alone.
    running: tokio::sync::RwLock<()>,
}

/// A place for one connection.
#[derive(Debug, Default)]
struct Slot {
    current: Mutex<Option<Arc<Connection>>>,
    /// Held while connecting, so that one caller connects and the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

/// One operation of the memory, as far as sending its commands goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) deadline: Deadline,
    /// Whether it changes anything on the server.
    pub(crate) writes: bool,
}

/// What the server answered at last.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) value: Value,
    /// Attempts before this one whose answer never came.
    pub(crate) lost: u32,
}

impl Wire {
    pub(crate) fn new(config: RedisConfig) -> Result<Self> {
        config.validate()?;
        let tls = tls_of(&config)?;
        let slots = (0..config.connections).map(|_| Slot::default()).collect();
        Ok(Self {
            config,
            tls,
            slots,
            turn: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            running: tokio::sync::RwLock::new(()),
        })
    }

    /// Runs one operation: refused when closed, and waited for by [`Wire::close`].
    pub(crate) async fn operation<T, F: Future<Output = Result<T>>>(
        &self,
        operation: &'static str,
        writes: bool,
        work: impl FnOnce(Call) -> F,
    ) -> Result<T> {
        if self.is_closed() {
            return Err(closed(operation));
        }
        let deadline = Deadline::current_or(self.config.timeout);
        // Waits only while the store is being closed.
        let _running = self.running.read().await;
        if self.is_closed() {
            return Err(closed(operation));
        }
        work(Call { operation, deadline, writes }).await.map_err(|error| error.with_operation(operation))
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Waits for what runs, then ends the connections.
    pub(crate) async fn close(&self, operation: &'static str) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        let deadline = Deadline::current_or(self.config.timeout);
        let drained = tokio::time::timeout(deadline.remaining(), self.running.write()).await;
        for slot in &self.slots {
            let connection = slot.take();
            if let Some(connection) = connection {
                connection.quit(QUIT_TIMEOUT.min(deadline.remaining())).await;
            }
        }
        drained.map(|_| ()).map_err(|_elapsed| Deadline::error(operation, Effect::NotApplied))
    }

    /// Sends a command until it is answered, refused for good, or out of time.
    ///
    /// An error says with its effect whether the command may have been executed.
    pub(crate) async fn run(&self, call: Call, command: &Command) -> Result<Answer> {
        let span = tracing::debug_span!(
            "redis",
            "db.system.name" = "redis",
            "db.operation.name" = command.name,
            "db.namespace" = self.config.database,
            "server.address" = %self.config.address(),
        );
        self.attempts(call, command).instrument(span).await
    }

    async fn attempts(&self, call: Call, command: &Command) -> Result<Answer> {
        let mut lost = 0_u32;
        let mut refusals = 0_u32;
        let mut script_given = None;
        loop {
            let sent = script_given.as_ref().unwrap_or(command);
            let (error, again) = match self.attempt(call, sent).await {
                Ok(value) => return Ok(Answer { value, lost }),
                Err(Verdict::NoScript) if script_given.is_none() => {
                    script_given = Some(with_script(command));
                    continue;
                }
                Err(Verdict::NoScript) => (Error::internal("the server refuses its own script"), false),
                Err(Verdict::Refused { error, again, .. }) => (error, again),
                Err(Verdict::Lost(error)) => {
                    lost = lost.saturating_add(1);
                    (error, true)
                }
            };
            refusals = refusals.saturating_add(1);
            // A write whose answer was lost is found out about until the deadline.
            let insist = lost > 0 && call.writes;
            let wait = backoff(refusals);
            let over = !again || (!insist && refusals > self.config.retries);
            if over || call.deadline.sleep(call.operation, wait).await.is_err() {
                return Err(self.last_error(call, error, lost, refusals));
            }
            tracing::debug!(%error, attempt = refusals, "trying again");
        }
    }

    async fn attempt(&self, call: Call, command: &Command) -> Result<Value, Verdict> {
        let (slot, connection) = self.connection(call).await?;
        let within = self.config.command_timeout.min(call.deadline.remaining());
        if within.is_zero() {
            return Err(out_of_time(call));
        }
        connection.send(command, within).await.map_err(|error| {
            let verdict = judge(error);
            if matches!(verdict, Verdict::Lost(_) | Verdict::Refused { elsewhere: true, .. }) {
                slot.discard(&connection);
            }
            verdict
        })
    }

    /// An open connection; opens one when there is none, for everybody who waits for it.
    async fn connection(&self, call: Call) -> Result<(&Slot, Arc<Connection>), Verdict> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.slots.len().max(1);
        let Some(slot) = self.slots.get(turn) else { return Err(out_of_time(call)) };
        if let Some(connection) = slot.open() {
            return Ok((slot, connection));
        }
        let Ok(_connecting) = tokio::time::timeout(call.deadline.remaining(), slot.connecting.lock()).await
        else {
            return Err(out_of_time(call));
        };
        if let Some(connection) = slot.open() {
            return Ok((slot, connection));
        }
        let left = call.deadline.remaining();
        // The client can wait for ever when the server closes during its greetings; what then runs out must not be
        // the whole time.
        let within = self.config.connect_timeout.min((left / 3).max(LEAST_TO_CONNECT)).min(left);
        if within.is_zero() {
            return Err(out_of_time(call));
        }
        match Connection::open(&self.config, self.tls.clone(), within).await {
            Ok(connection) => Ok((slot, slot.put(connection))),
            // Whatever was lost while connecting, the command was not sent.
            Err(error) => Err(match judge(error) {
                Verdict::Lost(error) => Verdict::Refused {
                    error: Error::new(ErrorKind::Unavailable, "the server cannot be reached")
                        .with_source(error),
                    again: true,
                    elsewhere: false,
                },
                other => other,
            }),
        }
    }

    /// Some open connection, for what only it knows.
    pub(crate) async fn any_connection(&self, call: Call) -> Result<Arc<Connection>> {
        match self.connection(call).await {
            Ok((_, connection)) => Ok(connection),
            Err(Verdict::Refused { error, .. } | Verdict::Lost(error)) => {
                Err(self.last_error(call, error, 0, 1))
            }
            Err(Verdict::NoScript) => Err(Error::internal("connecting ran a script")),
        }
    }

    fn last_error(&self, call: Call, error: Error, lost: u32, attempts: u32) -> Error {
        let error = if lost > 0 && call.writes {
            Error::new(
                ErrorKind::OutcomeUnknown,
                "the write was sent and no answer came: read before writing again",
            )
            .with_source(error)
        } else {
            let effect = if lost > 0 { Effect::Unknown } else { Effect::NotApplied };
            // A read changes nothing, answered or not.
            error.with_effect(if call.writes { effect } else { Effect::NotApplied })
        };
        error
            .with_operation(call.operation)
            .with_context("address", self.config.address())
            .with_attempts(attempts)
    }
}

impl Slot {
    fn open(&self) -> Option<Arc<Connection>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|connection| !connection.is_open()) {
            *current = None;
        }
        current.clone()
    }

    fn put(&self, connection: Connection) -> Arc<Connection> {
        let connection = Arc::new(connection);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&connection));
        connection
    }

    /// Takes no new commands on this connection; those under way end by themselves.
    fn discard(&self, failed: &Arc<Connection>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, failed)) {
            *current = None;
        }
    }

    fn take(&self) -> Option<Arc<Connection>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The same command with the script itself in place of its digest.
fn with_script(command: &Command) -> Command {
    let mut full = command.clone();
    full.name = "EVAL";
    if let Some(first) = full.args.first_mut() {
        *first = Value::from(script::COMPARE_AND_SET);
    }
    full
}

fn out_of_time(call: Call) -> Verdict {
    let error = Deadline::error(call.operation, Effect::NotApplied);
    Verdict::Refused { error, again: false, elsewhere: false }
}

/// Full jitter over an exponentially growing window.
fn backoff(attempt: u32) -> Duration {
    let window =
        FIRST_WAIT.saturating_mul(1_u32.checked_shl(attempt.min(16)).unwrap_or(u32::MAX)).min(LONGEST_WAIT);
    window.mul_f64(fastrand::f64())
}
