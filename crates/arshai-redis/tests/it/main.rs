//! The memory against real servers, one module per concern.
//!
//! | variable | server |
//! |---|---|
//! | `ARSHAI_TEST_REDIS_URL` | one Redis of today |
//! | `ARSHAI_TEST_REDIS6_URL` | one Redis of the oldest line supported |
//! | `ARSHAI_TEST_REDIS_CLUSTER_URL` | a cluster |
//! | `ARSHAI_TEST_REDIS_SENTINEL_URL` | a master with a replica, found by sentinels |
//! | `ARSHAI_TEST_REDIS_TLS_URL`, `ARSHAI_TEST_REDIS_TLS_CA` | one Redis behind TLS, and the authority to trust |
//!
//! `cargo xtask services up` starts them; a test whose server is not named fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test says what is wrong by failing, and prints its counts"
)]

mod conformance;
mod fault;
mod races;
mod server;
mod topology;
mod trouble;
mod values;

use std::time::Duration;

use arshai_core::memory::MemoryKey;
use arshai_redis::{RedisConfig, RedisMemory, RedisServer};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests with the variables that `cargo xtask services up … --env` prints")
    })
}

fn config(name: &str) -> RedisConfig {
    RedisConfig::from_url(&variable(name)).unwrap()
}

/// One Redis of today.
fn redis() -> RedisConfig {
    config("ARSHAI_TEST_REDIS_URL")
}

/// The same settings with another address.
fn at(mut config: RedisConfig, port: u16) -> RedisConfig {
    config.server = RedisServer::Single("127.0.0.1".to_owned(), port);
    config.connections = 1;
    config
}

/// Its address as `host:port`.
fn upstream(config: &RedisConfig) -> String {
    config.address()
}

fn memory(config: RedisConfig) -> RedisMemory {
    RedisMemory::new(config).unwrap()
}

/// A key no other test has.
fn key(name: &str) -> MemoryKey {
    MemoryKey::new(format!("it-{name}-{:016x}", fastrand::u64(..))).unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);
