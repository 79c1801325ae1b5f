//! Sending commands: connecting when needed, repeating what may be repeated, ending at the deadline.
//!
//! Every command given to [`Wire::run`] may be executed twice without harm; that is what the compare-and-set is for.

use std::{future::Future, sync::Arc, time::Duration};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use fred::types::{Value, config::TlsConfig};
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    cluster::{Cluster, Node, Redirect},
    config::{RedisConfig, RedisServer},
    connection::{Command, Connection, closed, tls_of},
    gate::{Gate, Inside},
    places::{Places, out_of_time},
    reply::{Verdict, judge},
    route::Route,
    script,
};

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Redirections followed one after the other without waiting.
const REDIRECTIONS: u32 = 5;
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);
/// How soon a command whose answer was lost is sent again for the first time, at most.
const SOON: Duration = Duration::from_millis(10);
/// How long the server is asked to wait for replicas at a time: what follows on the same connection waits too.
const REPLICAS_TIMEOUT: Duration = Duration::from_millis(50);

/// The way to the servers. Shared by all clones of the memory.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) config: RedisConfig,
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) route: Route,
    gate: Gate,
}

/// One operation of the memory, as far as sending its commands goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) deadline: Deadline,
    /// Whether it changes anything on the server.
    pub(crate) writes: bool,
}

/// Makes a command, once for each time it is sent.
pub(crate) type Make<'a> = dyn Fn() -> Command + Send + Sync + 'a;

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
        let route = match &config.server {
            RedisServer::Cluster(nodes) => {
                let seeds = nodes.iter().map(|(host, port)| Node::new(host, *port)).collect();
                Route::Cluster(Cluster::new(seeds, config.connections))
            }
            _ => Route::One(Arc::new(Places::new(None, config.connections))),
        };
        Ok(Self { config, tls, route, gate: Gate::default() })
    }

    /// Runs one operation: refused when closed, and waited for by [`Wire::close`].
    pub(crate) async fn operation<T, F: Future<Output = Result<T>>>(
        &self,
        operation: &'static str,
        writes: bool,
        work: impl FnOnce(Call) -> F,
    ) -> Result<T> {
        let (_inside, call) = self.begin(operation, writes)?;
        work(call).await.map_err(|error| error.with_operation(operation))
    }

    /// The same in two parts, for those whose future is to be small: the operation lasts as long as what keeps the
    /// gate open, and its errors are to be given its name.
    pub(crate) fn begin(&self, operation: &'static str, writes: bool) -> Result<(Inside<'_>, Call)> {
        let inside = self.gate.enter().ok_or_else(|| closed(operation))?;
        Ok((inside, Call { operation, deadline: Deadline::current_or(self.config.timeout), writes }))
    }

    /// Waits for what runs, then ends the connections.
    pub(crate) async fn close(&self, operation: &'static str) -> Result<()> {
        let deadline = Deadline::current_or(self.config.timeout);
        let drained = tokio::time::timeout(deadline.remaining(), self.gate.close()).await;
        let all = match &self.route {
            Route::One(places) => vec![Arc::clone(places)],
            Route::Cluster(cluster) => cluster.all_places(),
        };
        for places in all {
            places.quit(QUIT_TIMEOUT.min(deadline.remaining())).await;
        }
        drained.map_err(|_elapsed| Deadline::error(operation, Effect::NotApplied))
    }

    /// Sends a command until it is answered, refused for good, or out of time.
    ///
    /// An error says with its effect whether the command may have been executed.
    pub(crate) async fn run(&self, call: &Call, make: &Make<'_>) -> Result<Answer> {
        let name = || make().name;
        let span = tracing::debug_span!(
            "redis",
            otel.kind = "client",
            otel.name = name(),
            db.system.name = "redis",
            db.operation.name = name(),
            db.namespace = %self.config.database,
            server.address = %self.config.host(),
            server.port = self.config.port(),
            "error.type" = Empty,
        );
        if span.is_disabled() {
            drop(span);
            return self.attempts(call, make).await;
        }
        Box::pin(self.traced(call, make, span)).await
    }

    async fn traced(&self, call: &Call, make: &Make<'_>, span: Span) -> Result<Answer> {
        let answer = self.attempts(call, make).instrument(span.clone()).await;
        if let Err(error) = &answer {
            span.record("error.type", error.kind().name());
        }
        answer
    }

    async fn attempts(&self, call: &Call, make: &Make<'_>) -> Result<Answer> {
        match self.attempt(call, make, false, false, None).await {
            Ok(value) => Ok(Answer { value, lost: 0 }),
            // Boxed, as it is rare and large.
            Err(verdict) => Box::pin(self.insist(call, make, verdict)).await,
        }
    }

    /// What follows a first attempt that failed.
    async fn insist(&self, call: &Call, make: &Make<'_>, mut verdict: Verdict) -> Result<Answer> {
        let mut lost = 0_u32;
        let mut refusals = 0_u32;
        let mut redirections = 0_u32;
        let mut redirect = None;
        let mut script_given = false;
        let mut reason = None;
        loop {
            let failed = match verdict {
                Verdict::Moved(to) => {
                    redirections = redirections.saturating_add(1);
                    redirect = (redirections % REDIRECTIONS != 0).then_some(to);
                    let error = Error::new(ErrorKind::Unavailable, "the key's slot keeps moving");
                    redirect.is_none().then_some((error, true))
                }
                Verdict::NoScript if !script_given => {
                    script_given = true;
                    None
                }
                Verdict::NoScript => Some((Error::internal("the server refuses its own script"), false)),
                Verdict::Refused { error, again, .. } => Some((error, again)),
                Verdict::Lost(error) => {
                    lost = lost.saturating_add(1);
                    Some((error, true))
                }
            };
            if let Some((error, again)) = failed {
                refusals = refusals.saturating_add(1);
                // A write whose answer was lost is found out about until the deadline.
                let until_the_deadline = lost > 0 && call.writes;
                let wait = if lost == 1 && refusals == 1 {
                    SOON.mul_f64(fastrand::f64())
                } else {
                    backoff(refusals)
                };
                let over = !again || (!until_the_deadline && refusals > self.config.retries);
                if over || call.deadline.sleep(call.operation, wait).await.is_err() {
                    // The end of the time is the least that can be said of why it was not enough.
                    let ended = until_the_deadline && error.kind() == ErrorKind::Timeout;
                    let error = reason.filter(|_| ended).unwrap_or(error);
                    return Err(self.last_error(call, error, lost, refusals));
                }
                tracing::debug!(%error, attempt = refusals, "trying again");
                if error.kind() != ErrorKind::Timeout {
                    reason = Some(error);
                }
            }
            match self.attempt(call, make, script_given, lost > 0, redirect.take().as_ref()).await {
                Ok(value) => return Ok(Answer { value, lost }),
                Err(next) => verdict = next,
            }
        }
    }

    /// `script_given`: the script itself is sent, not its digest. `seen`: whether a server may have executed the
    /// command before.
    async fn attempt(
        &self,
        call: &Call,
        make: &Make<'_>,
        script_given: bool,
        seen: bool,
        redirect: Option<&Redirect>,
    ) -> Result<Value, Verdict> {
        let announced = redirect.is_some_and(|redirect| redirect.once);
        let command = if script_given { with_script(make()) } else { make() };
        let places = self.places(call, &command, redirect).await?;
        let connection = self.connection(&places, call, self.config.connect_timeout).await?;
        let within = self.config.command_timeout.min(call.deadline.remaining());
        if within.is_zero() {
            return Err(out_of_time(call));
        }
        let answer = if announced {
            // Boxed as what is rare and large, here and below.
            Box::pin(connection.send_announced(command, within)).await
        } else if seen || matches!(self.route, Route::Cluster(_)) {
            // What is sent again is better not delayed by others; keys of a cluster have different homes.
            Box::pin(connection.send(command, within)).await
        } else {
            connection.share(command, within).await?
        };
        let value = answer.map_err(|error| self.judged(error, &places, &connection))?;
        let written = call.writes && (seen || !script::is_refusal(&value));
        if written && self.config.min_replicas > 0 {
            Box::pin(self.replicated(call, &connection)).await.map_err(|(error, elsewhere)| {
                if elsewhere {
                    self.give_up(&places, &connection);
                }
                // As if the answer had been lost: sent again it finds the write, or makes it on the new master.
                Verdict::Lost(error)
            })?;
        }
        Ok(value)
    }

    /// Waits until enough replicas hold what this connection has seen written.
    async fn replicated(&self, call: &Call, connection: &Connection) -> Result<(), (Error, bool)> {
        let left = self.config.command_timeout.min(call.deadline.remaining());
        let patience = REPLICAS_TIMEOUT.min(left / 2).as_millis().max(1).to_string();
        let most = self.config.min_replicas;
        let wait = Command::anywhere("WAIT", vec![Value::from(most.to_string()), Value::from(patience)]);
        match connection.send(wait, left).await {
            Ok(Value::Integer(replicas)) if replicas >= i64::from(most) => Ok(()),
            Ok(_) => {
                let error = Error::new(
                    ErrorKind::Unavailable,
                    "fewer replicas than min_replicas hold the write: look at the replicas, or lower min_replicas",
                );
                // A master that was replaced has no replicas; sentinels know who is master now.
                Err((error, matches!(self.config.server, RedisServer::Sentinel { .. })))
            }
            Err(error) => Err(match judge(error) {
                Verdict::Refused { error, elsewhere, .. } => (error, elsewhere),
                Verdict::Lost(error) => (error, true),
                Verdict::NoScript | Verdict::Moved(_) => (Error::internal("waiting was redirected"), true),
            }),
        }
    }

    pub(crate) fn last_error(&self, call: &Call, error: Error, lost: u32, attempts: u32) -> Error {
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

/// The same command with the script itself in place of its digest.
fn with_script(mut command: Command) -> Command {
    command.name = "EVAL";
    if let Some(first) = command.args.first_mut() {
        *first = Value::from_static_str(script::COMPARE_AND_SET);
    }
    command
}

/// Full jitter over an exponentially growing window.
fn backoff(attempt: u32) -> Duration {
    let window =
        FIRST_WAIT.saturating_mul(1_u32.checked_shl(attempt.min(16)).unwrap_or(u32::MAX)).min(LONGEST_WAIT);
    window.mul_f64(fastrand::f64())
}
