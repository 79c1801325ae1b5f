//! What stands in the server, and what is refused.

use std::time::{Duration, Instant};

use arshai_core::{
    ErrorKind,
    memory::{KeyPrefix, Memory, MemoryStore as _, MemoryStoreExt as _, PageRequest, Precondition, Put, Ttl},
};
use arshai_redis::{RedisConfig, TtlPolicy};

use crate::{
    at,
    harness::{Test, tests},
    key, memory,
    server::command,
    settings,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_corrupt_value_is_an_error_that_names_the_key_and_can_be_replaced,
        a_key_of_another_type_is_an_error_that_names_the_key,
        a_value_above_the_limit_is_refused_and_nothing_is_sent,
        ttl_policies_begin_the_time_when_they_say,
        a_conversation_that_is_read_outlives_its_time_and_one_that_is_not_ends,
        a_forgotten_script_is_given_again,
        nobody_listening_is_an_error_and_not_an_empty_memory,
        encrypting_to_a_plain_server_fails_instead_of_talking_plainly,
    ]
}

const HOUR: Duration = Duration::from_secs(3600);

async fn a_corrupt_value_is_an_error_that_names_the_key_and_can_be_replaced() {
    let (config, key) = (settings(), key("corrupt"));
    let store = memory(config.clone());
    command(&config, &[b"SET", key.stored().as_bytes(), b"{\"data\":"]).await;
    let error = store.get(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&key.stored()), "{error}");
    assert_eq!(store.update(&key, "x").await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(matches!(store.put(&key, &Memory::new("new"), Precondition::Any).await.unwrap(), Put::Stored(_)));
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "new");
}

async fn a_key_of_another_type_is_an_error_that_names_the_key() {
    let (config, key) = (settings(), key("type"));
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

async fn a_value_above_the_limit_is_refused_and_nothing_is_sent() {
    let mut config = settings();
    config.max_value_bytes = 2_000;
    let (store, key) = (memory(config), key("large"));
    let put = store.put(&key, &Memory::new("x".repeat(2_000)), Precondition::Any).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert_eq!(store.capabilities().max_value_bytes, Some(2_000));
}

async fn ttl_policies_begin_the_time_when_they_say() {
    for (policy, after_write, after_read) in [
        (TtlPolicy::Fixed, false, false),
        (TtlPolicy::SlidingOnWrite, true, false),
        (TtlPolicy::SlidingOnRead, true, true),
    ] {
        let mut config = settings();
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

async fn a_conversation_that_is_read_outlives_its_time_and_one_that_is_not_ends() {
    const TTL: Duration = Duration::from_secs(3);
    let mut config = settings();
    config.ttl = Some(TTL);
    config.ttl_policy = TtlPolicy::SlidingOnRead;
    let store = memory(config);
    let (kept, left) = (key("kept"), key("left"));
    store.update(&kept, "kept").await.unwrap();
    store.update(&left, "left").await.unwrap();
    let began = Instant::now();
    while began.elapsed() < 3 * TTL / 2 {
        tokio::time::sleep(TTL / 20).await;
        assert_eq!(
            store.retrieve(&kept).await.unwrap().unwrap().text,
            "kept",
            "it is read before its time is over"
        );
    }
    // Asking for the time left is no read.
    assert_eq!(store.ttl(&left).await.unwrap(), None);
    assert_eq!(store.get(&left).await.unwrap(), None);
    let Some(Ttl::Remaining(remaining)) = store.ttl(&kept).await.unwrap() else { panic!("it has an end") };
    assert!(remaining <= TTL, "{remaining:?}");
    assert!(
        store
            .list(&KeyPrefix::conversations(kept.conversation()), &PageRequest::default())
            .await
            .unwrap()
            .keys
            .len()
            == 1
    );
}

async fn a_forgotten_script_is_given_again() {
    let (config, key) = (settings(), key("script"));
    let store = memory(config.clone());
    store.update(&key, "one").await.unwrap();
    command(&config, &[b"SCRIPT", b"FLUSH"]).await;
    store.update(&key, "two").await.unwrap();
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "two");
}

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

async fn encrypting_to_a_plain_server_fails_instead_of_talking_plainly() {
    let mut config = settings();
    config.tls = true;
    config.retries = 0;
    config.connect_timeout = Duration::from_secs(1);
    let error = memory(config).health().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Config), "{error}");
}
