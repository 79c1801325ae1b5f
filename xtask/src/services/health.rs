//! Whether a service answers: asked in its own protocol, not only by a connection.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{
    dial::dial,
    http,
    resp::{Connection, Login, Reply},
    tls,
};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// How to ask one address whether it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(crate) enum Probe {
    /// A Redis that answers `PING`.
    Redis {
        /// `host:port`.
        address: String,
        /// For `AUTH`.
        #[serde(flatten)]
        login: Option<Login>,
    },
    /// The same behind TLS.
    RedisTls {
        /// `host:port`.
        address: String,
        /// The certificate of the authority, as PEM.
        ca: PathBuf,
        /// For `AUTH`.
        #[serde(flatten)]
        login: Option<Login>,
    },
    /// A node that knows `nodes` nodes and sees every slot served.
    RedisCluster {
        /// `host:port`.
        address: String,
        /// All nodes of the cluster, itself included.
        nodes: usize,
    },
    /// A sentinel that sees the master, its replica and the other sentinels.
    RedisSentinel {
        /// `host:port`.
        address: String,
        /// The name of the master.
        master: String,
        /// How many sentinels there are, itself included.
        sentinels: usize,
    },
    /// An HTTP server whose answer to a GET is a success.
    Http {
        /// `host:port`.
        address: String,
        /// With its leading `/`.
        path: String,
    },
    /// A gRPC server that greets.
    Grpc {
        /// `host:port`.
        address: String,
    },
    /// Anything that accepts a connection: all that can be asked of a server behind somebody else's TLS.
    Tcp {
        /// `host:port`.
        address: String,
    },
}

impl Probe {
    /// Where it asks.
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::Redis { address, .. }
            | Self::RedisTls { address, .. }
            | Self::RedisCluster { address, .. }
            | Self::RedisSentinel { address, .. }
            | Self::Http { address, .. }
            | Self::Grpc { address }
            | Self::Tcp { address } => address,
        }
    }

    /// Asks once.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Redis { address, login } => {
                let mut connection = Connection::open(address, login.as_ref(), PATIENCE)?;
                pong(&connection.call(&["PING"])?)
            }
            Self::RedisTls { address, ca, login } => {
                let mut connection = Connection::over(tls::connect(address, ca, PATIENCE)?);
                connection.log_in(login.as_ref())?;
                pong(&connection.call(&["PING"])?)
            }
            Self::RedisCluster { address, nodes } => cluster_is_whole(address, *nodes),
            Self::RedisSentinel { address, master, sentinels } => {
                sentinel_sees_all(address, master, *sentinels)
            }
            Self::Http { address, path } => {
                let (status, _) = http::get(address, path, PATIENCE)?;
                // A server that asks for a key is up.
                ensure!(matches!(status, 200..=299 | 401 | 403), "http://{address}{path} answers {status}");
                Ok(())
            }
            Self::Grpc { address } => http::greets_with_http2(address, PATIENCE),
            Self::Tcp { address } => dial(address, PATIENCE).map(drop),
        }
    }
}

fn pong(reply: &Reply) -> Result<()> {
    ensure!(reply.text() == "PONG", "the reply to PING is {reply:?}");
    Ok(())
}

fn cluster_is_whole(address: &str, nodes: usize) -> Result<()> {
    let mut connection = Connection::open(address, None, PATIENCE)?;
    let info = connection.call(&["CLUSTER", "INFO"])?;
    let field = |name: &str| {
        let mut lines = info.text().lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().to_owned()
    };
    let (state, known, slots) =
        (field("cluster_state"), field("cluster_known_nodes"), field("cluster_slots_ok"));
    ensure!(
        state == "ok" && known == nodes.to_string() && slots == "16384",
        "the cluster at {address} is in state {state:?} with {known} of {nodes} nodes and {slots} of 16384 slots"
    );
    Ok(())
}

fn sentinel_sees_all(address: &str, master: &str, sentinels: usize) -> Result<()> {
    let mut connection = Connection::open(address, None, PATIENCE)?;
    connection.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", master])?;
    let Reply::List(replicas) = connection.call(&["SENTINEL", "REPLICAS", master])? else {
        bail!("the sentinel at {address} has no list of replicas");
    };
    ensure!(!replicas.is_empty(), "the sentinel at {address} sees no replica of {master} yet");
    // `OK 3 usable Sentinels. …` when enough of them agree.
    let quorum = connection.call(&["SENTINEL", "CKQUORUM", master])?;
    let usable = quorum.text().split(' ').nth(1).and_then(|count| count.parse::<usize>().ok());
    ensure!(usable == Some(sentinels), "the sentinel at {address} says: {}", quorum.text());
    Ok(())
}

/// Asks until every probe is content, the time is over, or `alive` says that waiting is in vain.
pub(crate) fn wait(probes: &[Probe], patience: Duration, alive: impl Fn() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    for probe in probes {
        loop {
            let Err(error) = probe.check() else { break };
            alive()?;
            if start.elapsed() > patience {
                let address = probe.address();
                return Err(error)
                    .with_context(|| format!("{address} is not ready after {} s", patience.as_secs()));
            }
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn waiting_ends_when_the_service_ended_and_when_the_time_is_over() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let probes = [Probe::Redis { address: closed, login: None }];
        let ended = wait(&probes, Duration::from_secs(600), || bail!("it ended"));
        assert_eq!(ended.unwrap_err().to_string(), "it ended");
        let late = wait(&probes, Duration::ZERO, || Ok(())).unwrap_err();
        assert!(late.to_string().contains("is not ready after 0 s"), "{late:#}");
    }

    #[test]
    fn a_login_survives_the_state_file_and_one_of_a_password_alone_is_read() {
        for login in
            [None, Some(Login::with("p")), Some(Login { user: Some("u".into()), password: "p".into() })]
        {
            let probe = Probe::Redis { address: "localhost:6379".to_owned(), login };
            let text = serde_json::to_string(&probe).unwrap();
            assert_eq!(serde_json::from_str::<Probe>(&text).unwrap(), probe, "{text}");
        }
        // Services that run while this program changes are still known.
        for (password, login) in [(r#""p""#, Some(Login::with("p"))), ("null", None)] {
            let text = format!(r#"{{"kind":"redis","address":"a:1","password":{password}}}"#);
            let probe = Probe::Redis { address: "a:1".to_owned(), login };
            assert_eq!(serde_json::from_str::<Probe>(&text).unwrap(), probe);
        }
    }
}
