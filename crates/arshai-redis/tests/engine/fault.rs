//! Broken connections.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use arshai_conformance::fault::{Direction, Fault, FaultProxy, Plan};
use arshai_core::{
    Deadline, Effect, ErrorKind,
    config::Secret,
    memory::{KeyPrefix, Memory, MemoryKey, MemoryStore as _, MemoryStoreExt as _, Precondition},
};
use arshai_redis::{RedisConfig, RedisMemory};
use tokio::task::JoinSet;

use crate::{
    MINUTE,
    appends::{Appender, SLACK, settle},
    at,
    harness::{Test, tests},
    key, memory,
    own::until,
    server::command,
    settings,
};

const WRITES: usize = 100;
/// Answers to writes that are lost in the test of that.
const CUTS: usize = 1_000;
const WRITERS: usize = 8;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_thousand_writes_whose_answer_is_lost_are_all_found_out_about,
        no_turn_is_stored_twice_or_lost_when_any_answer_is_lost,
        writers_that_race_find_out_about_their_lost_replies,
        resets_at_any_byte_of_a_request_or_reply_are_survived,
        silence_ends_at_the_deadline_and_is_recovered_from,
        a_write_met_with_silence_is_of_unknown_outcome,
        a_lost_reply_after_which_too_much_was_written_is_of_unknown_outcome,
        more_commands_than_may_wait_are_refused_and_change_nothing,
        a_server_that_goes_and_returns_is_found_again_with_no_call_between,
        a_caller_who_goes_away_while_connecting_hinders_nobody,
        a_storm_of_client_kill_loses_and_doubles_nothing,
    ]
}

async fn proxied(change: impl FnOnce(&mut RedisConfig)) -> (FaultProxy, RedisMemory) {
    let config = settings();
    let proxy = FaultProxy::start(config.address()).await.unwrap();
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

async fn append_all(store: &RedisMemory, key: &MemoryKey) -> Appender {
    let mut appender = Appender::new("n", MINUTE);
    while appender.calls() < WRITES {
        appender.append(store, key).await;
    }
    appender
}

/// The proxy ends the connection when the server's answer to the write comes, for every second write at random.
async fn a_thousand_writes_whose_answer_is_lost_are_all_found_out_about() {
    let mut tasks = JoinSet::new();
    for seed in 0..WRITERS {
        tasks.spawn(async move {
            let (proxy, store) = proxied(patient).await;
            let key = key("cut");
            store.health().await.unwrap();
            let mut appender = Appender::new("n", MINUTE);
            let mut random = fastrand::Rng::with_seed(seed as u64);
            let mut cut = 0;
            while cut < CUTS / WRITERS {
                appender
                    .append_after(&store, &key, || {
                        if random.bool() {
                            cut += 1;
                            let lose = Fault::lose_reply();
                            proxy.next_request(if random.bool() { lose } else { lose.by_close() });
                        }
                    })
                    .await;
            }
            let kept =
                settle("answers lost", std::slice::from_ref(&appender), &memory(settings()), &key).await;
            assert_eq!(
                kept,
                appender.calls(),
                "one writer can find out about every write: {:?}",
                appender.errors
            );
            proxy.stats().lost_replies
        });
    }
    let lost: u64 = tasks.join_all().await.into_iter().sum();
    println!("{lost} answers to writes lost, all of them found out about");
    assert!(lost >= CUTS as u64, "{lost}");
}

async fn no_turn_is_stored_twice_or_lost_when_any_answer_is_lost() {
    let (proxy, store) = proxied(patient).await;
    let key = key("lost");
    store.health().await.unwrap();
    // Reads and writes, the greetings of new connections among them, each with the same chance.
    proxy.plan(Plan::seeded(7).probability(0.15, [Fault::lose_reply(), Fault::lose_reply().by_close()]));
    let appender = append_all(&store, &key).await;
    println!("{} replies lost", proxy.stats().lost_replies);
    assert!(proxy.stats().lost_replies > 10, "the plan did too little");
    proxy.until(|stats| stats.open <= 1).await.expect("connections given up are closed");
    assert_eq!(settle("any answer lost", &[appender], &memory(settings()), &key).await, WRITES);
}

async fn writers_that_race_find_out_about_their_lost_replies() {
    let (proxy, store) = proxied(patient).await;
    let key = key("race-lost");
    store.health().await.unwrap();
    proxy.plan(Plan::seeded(11).probability(0.1, [Fault::lose_reply()]));
    let healthy = memory(settings());
    let mut other = Appender::new("m", MINUTE);
    let rival = async {
        while other.calls() < WRITES {
            other.append(&healthy, &key).await;
        }
    };
    let (appender, ()) = tokio::join!(append_all(&store, &key), rival);
    assert_eq!(other.acknowledged.len(), WRITES);
    settle("two writers", &[appender, other], &healthy, &key).await;
}

async fn resets_at_any_byte_of_a_request_or_reply_are_survived() {
    let (proxy, store) = proxied(patient).await;
    let key = key("reset");
    store.health().await.unwrap();
    let faults = [3, 20, 120].into_iter().flat_map(|bytes| {
        [Direction::ToServer, Direction::ToClient].map(|direction| Fault::cut_after(direction, bytes))
    });
    proxy.plan(Plan::seeded(3).probability(0.15, faults));
    let appender = append_all(&store, &key).await;
    println!("{} connections cut", proxy.stats().cut);
    assert!(proxy.stats().cut > 10, "the plan did too little");
    assert_eq!(settle("resets", &[appender], &memory(settings()), &key).await, WRITES);
}

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

async fn a_lost_reply_after_which_too_much_was_written_is_of_unknown_outcome() {
    #[derive(Debug, Clone, Copy)]
    enum Rival {
        Writes,
        Deletes,
    }
    for rival in [Rival::Writes, Rival::Deletes] {
        let (proxy, store) = proxied(|config| config.command_timeout = Duration::from_secs(2)).await;
        let (other, key) = (memory(settings()), key("unknown"));
        store.update(&key, "before").await.unwrap();
        let asked = AtomicUsize::new(0);
        let write = store.update_with(&key, |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            // The write arrives, its answer does not.
            proxy.next_request(Fault::stall().only(Direction::ToClient));
            Ok(Memory::new("mine"))
        });
        let meanwhile = async {
            until("it is written", async || other.retrieve(&key).await.unwrap().unwrap().text == "mine")
                .await;
            match rival {
                // One more than a value holds ids of.
                Rival::Writes => {
                    for number in 0..17 {
                        other.update(&key, &format!("theirs {number}")).await.unwrap();
                    }
                }
                Rival::Deletes => assert!(other.delete(&key).await.unwrap()),
            }
        };
        let (written, ()) = tokio::join!(write, meanwhile);
        let error = written.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::OutcomeUnknown, Effect::Unknown), "{error}");
        assert!(error.to_string().contains("changed since"), "{rival:?}: {error}");
        assert_eq!(asked.into_inner(), 1, "{rival:?}: what may have been written was made again");
        let left = other.retrieve(&key).await.unwrap().map(|memory| memory.text);
        match rival {
            Rival::Writes => assert_eq!(left.as_deref(), Some("theirs 16")),
            Rival::Deletes => assert_eq!(left, None),
        }
    }
}

async fn more_commands_than_may_wait_are_refused_and_change_nothing() {
    /// More than a connection lets wait.
    const CALLS: usize = 10_200;
    let (proxy, store) = proxied(|config| {
        config.retries = 0;
        config.timeout = Duration::from_secs(4);
    })
    .await;
    store.health().await.unwrap();
    proxy.set(Fault::stall()).await.unwrap();
    let run = key("waiting").conversation().to_owned();
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let (store, key) = (store.clone(), MemoryKey::new(format!("{run}-{number}")).unwrap());
        calls.spawn(async move {
            let error = store.put(&key, &Memory::new("x"), Precondition::Absent).await.unwrap_err();
            (key, error)
        });
    }
    let (refused, silent): (Vec<_>, Vec<_>) =
        calls.join_all().await.into_iter().partition(|(_, error)| error.kind() == ErrorKind::Exhausted);
    println!("{} of {CALLS} refused", refused.len());
    assert!((1..=CALLS - 10_000).contains(&refused.len()), "{}: {:?}", refused.len(), silent.first());
    for (_, error) in &refused {
        assert_eq!((error.effect(), error.is_retryable()), (Effect::NotApplied, true), "{error}");
    }
    for (_, error) in &silent {
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::OutcomeUnknown | ErrorKind::Timeout), "{error}");
    }
    proxy.heal().await.unwrap();
    store.health().await.unwrap();
    let reader = memory(settings());
    for (key, _) in &refused {
        assert_eq!(reader.get(key).await.unwrap(), None);
    }
    let set = KeyPrefix::conversations(&run);
    Deadline::after(MINUTE).scope(reader.delete_all(&set)).await.unwrap();
}

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

async fn a_caller_who_goes_away_while_connecting_hinders_nobody() {
    let (proxy, store) = proxied(|_| ()).await;
    proxy.set(Fault::stall()).await.unwrap();
    let key = key("gone");
    let gone = tokio::time::timeout(Duration::from_millis(100), store.get(&key)).await;
    assert!(gone.is_err());
    proxy.heal().await.unwrap();
    store.update(&key, "x").await.unwrap();
}

async fn a_storm_of_client_kill_loses_and_doubles_nothing() {
    let mut config = settings();
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
            let answer = command(&settings(), &[b"CLIENT", b"KILL", b"USER", user.as_bytes()]).await;
            if !answer.starts_with(b":0") {
                killed.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let appender = tokio::select! {
        done = append_all(&store, &key) => done,
        () = kill => unreachable!("it goes on for ever"),
    };
    let killed = killed.into_inner();
    println!("{killed} kills");
    assert!(killed > 0, "no connection was killed");
    assert_eq!(settle("CLIENT KILL", &[appender], &memory(settings()), &key).await, WRITES);
    assert!(command(&settings(), &[b"ACL", b"DELUSER", user.as_bytes()]).await.starts_with(b":1"));
}
