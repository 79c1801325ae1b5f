//! Every trait for programs without async.
//!
//! Each async trait has a sync twin here with the same methods, implemented for [`Blocking`].
//!
//! Calls must not be made from async code: they return [`ErrorKind::BlockingInAsync`](crate::ErrorKind::BlockingInAsync)
//! there. From async code use the async traits, or call from `tokio::task::spawn_blocking`, where these work.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use arshai_core::{blocking::{Blocking, Runtime}, memory::{InMemoryMemory, MemoryKey, MemoryStore}};
//!
//! let memory: Arc<dyn MemoryStore> = Arc::new(InMemoryMemory::new());
//! let memory = Blocking::new(memory, Runtime::new()?);
//! let key = MemoryKey::new("support-42")?;
//! memory.store(&key, "hello", Default::default())?;
//! assert_eq!(memory.retrieve(&key)?.map(|memory| memory.text).as_deref(), Some("hello"));
//! # Ok::<(), arshai_core::Error>(())
//! ```

mod runtime;
mod traits;

use std::{future::Future, sync::Arc};

pub use runtime::Runtime;
pub use traits::{BlockingStream, ChatModel, Embedder, MemoryStore, Tool, VectorStore};

use crate::Result;

/// An async object used from sync code.
#[derive(Debug)]
pub struct Blocking<T: ?Sized> {
    inner: Arc<T>,
    runtime: Runtime,
}

impl<T: ?Sized> Clone for Blocking<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), runtime: self.runtime.clone() }
    }
}

impl<T: ?Sized> Blocking<T> {
    /// Runs `inner`'s operations on `runtime`.
    pub fn new(inner: Arc<T>, runtime: Runtime) -> Self {
        Self { inner, runtime }
    }

    /// The async object inside.
    pub fn inner(&self) -> &Arc<T> {
        &self.inner
    }

    fn wait<O>(&self, future: impl Future<Output = Result<O>>) -> Result<O> {
        self.runtime.block_on(future)?
    }
}
