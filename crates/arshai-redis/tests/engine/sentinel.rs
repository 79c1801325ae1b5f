//! Sentinels, and the master they name.

use std::time::Duration;

use arshai_core::{
    ErrorKind,
    config::Secret,
    memory::{KeyPrefix, MemoryStore as _, MemoryStoreExt as _},
};
use arshai_redis::{RedisConfig, RedisServer};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    MINUTE,
    appends::{Appender, settle},
    engine::first_address,
    harness::{Test, alone, tests},
    key, memory,
    outage::{Crowd, RECOVERY, recovered, stores},
    own::{OwnServer, free_port, until},
    server::{ask, command},
    settings,
};

pub(crate) fn tests() -> Vec<Test> {
    alone(tests![
        a_failover_that_is_asked_for_is_followed,
        what_a_replica_acknowledged_outlives_a_master_that_is_killed,
        a_failover_is_followed_past_sentinels_that_are_silent_or_know_nothing,
        sentinels_that_know_no_master_of_the_name_are_told_of_at_once,
        a_user_with_few_rights_can_do_everything_and_role_is_named_where_it_lacks,
    ])
}

async fn a_failover_that_is_asked_for_is_followed() {
    let config = settings();
    let RedisServer::Sentinel { sentinels, service, .. } = &config.server else { panic!("{config:?}") };
    let (host, port) = sentinels[0].clone();
    let mut sentinel = config.clone();
    sentinel.server = RedisServer::Single(host, port);
    let (store, key) = (memory(config.clone()), key("failover"));
    store.update(&key, "before").await.unwrap();
    let old = first_address().await;
    let answer = command(&sentinel, &[b"SENTINEL", b"FAILOVER", service.as_bytes()]).await;
    assert!(answer.starts_with(b"+OK"), "{}", String::from_utf8_lossy(&answer));
    let failed_over = async {
        while first_address().await == old {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The old master takes writes until a sentinel tells it otherwise, and Redis then drops them; so it is asked
        // of the new one whether the memory has arrived there.
        loop {
            let written = store.update(&key, "after").await.is_ok();
            let found = memory(config.clone()).retrieve(&key).await;
            if written && found.is_ok_and(|found| found.is_some_and(|memory| memory.text == "after")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(MINUTE, failed_over).await.unwrap();
}

/// A master with one replica and one sentinel, which the test may kill.
struct Watched {
    servers: [OwnServer; 2],
    sentinel: OwnServer,
}

impl Watched {
    async fn start() -> Self {
        let master = OwnServer::start(&[]).await;
        let replica = OwnServer::start(&[("replicaof", &format!("127.0.0.1 {}", master.port))]).await;
        until("the replica is in step", async || {
            replica.tell(&["INFO", "replication"]).await.contains("master_link_status:up")
        })
        .await;
        let port = free_port();
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor own 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds own 500\nsentinel failover-timeout own 3000\n",
            master.port
        );
        let sentinel = OwnServer::sentinel(port, &text).await;
        until("the sentinel knows the replica", async || {
            ask(port, &["SENTINEL", "MASTER", "own"])
                .await
                .is_some_and(|it| it.contains("num-slaves\r\n$1\r\n1"))
        })
        .await;
        Self { servers: [master, replica], sentinel }
    }

    fn config(&self) -> RedisConfig {
        watched_by(&[self.sentinel.port], "own")
    }
}

fn watched_by(ports: &[u16], service: &str) -> RedisConfig {
    let mut config = RedisConfig::default();
    config.server = RedisServer::Sentinel {
        sentinels: ports.iter().map(|port| ("127.0.0.1".to_owned(), *port)).collect(),
        service: service.to_owned(),
        username: None,
        password: None,
    };
    config
}

/// Takes connections and never answers.
async fn silent() -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    (port, listening)
}

/// A sentinel that watches nobody.
async fn ignorant() -> OwnServer {
    let port = free_port();
    OwnServer::sentinel(port, &format!("port {port}\nbind 127.0.0.1\n")).await
}

async fn a_failover_is_followed_past_sentinels_that_are_silent_or_know_nothing() {
    let mut watched = Watched::start().await;
    let ((silent, _listening), ignorant) = (silent().await, ignorant().await);
    let key = key("past");
    let config = watched_by(&[silent, ignorant.port, watched.sentinel.port], "own");
    let store = memory(config.clone());
    store.update(&key, "before").await.unwrap();
    let [master, replica] = &mut watched.servers;
    until("the replica has it", async || {
        memory(replica.config()).retrieve(&key).await.is_ok_and(|found| found.is_some())
    })
    .await;
    master.kill();
    until("the replica is master", async || replica.tell(&["ROLE"]).await.contains("master")).await;
    for store in [store, memory(config)] {
        let took = recovered(&store, &crate::key("probe")).await;
        println!("past two sentinels: works {took:?} after the new master");
        assert!(took < RECOVERY, "{took:?}");
        assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "before");
    }
}

async fn sentinels_that_know_no_master_of_the_name_are_told_of_at_once() {
    let ignorant = ignorant().await;
    let error = memory(watched_by(&[ignorant.port], "own")).health().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1), "{error}");
    assert!(error.to_string().contains("sentinelServiceName"), "{error}");
}

async fn a_user_with_few_rights_can_do_everything_and_role_is_named_where_it_lacks() {
    let watched = Watched::start().await;
    let (mut config, key) = (watched.config(), key("acl"));
    for (user, more) in [("less", "+ping"), ("enough", "+role")] {
        let mut rights = vec!["ACL", "SETUSER", user, "on", ">pw", "~memory:*", more];
        rights.extend(["+get", "+set", "+eval", "+evalsha", "+scan", "+unlink", "+pttl", "+pexpire"]);
        rights.extend(["+persist", "+exists", "+ping"]);
        watched.servers[0].tell(&rights).await;
    }
    config.password = Some(Secret::new("pw"));
    config.username = Some("less".to_owned());
    let error = memory(config.clone()).health().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Unauthorized, 1), "{error}");
    assert!(error.to_string().contains("ROLE"), "{error}");
    config.username = Some("enough".to_owned());
    let store = memory(config);
    store.update(&key, "x").await.unwrap();
    assert_eq!(store.delete_all(&KeyPrefix::conversations(key.conversation())).await.unwrap(), 1);
}

async fn what_a_replica_acknowledged_outlives_a_master_that_is_killed() {
    let mut watched = Watched::start().await;
    let mut config = watched.config();
    config.min_replicas = 1;
    let key = key("acknowledged");
    let crowd = Crowd::start(stores(&config), &key, Duration::from_secs(1));
    let reader = memory(watched.config());
    for round in 0..2 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let [master, replica] = &mut watched.servers;
        master.kill();
        until("the replica is master", async || replica.tell(&["ROLE"]).await.contains("master")).await;
        let took = recovered(&reader, &crate::key("probe")).await;
        println!("failover {round}: works {took:?} after the new master");
        assert!(took < RECOVERY, "{took:?}");
        master.launch_again(&[]);
        until("the old master follows the new one", async || {
            ask(master.port, &["INFO", "replication"])
                .await
                .is_some_and(|it| it.contains("master_link_status:up"))
        })
        .await;
        watched.servers.reverse();
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    let writers = crowd.stop().await;
    let kept = settle("master killed under sentinels", &writers, &reader, &key).await;
    assert!(writers.iter().all(|writer| writer.acknowledged.len() > 1), "{kept} acknowledged");
    let mut last = Appender::new("last", Duration::from_secs(10));
    assert!(last.append(&memory(config), &key).await, "{:?}", last.errors);
}
