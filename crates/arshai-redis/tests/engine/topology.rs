//! Ways to reach a server, and who may.

use std::path::Path;

use arshai_core::{
    ErrorKind,
    config::Secret,
    memory::{KeyPrefix, MemoryStore as _, MemoryStoreExt as _, PageRequest, Ttl},
};
use arshai_redis::{RedisConfig, RedisServer};
use tokio::{
    net::{TcpStream, UnixListener},
    task::JoinSet,
};

use crate::{
    harness::{Test, tests},
    key, memory,
    server::command,
    settings,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_user_with_few_rights_can_do_everything_and_another_password_is_refused,
        a_database_the_server_does_not_have_is_named,
        databases_are_apart,
        one_server_is_not_taken_for_a_cluster,
    ]
}

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

async fn a_user_with_few_rights_can_do_everything_and_another_password_is_refused() {
    let mut config = settings();
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
    assert!(command(&settings(), &[b"ACL", b"DELUSER", user.as_bytes()]).await.starts_with(b":1"));
}

async fn a_database_the_server_does_not_have_is_named() {
    let mut config = settings();
    config.database = 200;
    let error = memory(config).health().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

async fn databases_are_apart() {
    let mut config = settings();
    let key = key("database");
    memory(config.clone()).update(&key, "zero").await.unwrap();
    config.database = 1;
    assert_eq!(memory(config).get(&key).await.unwrap(), None);
}

async fn one_server_is_not_taken_for_a_cluster() {
    let mut config = settings();
    let RedisServer::Single(host, port) = config.server else { panic!("{config:?}") };
    config.server = RedisServer::Cluster(vec![(host, port)]);
    config.retries = 0;
    let error = memory(config).health().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Unavailable), "{error}");
}
