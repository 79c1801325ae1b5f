//! Ways to reach a server, and who may.

use std::{collections::BTreeSet, path::Path};

use arshai_core::{
    ErrorKind,
    config::Secret,
    memory::{KeyPrefix, MemoryStore as _, MemoryStoreExt as _, PageRequest, Ttl},
};
use arshai_redis::RedisConfig;
use tokio::{
    net::{TcpStream, UnixListener},
    task::JoinSet,
};

use crate::{config, key, memory, redis, server::command, variable};

/// Offers a server at a unix socket, until dropped.
pub(crate) fn forward_unix(path: &Path, config: &RedisConfig) -> JoinSet<()> {
    let (listener, address) = (UnixListener::bind(path).unwrap(), config.address());
    let mut forwarding = JoinSet::new();
    forwarding.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let address = address.clone();
            connections.spawn(async move {
                let mut far = TcpStream::connect(address).await.unwrap();
                // It ends when either side goes.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    forwarding
}

#[tokio::test]
async fn a_user_with_few_rights_can_do_everything_and_another_password_is_refused() {
    let mut config = redis();
    let user = format!("it-{:016x}", fastrand::u64(..));
    let rights: [&[u8]; 17] = [
        b"ACL",
        b"SETUSER",
        user.as_bytes(),
        b"on",
        b">right",
        b"~memory:*",
        b"+get",
        b"+set",
        b"+eval",
        b"+evalsha",
        b"+scan",
        b"+unlink",
        b"+pttl",
        b"+pexpire",
        b"+persist",
        b"+exists",
        b"+ping",
    ];
    assert!(command(&config, &rights).await.starts_with(b"+OK"));
    config.username = Some(user.clone());
    config.password = Some(Secret::new("right"));
    let (store, key) = (memory(config.clone()), key("acl"));
    store.health().await.unwrap();
    store.update(&key, "one").await.unwrap();
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "one");
    assert!(store.touch(&key, Ttl::Forever).await.unwrap());
    assert_eq!(store.ttl(&key).await.unwrap(), Some(Ttl::Forever));
    let set = KeyPrefix::conversations(key.conversation());
    assert_eq!(store.list(&set, &PageRequest::default()).await.unwrap().keys.len(), 1);
    assert_eq!(store.delete_all(&set).await.unwrap(), 1);
    assert!(!store.delete(&key).await.unwrap());
    let foreign = key.in_tenant("n", "t").unwrap();
    let error = store.update(&foreign, "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    config.password = Some(Secret::new("wrong"));
    let error = memory(config.clone()).health().await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unauthorized, false), "{error}");
    assert!(!format!("{error:?}").contains("wrong\""), "{error:?}");
    assert!(command(&redis(), &[b"ACL", b"DELUSER", user.as_bytes()]).await.starts_with(b":1"));
}

#[tokio::test]
async fn a_database_the_server_does_not_have_is_named() {
    let mut config = redis();
    config.database = 200;
    let error = memory(config).health().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test]
async fn databases_are_apart() {
    let mut config = redis();
    let key = key("database");
    memory(config.clone()).update(&key, "zero").await.unwrap();
    config.database = 1;
    assert_eq!(memory(config).get(&key).await.unwrap(), None);
}

#[tokio::test]
async fn a_server_signed_by_somebody_unknown_is_refused_at_once() {
    let config = config("ARSHAI_TEST_REDIS_TLS_URL");
    let error = memory(config.clone()).health().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1), "{error}");
    let mut trusted = config;
    trusted.ca_file = Some(variable("ARSHAI_TEST_REDIS_TLS_CA").into());
    memory(trusted).health().await.unwrap();
}

#[tokio::test]
async fn a_plain_address_of_a_tls_port_fails_within_its_time() {
    let mut config = config("ARSHAI_TEST_REDIS_TLS_URL");
    config.tls = false;
    config.retries = 0;
    config.connect_timeout = std::time::Duration::from_secs(1);
    memory(config).health().await.unwrap_err();
}

#[tokio::test]
async fn one_server_is_not_taken_for_a_cluster() {
    let url = variable("ARSHAI_TEST_REDIS_URL").replace("redis://", "redis-cluster://");
    let mut config = RedisConfig::from_url(&url).unwrap();
    config.retries = 0;
    let error = memory(config).health().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Unavailable), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_lists_the_keys_of_all_its_nodes() {
    let store = memory(config("ARSHAI_TEST_REDIS_CLUSTER_URL"));
    let run = key("nodes").conversation().to_owned();
    for number in 0..200 {
        let key = arshai_core::memory::MemoryKey::new(format!("{run}-{number}")).unwrap();
        store.update(&key, "x").await.unwrap();
    }
    let set = KeyPrefix::conversations(&run);
    let (mut request, mut found) = (PageRequest { limit: 20, cursor: None }, BTreeSet::new());
    loop {
        let page = store.list(&set, &request).await.unwrap();
        found.extend(page.keys);
        match page.next {
            Some(next) => request.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(found.len(), 200);
    assert_eq!(store.delete_all(&set).await.unwrap(), 200);
}
