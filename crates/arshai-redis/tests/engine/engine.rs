//! The engine of this run, and where its servers are.

use arshai_redis::{RedisConfig, RedisServer};

use crate::server::command;

/// What the tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Redis,
    Redis6,
    Tls,
    Cluster,
    Sentinel,
}

impl Engine {
    pub(crate) const ALL: [Self; 5] = [Self::Redis, Self::Redis6, Self::Tls, Self::Cluster, Self::Sentinel];

    fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Redis6 => "redis6",
            Self::Tls => "redis-tls",
            Self::Cluster => "redis-cluster",
            Self::Sentinel => "redis-sentinel",
        }
    }

    /// The engine that the environment names.
    pub(crate) fn of_process() -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let name = std::env::var("ARSHAI_TEST_ENGINE")
            .map_err(|_| format!("ARSHAI_TEST_ENGINE is not set: it is one of {}", known()))?;
        let found = Self::ALL.into_iter().find(|engine| engine.name() == name);
        found.ok_or_else(|| format!("ARSHAI_TEST_ENGINE is {name:?}: it is one of {}", known()))
    }

    /// The settings that reach it.
    pub(crate) fn config(self) -> RedisConfig {
        let url = match self {
            Self::Redis => "ARSHAI_TEST_REDIS_URL",
            Self::Redis6 => "ARSHAI_TEST_REDIS6_URL",
            Self::Tls => "ARSHAI_TEST_REDIS_TLS_URL",
            Self::Cluster => "ARSHAI_TEST_REDIS_CLUSTER_URL",
            Self::Sentinel => "ARSHAI_TEST_REDIS_SENTINEL_URL",
        };
        let mut config = RedisConfig::from_url(&variable(url)).unwrap();
        if self == Self::Tls {
            assert!(config.tls);
            config.ca_file = Some(variable("ARSHAI_TEST_REDIS_TLS_CA").into());
        }
        config
    }
}

/// The settings that reach the engine of this run.
pub(crate) fn settings() -> RedisConfig {
    Engine::of_process().unwrap().config()
}

/// A server of the engine that keeps data.
pub(crate) async fn first_address() -> (String, u16) {
    let config = settings();
    match &config.server {
        RedisServer::Single(host, port) => (host.clone(), *port),
        RedisServer::Cluster(nodes) => nodes[0].clone(),
        RedisServer::Sentinel { sentinels, service, .. } => {
            let mut sentinel = config.clone();
            sentinel.server = RedisServer::Single(sentinels[0].0.clone(), sentinels[0].1);
            let answer =
                command(&sentinel, &[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service.as_bytes()]).await;
            let answer = String::from_utf8(answer).unwrap();
            let parts: Vec<&str> = answer.lines().collect();
            (parts[2].to_owned(), parts[4].parse().unwrap())
        }
        other => panic!("{other:?}"),
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests with the variables that `cargo xtask services up … --env` prints")
    })
}
