//! Calls: a few connections, made when needed, with finite waits and retries that are safe.

use std::{
    fmt, fs,
    path::Path,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use base64::Engine as _;
use bytes::Bytes;
use tokio::task::AbortHandle;
use tonic::{
    Request,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    config::{Credentials, MilvusConfig, Tls},
    failure::{Cause, Failure, is_tls, judge, of_tls, of_transport},
    gate::{Gate, Pass},
    proto::Reply,
    raw_codec::{RawCodec, Sent},
};

/// What a call may do when it is sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Safety {
    /// It changes nothing.
    Read,
    /// It leaves the same when it is done twice.
    Idempotent,
    /// It takes something away. The same, but some servers say the second time that there is no such thing: then the first
    /// time has done it.
    Removal,
    /// It must not be done twice.
    Once,
}

/// The server, as far as it is the same for every call.
pub(crate) struct Connection {
    pub(crate) config: MilvusConfig,
    endpoint: Endpoint,
    metadata: MetadataMap,
    channels: Mutex<Channels>,
    next: AtomicUsize,
    gate: Arc<Gate>,
}

/// The connections, and a task of the runtime that drives them: where the one ended, so did the others.
#[derive(Default)]
struct Channels {
    list: Vec<Channel>,
    runtime: Option<AbortHandle>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Connection {
    /// Sends nothing yet.
    pub(crate) fn new(config: MilvusConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            endpoint: endpoint(&config)?,
            metadata: metadata(&config)?,
            channels: Mutex::default(),
            next: AtomicUsize::new(0),
            gate: Arc::new(Gate::default()),
            config,
        })
    }

    /// Fails once the connection is closed; closing waits for every pass.
    pub(crate) fn enter(&self) -> Result<Pass> {
        self.gate.enter()
    }

    /// For what goes on when its operation's future is dropped: closing waits for it too, and it is not kept out by it.
    pub(crate) fn follow(&self) -> Pass {
        self.gate.follow()
    }

    pub(crate) async fn close(&self) {
        self.gate.close().await;
        *self.channels.lock().unwrap_or_else(PoisonError::into_inner) = Channels::default();
    }

    /// One call with all its attempts, inside the caller's deadline or the configured time.
    pub(crate) async fn call<R: Reply>(
        &self,
        method: &'static str,
        request: &impl prost::Message,
        safety: Safety,
    ) -> Result<R, Failure> {
        self.send(method, Bytes::from(request.encode_to_vec()), safety).await
    }

    /// The same for a request that is encoded already: attempts share its bytes.
    pub(crate) async fn send<R: Reply>(
        &self,
        method: &'static str,
        request: Bytes,
        safety: Safety,
    ) -> Result<R, Failure> {
        let deadline = Deadline::current_or(self.config.timeout);
        let mut attempt = 0;
        // Of an idempotent write that was sent again: what the first time left open stays open.
        let mut effect = Effect::NotApplied;
        loop {
            attempt += 1;
            let failure = match Box::pin(self.attempt(method, request.clone(), safety, deadline)).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let is_gone = failure.error.kind() == ErrorKind::NotFound;
            if safety == Safety::Removal && effect == Effect::Unknown && is_gone {
                return Ok(R::default());
            }
            if !failure.is_harmless() {
                effect = Effect::Unknown;
            }
            let may_help = failure.error.is_retryable() || failure.error.kind() == ErrorKind::OutcomeUnknown;
            let safe = safety != Safety::Once || failure.is_harmless();
            let wait = jitter(attempt);
            if !(may_help && safe) || failure.cause == Cause::NotLoaded || deadline.remaining() <= wait {
                let error = failure.error.with_effect(effect).with_attempts(attempt);
                let error = error.with_context("call", method).with_context("address", self.config.address());
                return Err(Failure { error, cause: failure.cause });
            }
            tracing::debug!(method, attempt, ?wait, error = %failure.error, "trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// One attempt. Time to connect is not taken from the time to answer, which begins when the request is sent.
    async fn attempt<R: Reply>(
        &self,
        method: &'static str,
        request: Bytes,
        safety: Safety,
        deadline: Deadline,
    ) -> Result<R, Failure> {
        let sent = Sent::default();
        let mut once = pin!(self.once(method, request, safety, &sent));
        let patience = self.config.attempt_timeout;
        let unsent = deadline.min(Deadline::after(patience.saturating_add(self.config.connect_timeout)));
        let mut wait = deadline.remaining().min(patience);
        loop {
            if let Ok(reply) = tokio::time::timeout(wait, &mut once).await {
                return reply;
            }
            wait = match sent.at() {
                Some(at) => patience.saturating_sub(at.elapsed()).min(deadline.remaining()),
                // No longer at once than what is sent meanwhile may take.
                None => unsent.remaining().min(patience),
            };
            if wait.is_zero() {
                break;
            }
        }
        if sent.give_up() {
            return Err(Error::new(
                ErrorKind::Timeout,
                "no connection came about in time; is the server there?",
            )
            .into());
        }
        let silent = Error::new(ErrorKind::Timeout, "no reply came in time");
        let error = match safety {
            Safety::Read => silent,
            Safety::Idempotent | Safety::Removal => silent.with_effect(Effect::Unknown),
            // Whoever repeats what may be retried would do it twice.
            Safety::Once => Error::new(
                ErrorKind::OutcomeUnknown,
                "no reply came in time; what was asked for may have happened",
            ),
        };
        let waited = sent.at().map_or(patience, |at| at.elapsed());
        Err(error.with_context("seconds", waited.as_secs_f32()).into())
    }

    async fn once<R: Reply>(
        &self,
        method: &'static str,
        request: Bytes,
        safety: Safety,
        sent: &Sent,
    ) -> Result<R, Failure> {
        let writes = safety != Safety::Read;
        let failed = |status: &tonic::Status| {
            // Whatever it is: what was not sent was not done, and is not sent from now on.
            let open = writes && !sent.give_up();
            match self.config.tls.is_some() && is_tls(status) {
                true => of_tls(status).after(open),
                false => of_transport(status, open),
            }
        };
        let mut client = Grpc::new(self.channel())
            .max_decoding_message_size(self.config.max_reply_bytes)
            .max_encoding_message_size(usize::MAX);
        client.ready().await.map_err(|error| {
            failed(&tonic::Status::from_error(Box::new(tonic::ConnectError(error.into()))))
        })?;
        let codec = RawCodec { request: request.len(), sent: sent.clone() };
        let mut request = Request::new(request);
        *request.metadata_mut() = self.metadata.clone();
        let path = format!("/milvus.proto.milvus.MilvusService/{method}");
        let path = PathAndQuery::try_from(path)
            .map_err(|error| Error::internal("a method's name is no path").with_source(error))?;
        let reply = client.unary(request, path, codec).await;
        let reply = reply.map_err(|status| failed(&status))?.into_inner();
        let reply = R::decode(reply).map_err(|error| {
            Failure::from(
                Error::new(ErrorKind::Protocol, "the server's reply cannot be understood")
                    .with_effect(if writes { Effect::Unknown } else { Effect::NotApplied })
                    .with_source(error),
            )
        })?;
        judge(reply.status(), writes)?;
        Ok(reply)
    }

    /// One of the connections, in turn. They are made here because they need the runtime of the caller, and made anew
    /// when the runtime they were made in has ended.
    fn channel(&self) -> Channel {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if channels.runtime.as_ref().is_none_or(AbortHandle::is_finished) {
            *channels = Channels {
                list: (0..self.config.connections).map(|_| self.endpoint.connect_lazy()).collect(),
                runtime: Some(tokio::spawn(std::future::pending::<()>()).abort_handle()),
            };
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % channels.list.len().max(1);
        channels.list.get(turn).cloned().unwrap_or_else(|| self.endpoint.connect_lazy())
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        if let Some(task) = &self.runtime {
            task.abort();
        }
    }
}

/// Full jitter over a window that grows from 20 ms to 3 s.
fn jitter(attempt: u32) -> Duration {
    let window = Duration::from_millis(20).saturating_mul(3_u32.saturating_pow(attempt.saturating_sub(1)));
    window.min(Duration::from_secs(3)).mul_f64(0.5 + fastrand::f64() / 2.0)
}

fn endpoint(config: &MilvusConfig) -> Result<Endpoint> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let bad = |message: &'static str| Error::new(ErrorKind::Config, message);
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", config.address()))
        .map_err(|error| bad("the host is not a name or an address").with_source(error))?
        .connect_timeout(config.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        // A server may hang up on those who ask more often than every 5 s.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024);
    if let Some(tls) = &config.tls {
        endpoint = endpoint
            .tls_config(client_tls(tls)?)
            .map_err(|error| bad("TLS cannot be set up with these files").with_source(error))?;
    }
    Ok(endpoint)
}

fn client_tls(tls: &Tls) -> Result<ClientTlsConfig> {
    let mut client = ClientTlsConfig::new();
    client = match &tls.ca_file {
        Some(file) => client.ca_certificate(Certificate::from_pem(read(file, "ca_file")?)),
        None => client.with_native_roots(),
    };
    if let Some((certificate, key)) = &tls.client {
        client = client.identity(Identity::from_pem(read(certificate, "client")?, read(key, "client")?));
    }
    if let Some(name) = &tls.server_name {
        client = client.domain_name(name);
    }
    Ok(client)
}

fn read(file: &Path, setting: &'static str) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| {
        Error::new(ErrorKind::Config, "a file for TLS cannot be read")
            .with_context("setting", setting)
            .with_context("file", file.display())
            .with_source(error)
    })
}

/// What every call carries.
fn metadata(config: &MilvusConfig) -> Result<MetadataMap> {
    let mut metadata = MetadataMap::new();
    let proof = match &config.credentials {
        Credentials::None => None,
        Credentials::Password { user, password } => Some(format!("{user}:{}", password.expose())),
        Credentials::Token(token) => Some(token.expose().to_owned()),
    };
    let value = |text: String, setting: &'static str| {
        AsciiMetadataValue::try_from(text).map_err(|_not_shown| {
            Error::new(ErrorKind::Config, "the value cannot be sent as a header: it must be printable ASCII")
                .with_context("setting", setting)
        })
    };
    if let Some(proof) = proof {
        let mut value = value(base64::engine::general_purpose::STANDARD.encode(proof), "credentials")?;
        value.set_sensitive(true);
        metadata.insert("authorization", value);
    }
    if !config.database.is_empty() {
        metadata.insert("dbname", value(config.database.clone(), "database")?);
    }
    Ok(metadata)
}
