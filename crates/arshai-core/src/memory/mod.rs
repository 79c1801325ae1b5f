//! Conversation memory: what a conversation has said so far, safe under concurrency.
//!
//! [`MemoryStore`] is small: its primitive is a *conditional put*. Everything a caller usually wants
//! ([`update_with`](MemoryStoreExt::update_with), [`store`](MemoryStoreExt::store),
//! [`append`](MemoryStoreExt::append)) is written once on top of it, in [`MemoryStoreExt`].

mod envelope;
mod in_memory;
mod key;
mod store;
mod timestamp;
mod trim;
mod update;
mod value;

pub use envelope::{Envelope, MAX_OPERATIONS, OperationId};
pub use in_memory::InMemoryMemory;
pub use key::{KeyPrefix, MemoryKey, WORKING_MEMORY};
pub use store::{
    KeyPage, MemoryCapabilities, MemoryStore, PageRequest, Precondition, Put, Revision, Ttl, Versioned,
};
pub use timestamp::{format_timestamp, parse_timestamp};
pub use trim::TrimPolicy;
pub use update::MemoryStoreExt;
pub use value::{Memory, Speaker, Turn};
