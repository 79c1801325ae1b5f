//! Settings of the Redis memory.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use arshai_core::{
    Error, ErrorKind, Result,
    config::{Secret, Settings, Variable},
};

/// The address used when `REDIS_URL` is not set.
const DEFAULT_URL: &str = "redis://localhost:6379/0";
const MOST_CONNECTIONS: usize = 20;
const URL: Variable = Variable::new("REDIS_URL", "where Redis is").of(DEFAULT_URL, "").url();
const PLAINTEXT: Variable = Variable::new(
    "REDIS_ALLOW_PLAINTEXT_PASSWORD",
    "`true`: send the password unencrypted to a host that is not this machine",
)
.of("false", "true, false");

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisServer {
    /// One server: host and port.
    Single(String, u16),
    /// A unix socket.
    Unix(PathBuf),
    /// Redis Cluster: some of its nodes, the others are found through them.
    Cluster(Vec<(String, u16)>),
    /// The master that sentinels name.
    Sentinel {
        /// Some of the sentinels.
        sentinels: Vec<(String, u16)>,
        /// The name under which they know the master.
        service: String,
        /// ACL user at the sentinels, if they ask for one.
        username: Option<String>,
        /// Password at the sentinels, if they ask for one.
        password: Option<Secret>,
    },
}

/// When a memory expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TtlPolicy {
    /// The time begins with the first write; later ones do not lengthen it.
    Fixed,
    /// Every write begins the time anew. The Python package does so too.
    #[default]
    SlidingOnWrite,
    /// Every write and every read begin the time anew (needs Redis 6.2).
    SlidingOnRead,
}

/// Settings of [`RedisMemory`](crate::RedisMemory). `Debug` shows no secret.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use arshai_redis::RedisConfig;
///
/// let mut config = RedisConfig::from_url("redis://:secret@localhost:6379/2")?;
/// config.timeout = Duration::from_secs(3);
/// assert_eq!((config.database, config.address().as_str()), (2, "localhost:6379"));
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), arshai_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisConfig {
    /// Where the server is. Default: localhost, port 6379.
    pub server: RedisServer,
    /// The ACL user. Default: none, which is the server's user `default`.
    pub username: Option<String>,
    /// The password. Default: none.
    pub password: Option<Secret>,
    /// The database, 0 to 255; a cluster has only 0. Default: 0. (The Python package 1.15.0 uses 1.)
    pub database: u8,
    /// Whether connections are encrypted and the server's certificate is verified. Default: as the URL's scheme says.
    pub tls: bool,
    /// A PEM file of authorities to trust instead of the system's. Default: none.
    pub ca_file: Option<PathBuf>,
    /// Send the password unencrypted to a host that is not this machine. Default: false: refused, also when a cluster or
    /// a sentinel names such a host only later.
    pub allow_plaintext_password: bool,
    /// Connections kept, 1 to 20; each carries any number of commands at once. Default: 2.
    pub connections: usize,
    /// Time for one attempt to connect, and at most a third of what the operation has left (or 1 s). Default: 10 s.
    pub connect_timeout: Duration,
    /// Time for one attempt of one command. Default: 5 s.
    pub command_timeout: Duration,
    /// Time for one operation with all its attempts, unless the caller's deadline is earlier. Default: 15 s.
    pub timeout: Duration,
    /// How often an attempt that surely changed nothing is repeated (server restarting, connection refused), with
    /// growing waits of 0.05 s to 1 s. Default: 5.
    pub retries: u32,
    /// A write is acknowledged only when so many replicas hold it, beside the master: then it outlives the loss of the
    /// master, provided that one of those replicas takes over. When fewer do by the deadline, the answer is
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown). It costs one more round trip for each write, and needs the right
    /// to `WAIT`. Default: 0, which is the master alone.
    pub min_replicas: u32,
    /// How long a memory lives; `None` is until deleted. Default: 12 h.
    pub ttl: Option<Duration>,
    /// When that time begins. Default: [`TtlPolicy::SlidingOnWrite`].
    pub ttl_policy: TtlPolicy,
    /// Largest stored value in bytes. Default: 16 MiB.
    pub max_value_bytes: u64,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            server: RedisServer::Single("localhost".to_owned(), 6379),
            username: None,
            password: None,
            database: 0,
            tls: false,
            ca_file: None,
            allow_plaintext_password: false,
            connections: 2,
            connect_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
            retries: 5,
            min_replicas: 0,
            ttl: Some(Duration::from_secs(12 * 3600)),
            ttl_policy: TtlPolicy::default(),
            max_value_bytes: 16 * 1024 * 1024,
        }
    }
}

impl RedisConfig {
    /// What [`RedisConfig::from_env`] reads beside what [`Settings`] does.
    pub const VARIABLES: [Variable; 2] = [URL, PLAINTEXT];

    /// The settings an address states; the others keep their defaults.
    ///
    /// | form | server |
    /// |---|---|
    /// | `redis://[[user]:password@]host[:port][/database]` | one server |
    /// | `redis-cluster://host:port[,host:port …][?node=host:port …]` | Redis Cluster |
    /// | `redis-sentinel://host:port[/database]?sentinelServiceName=name[&node=…][&sentinelUsername=…][&sentinelPassword=…]` | the master of that name |
    /// | `redis+unix://[[user]:password@]/path[?db=database]` | a unix socket |
    ///
    /// `rediss` in place of `redis` encrypts; `valkey` and `valkeys` are the same two, and `redis+cluster` the same as
    /// `redis-cluster`. User, password and path are percent-decoded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when any part is not understood: nothing is guessed or ignored. The message never holds the
    /// address itself, which may hold a password.
    pub fn from_url(url: &str) -> Result<Self> {
        crate::url::parse(url)
    }

    /// The settings of this process's environment.
    ///
    /// | variable | meaning | default |
    /// |---|---|---|
    /// | `REDIS_URL` | as [`RedisConfig::from_url`] | `redis://localhost:6379/0` |
    /// | `REDIS_MAX_CONNECTIONS` | at most so many connections, 20 at most | 2 are kept |
    /// | `REDIS_CONNECTION_TIMEOUT` | seconds to connect | 10 |
    /// | `REDIS_ALLOW_PLAINTEXT_PASSWORD` | `true`: as [`RedisConfig::allow_plaintext_password`] | false |
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the variable.
    pub fn from_env() -> Result<Self> {
        Self::from_env_with(&Settings::from_env()?)
    }

    pub(crate) fn from_env_with(settings: &Settings) -> Result<Self> {
        Self::from_variables(URL.read()?.as_deref(), PLAINTEXT.read()?.as_deref(), settings)
    }

    /// The settings an address states, and the others of the environment.
    ///
    /// # Errors
    ///
    /// As [`RedisConfig::from_url`] and [`RedisConfig::from_env`].
    pub fn from_url_and_env(url: &str) -> Result<Self> {
        Self::from_url_with(url, &Settings::from_env()?)
    }

    pub(crate) fn from_url_with(url: &str, settings: &Settings) -> Result<Self> {
        Self::from_url(url.trim())?.with(PLAINTEXT.read()?.as_deref(), settings)
    }

    fn from_variables(url: Option<&str>, plaintext: Option<&str>, settings: &Settings) -> Result<Self> {
        let config = Self::from_url(url.unwrap_or(DEFAULT_URL).trim());
        config.map_err(|error| error.with_context("variable", URL.name))?.with(plaintext, settings)
    }

    fn with(mut self, plaintext: Option<&str>, settings: &Settings) -> Result<Self> {
        self.connections = self.connections.min(settings.redis_max_connections);
        self.connect_timeout = settings.redis_connection_timeout;
        if let Some(value) = plaintext {
            self.allow_plaintext_password |= PLAINTEXT.switch(value)?;
        }
        Ok(self)
    }

    /// The server's address without credentials, for messages.
    pub fn address(&self) -> String {
        let join = |nodes: &[(String, u16)]| {
            nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(",")
        };
        match &self.server {
            RedisServer::Single(host, port) => format!("{host}:{port}"),
            RedisServer::Unix(path) => path.display().to_string(),
            RedisServer::Cluster(nodes) => join(nodes),
            RedisServer::Sentinel { sentinels, service, .. } => format!("{service}@{}", join(sentinels)),
        }
    }

    /// The host, as spans tell it: of one server, of the first node of a cluster, of the first sentinel; or the path of
    /// the unix socket.
    pub(crate) fn host(&self) -> String {
        match &self.server {
            RedisServer::Unix(path) => path.display().to_string(),
            _ => self.first().map(|(host, _)| host.clone()).unwrap_or_default(),
        }
    }

    pub(crate) fn port(&self) -> Option<u16> {
        self.first().map(|(_, port)| *port)
    }

    fn first(&self) -> Option<(&String, &u16)> {
        match &self.server {
            RedisServer::Single(host, port) => Some((host, port)),
            RedisServer::Unix(_) => None,
            RedisServer::Cluster(nodes) | RedisServer::Sentinel { sentinels: nodes, .. } => {
                nodes.first().map(|(host, port)| (host, port))
            }
        }
    }

    /// Whether the password must not be sent to this host.
    pub(crate) fn hides_password_from(&self, host: &str) -> bool {
        self.password.is_some() && !self.tls && !self.allow_plaintext_password && !is_loopback(host)
    }

    /// Checks the settings. [`RedisMemory::new`](crate::RedisMemory::new) calls it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the first setting that cannot work, and what would.
    pub fn validate(&self) -> Result<()> {
        let bad = |setting: &'static str, message: &'static str| {
            Err(Error::new(ErrorKind::Config, message).with_context("setting", setting))
        };
        let hosts: Vec<&str> = match &self.server {
            RedisServer::Single(host, _) => vec![host],
            RedisServer::Unix(_) => Vec::new(),
            RedisServer::Cluster(nodes) => nodes.iter().map(|(host, _)| host.as_str()).collect(),
            RedisServer::Sentinel { sentinels, .. } => {
                sentinels.iter().map(|(host, _)| host.as_str()).collect()
            }
        };
        if hosts.is_empty() && !matches!(self.server, RedisServer::Unix(_)) {
            return bad("server", "a cluster or sentinel address needs at least one host");
        }
        let sentinel_password = matches!(&self.server, RedisServer::Sentinel { password: Some(_), .. });
        let secret = self.password.is_some() || sentinel_password;
        if secret && !self.tls && !self.allow_plaintext_password {
            if let Some(host) = hosts.iter().find(|host| !is_loopback(host)) {
                return Err(Error::new(
                    ErrorKind::Config,
                    "a password would cross the network unencrypted: use rediss://, or set allow_plaintext_password",
                )
                .with_context("host", host));
            }
        }
        if self.tls && matches!(self.server, RedisServer::Unix(_)) {
            return bad("tls", "a unix socket is not encrypted: leave tls off");
        }
        if self.database != 0 && matches!(self.server, RedisServer::Cluster(_)) {
            return bad("database", "a cluster has only database 0");
        }
        if !(1..=MOST_CONNECTIONS).contains(&self.connections) {
            return bad("connections", "connections are 1 to 20");
        }
        for (setting, time) in [
            ("connect_timeout", self.connect_timeout),
            ("command_timeout", self.command_timeout),
            ("timeout", self.timeout),
        ] {
            if time < Duration::from_millis(1) {
                return bad(setting, "a timeout is at least 1 ms");
            }
        }
        if self.ttl.is_some_and(|ttl| ttl < Duration::from_millis(1)) {
            return bad("ttl", "a time to live is at least 1 ms; None keeps memories until deleted");
        }
        Ok(())
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_clear_to_another_host_is_refused_unless_allowed() {
        for url in [
            "redis://:hunter2@db.example/0",
            "redis://user:hunter2@10.0.0.7:6379",
            "redis-cluster://:hunter2@localhost:1?node=10.0.0.8:2",
            "redis-sentinel://localhost:1?node=10.0.0.8:2&sentinelServiceName=m&sentinelPassword=hunter2",
        ] {
            let mut config = RedisConfig::from_url(url).unwrap();
            let error = config.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(
                error.to_string().contains("rediss://") && !format!("{error} {error:?}").contains("hunter2")
            );
            config.allow_plaintext_password = true;
            config.validate().unwrap();
        }
        for url in [
            "redis://:hunter2@localhost/0",
            "redis://:hunter2@127.0.0.2",
            "redis://:hunter2@[::1]:6379",
            "rediss://:hunter2@db.example",
            "redis://db.example",
            "redis+unix://:hunter2@/run/redis.sock",
        ] {
            RedisConfig::from_url(url).unwrap().validate().unwrap();
        }
    }

    #[test]
    fn secrets_are_in_no_rendering() {
        let config = RedisConfig::from_url(
            "redis-sentinel://user:hunter2@localhost:1?sentinelServiceName=m&sentinelPassword=hunter3",
        )
        .unwrap();
        let shown = format!("{config} {config:?} {config:#?}");
        assert!(!shown.contains("hunter"), "{shown}");
        assert_eq!(config.password.unwrap().expose(), "hunter2");
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let change = |change: fn(&mut RedisConfig)| {
            let mut config = RedisConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(change(|config| config.connections = 0).contains("connections"));
        assert!(change(|config| config.connections = 21).contains("connections"));
        assert!(change(|config| config.timeout = Duration::ZERO).contains("timeout"));
        assert!(change(|config| config.ttl = Some(Duration::ZERO)).contains("ttl"));
        assert!(change(|config| config.server = RedisServer::Cluster(Vec::new())).contains("server"));
    }

    #[test]
    fn the_environment_sets_address_and_limits() {
        let mut settings = Settings::default();
        let config = RedisConfig::from_variables(None, None, &settings).unwrap();
        assert_eq!((config.address().as_str(), config.database), ("localhost:6379", 0));
        assert_eq!((config.connections, config.connect_timeout), (2, Duration::from_secs(10)));
        settings.redis_max_connections = 1;
        settings.redis_connection_timeout = Duration::from_secs(3);
        let config = RedisConfig::from_variables(Some(" rediss://h:1/4 "), Some("true"), &settings).unwrap();
        assert_eq!((config.connections, config.connect_timeout), (1, Duration::from_secs(3)));
        assert!(config.tls && config.database == 4 && config.allow_plaintext_password);
        for (url, plaintext, named) in
            [("http://h", None, "REDIS_URL"), ("redis://h", Some("maybe"), "REDIS_ALLOW_PLAINTEXT_PASSWORD")]
        {
            let error = RedisConfig::from_variables(Some(url), plaintext, &settings).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
