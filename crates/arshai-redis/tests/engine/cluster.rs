//! Redis Cluster.

use std::{collections::BTreeSet, time::Duration};

use arshai_core::{
    Effect, Error, ErrorKind, Result,
    config::Secret,
    memory::{KeyPrefix, MemoryKey, MemoryStore as _, MemoryStoreExt as _, PageRequest},
};
use arshai_redis::RedisMemory;

use crate::{
    MINUTE,
    appends::{Appender, settle},
    harness::{Test, alone, tests},
    key, memory,
    outage::{Crowd, RECOVERY, recovered, stores},
    own::{OwnCluster, until},
    server::ask,
    settings,
};

pub(crate) fn tests() -> Vec<Test> {
    let mut all = tests![a_cluster_lists_the_keys_of_all_its_nodes];
    all.extend(alone(tests![
        a_slot_that_moves_to_and_fro_loses_and_doubles_nothing,
        a_master_that_dies_is_followed_by_its_replica_and_the_others_go_on,
        a_master_that_dies_with_no_replica_leaves_the_others_at_work,
        a_listing_fails_while_a_master_is_down_and_tells_what_was_removed,
        a_user_with_few_rights_can_do_everything_and_asking_is_named_where_it_lacks,
    ]));
    all
}

async fn a_cluster_lists_the_keys_of_all_its_nodes() {
    let store = memory(settings());
    let run = key("nodes").conversation().to_owned();
    for number in 0..200 {
        let key = MemoryKey::new(format!("{run}-{number}")).unwrap();
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

/// A conversation of the slots that this master had at the beginning.
async fn key_of(cluster: &OwnCluster, master: usize) -> (MemoryKey, u16) {
    let (first, last) = OwnCluster::BORDERS[master];
    loop {
        let key = key("slot");
        let answer = cluster.masters[0].tell(&["CLUSTER", "KEYSLOT", &key.stored()]).await;
        let slot: u16 = answer.trim_start_matches(':').trim().parse().unwrap();
        if (first..=last).contains(&slot) {
            return (key, slot);
        }
    }
}

async fn a_slot_that_moves_to_and_fro_loses_and_doubles_nothing() {
    const MOVES: usize = 10;
    let cluster = OwnCluster::start(&[]).await;
    let (key, slot) = key_of(&cluster, 1).await;
    let slot = slot.to_string();
    let crowd = Crowd::start(stores(&cluster.config()), &key, Duration::from_secs(10));
    let (mut from, mut to) = (&cluster.masters[1], &cluster.masters[2]);
    for _ in 0..MOVES {
        let (source, target) = (cluster.id(from).await, cluster.id(to).await);
        to.tell(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).await;
        from.tell(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).await;
        // Both answer for the slot now, and each refuses what the other has.
        tokio::time::sleep(Duration::from_millis(50)).await;
        from.tell(&["MIGRATE", "127.0.0.1", &to.port.to_string(), &key.stored(), "0", "5000"]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        for node in [to, from, &cluster.masters[0]] {
            node.tell(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]).await;
        }
        std::mem::swap(&mut from, &mut to);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let writers = crowd.stop().await;
    let kept = settle("slot moved 10 times", &writers, &memory(cluster.config()), &key).await;
    let calls: usize = writers.iter().map(Appender::calls).sum();
    for writer in &writers {
        println!("{:?}", writer.errors);
    }
    assert_eq!(kept, calls, "a slot that moves keeps nobody from writing");
}

/// Writes one conversation on each of these masters, on a memory that was connected before and on a new one.
async fn others_go_on(cluster: &OwnCluster, known: &RedisMemory, masters: &[usize]) {
    for store in [known, &memory(cluster.config())] {
        for master in masters {
            let (key, _) = key_of_living(cluster, *master).await;
            let mut appender = Appender::new("n", Duration::from_secs(5));
            assert!(appender.append(store, &key).await, "master {master}: {:?}", appender.errors);
        }
    }
}

async fn key_of_living(cluster: &OwnCluster, master: usize) -> (MemoryKey, u16) {
    let (first, last) = OwnCluster::BORDERS[master];
    loop {
        let key = key("slot");
        let answer = ask(cluster.masters[master].port, &["CLUSTER", "KEYSLOT", &key.stored()]).await.unwrap();
        let slot: u16 = answer.trim_start_matches(':').trim().parse().unwrap();
        if (first..=last).contains(&slot) {
            return (key, slot);
        }
    }
}

async fn a_master_that_dies_is_followed_by_its_replica_and_the_others_go_on() {
    let mut cluster = OwnCluster::start(&[("cluster-require-full-coverage", "no")]).await;
    let (key, _) = key_of(&cluster, 0).await;
    let mut config = cluster.config();
    // What was acknowledged must be there afterwards.
    config.min_replicas = 1;
    let known = memory(cluster.config());
    let (probe, _) = key_of(&cluster, 0).await;
    recovered(&known, &probe).await;
    let crowd = Crowd::start(stores(&config), &key, Duration::from_secs(2));
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.masters[0].kill();
    others_go_on(&cluster, &known, &[1, 2]).await;
    until("the replica has taken over", async || {
        cluster.replica.tell(&["ROLE"]).await.contains("master")
            && cluster.replica.tell(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok")
    })
    .await;
    let took = recovered(&known, &probe).await;
    println!("failover: works {took:?} after the new master");
    assert!(took < RECOVERY, "{took:?}");
    // It comes back as the replica that acknowledgements wait for.
    cluster.masters[0].launch_again(&[]);
    until("the old master follows the new one", async || {
        ask(cluster.masters[0].port, &["INFO", "replication"])
            .await
            .is_some_and(|it| it.contains("master_link_status:up"))
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let writers = crowd.stop().await;
    let kept = settle("master killed in a cluster", &writers, &known, &key).await;
    assert!(kept > 0);
}

async fn a_master_that_dies_with_no_replica_leaves_the_others_at_work() {
    let mut cluster = OwnCluster::start(&[("cluster-require-full-coverage", "no")]).await;
    let (lost, _) = key_of(&cluster, 2).await;
    let mut config = cluster.config();
    config.retries = 1;
    let known = memory(config.clone());
    recovered(&known, &lost).await;
    cluster.masters[2].kill();
    others_go_on(&cluster, &known, &[0, 1]).await;
    until("the cluster knows", async || {
        cluster.masters[0].tell(&["CLUSTER", "INFO"]).await.contains("cluster_slots_fail:5461")
    })
    .await;
    others_go_on(&cluster, &known, &[0, 1]).await;
    for store in [known.clone(), memory(config)] {
        let began = std::time::Instant::now();
        let error = store.get(&lost).await.unwrap_err();
        println!("a conversation of the dead master: {error} after {:?}", began.elapsed());
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
    }
    cluster.masters[2].launch_again(&[]);
    cluster.masters[2].answers().await;
    let back = tokio::time::timeout(MINUTE, recovered(&known, &lost)).await.unwrap();
    println!("the dead master is back: works after {back:?}");
}

/// Lists to the end, or to the first error.
async fn list_all(store: &RedisMemory, set: &KeyPrefix) -> Result<BTreeSet<MemoryKey>> {
    let (mut request, mut found) = (PageRequest { limit: 50, cursor: None }, BTreeSet::new());
    loop {
        let page = store.list(set, &request).await?;
        found.extend(page.keys);
        match page.next {
            Some(next) => request.cursor = Some(next),
            None => return Ok(found),
        }
    }
}

async fn a_listing_fails_while_a_master_is_down_and_tells_what_was_removed() {
    let mut cluster = OwnCluster::start(&[("cluster-require-full-coverage", "no")]).await;
    let mut config = cluster.config();
    config.retries = 1;
    let store = memory(config.clone());
    let run = key("down").conversation().to_owned();
    let set = KeyPrefix::conversations(&run);
    // More on the masters that live than are looked for before the first are removed.
    for number in 0..900 {
        store.update(&MemoryKey::new(format!("{run}-{number}")).unwrap(), "x").await.unwrap();
    }
    assert_eq!(list_all(&store, &set).await.unwrap().len(), 900);
    cluster.masters[2].kill();
    let down = |error: &Error| matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout);
    for store in [store.clone(), memory(config.clone())] {
        let error = list_all(&store, &set).await.unwrap_err();
        assert!(down(&error) && error.effect() == Effect::NotApplied, "{error:?}");
    }
    let error = store.delete_all(&set).await.unwrap_err();
    assert!(down(&error), "{error:?}");
    let removed = error.context().find(|(name, _)| *name == "removed").map(|(_, removed)| removed.to_owned());
    assert!(removed.is_some_and(|removed| removed != "0"), "the masters that live had some: {error:?}");
    assert_eq!(error.effect(), Effect::Unknown, "{error:?}");
    let error = store.delete_all(&set).await.unwrap_err();
    assert!(down(&error) && error.effect() == Effect::NotApplied, "nothing is left to remove: {error:?}");
    cluster.masters[2].launch_again(&[]);
    cluster.masters[2].answers().await;
    let (back, _) = key_of(&cluster, 2).await;
    recovered(&store, &back).await;
    list_all(&store, &set).await.unwrap();
}

async fn a_user_with_few_rights_can_do_everything_and_asking_is_named_where_it_lacks() {
    let cluster = OwnCluster::start(&[]).await;
    let (key, slot) = key_of(&cluster, 1).await;
    let slot = slot.to_string();
    for (user, more) in [("less", "+ping"), ("enough", "+asking")] {
        let mut rights = vec!["ACL", "SETUSER", user, "on", ">pw", "~memory:*", more, "+cluster|slots"];
        rights.extend(["+get", "+set", "+eval", "+evalsha", "+scan", "+unlink", "+pttl", "+pexpire"]);
        rights.extend(["+persist", "+exists", "+ping"]);
        for node in cluster.masters.iter().chain([&cluster.replica]) {
            node.tell(&rights).await;
        }
    }
    let as_user = |user: &str| {
        let mut config = cluster.config();
        config.password = Some(Secret::new("pw"));
        config.username = Some(user.to_owned());
        memory(config)
    };
    let (less, enough) = (as_user("less"), as_user("enough"));
    less.update(&key, "x").await.unwrap();
    let (from, to) = (&cluster.masters[1], &cluster.masters[2]);
    let (source, target) = (cluster.id(from).await, cluster.id(to).await);
    to.tell(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).await;
    from.tell(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).await;
    from.tell(&["MIGRATE", "127.0.0.1", &to.port.to_string(), &key.stored(), "0", "5000"]).await;
    let error = less.get(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(error.to_string().contains("ASKING"), "{error}");
    let error = less.delete(&key).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unauthorized, Effect::NotApplied), "{error}");
    assert_eq!(enough.retrieve(&key).await.unwrap().unwrap().text, "x");
    enough.update(&key, "y").await.unwrap();
    let set = KeyPrefix::conversations(key.conversation());
    assert_eq!(list_all(&enough, &set).await.unwrap().len(), 1);
    assert!(enough.delete(&key).await.unwrap());
}
