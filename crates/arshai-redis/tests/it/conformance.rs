//! The suite every memory store must pass, on every topology.

use std::{sync::Arc, time::Duration};

use arshai_conformance::memory::suite;
use arshai_core::memory::{MemoryStore, MemoryStoreExt as _};
use arshai_redis::{RedisConfig, RedisMemory, RedisServer, TtlPolicy};

use crate::{MINUTE, config, key, memory, redis, server::command, topology::forward_unix, variable};

async fn passes(config: RedisConfig) {
    let open = || {
        let config = config.clone();
        async move { Ok(Arc::new(RedisMemory::new(config)?) as Arc<dyn MemoryStore>) }
    };
    let report = suite(&open).await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_of_today_passes() {
    passes(redis()).await;
}

/// With one thread nothing happens while a future is polled: every wait is a point where it can be dropped.
#[tokio::test]
async fn one_thread_passes() {
    passes(redis()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_passes() {
    let mut config = redis();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis.sock");
    let _forwarding = forward_unix(&path, &config);
    config.server = RedisServer::Unix(path);
    passes(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_6_passes() {
    passes(config("ARSHAI_TEST_REDIS6_URL")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_ttl_policies_and_no_ttl_pass() {
    // Sliding on read has its own test: the suite waits for an end by reading again and again.
    let mut config = redis();
    config.ttl_policy = TtlPolicy::Fixed;
    passes(config.clone()).await;
    config.ttl = None;
    passes(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_passes() {
    let mut config = config("ARSHAI_TEST_REDIS_TLS_URL");
    config.ca_file = Some(variable("ARSHAI_TEST_REDIS_TLS_CA").into());
    assert!(config.tls);
    passes(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_passes() {
    passes(config("ARSHAI_TEST_REDIS_CLUSTER_URL")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_passes_and_a_failover_is_followed() {
    let config = config("ARSHAI_TEST_REDIS_SENTINEL_URL");
    passes(config.clone()).await;
    let RedisServer::Sentinel { sentinels, service, .. } = &config.server else { panic!("{config:?}") };
    let (host, port) = sentinels[0].clone();
    let mut sentinel = config.clone();
    sentinel.server = RedisServer::Single(host, port);
    let master = || {
        let parts: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service.as_bytes()];
        let sentinel = sentinel.clone();
        async move { command(&sentinel, &parts).await }
    };
    // In the same test, as a master that goes would disturb the suite.
    let (store, key) = (memory(config.clone()), key("failover"));
    store.update(&key, "before").await.unwrap();
    let old = master().await;
    let answer = command(&sentinel, &[b"SENTINEL", b"FAILOVER", service.as_bytes()]).await;
    assert!(answer.starts_with(b"+OK"), "{}", String::from_utf8_lossy(&answer));
    let failed_over = async {
        while master().await == old {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The old master takes writes until a sentinel tells it otherwise, and Redis then drops them; so it is asked
        // of the new one whether the memory has arrived there.
        loop {
            let written = store.update(&key, "after").await.is_ok();
            let found = memory(config.clone()).retrieve(&key).await;
            if written && found.is_ok_and(|found| found.is_some_and(|memory| memory.text == "after")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(MINUTE, failed_over).await.unwrap();
}
