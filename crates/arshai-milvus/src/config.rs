//! Where the server is and how it is talked to.

use std::{env, fmt, net::IpAddr, path::PathBuf, time::Duration};

use arshai_core::{
    Error, ErrorKind, Result,
    config::{Secret, Settings, Variable},
};

/// The port of Milvus.
pub(crate) const DEFAULT_PORT: u16 = 19_530;
const PLAINTEXT: Variable = Variable::new(
    "MILVUS_ALLOW_PLAINTEXT_CREDENTIALS",
    "`true`: send token or password unencrypted to a host that is not this machine",
)
.of("false", "true, false");

/// How the client proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// It does not.
    #[default]
    None,
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An API token, or `user:password` as Milvus also takes it.
    Token(Secret),
}

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tls {
    /// A PEM file of authorities to trust instead of the system's. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of a certificate and its key, with which the client proves who it is. Default: none.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name the server's certificate must hold. Default: the host.
    pub server_name: Option<String>,
}

/// Settings of a [`MilvusStore`](crate::MilvusStore). `Debug` shows no secret.
///
/// # Examples
///
/// ```
/// use arshai_milvus::MilvusConfig;
///
/// let mut config = MilvusConfig::from_url("milvus://root:secret@localhost:19530/library")?;
/// config.batch_size = 200;
/// assert_eq!((config.host.as_str(), config.database.as_str()), ("localhost", "library"));
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), arshai_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MilvusConfig {
    /// The server's name or address. Default: localhost.
    pub host: String,
    /// The server's port. Default: 19530.
    pub port: u16,
    /// The database; empty is the server's default one. Default: empty.
    pub database: String,
    /// Who the client is. Default: nobody.
    pub credentials: Credentials,
    /// How connections are encrypted; `None` for plaintext. Default: plaintext.
    pub tls: Option<Tls>,
    /// Send a password or token unencrypted to a host that is not this machine. Default: false (refused).
    pub allow_plaintext_credentials: bool,
    /// Connections kept, 1 to 16; each carries any number of calls at once. Default: 2.
    pub connections: usize,
    /// Time to connect. Default: 30 s.
    pub connect_timeout: Duration,
    /// Time for the reply to one attempt of one call, after which reads and repeatable writes are sent again. Default:
    /// 15 s.
    pub attempt_timeout: Duration,
    /// Time for one operation, or one batch of a write, with all its attempts, unless the caller's deadline is
    /// earlier. Default: 60 s.
    pub timeout: Duration,
    /// Time to create, index and load a collection. Default: 180 s.
    pub open_timeout: Duration,
    /// Rows of one write call. Default: 50.
    pub batch_size: usize,
    /// Bytes of one write call at most; the server refuses more than 64 MiB. Default: 16 MiB.
    pub batch_bytes: usize,
    /// Write calls in flight at once. Default: 4.
    pub batch_concurrency: usize,
    /// The largest reply that is read. Default: 256 MiB.
    pub max_reply_bytes: usize,
    /// Rows read at most to finish a filter that the server cannot decide exactly. Default: 100,000.
    pub filter_scan_rows: usize,
}

impl Default for MilvusConfig {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: DEFAULT_PORT,
            database: String::new(),
            credentials: Credentials::None,
            tls: None,
            allow_plaintext_credentials: false,
            connections: 2,
            connect_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(15),
            timeout: Duration::from_secs(60),
            open_timeout: Duration::from_secs(180),
            batch_size: 50,
            batch_bytes: 16 * 1024 * 1024,
            batch_concurrency: 4,
            max_reply_bytes: 256 * 1024 * 1024,
            filter_scan_rows: 100_000,
        }
    }
}

impl MilvusConfig {
    /// What [`MilvusConfig::from_env`] reads beside what [`Settings`] does.
    pub const VARIABLES: [Variable; 8] = [
        Variable::new("MILVUS_HOST", "name, address or URL of Milvus").of("localhost", "").url(),
        Variable::new("MILVUS_PORT", "its port").of("19530", "1 to 65535"),
        Variable::new("MILVUS_DB_NAME", "its database").of("default", ""),
        Variable::new("MILVUS_TOKEN", "its API token").secret(),
        Variable::new("MILVUS_USER", "its user"),
        Variable::new("MILVUS_PASSWORD", "the user's password").secret(),
        Variable::new("MILVUS_BATCH_SIZE", "rows of one write call").of("50", "rows"),
        PLAINTEXT,
    ];

    /// The settings an address states; the others keep their defaults.
    ///
    /// | form | connection |
    /// |---|---|
    /// | `milvus://[user:password@]host[:port][/database]` | plaintext |
    /// | `milvuss://…` | TLS with the system's authorities |
    /// | `http://…`, `https://…` | the same two, as other clients write them |
    ///
    /// A lone word before the `@` is a token. User, password, token and database are percent-decoded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when a part is not understood. The message never holds the address itself, which may hold
    /// a password.
    pub fn from_url(url: &str) -> Result<Self> {
        crate::url::parse(url)
    }

    /// The settings of this process's environment.
    ///
    /// | variable | meaning | default |
    /// |---|---|---|
    /// | `MILVUS_HOST` | name or address, or a URL as [`MilvusConfig::from_url`] takes it | `localhost` |
    /// | `MILVUS_PORT` | port | 19530 |
    /// | `MILVUS_DB_NAME` | database | `default` |
    /// | `MILVUS_TOKEN` | API token | none |
    /// | `MILVUS_USER`, `MILVUS_PASSWORD` | user and password | none |
    /// | `MILVUS_BATCH_SIZE` | rows of one write call | 50 |
    /// | `MILVUS_BATCH_CONCURRENCY` | write calls in flight at once | 4 |
    /// | `MILVUS_CONNECTION_TIMEOUT` | seconds to connect | 30 |
    /// | `MILVUS_ALLOW_PLAINTEXT_CREDENTIALS` | `true`: as [`MilvusConfig::allow_plaintext_credentials`] | false |
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the variable whose value is not understood, and what is.
    pub fn from_env() -> Result<Self> {
        Self::from_env_with(&Settings::from_env()?)
    }

    pub(crate) fn from_env_with(settings: &Settings) -> Result<Self> {
        Variable::check(&Self::VARIABLES)?;
        Self::from_variables(None, &|name| env::var(name).ok(), settings)
    }

    /// The settings an address states, and the others of the environment: `MILVUS_HOST` and `MILVUS_PORT` are not
    /// looked at, the other variables where the address names no database, or nobody.
    ///
    /// # Errors
    ///
    /// As [`MilvusConfig::from_url`] and [`MilvusConfig::from_env`].
    pub fn from_url_and_env(url: &str) -> Result<Self> {
        Self::from_url_with(url, &Settings::from_env()?)
    }

    pub(crate) fn from_url_with(url: &str, settings: &Settings) -> Result<Self> {
        Variable::check(&Self::VARIABLES)?;
        Self::from_variables(Some(Self::from_url(url)?), &|name| env::var(name).ok(), settings)
    }

    /// The environment's; where `stated` is given, it comes before.
    fn from_variables(
        stated: Option<Self>,
        variable: &dyn Fn(&str) -> Option<String>,
        settings: &Settings,
    ) -> Result<Self> {
        let read = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let number = |name: &'static str| -> Result<Option<usize>> {
            let Some(value) = read(name) else { return Ok(None) };
            value
                .parse()
                .ok()
                .filter(|number| (1..=65_535).contains(number))
                .map(Some)
                .ok_or_else(|| Variable::new(name, "").refused(&value, "a whole number from 1 to 65535"))
        };
        let (mut config, states_database, states_credentials) = match stated {
            Some(config) => {
                let (database, credentials) = (&config.database, &config.credentials);
                let states = (!database.is_empty(), *credentials != Credentials::None);
                (config, states.0, states.1)
            }
            None => {
                let mut config = match read("MILVUS_HOST") {
                    Some(url) if url.contains("://") => {
                        Self::from_url(&url).map_err(|error| error.with_context("variable", "MILVUS_HOST"))?
                    }
                    Some(host) => Self { host, ..Self::default() },
                    None => Self::default(),
                };
                if let Some(port) = number("MILVUS_PORT")? {
                    config.port = u16::try_from(port).unwrap_or(DEFAULT_PORT);
                }
                (config, false, false)
            }
        };
        if let Some(database) = read("MILVUS_DB_NAME").filter(|_| !states_database) {
            config.database = database;
        }
        match (read("MILVUS_TOKEN"), read("MILVUS_USER"), read("MILVUS_PASSWORD")) {
            _ if states_credentials => {}
            (Some(token), _, _) => config.credentials = Credentials::Token(Secret::new(token)),
            (None, Some(user), Some(password)) => {
                config.credentials = Credentials::Password { user, password: Secret::new(password) };
            }
            (None, None, None) => {}
            (None, _, _) => {
                return Err(bad("a user needs a password and a password a user")
                    .with_context("variables", "MILVUS_USER, MILVUS_PASSWORD"));
            }
        }
        if let Some(rows) = number("MILVUS_BATCH_SIZE")? {
            config.batch_size = rows;
        }
        config.batch_concurrency = settings.concurrency(settings.milvus_batch_concurrency);
        config.connect_timeout = settings.milvus_connection_timeout;
        if let Some(value) = read(PLAINTEXT.name) {
            config.allow_plaintext_credentials |= PLAINTEXT.switch(&value)?;
        }
        Ok(config)
    }

    /// The server's address without credentials, for messages.
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether others can read what is sent.
    pub(crate) fn exposes_secrets(&self) -> bool {
        self.tls.is_none() && !is_loopback(&self.host)
    }

    /// Checks the settings. [`MilvusStore::new`](crate::MilvusStore::new) calls it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the first setting that cannot work, and what would.
    pub fn validate(&self) -> Result<()> {
        let refuse =
            |setting: &'static str, message: &'static str| Err(bad(message).with_context("setting", setting));
        if self.host.is_empty() || self.host.contains(['/', '@', ' ']) {
            return refuse("host", "the host is a name or an address, without scheme and port");
        }
        let exposed = self.credentials != Credentials::None && self.exposes_secrets();
        if exposed && !self.allow_plaintext_credentials {
            return Err(bad(
                "a password or token would cross the network unencrypted: use milvuss:// or https://, or set \
                 allow_plaintext_credentials",
            )
            .with_context("host", &self.host));
        }
        if !(1..=16).contains(&self.connections) {
            return refuse("connections", "connections are 1 to 16");
        }
        for (setting, time) in [
            ("connect_timeout", self.connect_timeout),
            ("attempt_timeout", self.attempt_timeout),
            ("timeout", self.timeout),
            ("open_timeout", self.open_timeout),
        ] {
            if time < Duration::from_millis(1) {
                return refuse(setting, "a timeout is at least 1 ms");
            }
        }
        for (setting, count) in [
            ("batch_size", self.batch_size),
            ("batch_concurrency", self.batch_concurrency),
            ("filter_scan_rows", self.filter_scan_rows),
        ] {
            if count == 0 {
                return refuse(setting, "it is at least 1");
            }
        }
        if !(1 << 16..=60 << 20).contains(&self.batch_bytes) {
            return refuse("batch_bytes", "a batch is 64 KiB to 60 MiB: the server refuses more than 64 MiB");
        }
        if self.max_reply_bytes < 1 << 20 {
            return refuse("max_reply_bytes", "the largest reply is at least 1 MiB");
        }
        Ok(())
    }
}

impl fmt::Display for MilvusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}

fn bad(message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<MilvusConfig> {
        let read = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        MilvusConfig::from_variables(None, &read, &Settings::default())
    }

    fn from_both(url: &str, variables: &[(&str, &str)]) -> MilvusConfig {
        let read = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let stated = MilvusConfig::from_url(url).unwrap();
        MilvusConfig::from_variables(Some(stated), &read, &Settings::default()).unwrap()
    }

    #[test]
    fn an_address_drops_nothing_of_the_environment_that_it_does_not_state() {
        let variables = [
            ("MILVUS_HOST", "milvus://root:other@elsewhere/theirs"),
            ("MILVUS_PORT", "7"),
            ("MILVUS_DB_NAME", "library"),
            ("MILVUS_TOKEN", "token"),
            ("MILVUS_BATCH_SIZE", "9"),
        ];
        let config = from_both("milvus://localhost", &variables);
        assert_eq!((config.address().as_str(), config.database.as_str()), ("localhost:19530", "library"));
        assert_eq!((config.credentials, config.batch_size), (Credentials::Token(Secret::new("token")), 9));
        let config = from_both("milvus://u:p@localhost:8/own", &variables);
        assert_eq!((config.address().as_str(), config.database.as_str()), ("localhost:8", "own"));
        assert!(matches!(config.credentials, Credentials::Password { user, .. } if user == "u"));
        // What belongs to the host of the environment goes to no other.
        let config = from_both("milvus://localhost", &variables[..2]);
        assert!(config.credentials == Credentials::None && config.database.is_empty());
    }

    #[test]
    fn the_environment_sets_every_setting_it_names() {
        let config = from(&[
            ("MILVUS_HOST", "db.example"),
            ("MILVUS_PORT", "7"),
            ("MILVUS_DB_NAME", "library"),
            ("MILVUS_BATCH_SIZE", "200"),
            ("MILVUS_USER", "u"),
            ("MILVUS_PASSWORD", "hunter2"),
        ])
        .unwrap();
        assert_eq!((config.address().as_str(), config.database.as_str()), ("db.example:7", "library"));
        assert_eq!((config.batch_size, config.batch_concurrency), (200, 4));
        assert!(!format!("{config:?} {config}").contains("hunter2"));
        assert!(from(&[("MILVUS_PORT", "seven")]).unwrap_err().to_string().contains("MILVUS_PORT"));
        assert!(from(&[("MILVUS_USER", "u")]).is_err());
        let plaintext = from(&[("MILVUS_ALLOW_PLAINTEXT_CREDENTIALS", "maybe")]).unwrap_err().to_string();
        assert!(plaintext.contains("MILVUS_ALLOW_PLAINTEXT_CREDENTIALS"), "{plaintext}");
    }

    #[test]
    fn a_secret_in_the_clear_to_another_host_is_refused_unless_allowed() {
        for url in ["milvus://u:hunter2@db.example", "http://hunter2@10.0.0.7:1"] {
            let mut config = MilvusConfig::from_url(url).unwrap();
            let error = config.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!format!("{error} {error:?}").contains("hunter2"));
            config.allow_plaintext_credentials = true;
            config.validate().unwrap();
        }
        for url in ["milvus://u:hunter2@localhost", "milvus://u:hunter2@[::1]:1", "https://t@db.example"] {
            MilvusConfig::from_url(url).unwrap().validate().unwrap();
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let change = |change: fn(&mut MilvusConfig)| {
            let mut config = MilvusConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(change(|config| config.connections = 0).contains("connections"));
        assert!(change(|config| config.batch_bytes = 64 << 20).contains("batch_bytes"));
        assert!(change(|config| config.timeout = Duration::ZERO).contains("timeout"));
        assert!(change(|config| config.host = "http://x".into()).contains("host"));
    }
}
