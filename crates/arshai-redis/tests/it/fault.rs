//! Broken connections.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use arshai_conformance::fault::{Direction, Fault, FaultProxy, Plan};
use arshai_core::{
    Deadline, Effect, ErrorKind,
    config::Secret,
    memory::{Memory, MemoryKey, MemoryStore as _, MemoryStoreExt as _, Precondition},
};
use arshai_redis::{RedisConfig, RedisMemory};

use crate::{MINUTE, at, key, memory, redis, server::command, upstream};

const WRITES: usize = 200;
/// How much later than its deadline a call may return on a loaded machine.
const SLACK: Duration = Duration::from_secs(5);

async fn proxied(change: impl FnOnce(&mut RedisConfig)) -> (FaultProxy, RedisMemory) {
    let config = redis();
    let proxy = FaultProxy::start(upstream(&config).as_str()).await.unwrap();
    let mut config = at(config, proxy.port());
    change(&mut config);
    (proxy, memory(config))
}

/// Tries often, and not for long each: the client hangs when the server closes during its greetings.
fn patient(config: &mut RedisConfig) {
    config.retries = 20;
    config.timeout = Duration::from_secs(30);
    config.connect_timeout = Duration::from_millis(300);
}

/// How often each token stands in the memory.
async fn counted(key: &MemoryKey) -> BTreeMap<String, usize> {
    let text = memory(redis()).retrieve(key).await.unwrap().map(|memory| memory.text).unwrap_or_default();
    let mut counts = BTreeMap::new();
    for token in text.split_whitespace() {
        *counts.entry(token.to_owned()).or_default() += 1;
    }
    counts
}

/// Appends tokens one after the other; which were acknowledged, and which have an unknown outcome.
async fn append_all(store: &RedisMemory, key: &MemoryKey) -> (Vec<String>, Vec<String>) {
    let (mut acknowledged, mut unknown) = (Vec::new(), Vec::new());
    for number in 0..WRITES {
        let token = format!("n{number}");
        let append = store.update_with(key, |old| {
            let text = old.map_or("", |memory| memory.text.as_str());
            Ok(Memory::new(format!("{text} {token}")))
        });
        match Deadline::after(MINUTE).scope(append).await {
            Ok(_) => acknowledged.push(token),
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => unknown.push(token),
            // A read that failed: nothing was written.
            Err(error) => assert_eq!(error.effect(), Effect::NotApplied, "{error}"),
        }
    }
    (acknowledged, unknown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_turn_is_stored_twice_or_lost_when_replies_are_lost() {
    let (proxy, store) = proxied(patient).await;
    let key = key("lost");
    store.health().await.unwrap();
    // Reads and writes, the greetings of new connections among them, each with the same chance.
    proxy.plan(Plan::seeded(7).probability(0.15, [Fault::lose_reply(), Fault::lose_reply().by_close()]));
    let (acknowledged, unknown) = append_all(&store, &key).await;
    let counts = counted(&key).await;
    println!(
        "{WRITES} appends: {} acknowledged, {} unknown, {} replies lost, {} present",
        acknowledged.len(),
        unknown.len(),
        proxy.stats().lost_replies,
        counts.len()
    );
    assert!(proxy.stats().lost_replies > 20, "the plan did too little");
    proxy.until(|stats| stats.open <= 1).await.expect("connections given up are closed");
    assert!(counts.values().all(|times| *times == 1), "stored twice: {counts:?}");
    for token in &acknowledged {
        assert!(counts.contains_key(token), "{token} was acknowledged and is not there");
    }
    for token in counts.keys() {
        assert!(
            acknowledged.contains(token) || unknown.contains(token),
            "{token} was reported lost and is there"
        );
    }
    assert_eq!((acknowledged.len(), unknown.len()), (WRITES, 0), "one writer can find out about every write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_race_find_out_about_their_lost_replies() {
    let (proxy, store) = proxied(patient).await;
    let key = key("race-lost");
    store.health().await.unwrap();
    proxy.plan(Plan::seeded(11).probability(0.1, [Fault::lose_reply()]));
    let healthy = memory(redis());
    let other = async {
        for number in 0..WRITES {
            let append = healthy.update_with(&key, |old| {
                let text = old.map_or("", |memory| memory.text.as_str());
                Ok(Memory::new(format!("{text} m{number}")))
            });
            Deadline::after(MINUTE).scope(append).await.unwrap();
        }
    };
    let ((acknowledged, unknown), ()) = tokio::join!(append_all(&store, &key), other);
    let counts = counted(&key).await;
    println!("{} acknowledged, {} unknown, {} present", acknowledged.len(), unknown.len(), counts.len());
    assert!(counts.values().all(|times| *times == 1), "stored twice: {counts:?}");
    assert!(acknowledged.iter().all(|token| counts.contains_key(token)), "an acknowledged write is missing");
    for token in counts.keys().filter(|token| token.starts_with('n')) {
        assert!(
            acknowledged.contains(token) || unknown.contains(token),
            "{token} was reported lost and is there"
        );
    }
    assert_eq!(counts.keys().filter(|token| token.starts_with('m')).count(), WRITES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_at_any_byte_of_a_request_or_reply_are_survived() {
    let (proxy, store) = proxied(patient).await;
    let key = key("reset");
    store.health().await.unwrap();
    let faults = [3, 20, 120].into_iter().flat_map(|bytes| {
        [Direction::ToServer, Direction::ToClient].map(|direction| Fault::cut_after(direction, bytes))
    });
    proxy.plan(Plan::seeded(3).probability(0.15, faults));
    let (acknowledged, unknown) = append_all(&store, &key).await;
    let counts = counted(&key).await;
    println!("{} acknowledged, {} cut, {} present", acknowledged.len(), proxy.stats().cut, counts.len());
    assert!(proxy.stats().cut > 20, "the plan did too little");
    assert!(counts.values().all(|times| *times == 1), "stored twice: {counts:?}");
    assert_eq!((acknowledged.len(), unknown.len(), counts.len()), (WRITES, 0, WRITES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_at_the_deadline_and_is_recovered_from() {
    for fault in [Fault::stall(), Fault::black_hole()] {
        let (proxy, store) = proxied(|config| {
            config.timeout = Duration::from_millis(600);
            config.command_timeout = Duration::from_millis(200);
            config.connect_timeout = Duration::from_millis(200);
        })
        .await;
        let key = key("silence");
        store.update(&key, "before").await.unwrap();
        proxy.set(fault.clone()).await.unwrap();
        let began = Instant::now();
        let read = store.get(&key).await.unwrap_err();
        assert!(matches!(read.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{read}");
        assert_eq!(read.effect(), Effect::NotApplied);
        let write = store.put(&key, &Memory::new("late"), Precondition::Absent).await.unwrap_err();
        assert!(
            matches!(write.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Timeout | ErrorKind::Unavailable),
            "{write}"
        );
        assert!(began.elapsed() < Duration::from_millis(1_200) + SLACK, "{:?}", began.elapsed());
        proxy.heal().await.unwrap();
        let healed = Deadline::after(MINUTE).scope(async {
            while store.get(&key).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        tokio::time::timeout(MINUTE, healed).await.unwrap();
        assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "before", "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_met_with_silence_is_of_unknown_outcome() {
    let (proxy, store) = proxied(|config| {
        config.timeout = Duration::from_millis(600);
        config.command_timeout = Duration::from_millis(150);
        config.connect_timeout = Duration::from_millis(150);
    })
    .await;
    let key = key("unknown");
    store.health().await.unwrap();
    proxy.set(Fault::stall().only(Direction::ToClient)).await.unwrap();
    let error = store.put(&key, &Memory::new("x"), Precondition::Absent).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::OutcomeUnknown, Effect::Unknown), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_and_returns_is_found_again_with_no_call_between() {
    let (proxy, store) = proxied(|config| config.retries = 1).await;
    let key = key("down");
    store.update(&key, "before").await.unwrap();
    proxy.set(Fault::down()).await.unwrap();
    let error = store.get(&key).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error}");
    let error = store.put(&key, &Memory::new("x"), Precondition::Absent).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
    proxy.heal().await.unwrap();
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "before");
    // Once more, and nobody calls while it is away.
    proxy.set(Fault::down()).await.unwrap();
    proxy.heal().await.unwrap();
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_while_connecting_hinders_nobody() {
    let (proxy, store) = proxied(|_| ()).await;
    proxy.set(Fault::stall()).await.unwrap();
    let key = key("gone");
    let gone = tokio::time::timeout(Duration::from_millis(100), store.get(&key)).await;
    assert!(gone.is_err());
    proxy.heal().await.unwrap();
    store.update(&key, "x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_client_kill_loses_and_doubles_nothing() {
    let mut config = redis();
    let user = format!("it-{:016x}", fastrand::u64(..));
    let rights: [&[u8]; 7] = [b"ACL", b"SETUSER", user.as_bytes(), b"on", b">pw", b"~*", b"+@all"];
    assert!(command(&config, &rights).await.starts_with(b"+OK"));
    config.username = Some(user.clone());
    config.password = Some(Secret::new("pw"));
    patient(&mut config);
    let (store, key) = (memory(config), key("kill"));
    let killed = AtomicUsize::new(0);
    let kill = async {
        loop {
            let answer = command(&redis(), &[b"CLIENT", b"KILL", b"USER", user.as_bytes()]).await;
            if !answer.starts_with(b":0") {
                killed.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (acknowledged, unknown) = tokio::select! {
        done = append_all(&store, &key) => done,
        () = kill => unreachable!("it goes on for ever"),
    };
    let counts = counted(&key).await;
    let killed = killed.into_inner();
    println!("{} acknowledged, {} present, {killed} kills", acknowledged.len(), counts.len());
    assert!(killed > 5, "too few connections were killed");
    assert!(counts.values().all(|times| *times == 1), "stored twice: {counts:?}");
    assert_eq!((acknowledged.len(), unknown.len(), counts.len()), (WRITES, 0, WRITES));
    assert!(command(&redis(), &[b"ACL", b"DELUSER", user.as_bytes()]).await.starts_with(b":1"));
}
