//! Section 3: what the Redis memory does wrong in Python.

use std::time::Duration;

use arshai::{
    ErrorKind,
    prelude::*,
    redis::{RedisConfig, RedisMemory},
};
use arshai_conformance::fault::Fault;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use crate::place::{REDISES, behind_proxy, fresh_key, memory_at, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_memory_mend_no_update_is_lost() {
    for engine in REDISES {
        let key = fresh_key("lost");
        let writers = [memory_at(&url(engine)).await, memory_at(&url(engine)).await];
        let updates = (0..60).map(|n| {
            let (writer, key) = (&writers[n % 2], &key);
            writer.update_with(key, |old| {
                let count: u64 = old.and_then(|memory| memory.text.parse().ok()).unwrap_or(0);
                Ok(Memory::new((count + 1).to_string()))
            })
        });
        for updated in join_all(updates).await {
            updated.unwrap();
        }
        assert_eq!(writers[0].retrieve(&key).await.unwrap().unwrap().text, "60", "{engine}");
        writers[0].delete(&key).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_memory_mend_created_at_and_metadata_survive_a_store() {
    for engine in REDISES {
        let (memory, key) = (memory_at(&url(engine)).await, fresh_key("created"));
        let member = |name: &str| Map::from_iter([(name.to_owned(), Value::from(name))]);
        let first = memory.store(&key, "one", member("a")).await.unwrap().memory;
        memory.store(&key, "two", member("b")).await.unwrap();
        memory.update(&key, "three").await.unwrap();
        let last = memory.retrieve(&key).await.unwrap().unwrap();
        assert_eq!((last.text.as_str(), last.created_at), ("three", first.created_at), "{engine}");
        assert!(last.last_update > first.last_update, "{engine}");
        assert_eq!(Value::from(last.metadata), json!({ "a": "a", "b": "b" }), "{engine}");
        memory.delete(&key).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_memory_mend_several_items_do_not_overwrite_each_other() {
    for engine in REDISES {
        let (memory, key) = (memory_at(&url(engine)).await, fresh_key("several"));
        let items = [Turn::user("first"), Turn::assistant("second"), Turn::user("third")];
        memory.append(&key, &items, Default::default()).await.unwrap();
        let kept = memory.retrieve(&key).await.unwrap().unwrap();
        assert_eq!(kept.text, "\nUser: first\nAssistant: second\nUser: third", "{engine}");
        assert_eq!(kept.turns.as_deref(), Some(items.as_slice()), "{engine}");
        memory.delete(&key).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_memory_mend_absent_and_down_are_told_apart() {
    let (proxy, url) = behind_proxy("redis").await;
    let mut config = RedisConfig::from_url(&url).unwrap();
    config.timeout = Duration::from_millis(500);
    let (memory, key) = (RedisMemory::new(config).unwrap(), fresh_key("absent"));
    assert_eq!(memory.retrieve(&key).await.unwrap(), None);
    assert!(!memory.delete(&key).await.unwrap());
    proxy.set(Fault::down()).await.unwrap();
    for error in [memory.retrieve(&key).await.unwrap_err(), memory.delete(&key).await.unwrap_err()] {
        let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout];
        assert!(kinds.contains(&error.kind()) && error.is_retryable(), "{error:?}");
    }
    proxy.heal().await.unwrap();
    assert_eq!(memory.retrieve(&key).await.unwrap(), None, "it is used again once it is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_memory_mend_a_redis_that_dies_hangs_nobody() {
    let (proxy, url) = behind_proxy("redis").await;
    let mut config = RedisConfig::from_url(&url).unwrap();
    assert_eq!(config.timeout, Duration::from_secs(15), "there is an end without anybody asking for one");
    config.timeout = Duration::from_millis(400);
    let (memory, key) = (RedisMemory::new(config).unwrap(), fresh_key("dies"));
    memory.store(&key, "before", Map::new()).await.unwrap();
    // Everything is taken and nothing answered.
    proxy.set(Fault::black_hole()).await.unwrap();
    // The guard is far from the time above, and below what an operation without it would take.
    let guard = Duration::from_secs(10);
    let read = tokio::time::timeout(guard, memory.retrieve(&key)).await.expect("a read hangs").unwrap_err();
    let write = tokio::time::timeout(guard, memory.update(&key, "after")).await;
    let write = write.expect("a write hangs").unwrap_err();
    println!("{:?}, {:?}", read.kind(), write.kind());
    // A connection that answers nothing may be given up as broken before the operation's time is over. A read leaves
    // nothing open; a write may have been done.
    let kinds = [ErrorKind::Timeout, ErrorKind::Unavailable, ErrorKind::OutcomeUnknown];
    assert!(kinds[..2].contains(&read.kind()), "{read:?}");
    assert!(kinds.contains(&write.kind()), "{write:?}");
    proxy.heal().await.unwrap();
    let left = memory.retrieve(&key).await.unwrap().unwrap().text;
    assert!(left == "before" || left == "after", "{left}");
    memory.delete(&key).await.unwrap();
}
