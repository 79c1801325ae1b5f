//! The client alone.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use fred::{
    bytes::Bytes,
    clients::Pool,
    interfaces::{ClientLike as _, KeysInterface as _},
    types::{
        Builder, ClusterHash, CustomCommand, Value,
        config::{Config, TcpConfig},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use sha1::{Digest as _, Sha1};

use crate::{
    conversations::{CONVERSATIONS, VALUE_BYTES, text},
    measure::Bench,
};

/// As many as arshai keeps.
const CONNECTIONS: usize = 2;
const TTL_MS: &str = "43200000";
const OPERATIONS: usize = 16;

const COMPARE_AND_SET: &str = "\
local current = redis.call('GET', KEYS[1])
if ARGV[1] == '' then
  if current then return {0, current} end
elseif not current or redis.sha1hex(current) ~= ARGV[1] then
  return {0, current}
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {1}
";

/// The JSON that arshai stores.
#[derive(Serialize, Deserialize)]
struct Stored {
    data: Data,
    metadata: Map<String, serde_json::Value>,
    created_at: String,
    last_update: String,
    #[serde(default)]
    arshai: Extra,
}

#[derive(Serialize, Deserialize)]
struct Data {
    working_memory: String,
}

#[derive(Serialize, Deserialize, Default)]
struct Extra {
    operations: Vec<String>,
}

#[derive(Clone)]
pub(super) struct Bare {
    pool: Pool,
    script: Arc<str>,
}

impl Bare {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let mut builder = Builder::from_config(Config::from_url(url)?);
        builder.with_connection_config(|connection| {
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        });
        let pool = builder.build_pool(CONNECTIONS)?;
        pool.init().await?;
        let load = CustomCommand::new_static("SCRIPT", ClusterHash::Random, false);
        let script: String = pool.custom(load, vec!["LOAD", COMPARE_AND_SET]).await?;
        let bare = Self { pool, script: script.into() };
        for number in 0..CONVERSATIONS {
            bare.clone().put(number).await?;
        }
        Ok(bare)
    }

    pub(super) async fn measure(
        &self,
        bench: &Bench,
        side: &str,
        concurrency: usize,
        total: usize,
    ) -> Result<()> {
        let bare = self.clone();
        bench.calls(side, "put", concurrency, total, move |number| bare.clone().put(number)).await?;
        let bare = self.clone();
        bench.calls(side, "store", concurrency, total, move |number| bare.clone().update(number)).await?;
        let bare = self.clone();
        bench
            .calls(side, "retrieve", concurrency, total, move |number| bare.clone().retrieve(number))
            .await?;
        let bare = self.clone();
        bench.calls(side, "update", concurrency, total, move |number| bare.clone().update(number)).await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.pool.get(key).await?)
    }

    /// The value that is there instead, when it is another one than `old`.
    async fn replace(&self, key: &str, old: Option<&Bytes>, new: Vec<u8>) -> Result<Option<Bytes>> {
        let expected = old.map_or(String::new(), |old| hex(&Sha1::digest(old)));
        let evaluate = CustomCommand::new_static("EVALSHA", ClusterHash::Random, false);
        let arguments: Vec<Value> = vec![
            Value::from(&*self.script),
            Value::from(1_i64),
            Value::from(key),
            Value::from(expected),
            Value::Bytes(new.into()),
            Value::from(TTL_MS),
        ];
        match self.pool.custom(evaluate, arguments).await? {
            Value::Integer(1) => Ok(None),
            Value::Array(answer) => match answer.as_slice() {
                [Value::Integer(1)] => Ok(None),
                [Value::Integer(0), Value::Bytes(current)] => Ok(Some(current.clone())),
                [Value::Integer(0), Value::String(current)] => Ok(Some(current.clone().into_inner())),
                other => bail!("an answer that is not understood: {other:?}"),
            },
            other => bail!("an answer that is not understood: {other:?}"),
        }
    }

    async fn put(self, number: usize) -> Result<()> {
        self.change(number).await
    }

    async fn update(self, number: usize) -> Result<()> {
        self.change(number).await
    }

    async fn change(self, number: usize) -> Result<()> {
        let key = key(number);
        let mut old = self.get(&key).await?;
        loop {
            let now = "2026-01-01T10:00:00.123456Z";
            let mut next = match &old {
                Some(old) => serde_json::from_slice(old)?,
                None => Stored {
                    data: Data { working_memory: String::new() },
                    metadata: Map::new(),
                    created_at: now.to_owned(),
                    last_update: String::new(),
                    arshai: Extra::default(),
                },
            };
            text(number).clone_into(&mut next.data.working_memory);
            now.clone_into(&mut next.last_update);
            let operations = &mut next.arshai.operations;
            operations.push(format!("{:032x}", fastrand::u128(..)));
            operations.drain(..operations.len().saturating_sub(OPERATIONS));
            match self.replace(&key, old.as_ref(), serde_json::to_vec(&next)?).await? {
                None => return Ok(()),
                winner => old = winner,
            }
        }
    }

    async fn retrieve(self, number: usize) -> Result<()> {
        let stored = self.get(&key(number)).await?.context("a memory is missing")?;
        let stored: Stored = serde_json::from_slice(&stored)?;
        ensure!(stored.data.working_memory.len() == VALUE_BYTES, "a memory is not the one that was stored");
        Ok(())
    }
}

fn key(number: usize) -> String {
    format!("memory:WORKING_MEMORY:bench-bare-{}", number % CONVERSATIONS)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
