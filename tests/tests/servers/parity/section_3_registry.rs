//! Section 3: memories by name and URL.

use std::sync::Arc;

use arshai::{Backends, Config, ErrorKind, memory::InMemoryMemory, prelude::*, registry::Provider};
use serde_json::Map;

use crate::place::{fresh_key, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_registry_carry_names_and_urls_open_memories() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db").display().to_string();
    let addresses = [
        "in_memory".to_owned(),
        "memory://".to_owned(),
        format!("sqlite:{file}"),
        format!("sqlite://{file}"),
        url("redis"),
        url("redis-cluster"),
    ];
    for address in &addresses {
        let memory = Backends::built_in().memories.open(address).await.unwrap();
        let key = fresh_key("registry");
        memory.store(&key, address, Map::new()).await.unwrap();
        assert_eq!(memory.retrieve(&key).await.unwrap().unwrap().text, *address);
        assert!(memory.delete(&key).await.unwrap(), "{address}");
        memory.close().await.unwrap();
    }
    let known = Backends::built_in().memories.known();
    for name in ["async_redis", "in_memory", "redis", "redis-cluster://", "redis://", "sqlite", "sqlite://"] {
        assert!(known.contains(name), "{name}: {known:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_registry_carry_an_unknown_provider_is_an_error_that_lists_the_known_ones() {
    let error = Backends::built_in().memories.open("memcached://:hunter2@host").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = format!("{error} {error:?}");
    for known in ["async_redis", "in_memory", "redis", "sqlite://"] {
        assert!(text.contains(known), "{known}: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_3_registry_mend_others_register_their_own() {
    let mut backends = Backends::built_in();
    let shared = InMemoryMemory::new();
    let theirs = shared.clone();
    backends.memories.register(
        Provider::new(move |_| {
            let memory: Arc<dyn MemoryStore> = Arc::new(theirs.clone());
            async move { Ok(memory) }
        })
        .with_names(["theirs"])
        .with_schemes(["theirs"]),
    );
    let config = Config::from_env().unwrap().with_backends(backends).with_memory("theirs://anywhere");
    let key = fresh_key("theirs");
    config.memory().await.unwrap().store(&key, "here", Map::new()).await.unwrap();
    assert_eq!(shared.retrieve(&key).await.unwrap().unwrap().text, "here");
}
