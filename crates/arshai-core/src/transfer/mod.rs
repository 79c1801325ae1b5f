//! Collections and memories as lines of JSON, to move them from one backend to another.
//!
//! [`export`] gives the lines and [`import`] takes them. The first line says what the file is, the last one how much is
//! in it, so that a file that was cut off is told from a whole one. An import that was interrupted is simply run again:
//! what is there already is not written once more. One that ends early says what it did until then ([`ImportError`]).
//!
//! ```text
//! {"line":"export","version":1}
//! {"line":"collection","spec":{"name":"docs","dimension":384,…}}
//! {"line":"record","id":"tea.md#0","text":"…","metadata":{…},"dense":[…]}
//! {"line":"memory","key":"memory:WORKING_MEMORY:support-42","value":{"data":{"working_memory":"…"},…},"ttl_seconds":43200}
//! {"line":"end","collections":1,"records":1,"memories":1}
//! ```
//!
//! Sparse vectors are not moved: a store does not give them back. Neither are columns of a collection that records do not
//! have. A memory that cannot be read ends an export, unless it is to go on without ([`Source::telling_what_is_left_out`]);
//! the last line then says how many such memories there are.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use arshai_core::{
//!     memory::{InMemoryMemory, KeyPrefix, MemoryKey, MemoryStore, MemoryStoreExt as _},
//!     transfer::{Source, Target, export, import},
//! };
//!
//! # async fn example() -> arshai_core::Result<()> {
//! let (old, new) = (Arc::new(InMemoryMemory::new()), Arc::new(InMemoryMemory::new()));
//! old.store(&MemoryKey::new("c")?, "hello", Default::default()).await?;
//! let lines = export(Source::default().with_memories(old, KeyPrefix::every()));
//! let report = import(&Target::default().with_memory(new.clone()), lines).await?;
//! assert_eq!((report.memories, report.written_memories, new.retrieve(&MemoryKey::new("c")?).await?.is_some()), (1, 1, true));
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
//! ```

mod export;
mod import;
mod line;
mod report;
#[cfg(test)]
mod tests;

pub use export::{LeftOut, Source, export};
pub use import::{Target, import};
pub use report::{ImportError, ImportReport};
