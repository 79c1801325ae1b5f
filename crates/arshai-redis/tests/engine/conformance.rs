//! The suite every memory store must pass, on every engine.

use std::sync::Arc;

use arshai_conformance::memory::suite;
use arshai_core::memory::MemoryStore;
use arshai_redis::{RedisConfig, RedisMemory, RedisServer, TtlPolicy};

use crate::{
    harness::{Test, block_on_one, tests},
    settings,
    topology::forward_unix,
};

/// Alone, as its checks of expiry watch the clock.
pub(crate) fn everywhere() -> Vec<Test> {
    crate::harness::alone(tests![the_engine_passes])
}

pub(crate) fn single() -> Vec<Test> {
    let mut tests = tests![a_unix_socket_passes, other_ttl_policies_and_no_ttl_pass];
    tests.push(Test::new("conformance::one_thread_passes", || block_on_one(passes(settings()))));
    crate::harness::alone(tests)
}

async fn passes(config: RedisConfig) {
    let open = || {
        let config = config.clone();
        async move { Ok(Arc::new(RedisMemory::new(config)?) as Arc<dyn MemoryStore>) }
    };
    let report = suite(&open).await;
    println!("{report}");
    report.assert_passed();
}

async fn the_engine_passes() {
    passes(settings()).await;
}

async fn a_unix_socket_passes() {
    let mut config = settings();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis.sock");
    let _forwarding = forward_unix(&path, &config);
    config.server = RedisServer::Unix(path);
    passes(config).await;
}

async fn other_ttl_policies_and_no_ttl_pass() {
    // Sliding on read has tests of its own in `values`: the suite waits for an end by reading again and again.
    let mut config = settings();
    config.ttl_policy = TtlPolicy::Fixed;
    passes(config.clone()).await;
    config.ttl = None;
    passes(config).await;
}
