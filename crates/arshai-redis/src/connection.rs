//! One connection of the client, from opening to its end.
//!
//! The client gets no reconnect policy: with one, it keeps commands for later and sends them again by itself, and
//! without timeouts it can wait for ever. So a connection here lives until the first failure and is then replaced;
//! what is sent again, and until when, is decided in [`crate::wire`] alone.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use arshai_core::{Error, ErrorKind, Result};
use fred::{
    clients::Client,
    error::Error as ClientError,
    interfaces::{ClientLike as _, KeysInterface as _},
    socket2::TcpKeepalive,
    types::{
        Builder, ClusterHash, ConnectHandle, CustomCommand, Key, Value,
        config::{Config, Server, ServerConfig, TcpConfig, TlsConfig},
    },
};
use futures_util::future::{Either, join, select};

use crate::{
    cluster::Node,
    config::{RedisConfig, RedisServer},
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
}

impl Connection {
    /// Connects to a node of a cluster, or to the server of the settings, and sees that it answers.
    pub(crate) async fn open(
        config: &RedisConfig,
        node: Option<&Node>,
        tls: Option<TlsConfig>,
        within: Duration,
    ) -> Result<Self, ClientError> {
        let give_up = Instant::now() + within;
        let client = build(config, node, tls, within)?;
        let router = client.connect();
        let mut this = Self { client, router };
        let connected = tokio::time::timeout(within, this.connected()).await;
        connected.map_err(|_elapsed| timed_out())??;
        let left = give_up.saturating_duration_since(Instant::now());
        this.send(Command::anywhere("PING", Vec::new()), left).await?;
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
        announced.and(answer)
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

fn timed_out() -> ClientError {
    ClientError::new(fred::error::ErrorKind::Timeout, "no answer in time")
}

fn build(
    config: &RedisConfig,
    node: Option<&Node>,
    tls: Option<TlsConfig>,
    within: Duration,
) -> Result<Client, ClientError> {
    let sentinel = |(host, port): &(String, u16)| Server::new(host.as_str(), *port);
    let server = match (node, &config.server) {
        (Some(node), _) => ServerConfig::new_centralized(node.host.as_str(), node.port),
        (None, RedisServer::Single(host, port)) => ServerConfig::new_centralized(host.as_str(), *port),
        (None, RedisServer::Unix(path)) => ServerConfig::Unix { path: path.clone() },
        (None, RedisServer::Cluster(_)) => {
            return Err(ClientError::new(
                fred::error::ErrorKind::Config,
                "a cluster is reached by its nodes",
            ));
        }
        (None, RedisServer::Sentinel { sentinels, service, username, password }) => ServerConfig::Sentinel {
            hosts: sentinels.iter().map(sentinel).collect(),
            service_name: service.clone(),
            username: username.clone(),
            password: password.as_ref().map(|password| password.expose().to_owned()),
        },
    };
    let settings = Config {
        fail_fast: true,
        server,
        username: config.username.clone(),
        password: config.password.as_ref().map(|password| password.expose().to_owned()),
        database: (config.database != 0).then_some(config.database),
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
