//! Operations that are dropped wherever they wait: no connection is lost, no later call hindered.

use std::{sync::Mutex, time::Duration};

use arshai_conformance::{Dropped, drop_harness};
use arshai_core::{
    Deadline, ErrorKind, Result,
    memory::{
        KeyPrefix, Memory, MemoryKey, MemoryStore as _, MemoryStoreExt as _, PageRequest, Precondition, Ttl,
    },
};
use arshai_redis::RedisMemory;
use futures_util::FutureExt as _;

use crate::{
    harness::{Test, tests},
    key, memory, settings,
};

/// What a call after a dropped one is given: less than if it had to wait for anything that is no longer there.
const SOON: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
enum Operation {
    Get,
    Put,
    UpdateWith,
    Delete,
    List,
    DeleteAll,
    Time,
    Touch,
    Health,
}

const ALL: [Operation; 9] = [
    Operation::Get,
    Operation::Put,
    Operation::UpdateWith,
    Operation::Delete,
    Operation::List,
    Operation::DeleteAll,
    Operation::Time,
    Operation::Touch,
    Operation::Health,
];

pub(crate) fn everywhere() -> Vec<Test> {
    tests![
        every_operation_is_dropped_at_every_await_while_connecting,
        every_operation_is_dropped_at_every_await_of_a_connected_memory,
        a_close_dropped_while_it_waits_leaves_it_closed_and_ends_nothing_under_way,
    ]
}

async fn make(operation: Operation, store: &RedisMemory, key: &MemoryKey) -> Result<()> {
    let prefix = KeyPrefix::conversations(key.conversation());
    match operation {
        Operation::Get => store.get(key).await.map(drop),
        Operation::Put => store.put(key, &Memory::new("new"), Precondition::Any).await.map(drop),
        Operation::UpdateWith => store.update_with(key, |_| Ok(Memory::new("new"))).await.map(drop),
        Operation::Delete => store.delete(key).await.map(drop),
        Operation::List => store.list(&prefix, &PageRequest::default()).await.map(drop),
        Operation::DeleteAll => store.delete_all(&prefix).await.map(drop),
        Operation::Time => store.ttl(key).await.map(drop),
        Operation::Touch => store.touch(key, Ttl::Forever).await.map(drop),
        Operation::Health => store.health().await,
    }
}

/// The memory still does everything, and nothing of what was dropped holds up its end.
async fn works(store: &RedisMemory, key: &MemoryKey) -> Result<(), String> {
    let work = Deadline::after(SOON).scope(async {
        let found = store.retrieve(key).await?.map(|memory| memory.text);
        let known = found.as_deref().is_none_or(|text| ["old", "new"].contains(&text));
        store.update(key, "next").await?;
        let next = store.retrieve(key).await?.map(|memory| memory.text);
        Ok::<_, arshai_core::Error>((known, next))
    });
    let (known, next) = work.await.map_err(|error| format!("{error:?}"))?;
    if known && next.as_deref() == Some("next") { Ok(()) } else { Err(format!("{known} {next:?}")) }
}

/// A key with a memory, written by another handle.
async fn written() -> MemoryKey {
    let key = key("drops");
    memory(settings()).update(&key, "old").await.unwrap();
    key
}

/// Drops each operation at each of its awaits, on a memory of `given`; how often.
async fn drop_all(what: &str, given: impl Fn() -> RedisMemory) -> usize {
    let mut dropped = 0;
    for operation in ALL {
        // Made before the first run, and in the end of each check for the next.
        let current = Mutex::new((given(), written().await));
        let polls = drop_harness(
            async |_run| {
                let (store, key) = current.lock().unwrap().clone();
                make(operation, &store, &key).await
            },
            async |_run, ended: Dropped<Result<()>>| {
                ended.completed().transpose().map_err(|error| format!("{error:?}"))?;
                let (store, key) = current.lock().unwrap().clone();
                works(&store, &key).await?;
                let next = (given(), written().await);
                *current.lock().unwrap() = next;
                Ok(())
            },
        );
        let polls = polls.await.unwrap_or_else(|failure| panic!("{what}, {operation:?}: {failure:?}"));
        dropped += polls - 1;
    }
    dropped
}

async fn every_operation_is_dropped_at_every_await_while_connecting() {
    let dropped = drop_all("a new memory", || memory(settings())).await;
    println!("{dropped} operations dropped on memories that were connecting");
}

async fn every_operation_is_dropped_at_every_await_of_a_connected_memory() {
    let store = memory(settings());
    store.health().await.unwrap();
    let dropped = drop_all("a connected memory", || store.clone()).await;
    println!("{dropped} operations dropped on a connected memory");
    Deadline::after(SOON).scope(store.close()).await.expect("nothing that was dropped is waited for");
}

async fn a_close_dropped_while_it_waits_leaves_it_closed_and_ends_nothing_under_way() {
    let (store, key) = (memory(settings()), written().await);
    store.health().await.unwrap();
    // The answer may come while the command is being sent, when this thread is kept waiting just then.
    let under_way = std::iter::repeat_with(|| store.get(&key))
        .take(100)
        .find_map(|mut get| get.as_mut().now_or_never().is_none().then_some(get))
        .expect("an operation that waits for its answer");
    assert!(store.close().now_or_never().is_none(), "it waits for what is under way");
    assert_eq!(store.health().await.unwrap_err().kind(), ErrorKind::Closed);
    let found = Deadline::after(SOON).scope(under_way).await.unwrap();
    assert_eq!(found.unwrap().memory.text, "old");
    Deadline::after(SOON).scope(store.close()).await.unwrap();
}
