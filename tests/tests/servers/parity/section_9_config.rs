//! Section 9: settings.

use std::{sync::Arc, time::Duration};

use arshai::milvus::{MilvusConfig, MilvusStore};
use arshai::{
    Config, ErrorKind, Origin,
    blocking::{self, Blocking, Offload, Runtime},
    config::Settings,
    memory::InMemoryMemory,
    prelude::*,
    redis::RedisConfig,
    vector::{CollectionSpec, Record},
};
use arshai_conformance::fault::{Direction, Fault};

use crate::{
    own_process::with_variables,
    place::{behind_proxy, fresh},
};

#[test]
fn section_9_config_carry_the_defaults_are_the_guide_s() {
    let test = "section_9_config_carry_the_defaults_are_the_guide_s";
    with_variables(module_path!(), test, &[], || {
        let settings = Settings::from_env().unwrap();
        let seconds = |seconds| Duration::from_secs(seconds);
        assert_eq!((settings.milvus_batch_concurrency, settings.milvus_connection_timeout), (4, seconds(30)));
        assert_eq!((settings.redis_max_connections, settings.redis_connection_timeout), (20, seconds(10)));
        assert_eq!((settings.openai_batch_concurrency, settings.openai_request_timeout), (5, seconds(60)));
        assert!(settings.enable_async_operations && settings.async_fallback_to_sync);
        // They are in force in the backends, not only in a struct.
        assert_eq!(MilvusConfig::from_env().unwrap().connect_timeout, seconds(30));
        assert_eq!(RedisConfig::from_env().unwrap().connect_timeout, seconds(10));
        assert_eq!(OpenAiConfig::from_env().unwrap().request_timeout, seconds(60));
    });
}

#[test]
fn section_9_config_carry_the_environment_sets_each() {
    let variables = [
        ("MILVUS_BATCH_CONCURRENCY", "7"),
        ("MILVUS_CONNECTION_TIMEOUT", "3"),
        ("REDIS_MAX_CONNECTIONS", "1"),
        ("REDIS_CONNECTION_TIMEOUT", "4"),
        ("OPENAI_BATCH_CONCURRENCY", "2"),
        ("OPENAI_REQUEST_TIMEOUT", "2.5"),
    ];
    let test = "section_9_config_carry_the_environment_sets_each";
    with_variables(module_path!(), test, &variables, || {
        let (milvus, redis, openai) = (
            MilvusConfig::from_env().unwrap(),
            RedisConfig::from_env().unwrap(),
            OpenAiConfig::from_env().unwrap(),
        );
        assert_eq!((milvus.batch_concurrency, milvus.connect_timeout), (7, Duration::from_secs(3)));
        assert_eq!((redis.connections, redis.connect_timeout), (1, Duration::from_secs(4)));
        assert_eq!((openai.batch_concurrency, openai.request_timeout), (2, Duration::from_millis(2500)));
    });
}

#[test]
fn section_9_config_mend_a_bad_value_names_its_variable() {
    let test = "section_9_config_mend_a_bad_value_names_its_variable";
    with_variables(module_path!(), test, &[("MILVUS_BATCH_CONCURRENCY", "many")], || {
        let error = Config::from_env().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.contains("MILVUS_BATCH_CONCURRENCY") && text.contains("whole number"), "{text}");
    });
}

#[test]
fn section_9_config_mend_explicit_settings_beat_the_environment_and_no_secret_is_shown() {
    let variables = [
        ("ARSHAI_MEMORY", "redis://:hunter2@127.0.0.1:1"),
        ("ARSHAI_COLLECTION", "theirs"),
        ("OPENAI_API_KEY", "sk-hunter2"),
    ];
    let test = "section_9_config_mend_explicit_settings_beat_the_environment_and_no_secret_is_shown";
    with_variables(module_path!(), test, &variables, || {
        let environment = Config::from_env().unwrap();
        let shown = format!("{environment:?} {:?}", environment.in_force());
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        let explicit = environment.with_memory("memory://").with_collection("mine");
        assert_eq!(
            (explicit.collection(), explicit.memory_address().unwrap().as_str()),
            ("mine", "memory://")
        );
        let origin = |name: &str| {
            explicit
                .in_force()
                .into_iter()
                .find(|value| value.variable.name == name)
                .map(|value| value.origin)
        };
        assert_eq!(origin("ARSHAI_MEMORY"), Some(Origin::Explicit));
        assert_eq!(origin("OPENAI_API_KEY"), Some(Origin::Environment));
        assert_eq!(origin("REDIS_URL"), Some(Origin::Default));
    });
}

#[test]
fn section_9_config_mend_without_async_operations_batches_run_one_at_a_time() {
    let test = "section_9_config_mend_without_async_operations_batches_run_one_at_a_time";
    with_variables(module_path!(), test, &[("ENABLE_ASYNC_OPERATIONS", "false")], || {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(one_write_at_a_time()).unwrap();
        runtime.block_on(one_embedding_at_a_time()).unwrap();
    });
}

/// Replies are held back: what has been sent is what is in flight at once.
async fn one_write_at_a_time() {
    let (proxy, _) = behind_proxy("milvus").await;
    let mut config = MilvusConfig::from_env().unwrap();
    (config.host, config.port) = ("127.0.0.1".to_owned(), proxy.port());
    let (store, name) = (MilvusStore::new(config).unwrap(), fresh("one"));
    store.open(&CollectionSpec::new(&name).with_dense(2).without_text_search()).await.unwrap();
    let records = (0..200).map(|n| Record::new("x").with_id(format!("k{n}")).with_dense(vec![1.0, 2.0]));
    let records: Vec<Record> = records.collect();
    let before = proxy.stats().requests;
    proxy.set(Fault::stall().only(Direction::ToClient)).await.unwrap();
    let writing = tokio::spawn({
        let (store, name) = (store.clone(), name.clone());
        async move { store.insert(&name, records).await }
    });
    proxy.until(|stats| stats.requests > before).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(proxy.stats().requests - before, 1);
    proxy.heal().await.unwrap();
    assert_eq!(writing.await.unwrap().unwrap().written(), 200);
    store.drop_collection(&name).await.unwrap();
}

async fn one_embedding_at_a_time() {
    let (proxy, url) = behind_proxy("embeddings").await;
    let mut config = OpenAiConfig::from_env().unwrap();
    config.base_url = url;
    let embedder = OpenAiEmbedder::new(Transport::new(config).unwrap(), "all-MiniLM-L6-v2").unwrap();
    proxy.set(Fault::stall().only(Direction::ToClient)).await.unwrap();
    let embedding = tokio::spawn(async move { embedder.embed_documents(&["note"; 300]).await });
    proxy.until(|stats| stats.requests >= 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(proxy.stats().requests, 1);
    proxy.heal().await.unwrap();
    assert_eq!(embedding.await.unwrap().unwrap().len(), 300);
}

#[test]
fn section_9_config_mend_without_the_fallback_sync_only_parts_are_refused() {
    let test = "section_9_config_mend_without_the_fallback_sync_only_parts_are_refused";
    with_variables(module_path!(), test, &[("ASYNC_FALLBACK_TO_SYNC", "false")], || {
        let memory: Arc<dyn MemoryStore> = Arc::new(InMemoryMemory::new());
        let sync_only: Arc<dyn blocking::MemoryStore> =
            Arc::new(Blocking::new(memory, Runtime::new().unwrap()));
        let error = Offload::new(sync_only, &Settings::from_env().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("ASYNC_FALLBACK_TO_SYNC"), "{error}");
    });
}
