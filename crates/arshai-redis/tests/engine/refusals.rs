//! What a real server in trouble refuses, and that it works again when the trouble is over.

use arshai_core::{
    Effect, ErrorKind, Result,
    memory::{Memory, MemoryStore as _, MemoryStoreExt as _, Precondition, Put},
};

use crate::{
    appends::Appender,
    harness::{Test, tests},
    key, memory,
    outage::recovered,
    own::{OwnServer, until},
    server::ask,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_server_with_as_many_clients_as_it_takes_refuses_by_name,
        a_server_out_of_memory_refuses_writes_and_is_read,
        a_master_that_becomes_a_replica_refuses_writes_and_is_read,
        a_server_that_loads_its_data_is_waited_for,
        a_master_without_the_replicas_it_wants_refuses_writes,
        a_write_that_fewer_replicas_hold_than_asked_is_not_acknowledged,
    ]
}

fn refused<T: std::fmt::Debug>(outcome: Result<T>, kind: ErrorKind) {
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (kind, Effect::NotApplied), "{error}");
}

async fn a_server_with_as_many_clients_as_it_takes_refuses_by_name() {
    let server = OwnServer::start(&[]).await;
    let (first, key) = (memory(server.config()), key("clients"));
    first.update(&key, "one").await.unwrap();
    // The client of `first` and the one that sets it.
    server.tell(&["CONFIG", "SET", "maxclients", "2"]).await;
    until("the other client is gone", async || {
        let clients = ask(server.port, &["INFO", "clients"]).await;
        clients.is_some_and(|clients| clients.contains("connected_clients:2"))
    })
    .await;
    let _held = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let mut config = server.config();
    config.retries = 1;
    let second = memory(config);
    let put = second.put(&key, &Memory::new("two"), Precondition::Any).await;
    refused(put, ErrorKind::Exhausted);
    assert_eq!(first.retrieve(&key).await.unwrap().unwrap().text, "one");
    drop(_held);
    first.close().await.unwrap();
    recovered(&second, &key).await;
}

async fn a_server_out_of_memory_refuses_writes_and_is_read() {
    let server = OwnServer::start(&[]).await;
    let (store, key) = (memory(server.config()), key("full"));
    store.update(&key, "before").await.unwrap();
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]).await;
    refused(store.put(&key, &Memory::new("x"), Precondition::Any).await, ErrorKind::Exhausted);
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "before");
    assert!(store.delete(&key).await.unwrap(), "what frees memory is taken");
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]).await;
    store.update(&key, "after").await.unwrap();
}

async fn a_master_that_becomes_a_replica_refuses_writes_and_is_read() {
    let (server, other) = (OwnServer::start(&[]).await, OwnServer::start(&[]).await);
    let mut config = server.config();
    config.retries = 1;
    let (store, key) = (memory(config), key("replica"));
    memory(other.config()).update(&key, "the master's").await.unwrap();
    server.tell(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]).await;
    until("it has the master's data", async || {
        store
            .retrieve(&key)
            .await
            .is_ok_and(|found| found.is_some_and(|memory| memory.text == "the master's"))
    })
    .await;
    refused(store.put(&key, &Memory::new("x"), Precondition::Any).await, ErrorKind::Unavailable);
    refused(store.delete(&key).await, ErrorKind::Unavailable);
    server.tell(&["REPLICAOF", "NO", "ONE"]).await;
    store.update(&key, "its own").await.unwrap();
}

async fn a_server_that_loads_its_data_is_waited_for() {
    let mut server = OwnServer::start(&[]).await;
    let (store, key) = (memory(server.config()), key("loading"));
    store.update(&key, "kept").await.unwrap();
    for number in 0..400 {
        server.tell(&["SET", &format!("filler-{number}"), "x"]).await;
    }
    server.tell(&["SAVE"]).await;
    server.kill();
    // Microseconds for each key.
    server.launch_again(&["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"]);
    server.answers().await;
    let state = server_state(&server).await;
    assert!(state.contains("loading:1"), "it has loaded too quickly: {state}");
    let mut config = server.config();
    config.retries = 0;
    refused(memory(config).put(&key, &Memory::new("x"), Precondition::Any).await, ErrorKind::Unavailable);
    let mut appender = Appender::new(" and-more", std::time::Duration::from_secs(15));
    assert!(appender.append(&store, &key).await, "{:?}", appender.errors);
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "kept  and-more0");
}

async fn server_state(server: &OwnServer) -> String {
    ask(server.port, &["INFO", "persistence"]).await.unwrap_or_default()
}

async fn a_master_without_the_replicas_it_wants_refuses_writes() {
    let server = OwnServer::start(&[("min-replicas-to-write", "1")]).await;
    let mut config = server.config();
    config.retries = 1;
    let (store, key) = (memory(config), key("alone"));
    refused(store.put(&key, &Memory::new("x"), Precondition::Absent).await, ErrorKind::Unavailable);
    assert_eq!(store.get(&key).await.unwrap(), None);
    server.tell(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;
    store.update(&key, "x").await.unwrap();
}

async fn a_write_that_fewer_replicas_hold_than_asked_is_not_acknowledged() {
    let server = OwnServer::start(&[]).await;
    let port = server.port.to_string();
    let mut config = server.config();
    config.min_replicas = 1;
    config.timeout = std::time::Duration::from_millis(500);
    let (store, key) = (memory(config.clone()), key("wait"));
    let error = store.put(&key, &Memory::new("x"), Precondition::Absent).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::OutcomeUnknown, Effect::Unknown), "{error}");
    assert!(format!("{error:?}").contains("min_replicas"), "{error:?}");
    // It is there, on the master alone.
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "x");
    let lost = store.put(&key, &Memory::new("y"), Precondition::Absent).await.unwrap();
    assert!(matches!(lost, Put::Conflict(Some(_))), "a write that was not made needs no replica: {lost:?}");
    let replica = OwnServer::start(&[("replicaof", &format!("127.0.0.1 {port}"))]).await;
    config.timeout = std::time::Duration::from_secs(15);
    let store = memory(config);
    store.update(&key, "z").await.unwrap();
    // It was acknowledged, so the replica has it, with no waiting.
    assert_eq!(memory(replica.config()).retrieve(&key).await.unwrap().unwrap().text, "z");
    assert!(store.delete(&key).await.unwrap());
    assert_eq!(memory(replica.config()).get(&key).await.unwrap(), None);
}
