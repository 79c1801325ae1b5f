//! Conversation memory of arshai over Redis: single node, TLS, unix socket, Cluster and Sentinel.
//!
//! [`RedisMemory`] implements [`MemoryStore`](arshai_core::memory::MemoryStore). It connects when first used, keeps
//! one conversation in one key that the Python package reads and writes too, and changes it by compare-and-set on the
//! stored bytes, in one step on the server.
//!
//! # What happens when a reply is lost
//!
//! Each write carries an id that stays in the stored value for the next 16 writes. When no reply comes back, the
//! identical write is sent again: applied twice it changes nothing the second time, and a value that holds the id
//! shows that the first one arrived. Only when neither can be told is the answer
//! [`OutcomeUnknown`](arshai_core::ErrorKind::OutcomeUnknown).
//!
//! # Examples
//!
//! ```no_run
//! use arshai_core::memory::{MemoryKey, MemoryStoreExt as _, TrimPolicy, Turn};
//! use arshai_redis::{RedisConfig, RedisMemory};
//!
//! # async fn example() -> arshai_core::Result<()> {
//! let memory = RedisMemory::new(RedisConfig::from_url("redis://127.0.0.1:6379/0")?)?;
//! let key = MemoryKey::new("support-42")?;
//! memory.append(&key, &[Turn::user("hello")], TrimPolicy::default()).await?;
//! # Ok(())
//! # }
//! ```

mod cluster;
mod config;
mod connection;
mod gate;
mod memory;
mod oddity;
mod places;
mod provider;
mod reply;
mod revision;
mod route;
mod scan;
mod script;
mod sentinel;
mod tls;
mod together;
mod url;
mod wire;

pub use config::{RedisConfig, RedisServer, TtlPolicy};
pub use memory::RedisMemory;
pub use provider::provider;
