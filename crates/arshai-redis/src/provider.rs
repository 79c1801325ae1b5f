//! The memory by name and URL.

use std::sync::Arc;

use arshai_core::{memory::MemoryStore, registry::Provider};

use crate::{RedisConfig, RedisMemory};

/// Memories in Redis: as `redis` and `async_redis`, where [`RedisConfig::from_env`] says, and as the URLs of
/// [`RedisConfig::from_url`], with the other settings those of the address, else of the environment. Nothing is sent
/// before the first use.
pub fn provider() -> Provider<dyn MemoryStore> {
    Provider::new(|address| async move {
        let settings = address.settings()?;
        let config = match address.url() {
            Some(url) => RedisConfig::from_url_with(url, &settings)?,
            None => {
                address.refuse_argument()?;
                RedisConfig::from_env_with(&settings)?
            }
        };
        Ok(Arc::new(RedisMemory::new(config)?) as Arc<dyn MemoryStore>)
    })
    .with_names(["redis", "async_redis"])
    .with_schemes([
        "redis",
        "rediss",
        "valkey",
        "valkeys",
        "redis-cluster",
        "rediss-cluster",
        "redis+cluster",
        "rediss+cluster",
        "redis-sentinel",
        "rediss-sentinel",
        "redis+unix",
    ])
}

#[cfg(test)]
mod tests {
    use arshai_core::{ErrorKind, registry::Registry};

    use super::*;

    #[tokio::test]
    async fn every_scheme_that_is_offered_is_understood() {
        let mut memories = Registry::new("memory");
        memories.register(provider());
        for known in memories.known() {
            let address = match known.strip_suffix("://") {
                Some("redis+unix") => "redis+unix:///run/redis.sock".to_owned(),
                Some(scheme) if scheme.contains("sentinel") => format!("{known}h:1?sentinelServiceName=m"),
                Some(_) => format!("{known}h:1"),
                None => known.clone(),
            };
            memories
                .open(&address)
                .await
                .map(drop)
                .unwrap_or_else(|error| unreachable!("{address}: {error}"));
        }
        // Not the server of the environment: somebody else's, forgotten slashes.
        for address in ["redis:prod:6379", "async_redis:u:hunter2@prod"] {
            let refused = memories.open(address).await.unwrap_err();
            assert!(refused.kind() == ErrorKind::Config && !refused.to_string().contains("hunter2"));
        }
        let refused = memories.open("redis://:hunter2@db.example").await.unwrap_err();
        assert!(refused.kind() == ErrorKind::Config && !refused.to_string().contains("hunter2"));
    }
}
