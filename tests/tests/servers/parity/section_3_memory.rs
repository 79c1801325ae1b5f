//! Section 3: what the Redis memory does in Python.

use std::sync::Arc;

use arshai::{
    ErrorKind,
    blocking::{self, Blocking, Runtime},
    memory::{Memory, Precondition, Put, Ttl, WORKING_MEMORY},
    prelude::*,
    redis::{RedisConfig, RedisMemory},
};
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use crate::{
    own_process::with_variables,
    place::{REDISES, behind_proxy, fresh_key, memory_at, url},
    wire::Wire,
};

const TWELVE_HOURS_MS: i64 = 12 * 3600 * 1000;

fn metadata(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_memory_carry_key_and_value_are_the_python_package_s() {
    let (memory, key) = (memory_at(&url("redis")).await, fresh_key("value"));
    memory.store(&key, "we met", metadata(&json!({ "user": "ü" }))).await.unwrap();
    let mut redis = Wire::open();
    let name = format!("memory:{WORKING_MEMORY}:{}", key.conversation());
    let value: Value = serde_json::from_str(&redis.ask(&["GET", &name]).unwrap()).unwrap();
    assert_eq!(value["data"], json!({ "working_memory": "we met" }));
    assert_eq!(value["metadata"], json!({ "user": "ü" }));
    assert!(value["created_at"].is_string() && value["last_update"].is_string(), "{value}");
    let left: i64 = redis.ask(&["PTTL", &name]).unwrap().parse().unwrap();
    assert!((TWELVE_HOURS_MS - 600_000..=TWELVE_HOURS_MS).contains(&left), "{left}");
    assert!(memory.delete(&key).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_memory_carry_what_python_wrote_is_read_and_what_python_reads_is_written() {
    let (memory, key) = (memory_at(&url("redis")).await, fresh_key("python"));
    let mut redis = Wire::open();
    // As `json.dumps` and `datetime.isoformat` write it: ASCII only, no zone.
    let written = r#"{"data": {"working_memory": "caf\u00e9 \ud83d\ude00"}, "metadata": {"a": 1.0}, "created_at": "2024-05-06T07:08:09.123456", "last_update": "2024-05-06T07:08:09.123456"}"#;
    redis.ask(&["SETEX", &key.stored(), "43200", written]);
    let read = memory.retrieve(&key).await.unwrap().unwrap();
    assert_eq!((read.text.as_str(), &read.metadata["a"]), ("café 😀", &json!(1.0)));
    assert_eq!(read.turns, None);
    memory.append(&key, &[Turn::user("hello")], Default::default()).await.unwrap();
    let value: Value = serde_json::from_str(&redis.ask(&["GET", &key.stored()]).unwrap()).unwrap();
    assert_eq!(value["data"]["working_memory"], "café 😀\nUser: hello");
    assert_eq!(value["metadata"], json!({ "a": 1.0 }));
    assert!(value["created_at"].as_str().unwrap().starts_with("2024-05-06T07:08:09.123456"), "{value}");
    assert!(memory.delete(&key).await.unwrap());
}

#[test]
fn section_3_memory_carry_redis_url_says_where_it_is() {
    assert_eq!(
        (RedisConfig::default().database, RedisConfig::default().address()),
        (0, "localhost:6379".into())
    );
    let url = url("redis");
    let test = "section_3_memory_carry_redis_url_says_where_it_is";
    with_variables(module_path!(), test, &[("REDIS_URL", &url), ("REDIS_MAX_CONNECTIONS", "1")], || {
        let runtime = Runtime::new().unwrap();
        assert_eq!(RedisConfig::from_env().unwrap().connections, 1);
        for provider in ["redis", "async_redis"] {
            let memory =
                runtime.block_on(arshai::Backends::built_in().memories.open(provider)).unwrap().unwrap();
            let memory = Blocking::new(memory, runtime.clone());
            let key = fresh_key("url");
            memory.store(&key, provider, Map::new()).unwrap();
            let seen = Wire::open().ask(&["EXISTS", &key.stored()]);
            assert_eq!(seen.as_deref(), Some("1"), "{provider}");
            assert!(blocking::MemoryStore::delete(&memory, &key).unwrap());
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_memory_carry_connects_when_first_used_with_at_most_20_connections() {
    let (proxy, url) = behind_proxy("redis").await;
    let mut config = RedisConfig::from_url(&url).unwrap();
    config.connections = 21;
    assert_eq!(RedisMemory::new(config.clone()).unwrap_err().kind(), ErrorKind::Config);
    config.connections = 20;
    let memory = RedisMemory::new(config).unwrap();
    assert_eq!(proxy.stats().accepted, 0);
    memory.health().await.unwrap();
    let keys: Vec<MemoryKey> = (0..200).map(|_| fresh_key("connections")).collect();
    for stored in join_all(keys.iter().map(|key| memory.store(key, "x", Map::new()))).await {
        stored.unwrap();
    }
    let opened = proxy.stats().accepted;
    println!("{opened} connections for {} stores at once", keys.len());
    assert!((1..=20).contains(&opened), "{opened}");
    for deleted in join_all(keys.iter().map(|key| memory.delete(key))).await {
        assert!(deleted.unwrap());
    }
    memory.close().await.unwrap();
    proxy.until(|stats| stats.open == 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_memory_carry_store_retrieve_update_delete_close() {
    for engine in REDISES {
        let (memory, key) = (memory_at(&url(engine)).await, fresh_key("crud"));
        assert_eq!(memory.retrieve(&key).await.unwrap(), None, "{engine}");
        memory.update(&key, "created by an update").await.unwrap();
        assert_eq!(memory.retrieve(&key).await.unwrap().unwrap().text, "created by an update", "{engine}");
        memory.store(&key, "stored", Map::new()).await.unwrap();
        assert_eq!(memory.retrieve(&key).await.unwrap().unwrap().text, "stored", "{engine}");
        assert!(matches!(memory.ttl(&key).await.unwrap(), Some(Ttl::Remaining(_))), "{engine}");
        assert!(memory.delete(&key).await.unwrap(), "{engine}");
        assert!(!memory.delete(&key).await.unwrap(), "{engine}: absent is no error");
        memory.close().await.unwrap();
        memory.close().await.unwrap();
        assert_eq!(memory.retrieve(&key).await.unwrap_err().kind(), ErrorKind::Closed, "{engine}");
    }
}

#[test]
fn section_3_memory_carry_store_retrieve_update_delete_close_without_async() {
    for engine in REDISES {
        let runtime = Runtime::new().unwrap();
        let config = RedisConfig::from_url(&url(engine)).unwrap();
        let memory: Arc<dyn MemoryStore> = Arc::new(RedisMemory::new(config).unwrap());
        let (memory, key) = (Blocking::new(memory, runtime), fresh_key("blocking"));
        memory.update(&key, "one").unwrap();
        memory.append(&key, &[Turn::user("two")], Default::default()).unwrap();
        assert_eq!(memory.retrieve(&key).unwrap().unwrap().text, "one\nUser: two", "{engine}");
        let put = blocking::MemoryStore::put(&memory, &key, &Memory::new("three"), Precondition::Absent);
        assert!(matches!(put.unwrap(), Put::Conflict(Some(_))), "{engine}");
        assert!(blocking::MemoryStore::delete(&memory, &key).unwrap(), "{engine}");
        blocking::MemoryStore::close(&memory).unwrap();
        assert_eq!(memory.retrieve(&key).unwrap_err().kind(), ErrorKind::Closed, "{engine}");
    }
}
