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
    interfaces::{ClientLike as _, ClusterInterface as _},
    socket2::TcpKeepalive,
    types::{
        Builder, ClusterHash, ConnectHandle, CustomCommand, Value,
        config::{ClusterDiscoveryPolicy, Config, Options, Server, ServerConfig, TcpConfig, TlsConfig},
    },
};
use futures_util::future::{Either, select};

use crate::config::{RedisConfig, RedisServer};

/// Commands that may wait in one connection.
const LONGEST_QUEUE: usize = 10_000;
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How often a connection that is being opened is looked at, beside being told.
const LOOK: Duration = Duration::from_millis(20);
const REDIRECTIONS: u32 = 5;
/// How much later than the client's own timeout an attempt is given up, should the client not keep it.
const GRACE: Duration = Duration::from_millis(20);

/// One command with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) args: Vec<Value>,
    /// The hash slot of its key, for clusters.
    pub(crate) slot: Option<u16>,
    /// The node of a cluster it is for, if not the slot's.
    pub(crate) node: Option<Server>,
}

impl Command {
    /// A command whose first argument is the key.
    pub(crate) fn on_key(name: &'static str, key: &str, rest: impl IntoIterator<Item = Value>) -> Self {
        let args = std::iter::once(Value::from(key)).chain(rest).collect();
        Self { name, args, slot: Some(slot(key)), node: None }
    }

    /// A command for any node.
    pub(crate) fn anywhere(name: &'static str, args: Vec<Value>) -> Self {
        Self { name, args, slot: None, node: None }
    }
}

pub(crate) fn slot(key: &str) -> u16 {
    fred::util::redis_keyslot(key.as_bytes())
}

/// An open connection (to a cluster: one to each node). Dropping it closes it.
pub(crate) struct Connection {
    client: Client,
    router: ConnectHandle,
    clustered: bool,
}

impl Connection {
    /// Connects and sees that the server answers.
    pub(crate) async fn open(
        config: &RedisConfig,
        tls: Option<TlsConfig>,
        within: Duration,
    ) -> Result<Self, ClientError> {
        let give_up = Instant::now() + within;
        let client = build(config, tls, within)?;
        let router = client.connect();
        let mut this = Self { client, router, clustered: matches!(config.server, RedisServer::Cluster(_)) };
        let connected = tokio::time::timeout(within, this.connected()).await;
        connected.map_err(|_elapsed| timed_out())??;
        let left = give_up.saturating_duration_since(Instant::now());
        this.send(&Command::anywhere("PING", Vec::new()), left).await?;
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
    pub(crate) async fn send(&self, command: &Command, within: Duration) -> Result<Value, ClientError> {
        let within = within.max(Duration::from_millis(1));
        let options = Options {
            // Each redirection counts as an attempt; nothing else is repeated, as there is no reconnect policy.
            max_attempts: Some(if self.clustered { 1 + REDIRECTIONS } else { 1 }),
            max_redirections: Some(REDIRECTIONS),
            timeout: Some(within),
            cluster_node: command.node.clone(),
            ..Options::default()
        };
        let hash = command.slot.map_or(ClusterHash::Random, ClusterHash::Custom);
        let custom = CustomCommand::new_static(command.name, hash, false);
        let client = self.client.with_options(&options);
        let answer = client.custom::<Value, Value>(custom, command.args.clone());
        tokio::time::timeout(within + GRACE, answer).await.unwrap_or_else(|_elapsed| Err(timed_out()))
    }

    /// The masters of a cluster, each with its first slot, in the order of those; empty for one server.
    pub(crate) fn masters(&self) -> Vec<(u16, Server)> {
        if !self.clustered {
            return Vec::new();
        }
        let mut masters: Vec<(u16, Server)> = Vec::new();
        if let Some(routing) = self.client.cached_cluster_state() {
            let mut ranges: Vec<_> =
                routing.slots().iter().map(|range| (range.start, &range.primary)).collect();
            ranges.sort_by_key(|(start, _)| *start);
            for (start, server) in ranges {
                if !masters.iter().any(|(_, known)| known == server) {
                    masters.push((start, server.clone()));
                }
            }
        }
        masters
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

fn build(config: &RedisConfig, tls: Option<TlsConfig>, within: Duration) -> Result<Client, ClientError> {
    let node = |(host, port): &(String, u16)| Server::new(host.as_str(), *port);
    let server = match &config.server {
        RedisServer::Single(host, port) => ServerConfig::new_centralized(host.as_str(), *port),
        RedisServer::Unix(path) => ServerConfig::Unix { path: path.clone() },
        RedisServer::Cluster(nodes) => ServerConfig::Clustered {
            hosts: nodes.iter().map(node).collect(),
            policy: ClusterDiscoveryPolicy::default(),
        },
        RedisServer::Sentinel { sentinels, service, username, password } => ServerConfig::Sentinel {
            hosts: sentinels.iter().map(node).collect(),
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
        connection.internal_command_timeout = within;
        connection.max_command_attempts = 1;
        connection.max_redirections = REDIRECTIONS;
        connection.max_command_buffer_len = LONGEST_QUEUE;
        connection.tcp = TcpConfig {
            nodelay: Some(true),
            keepalive: Some(TcpKeepalive::new().with_time(KEEPALIVE)),
            ..TcpConfig::default()
        };
    });
    builder.with_performance_config(|performance| {
        performance.default_command_timeout = config.command_timeout;
    });
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
