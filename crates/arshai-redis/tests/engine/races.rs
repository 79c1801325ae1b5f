//! Many writers on one conversation.

use std::{collections::BTreeSet, sync::Arc};

use arshai_core::{
    Deadline,
    memory::{Memory, MemoryStoreExt as _},
};
use arshai_redis::RedisConfig;
use tokio::task::JoinSet;

use crate::{
    MINUTE,
    harness::{Test, tests},
    key, memory, settings,
};

const WRITERS: usize = 8;
const WRITES: usize = 200;

pub(crate) fn everywhere() -> Vec<Test> {
    tests![appends_of_eight_writers_to_one_conversation_are_all_kept]
}

pub(crate) fn single() -> Vec<Test> {
    tests![a_thousand_conversations_at_once_meet_no_error]
}

async fn appends_are_all_kept(config: RedisConfig) {
    let key = key("race");
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        // A memory of its own for each, as another process has.
        let (store, key) = (memory(config.clone()), key.clone());
        tasks.spawn(async move {
            let mut done = 0_usize;
            for number in 0..WRITES {
                let token = format!(" w{writer}n{number}");
                let append = store.update_with(&key, |old| {
                    let text = old.map_or("", |memory| memory.text.as_str());
                    Ok(Memory::new(format!("{text}{token}")))
                });
                Deadline::after(MINUTE).scope(append).await.unwrap();
                done += 1;
            }
            done
        });
    }
    let mut acknowledged = 0;
    while let Some(done) = tasks.join_next().await {
        acknowledged += done.unwrap();
    }
    let store = memory(config);
    let text = store.retrieve(&key).await.unwrap().unwrap().text;
    let items: Vec<&str> = text.split_whitespace().collect();
    let distinct: BTreeSet<&str> = items.iter().copied().collect();
    println!("{acknowledged} acknowledged, {} present, {} distinct", items.len(), distinct.len());
    assert_eq!(
        (acknowledged, items.len(), distinct.len()),
        (WRITERS * WRITES, WRITERS * WRITES, WRITERS * WRITES)
    );
}

async fn appends_of_eight_writers_to_one_conversation_are_all_kept() {
    appends_are_all_kept(settings()).await;
}

async fn a_thousand_conversations_at_once_meet_no_error() {
    let store = Arc::new(memory(settings()));
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let key = key("many");
            store.update(&key, "one").await.unwrap();
            store.update(&key, "two").await.unwrap();
            assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "two");
        });
    }
    let mut done = 0;
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap();
        done += 1;
    }
    assert_eq!(done, 1_000);
}
