//! One connection of the client, from opening to its end.
//!
//! The client gets no reconnect policy: with one, it keeps commands for later and sends them again by itself, and
//! without timeouts it can wait for ever. So a connection here lives until the first failure and is then replaced;
//! what is sent again, and until when, is decided in [`crate::wire`] alone.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use arshai_core::{Error, ErrorKind, Result, config::Secret};
use fred::{
    clients::Client,
    error::Error as ClientError,
    interfaces::{ClientLike as _, KeysInterface as _},
    socket2::TcpKeepalive,
    types::{
        Builder, ClusterHash, ConnectHandle, CustomCommand, Key, Value,
        config::{Config, ServerConfig, TcpConfig, TlsConfig},
    },
};
use futures_util::future::{Either, join, select};
use tokio::runtime::Handle;

use crate::{
    cluster::{Node, Redirect},
    config::{RedisConfig, RedisServer},
    reply::{Verdict, is_answer, judge},
    together::Together,
};

/// Commands that may wait in one connection.
const LONGEST_QUEUE: usize = 10_000;
/// How long the server may take for one answer to the client's greetings. A server that ends the connection there is
/// not always noticed by the client.
const GREETING: Duration = Duration::from_secs(1);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How often a connection that is being opened is looked at, beside being told.
const LOOK: Duration = Duration::from_millis(20);

/// One command with its arguments.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) args: Vec<Value>,
    /// Which of the arguments is the key.
    pub(crate) key: Option<u8>,
    /// The node of a cluster it is for, if not the slot's.
    pub(crate) node: Option<Box<Node>>,
}

impl Command {
    /// A command whose first argument is the key.
    pub(crate) fn on_key(name: &'static str, key: &str, rest: impl IntoIterator<Item = Value>) -> Self {
        let args = std::iter::once(Value::from(key)).chain(rest).collect();
        Self { name, args, key: Some(0), node: None }
    }

    /// A command for any node.
    pub(crate) fn anywhere(name: &'static str, args: Vec<Value>) -> Self {
        Self { name, args, key: None, node: None }
    }

    /// What a plain read asks for.
    fn read_key(&self) -> Option<Key> {
        let [key] = self.args.as_slice() else { return None };
        (self.name == "GET").then(|| key.as_bytes_str()).flatten().map(|key| Key::from(key.into_inner()))
    }

    /// How much it carries.
    pub(crate) fn bytes(&self) -> usize {
        self.args.iter().filter_map(Value::as_bytes).map(<[u8]>::len).sum()
    }

    /// The hash slot of its key.
    pub(crate) fn slot(&self) -> Option<u16> {
        let key = self.args.get(usize::from(self.key?))?.as_bytes()?;
        Some(fred::util::redis_keyslot(key))
    }
}

/// An open connection. Dropping it closes it.
pub(crate) struct Connection {
    client: Client,
    router: ConnectHandle,
    /// The one it lives on.
    pub(crate) runtime: Handle,
    pub(crate) together: Together,
}

impl Connection {
    /// Connects to a node that a cluster or a sentinel named, or to the server of the settings, and sees that it
    /// answers.
    pub(crate) async fn open(
        config: &RedisConfig,
        node: Option<&Node>,
        tls: Option<TlsConfig>,
        within: Duration,
    ) -> Result<Self, Verdict> {
        if let Some(node) = node.filter(|node| config.hides_password_from(&node.host)) {
            return Err(plaintext_password(node));
        }
        let give_up = Instant::now() + within;
        let this = Self::greet(Peer::of(config, node)?, tls, within).await.map_err(judge)?;
        let left = give_up.saturating_duration_since(Instant::now());
        this.send(Command::anywhere("PING", Vec::new()), left).await.map_err(judge)?;
        Ok(this)
    }

    /// Connects to one of the sentinels.
    pub(crate) async fn open_sentinel(
        sentinel: &Node,
        (username, password): (Option<&str>, Option<&Secret>),
        tls: Option<TlsConfig>,
        within: Duration,
    ) -> Result<Self, Verdict> {
        let server = ServerConfig::new_centralized(sentinel.host.as_str(), sentinel.port);
        let peer = Peer { server, username, password, database: 0 };
        Self::greet(peer, tls, within).await.map_err(judge)
    }

    async fn greet(peer: Peer<'_>, tls: Option<TlsConfig>, within: Duration) -> Result<Self, ClientError> {
        let client = build(peer, tls, within)?;
        let router = client.connect();
        let mut this = Self { client, router, runtime: Handle::current(), together: Together::default() };
        let connected = tokio::time::timeout(within, this.connected()).await;
        connected.map_err(|_elapsed| timed_out())??;
        Ok(this)
    }

    async fn connected(&mut self) -> Result<(), ClientError> {
        while !self.client.is_connected() {
            let waiting = pin!(self.client.wait_for_connect());
            match tokio::time::timeout(LOOK, select(waiting, &mut self.router)).await {
                Ok(Either::Left((outcome, _))) => outcome?,
                Ok(Either::Right((ended, _))) => {
                    ended??;
                    return Err(ClientError::new(
                        fred::error::ErrorKind::Canceled,
                        "the connection was closed",
                    ));
                }
                Err(_elapsed) => {}
            }
        }
        Ok(())
    }

    /// Whether it can still carry commands, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        !self.router.is_finished()
    }

    /// Sends a command once and waits for its answer.
    pub(crate) async fn send(&self, command: Command, within: Duration) -> Result<Value, ClientError> {
        let within = within.max(Duration::from_millis(1));
        let answer = async {
            match command.read_key() {
                // The client writes many of those to its socket at once, and each command it does not know on its own.
                Some(key) => self.client.get(key).await,
                None => {
                    let custom = CustomCommand::new_static(command.name, ClusterHash::Random, false);
                    self.client.custom::<Value, Value>(custom, command.args).await
                }
            }
        };
        tokio::time::timeout(within, answer).await.unwrap_or_else(|_elapsed| Err(timed_out()))
    }

    /// The same for a command that the node takes although the slot is only on its way to it. Another caller's command
    /// may come between the announcement and this one; the node then refuses this one.
    pub(crate) async fn send_announced(
        &self,
        command: Command,
        within: Duration,
    ) -> Result<Value, ClientError> {
        let announcement = Command::anywhere("ASKING", Vec::new());
        let (announced, answer) = join(self.send(announcement, within), self.send(command, within)).await;
        match (announced, answer) {
            // The node does not have the slot, and the announcement that would have made it answer was refused.
            (Err(refused), Err(answer))
                if is_answer(&refused) && Redirect::read(answer.details()).is_some() =>
            {
                Err(refused)
            }
            // Whatever became of the announcement: a node that has the slot already needs none.
            (_, answer) => answer,
        }
    }

    /// Lets the server know, so that it need not find out by itself.
    pub(crate) async fn quit(&self, within: Duration) {
        // It is over either way.
        let _ = tokio::time::timeout(within, self.client.quit()).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.router.abort();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client's own settings hold the password.
        f.debug_struct("Connection").field("open", &self.is_open()).finish_non_exhaustive()
    }
}

pub(crate) fn timed_out() -> ClientError {
    ClientError::new(fred::error::ErrorKind::Timeout, "no answer in time")
}

/// Whom a connection is for, and who asks.
struct Peer<'a> {
    server: ServerConfig,
    username: Option<&'a str>,
    password: Option<&'a Secret>,
    database: u8,
}

impl<'a> Peer<'a> {
    fn of(config: &'a RedisConfig, node: Option<&Node>) -> Result<Self, Verdict> {
        let server = match (node, &config.server) {
            (Some(node), _) => ServerConfig::new_centralized(node.host.as_str(), node.port),
            (None, RedisServer::Single(host, port)) => ServerConfig::new_centralized(host.as_str(), *port),
            (None, RedisServer::Unix(path)) => ServerConfig::Unix { path: path.clone() },
            (None, RedisServer::Cluster(_) | RedisServer::Sentinel { .. }) => {
                let error =
                    Error::internal("a cluster, and a master behind sentinels, is reached by its nodes");
                return Err(Verdict::Refused { error, again: false, elsewhere: false });
            }
        };
        let (username, password) = (config.username.as_deref(), config.password.as_ref());
        Ok(Self { server, username, password, database: config.database })
    }
}

fn plaintext_password(node: &Node) -> Verdict {
    let error = Error::new(
        ErrorKind::Config,
        "a password would cross the network unencrypted, to a server that the cluster or a sentinel named: encrypt \
         with rediss-cluster:// or rediss-sentinel://, or set allow_plaintext_password",
    );
    let error = error.with_context("host", node.host.escape_debug());
    Verdict::Refused { error, again: false, elsewhere: false }
}

fn build(peer: Peer<'_>, tls: Option<TlsConfig>, within: Duration) -> Result<Client, ClientError> {
    let settings = Config {
        fail_fast: true,
        server: peer.server,
        username: peer.username.map(str::to_owned),
        password: peer.password.map(|password| password.expose().to_owned()),
        database: (peer.database != 0).then_some(peer.database),
        tls,
        ..Config::default()
    };
    let mut builder = Builder::from_config(settings);
    builder.with_connection_config(|connection| {
        connection.connection_timeout = within;
        connection.internal_command_timeout = within.min(GREETING);
        connection.max_command_attempts = 1;
        connection.max_command_buffer_len = LONGEST_QUEUE;
        connection.tcp = TcpConfig {
            nodelay: Some(true),
            // What was not sent when the connection is given up must not arrive later: the kernel drops it.
            linger: Some(Duration::ZERO),
            keepalive: Some(TcpKeepalive::new().with_time(KEEPALIVE)),
            ..TcpConfig::default()
        };
    });
    // A command has no timeout of the client's: `send` keeps the time.
    builder.build()
}

/// The TLS settings the connections share, made once.
pub(crate) fn tls_of(config: &RedisConfig) -> Result<Option<TlsConfig>> {
    if !config.tls {
        return Ok(None);
    }
    crate::tls::client(config.ca_file.as_deref()).map(Some)
}

/// The error of an operation after the store was closed.
pub(crate) fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, "the memory store was closed").with_operation(operation)
}
