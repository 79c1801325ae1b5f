//! Reads and writes of many callers that go to the server in one command.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arshai_core::{
    Effect, ErrorKind,
    config::Secret,
    memory::{Memory, MemoryKey, MemoryStore as _, MemoryStoreExt as _, Precondition, Put},
};
use arshai_redis::RedisMemory;
use futures_util::StreamExt as _;
use tokio::task::JoinSet;

use crate::{
    harness::{Test, tests},
    key, memory,
    own::{OwnServer, until},
};

/// Far more than are under way at a time.
const CALLERS: usize = 500;
/// How long the server is made to answer nobody, in milliseconds: until then all callers have come.
const PAUSE: &str = "300";

pub(crate) fn tests() -> Vec<Test> {
    tests![
        many_at_once_share_commands_and_each_gets_what_is_its_own,
        a_key_of_another_kind_fails_its_own_caller_alone,
        updates_of_one_conversation_that_go_together_are_all_kept,
        who_gives_up_waiting_leaves_the_others,
        callers_who_are_not_polled_hinder_nobody,
        values_that_look_like_messages_to_subscribers_are_their_own_caller_s,
        who_never_had_a_turn_is_told_that_nothing_was_written,
        scripts_that_the_server_forgot_are_given_again,
        a_user_who_may_not_read_several_keys_reads_each,
        who_waits_when_the_server_dies_is_told_and_a_write_is_never_doubled,
    ]
}

/// Whose each is.
fn keys(name: &str) -> Arc<[MemoryKey]> {
    (0..CALLERS).map(|number| key(&format!("{name}-{number}"))).collect()
}

async fn calls_of(server: &OwnServer) -> BTreeMap<String, usize> {
    let told = server.tell(&["INFO", "commandstats"]).await;
    let count = |line: &str| {
        let (command, numbers) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((command.to_owned(), numbers.split(',').next()?.parse().ok()?))
    };
    told.lines().filter_map(count).collect()
}

/// Runs `call` for every key at once, all of them while the server pauses.
async fn all_at_once<T, F>(
    server: &OwnServer,
    keys: &Arc<[MemoryKey]>,
    call: impl Fn(MemoryKey) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    server.tell(&["CLIENT", "PAUSE", PAUSE]).await;
    let mut tasks = JoinSet::new();
    for (number, key) in keys.iter().enumerate() {
        let call = call(key.clone());
        tasks.spawn(async move { (number, call.await) });
    }
    let mut all = BTreeMap::new();
    while let Some(done) = tasks.join_next().await {
        let (number, outcome) = done.unwrap();
        all.insert(number, outcome);
    }
    all.into_values().collect()
}

async fn write(store: Arc<RedisMemory>, key: MemoryKey, text: String) -> arshai_core::Result<Put> {
    store.put(&key, &Memory::new(text), Precondition::Absent).await
}

async fn many_at_once_share_commands_and_each_gets_what_is_its_own() {
    let server = OwnServer::start(&[]).await;
    let (store, keys) = (Arc::new(memory(server.config())), keys("share"));
    store.health().await.unwrap();
    server.tell(&["CONFIG", "RESETSTAT"]).await;
    let written =
        all_at_once(&server, &keys, |key| write(Arc::clone(&store), key.clone(), format!("of {key:?}")))
            .await;
    assert!(written.iter().all(|put| matches!(put, Ok(Put::Stored(_)))));
    let read = all_at_once(&server, &keys, |key| {
        let store = Arc::clone(&store);
        async move { store.retrieve(&key).await }
    })
    .await;
    for (key, memory) in keys.iter().zip(read) {
        assert_eq!(memory.unwrap().unwrap().text, format!("of {key:?}"));
    }
    let calls = calls_of(&server).await;
    let of = |name: &str| calls.get(name).copied().unwrap_or(0);
    println!("{CALLERS} writes and {CALLERS} reads: {calls:?}");
    // The script's own commands are counted as well: GET and SET once for each write.
    assert!(of("mget") > 0 && of("mget") + of("get") - CALLERS < CALLERS / 4, "{calls:?}");
    assert!(of("evalsha") + of("eval") < CALLERS / 4 && of("set") == CALLERS, "{calls:?}");
}

async fn a_key_of_another_kind_fails_its_own_caller_alone() {
    let server = OwnServer::start(&[]).await;
    let (store, keys) = (Arc::new(memory(server.config())), keys("kind"));
    // Every third is there, one is a list, the others are absent.
    for key in keys.iter().step_by(3) {
        store.store(key, "there", serde_json::Map::new()).await.unwrap();
    }
    let odd = 7;
    server.tell(&["RPUSH", &keys[odd].stored(), "item"]).await;
    let read = all_at_once(&server, &keys, |key| {
        let store = Arc::clone(&store);
        async move { store.retrieve(&key).await }
    })
    .await;
    for (number, memory) in read.into_iter().enumerate() {
        match number {
            _ if number == odd => assert_eq!(memory.unwrap_err().kind(), ErrorKind::Corrupt),
            _ if number % 3 == 0 => assert_eq!(memory.unwrap().unwrap().text, "there"),
            _ => assert!(memory.unwrap().is_none(), "{number}"),
        }
    }
    let written = all_at_once(&server, &keys, |key| write(Arc::clone(&store), key, "new".to_owned())).await;
    for (number, put) in written.into_iter().enumerate() {
        match number {
            _ if number == odd => assert_eq!(put.unwrap_err().kind(), ErrorKind::Corrupt),
            _ if number % 3 == 0 => match put.unwrap() {
                Put::Conflict(Some(current)) => assert_eq!(current.memory.text, "there"),
                other => panic!("{number}: {other:?}"),
            },
            _ => assert!(matches!(put, Ok(Put::Stored(_))), "{number}"),
        }
    }
}

async fn updates_of_one_conversation_that_go_together_are_all_kept() {
    let server = OwnServer::start(&[]).await;
    let (store, key) = (Arc::new(memory(server.config())), key("one"));
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let (store, key) = (Arc::clone(&store), key.clone());
        tasks.spawn(async move {
            let append = |old: Option<&Memory>| {
                let text = old.map_or("", |memory| memory.text.as_str());
                Ok(Memory::new(format!("{text} n{number}")))
            };
            let append = store.update_with(&key, append);
            arshai_core::Deadline::after(crate::MINUTE).scope(append).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let text = store.retrieve(&key).await.unwrap().unwrap().text;
    let (all, distinct) =
        (text.split_whitespace().count(), text.split_whitespace().collect::<BTreeSet<_>>().len());
    println!("{all} present, {distinct} distinct");
    assert_eq!((all, distinct), (100, 100));
}

async fn who_gives_up_waiting_leaves_the_others() {
    let server = OwnServer::start(&[]).await;
    let (store, keys) = (Arc::new(memory(server.config())), keys("leave"));
    store.health().await.unwrap();
    server.tell(&["CLIENT", "PAUSE", PAUSE]).await;
    let calls: Vec<_> = keys
        .iter()
        .map(|key| tokio::spawn(write(Arc::clone(&store), key.clone(), "kept".to_owned())))
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    // Among them those that are under way for others.
    calls.iter().step_by(2).for_each(tokio::task::JoinHandle::abort);
    let mut kept = 0;
    for (call, key) in calls.into_iter().zip(keys.iter()).skip(1).step_by(2) {
        assert!(matches!(call.await.unwrap(), Ok(Put::Stored(_))));
        assert_eq!(store.retrieve(key).await.unwrap().unwrap().text, "kept");
        kept += 1;
    }
    println!("{} gave up, {kept} written", CALLERS - kept);
    // Nothing is left behind that would keep later ones waiting.
    let written = all_at_once(&server, &keys, |key| {
        let store = Arc::clone(&store);
        async move { store.update(&key, "later").await }
    })
    .await;
    assert!(written.iter().all(Result::is_ok));
}

/// How many have connected so far, whoever asks included.
async fn connected(server: &OwnServer) -> usize {
    let told = server.tell(&["INFO", "stats"]).await;
    let line = told.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}

async fn callers_who_are_not_polled_hinder_nobody() {
    let server = OwnServer::start(&[]).await;
    let mut config = server.config();
    config.connections = 2;
    let (store, keys) = (Arc::new(memory(config)), keys("unpolled"));
    for key in keys.iter() {
        store.store(key, "there", serde_json::Map::new()).await.unwrap();
    }
    let before = connected(&server).await;
    let reads = futures_util::stream::iter(keys.iter()).map(|key| store.retrieve(key)).buffer_unordered(100);
    let mut reads = std::pin::pin!(reads);
    let mut read = 0;
    while let Some(memory) = reads.next().await {
        assert_eq!(memory.unwrap().unwrap().text, "there");
        // The reads of the stream stand still meanwhile.
        store.update(&keys[read], "later").await.unwrap();
        assert_eq!(store.retrieve(&keys[read]).await.unwrap().unwrap().text, "later");
        read += 1;
    }
    assert_eq!((read, connected(&server).await), (CALLERS, before + 1), "no connection was given up");
}

async fn values_that_look_like_messages_to_subscribers_are_their_own_caller_s() {
    let server = OwnServer::start(&[]).await;
    let mut config = server.config();
    config.connections = 1;
    let (store, keys) = (Arc::new(memory(config)), keys("message"));
    let words = ["message", "subscribe", "psubscribe", "pmessage", "unsubscribe", "smessage"];
    for (key, word) in keys.iter().take(32).zip(words.into_iter().cycle()) {
        server.tell(&["SET", &key.stored(), word]).await;
    }
    store.health().await.unwrap();
    let before = connected(&server).await;
    // The first twenty go by themselves.
    for together in 21..=32 {
        let some: Arc<[MemoryKey]> = keys.iter().take(together).cloned().collect();
        let read = all_at_once(&server, &some, |key| {
            let store = Arc::clone(&store);
            async move { (key.clone(), store.retrieve(&key).await) }
        })
        .await;
        for (key, memory) in read {
            let error = memory.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{together} together: {error}");
            assert!(error.to_string().contains(&key.stored()), "{error}");
        }
    }
    // One that waits on each pause, and the one who asks: none was given up because answers stayed away.
    assert_eq!(connected(&server).await, before + 12 + 1);
}

async fn who_never_had_a_turn_is_told_that_nothing_was_written() {
    let server = OwnServer::start(&[]).await;
    let mut config = server.config();
    config.connections = 1;
    let (store, keys) = (Arc::new(memory(config)), keys("turn"));
    store.health().await.unwrap();
    server.tell(&["CLIENT", "PAUSE", "2000"]).await;
    // Twenty who go by themselves, and one for each task that serves who comes then.
    let mut first = Vec::new();
    for key in keys.iter().take(24) {
        first.push(tokio::spawn(write(Arc::clone(&store), key.clone(), "first".to_owned())));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let late = keys.iter().skip(24).map(|key| {
        let write = write(Arc::clone(&store), key.clone(), "late".to_owned());
        let deadline = std::time::Duration::from_millis(500);
        tokio::spawn(arshai_core::Deadline::after(deadline).scope(write))
    });
    for (call, key) in late.collect::<Vec<_>>().into_iter().zip(keys.iter().skip(24)) {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied), "{error}");
        assert!(store.retrieve(key).await.unwrap().is_none());
    }
    // Those before them kept their connection.
    for (call, key) in first.into_iter().zip(keys.iter()) {
        assert!(matches!(call.await.unwrap(), Ok(Put::Stored(_))));
        assert_eq!(store.retrieve(key).await.unwrap().unwrap().text, "first");
    }
}

async fn scripts_that_the_server_forgot_are_given_again() {
    let server = OwnServer::start(&[]).await;
    let (store, keys) = (Arc::new(memory(server.config())), keys("flush"));
    for round in 0..3 {
        server.tell(&["SCRIPT", "FLUSH"]).await;
        let written = all_at_once(&server, &keys, |key| {
            let store = Arc::clone(&store);
            async move { store.update(&key, &format!("round {round}")).await }
        })
        .await;
        assert!(written.iter().all(Result::is_ok), "{round}");
    }
    for key in keys.iter() {
        assert_eq!(store.retrieve(key).await.unwrap().unwrap().text, "round 2");
    }
}

async fn a_user_who_may_not_read_several_keys_reads_each() {
    let server = OwnServer::start(&[]).await;
    server.tell(&["ACL", "SETUSER", "narrow", "on", ">secret", "~*", "+@all", "-mget"]).await;
    let mut config = server.config();
    (config.username, config.password) = (Some("narrow".to_owned()), Some(Secret::new("secret")));
    let (store, keys) = (Arc::new(memory(config)), keys("narrow"));
    for _ in 0..2 {
        let read = all_at_once(&server, &keys, |key| {
            let store = Arc::clone(&store);
            async move { store.retrieve(&key).await }
        })
        .await;
        assert!(read.into_iter().all(|memory| memory.unwrap().is_none()));
    }
    // It was tried by those who waited first, and not again.
    let told = server.tell(&["ACL", "LOG"]).await;
    let tried = told.matches("mget").count();
    println!("tried {tried} times");
    assert!((1..=8).contains(&tried), "{told}");
}

async fn who_waits_when_the_server_dies_is_told_and_a_write_is_never_doubled() {
    let mut server = OwnServer::durable().await;
    let (store, keys) = (Arc::new(memory(server.config())), keys("dies"));
    store.health().await.unwrap();
    let append = |key: MemoryKey| {
        let store = Arc::clone(&store);
        async move {
            store
                .update_with(&key, |old| {
                    let text = old.map_or("", |memory| memory.text.as_str());
                    Ok(Memory::new(format!("{text}x")))
                })
                .await
        }
    };
    let calls: Vec<_> = keys.iter().map(|key| tokio::spawn(append(key.clone()))).collect();
    let some = async || !server.tell(&["DBSIZE"]).await.contains(":0");
    until("something is written", some).await;
    server.kill();
    server.launch_again(&[]);
    let (mut acknowledged, mut refused) = (0, 0);
    for (call, key) in calls.into_iter().zip(keys.iter()) {
        let written = call.await.unwrap();
        let present = store.retrieve(key).await.unwrap().map_or(0, |memory| memory.text.len());
        match written {
            Ok(_) => {
                acknowledged += 1;
                assert_eq!(present, 1, "{key:?}");
            }
            Err(error) => {
                refused += 1;
                assert!(present <= 1 && error.kind() != ErrorKind::Conflict, "{error}");
            }
        }
    }
    println!("{acknowledged} acknowledged and present once, {refused} refused");
    assert_eq!(acknowledged + refused, CALLERS);
}
