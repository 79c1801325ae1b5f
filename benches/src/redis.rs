//! Memory in Redis: the operations of [`Conversations`], by arshai and by the client alone.
//!
//! The client alone sends the same commands with the same JSON, and does what an application would do without arshai:
//! it has no deadline, no recovery and no trace.

mod bare;

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use arshai_core::memory::{Memory, MemoryKey, MemoryStore, MemoryStoreExt as _, TrimPolicy, Turn};
use arshai_redis::{RedisConfig, RedisMemory};

use self::bare::Bare;
use crate::{conversations::Conversations, measure::Bench};

const CALLS: usize = 50_000;
const TURNS: usize = 20_000;
/// Conversations of the last measurement, each with a turn under way at any time.
const MANY: usize = 1_000;
const TURN: &str = "What does the contract say about the notice period, and where exactly does it say so?";

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    let url = bench.address("REDIS_URL")?;
    let config = RedisConfig::from_url(&url)?;
    for concurrency in bench.concurrencies(&[1, 256]) {
        let calls = if concurrency == 1 { CALLS / 25 } else { CALLS };
        for side in bench.sides(["arshai", "fred"]) {
            if side == "arshai" {
                let store = Arc::new(RedisMemory::new(config.clone())?);
                let conversations = Conversations::fill(Arc::clone(&store) as Arc<dyn MemoryStore>).await?;
                conversations.measure(bench, side, concurrency, calls).await?;
                store.close().await?;
            } else {
                Bare::connect(&url).await?.measure(bench, side, concurrency, calls).await?;
            }
        }
    }
    many(bench, &config).await
}

/// Whole turns of many conversations at once: each reads its memory and adds to it.
async fn many(bench: &Bench, config: &RedisConfig) -> Result<()> {
    let store = Arc::new(RedisMemory::new(config.clone())?);
    let keys = (0..MANY).map(|number| MemoryKey::new(format!("bench-many-{number}")));
    let keys: Arc<[MemoryKey]> = keys.collect::<Result<_, _>>()?;
    let shared = Arc::clone(&store);
    let turn = move |number: usize| {
        let (store, keys) = (Arc::clone(&shared), Arc::clone(&keys));
        async move {
            let key = keys.get(number % MANY).context("there are as many keys")?;
            let before: Option<Memory> = store.retrieve(key).await?;
            let turns = [Turn::user(TURN), Turn::assistant(TURN)];
            let after = store.append(key, &turns, TrimPolicy::default()).await?.memory;
            ensure!(before.is_none_or(|before| before.text != after.text || before.text.len() > 1_000));
            Ok(())
        }
    };
    bench.calls("arshai", "turn", MANY, TURNS, turn).await?;
    store.close().await?;
    Ok(())
}
