//! Conversation memory.

use std::time::Duration;

use arshai_core::{
    ErrorKind,
    memory::{
        KeyPrefix, Memory, MemoryKey, MemoryStore, MemoryStoreExt, PageRequest, Precondition, Put, Ttl,
    },
};
use arshai_sqlite::{SqliteConfig, SqliteFile};

use crate::Fixture;

fn key(conversation: &str) -> MemoryKey {
    MemoryKey::new(conversation).unwrap()
}

#[tokio::test]
async fn a_conflict_carries_what_won_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let memory = fixture.file.memory();
    let Put::Stored(first) = memory.put(&key("c"), &Memory::new("one"), Precondition::Absent).await.unwrap()
    else {
        panic!("nothing was there");
    };
    let Put::Conflict(Some(winner)) =
        memory.put(&key("c"), &Memory::new("two"), Precondition::Absent).await.unwrap()
    else {
        panic!("something was there");
    };
    assert_eq!((winner.memory.text.as_str(), &winner.revision), ("one", &first));
    let matched =
        memory.put(&key("c"), &Memory::new("two"), Precondition::Matches(first.clone())).await.unwrap();
    assert!(matches!(matched, Put::Stored(_)));
    let stale =
        memory.put(&key("c"), &Memory::new("three"), Precondition::Matches(first.clone())).await.unwrap();
    assert!(matches!(stale, Put::Conflict(Some(_))));
    assert!(memory.delete(&key("c")).await.unwrap());
    assert!(!memory.delete(&key("c")).await.unwrap());
    let gone = memory.put(&key("c"), &Memory::new("four"), Precondition::Matches(first)).await.unwrap();
    assert_eq!(gone, Put::Conflict(None));
    assert_eq!(memory.get(&key("c")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_lose_no_update() {
    let fixture = Fixture::new().await;
    let stores = [fixture.file.memory(), fixture.again().await.memory()];
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let add = |old: Option<&Memory>| {
                        let count: u32 = old.map_or(0, |memory| memory.text.parse().unwrap());
                        Ok(Memory::new((count + 1).to_string()))
                    };
                    store.update_with(&key("counter"), add).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(stores[0].retrieve(&key("counter")).await.unwrap().unwrap().text, "80");
}

#[tokio::test]
async fn expired_memories_are_gone_for_every_operation() {
    let fixture = Fixture::new().await;
    let memory = fixture.file.memory();
    for name in ["a", "b"] {
        memory.store(&key(name), "x", serde_json::Map::new()).await.unwrap();
    }
    assert_eq!(memory.ttl(&key("a")).await.unwrap(), Some(Ttl::Forever));
    assert!(memory.touch(&key("a"), Ttl::Remaining(Duration::ZERO)).await.unwrap());
    assert_eq!(memory.get(&key("a")).await.unwrap(), None);
    assert_eq!(memory.ttl(&key("a")).await.unwrap(), None);
    let page = memory.list(&KeyPrefix::default(), &PageRequest::default()).await.unwrap();
    assert_eq!(page.keys, [key("b")]);
    assert!(!memory.touch(&key("a"), Ttl::Forever).await.unwrap(), "an expired memory does not come back");
    let put = memory.put(&key("a"), &Memory::new("new"), Precondition::Absent).await.unwrap();
    assert!(matches!(put, Put::Stored(_)));
    assert!(memory.touch(&key("b"), Ttl::Remaining(Duration::from_secs(3600))).await.unwrap());
    let Some(Ttl::Remaining(left)) = memory.ttl(&key("b")).await.unwrap() else { panic!("it expires") };
    assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(3000));
    assert!(memory.touch(&key("b"), Ttl::Forever).await.unwrap());
    assert_eq!(memory.ttl(&key("b")).await.unwrap(), Some(Ttl::Forever));
    assert!(memory.touch(&key("b"), Ttl::Remaining(Duration::MAX)).await.unwrap());
    assert!(memory.get(&key("b")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_put_starts_the_configured_time_anew() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("m.db")).with_memory_ttl(Duration::from_secs(60));
    let memory = SqliteFile::open(config).await.unwrap().memory();
    memory.store(&key("a"), "x", serde_json::Map::new()).await.unwrap();
    assert!(memory.touch(&key("a"), Ttl::Forever).await.unwrap());
    memory.update(&key("a"), "y").await.unwrap();
    let Some(Ttl::Remaining(left)) = memory.ttl(&key("a")).await.unwrap() else { panic!("it expires") };
    assert!(left <= Duration::from_secs(60) && left > Duration::ZERO);
}

#[tokio::test]
async fn prefixes_are_text_and_not_patterns() {
    let fixture = Fixture::new().await;
    let memory = fixture.file.memory();
    let names = ["a", "a%b", "a_b", "ab", "a*b", "a\u{10FFFF}", "a\u{10FFFF}b", "b", "é", "A"];
    for name in names {
        memory.store(&key(name), name, serde_json::Map::new()).await.unwrap();
    }
    let tenant = key("a").in_tenant("n", "t").unwrap();
    memory.store(&tenant, "t", serde_json::Map::new()).await.unwrap();
    for prefix in ["", "a", "a%", "a_", "a*", "a\u{10FFFF}", "c"] {
        let mut found = Vec::new();
        let mut page = PageRequest { limit: 3, cursor: None };
        loop {
            let part = memory.list(&KeyPrefix::conversations(prefix), &page).await.unwrap();
            found.extend(part.keys.iter().map(|key| key.conversation().to_owned()));
            match part.next {
                Some(next) => page.cursor = Some(next),
                None => break,
            }
        }
        let mut expected: Vec<_> =
            names.iter().filter(|name| name.starts_with(prefix)).map(|n| (*n).to_owned()).collect();
        expected.sort();
        assert_eq!(found, expected, "{prefix:?}");
    }
    assert_eq!(memory.delete_all(&KeyPrefix::conversations("a%")).await.unwrap(), 1);
    assert_eq!(memory.delete_all(&KeyPrefix::conversations("a\u{10FFFF}")).await.unwrap(), 2);
    assert_eq!(memory.delete_all(&KeyPrefix::default()).await.unwrap(), 7);
    assert_eq!(memory.retrieve(&tenant).await.unwrap().unwrap().text, "t");
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_named_and_left_alone() {
    let fixture = Fixture::new().await;
    let memory = fixture.file.memory();
    memory.store(&key("c"), "x", serde_json::Map::new()).await.unwrap();
    let direct = rusqlite::Connection::open(fixture.path()).unwrap();
    direct.execute("UPDATE memory SET value = x'00ff'", []).unwrap();
    let error = memory.get(&key("c")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("memory:WORKING_MEMORY:c"), "{error}");
    assert!(memory.update(&key("c"), "y").await.is_err());
    let value: Vec<u8> = direct.query_row("SELECT value FROM memory", [], |row| row.get(0)).unwrap();
    assert_eq!(value, [0, 255]);
}
