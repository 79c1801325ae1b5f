//! What stands in the server, and what is refused.

use std::time::Duration;

use arshai_core::{
    ErrorKind,
    memory::{Memory, MemoryStore as _, MemoryStoreExt as _, Precondition, Put, Ttl},
};
use arshai_redis::{RedisConfig, TtlPolicy};
use serde_json::{Map, json};

use crate::{at, key, memory, redis, server::command};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_value_python_wrote_is_read_and_changed_and_keeps_its_json() {
    let (config, key) = (redis(), key("python"));
    let store = memory(config.clone());
    let value = br#"{"data": {"working_memory": "hi"}, "metadata": {"empty": [], "n": 12345678901234567}, "created_at": "2026-01-01T10:00:00.5", "last_update": "2026-01-01T10:00:00.5"}"#;
    command(&config, &[b"SETEX", key.stored().as_bytes(), b"43200", value]).await;
    let read = store.get(&key).await.unwrap().unwrap();
    assert_eq!(read.memory.text, "hi");
    store.update(&key, "hi there").await.unwrap();
    let raw = command(&config, &[b"GET", key.stored().as_bytes()]).await;
    let raw = String::from_utf8(raw).unwrap();
    let stored: serde_json::Value =
        serde_json::from_str(raw.split_once("\r\n").unwrap().1.trim_end()).unwrap();
    assert_eq!(stored["data"]["working_memory"], json!("hi there"));
    assert_eq!(stored["metadata"], json!({"empty": [], "n": 12_345_678_901_234_567_i64}));
}

#[tokio::test]
async fn python_writing_between_read_and_write_is_a_conflict() {
    let (config, key) = (redis(), key("between"));
    let store = memory(config.clone());
    let first = store.store(&key, "ours", Map::new()).await.unwrap();
    let python = br#"{"data": {"working_memory": "theirs"}, "metadata": {}, "created_at": "2026-01-01T10:00:00", "last_update": "2026-01-01T10:00:00"}"#;
    command(&config, &[b"SETEX", key.stored().as_bytes(), b"43200", python]).await;
    let put = store.put(&key, &Memory::new("lost"), Precondition::Matches(first.revision)).await.unwrap();
    let Put::Conflict(Some(winner)) = put else { panic!("{put:?}") };
    assert_eq!(winner.memory.text, "theirs");
}

#[tokio::test]
async fn a_corrupt_value_is_an_error_that_names_the_key_and_can_be_replaced() {
    let (config, key) = (redis(), key("corrupt"));
    let store = memory(config.clone());
    command(&config, &[b"SET", key.stored().as_bytes(), b"{\"data\":"]).await;
    let error = store.get(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&key.stored()), "{error}");
    assert_eq!(store.update(&key, "x").await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(matches!(store.put(&key, &Memory::new("new"), Precondition::Any).await.unwrap(), Put::Stored(_)));
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "new");
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_that_names_the_key() {
    let (config, key) = (redis(), key("type"));
    let store = memory(config.clone());
    command(&config, &[b"RPUSH", key.stored().as_bytes(), b"x"]).await;
    for error in [
        store.get(&key).await.unwrap_err(),
        store.put(&key, &Memory::new("x"), Precondition::Absent).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(&key.stored()), "{error}");
    }
}

#[tokio::test]
async fn a_value_above_the_limit_is_refused_and_nothing_is_sent() {
    let mut config = redis();
    config.max_value_bytes = 2_000;
    let (store, key) = (memory(config), key("large"));
    let put = store.put(&key, &Memory::new("x".repeat(2_000)), Precondition::Any).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert_eq!(store.capabilities().max_value_bytes, Some(2_000));
}

#[tokio::test]
async fn ttl_policies_begin_the_time_when_they_say() {
    for (policy, after_write, after_read) in [
        (TtlPolicy::Fixed, false, false),
        (TtlPolicy::SlidingOnWrite, true, false),
        (TtlPolicy::SlidingOnRead, true, true),
    ] {
        let mut config = redis();
        config.ttl_policy = policy;
        let (store, key) = (memory(config), key("policy"));
        let long = async || {
            let Some(Ttl::Remaining(left)) = store.ttl(&key).await.unwrap() else { panic!("no end") };
            left > HOUR
        };
        store.update(&key, "one").await.unwrap();
        assert!(long().await, "12 hours by default");
        assert!(store.touch(&key, Ttl::Remaining(HOUR)).await.unwrap());
        let put = store.put(&key, &Memory::new("x"), Precondition::Absent).await.unwrap();
        assert!(matches!(put, Put::Conflict(Some(_))));
        assert!(!long().await, "a refused write changes nothing");
        store.get(&key).await.unwrap();
        assert_eq!(long().await, after_read, "{policy:?} after a read");
        store.touch(&key, Ttl::Remaining(HOUR)).await.unwrap();
        let current = store.get(&key).await.unwrap().unwrap();
        store.touch(&key, Ttl::Remaining(HOUR)).await.unwrap();
        let put =
            store.put(&key, &Memory::new("two"), Precondition::Matches(current.revision)).await.unwrap();
        assert!(matches!(put, Put::Stored(_)));
        assert_eq!(long().await, after_write, "{policy:?} after a write");
    }
}

#[tokio::test]
async fn a_forgotten_script_is_given_again() {
    let (config, key) = (redis(), key("script"));
    let store = memory(config.clone());
    store.update(&key, "one").await.unwrap();
    command(&config, &[b"SCRIPT", b"FLUSH"]).await;
    store.update(&key, "two").await.unwrap();
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "two");
}

#[tokio::test]
async fn nobody_listening_is_an_error_and_not_an_empty_memory() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut config = at(RedisConfig::default(), port);
    config.retries = 1;
    let store = memory(config);
    let error = store.get(&key("down")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    let put = store.put(&key("down"), &Memory::new("x"), Precondition::Any).await.unwrap_err();
    assert_eq!((put.kind(), put.effect()), (ErrorKind::Unavailable, arshai_core::Effect::NotApplied));
}

#[tokio::test]
async fn encrypting_to_a_plain_server_fails_instead_of_talking_plainly() {
    let mut config = redis();
    config.tls = true;
    config.retries = 0;
    config.connect_timeout = Duration::from_secs(1);
    let error = memory(config).health().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Config), "{error}");
}
