//! The services there are: names, what each one is, and the variables that tell a test where it listens.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A real engine that tests talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Service {
    /// One Redis of today (8.2.3).
    Redis,
    /// One Redis of the oldest line supported (6.2.14).
    Redis6,
    /// Six nodes of Redis 8.2.3: three masters with a replica each.
    RedisCluster,
    /// A master, a replica and three sentinels.
    RedisSentinel,
    /// One Redis behind TLS, with a password and an authority of our own.
    RedisTls,
    /// Milvus standalone (2.3.5): a full server, without sparse vectors in this version.
    Milvus,
    /// Milvus Lite in C++ (2.5.1): sparse vectors and hybrid search.
    MilvusLite,
    /// Milvus Lite in Python (3.2.2).
    MilvusLitePy,
    /// llama.cpp: a chat server and an embeddings server that speak OpenAI's protocol.
    Openai,
    /// Whisper and Piper: speech to text and text to speech in OpenAI's protocol.
    Speech,
}

impl Service {
    /// Every service, in the order they are shown.
    pub(crate) const ALL: [Self; 10] = [
        Self::Redis,
        Self::Redis6,
        Self::RedisCluster,
        Self::RedisSentinel,
        Self::RedisTls,
        Self::Milvus,
        Self::MilvusLite,
        Self::MilvusLitePy,
        Self::Openai,
        Self::Speech,
    ];

    /// The name on the command line and of the state file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Redis6 => "redis6",
            Self::RedisCluster => "redis-cluster",
            Self::RedisSentinel => "redis-sentinel",
            Self::RedisTls => "redis-tls",
            Self::Milvus => "milvus",
            Self::MilvusLite => "milvus-lite",
            Self::MilvusLitePy => "milvus-lite-py",
            Self::Openai => "openai",
            Self::Speech => "speech",
        }
    }

    /// The variables in which tests find this service. The first is its address; the second of `redis-tls` is a file.
    pub(crate) fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Redis => &["ARSHAI_TEST_REDIS_URL"],
            Self::Redis6 => &["ARSHAI_TEST_REDIS6_URL"],
            Self::RedisCluster => &["ARSHAI_TEST_REDIS_CLUSTER_URL"],
            Self::RedisSentinel => &["ARSHAI_TEST_REDIS_SENTINEL_URL"],
            Self::RedisTls => &["ARSHAI_TEST_REDIS_TLS_URL", "ARSHAI_TEST_REDIS_TLS_CA"],
            Self::Milvus => &["ARSHAI_TEST_MILVUS_URI"],
            Self::MilvusLite => &["ARSHAI_TEST_MILVUS_LITE_URI"],
            Self::MilvusLitePy => &["ARSHAI_TEST_MILVUS_LITE_PY_URI"],
            Self::Openai => &["ARSHAI_TEST_OPENAI_CHAT_URL", "ARSHAI_TEST_OPENAI_EMBEDDINGS_URL"],
            Self::Speech => &["ARSHAI_TEST_SPEECH_TO_TEXT_URL", "ARSHAI_TEST_TEXT_TO_SPEECH_URL"],
        }
    }

    /// Whether it is a Redis, however it is run.
    pub(crate) fn is_redis(self) -> bool {
        self.name().starts_with("redis")
    }

    /// Its place in [`ALL`](Self::ALL), from which `--port-base` counts.
    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|other| *other == self).unwrap_or_default()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who runs a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provider {
    /// Containers, by the compose files in `services/compose`.
    Docker,
    /// Processes of this user, from pinned packages below the target folder.
    Process,
    /// Somebody else; the variables of the environment say where.
    External,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Docker => "docker",
            Self::Process => "process",
            Self::External => "external",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_service_is_listed_once_under_the_name_clap_knows() {
        let listed: BTreeSet<Service> = Service::ALL.into_iter().collect();
        assert_eq!(listed.len(), Service::value_variants().len());
        for service in Service::ALL {
            let value = service.to_possible_value().unwrap();
            assert_eq!(value.get_name(), service.name());
            assert_eq!(serde_json::to_string(&service).unwrap(), format!("{:?}", service.name()));
        }
    }

    #[test]
    fn no_two_services_share_a_variable() {
        let all: Vec<&str> = Service::ALL.iter().flat_map(|service| service.variables()).copied().collect();
        let distinct: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(all.len(), distinct.len());
        assert!(Service::ALL.iter().all(|service| !service.variables().is_empty()));
        assert_eq!(Service::ALL.iter().filter(|service| service.is_redis()).count(), 5);
    }
}
