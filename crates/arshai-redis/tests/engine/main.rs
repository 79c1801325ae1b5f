//! The memory against real servers, one module per concern. `ARSHAI_TEST_ENGINE` names the engine of a run:
//!
//! | engine | variables |
//! |---|---|
//! | `redis`, a Redis of today | `ARSHAI_TEST_REDIS_URL` |
//! | `redis6`, the oldest line supported | `ARSHAI_TEST_REDIS6_URL` |
//! | `redis-tls`, one behind TLS with a password | `ARSHAI_TEST_REDIS_TLS_URL`, `ARSHAI_TEST_REDIS_TLS_CA` |
//! | `redis-cluster` | `ARSHAI_TEST_REDIS_CLUSTER_URL` |
//! | `redis-sentinel`, a master with a replica | `ARSHAI_TEST_REDIS_SENTINEL_URL` |
//!
//! `cargo xtask integration redis` runs them on each. What kills, stops or refuses is done to servers that the tests
//! start themselves, with the program that the engine runs or the `redis-server` of the path.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::allow_attributes,
    reason = "a test says what is wrong by failing, and prints its counts"
)]

mod appends;
mod blocking;
mod cluster;
mod conformance;
mod discovered;
mod drops;
mod engine;
mod fault;
mod harness;
mod listing;
mod outage;
mod own;
mod processes;
mod python;
mod races;
mod refusals;
mod sentinel;
mod server;
mod spans;
mod tls;
mod together;
mod topology;
mod trouble;
mod values;

use std::{process::ExitCode, time::Duration};

use arshai_core::memory::MemoryKey;
use arshai_redis::{RedisConfig, RedisMemory, RedisServer};

use crate::{
    engine::{Engine, settings},
    harness::{Arguments, Test},
};

fn main() -> ExitCode {
    if let Some(exit) = processes::child() {
        return exit;
    }
    let arguments = Arguments::of_process();
    let engines = match Engine::of_process() {
        Ok(engine) => vec![engine],
        // A test runner wants to know what there is; running it says what is missing.
        Err(_) if arguments.list => Engine::ALL.to_vec(),
        Err(missing) => {
            eprintln!("{missing}");
            return ExitCode::FAILURE;
        }
    };
    let mut tests: Vec<Test> = engines.into_iter().flat_map(tests_of).collect();
    tests.sort_by_key(|test| test.name());
    tests.dedup_by_key(|test| test.name());
    harness::run(&tests, &arguments)
}

/// What is proved on an engine.
fn tests_of(engine: Engine) -> Vec<Test> {
    let mut tests = conformance::everywhere();
    tests.extend(races::everywhere());
    tests.extend(drops::everywhere());
    match engine {
        Engine::Redis => {
            for more in [
                conformance::single(),
                races::single(),
                fault::tests(),
                topology::tests(),
                trouble::tests(),
                discovered::tests(),
                listing::tests(),
                values::tests(),
                python::tests(),
                spans::tests(),
                processes::tests(),
                outage::tests(),
                refusals::tests(),
                together::tests(),
                blocking::tests(),
            ] {
                tests.extend(more);
            }
        }
        Engine::Redis6 => {
            for more in
                [conformance::single(), fault::tests(), listing::tests(), topology::tests(), values::tests()]
            {
                tests.extend(more);
            }
        }
        Engine::Tls => tests.extend(tls::tests()),
        Engine::Cluster => tests.extend(cluster::tests()),
        Engine::Sentinel => tests.extend(sentinel::tests()),
    }
    tests
}

/// The same settings with another address.
fn at(mut config: RedisConfig, port: u16) -> RedisConfig {
    config.server = RedisServer::Single("127.0.0.1".to_owned(), port);
    config.connections = 1;
    config
}

fn memory(config: RedisConfig) -> RedisMemory {
    RedisMemory::new(config).unwrap()
}

/// A key no other test has.
fn key(name: &str) -> MemoryKey {
    MemoryKey::new(format!("it-{name}-{:016x}", fastrand::u64(..))).unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);
