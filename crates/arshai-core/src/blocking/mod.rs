//! Every trait for programs without async.
//!
//! Each async trait has a sync twin here with the same methods, implemented for [`Blocking`].
//!
//! Calls must not be made from async code: they return [`ErrorKind::BlockingInAsync`](crate::ErrorKind::BlockingInAsync)
//! there. From async code use the async traits, or call from `tokio::task::spawn_blocking`, where these work.
//!
//! The other way round, [`Offload`] makes an async part of one that has blocking methods only.
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

mod offload;
mod runtime;
mod stream;
mod sugar;
mod traits;

use std::{future::Future, pin::Pin, sync::Arc};

use futures_core::Stream;

pub use offload::Offload;
pub use runtime::Runtime;
pub use stream::BlockingStream;
pub use traits::{ChatModel, Embedder, MemoryStore, Synthesizer, Tool, Transcriber, VectorStore};

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

    /// Waits for one of its operations.
    ///
    /// # Errors
    ///
    /// The operation's, and what [`Runtime::block_on`] can fail with: [`BlockingInAsync`](crate::ErrorKind::BlockingInAsync)
    /// in async code, [`Closed`](crate::ErrorKind::Closed) when a runtime that was given has been shut down.
    pub fn wait<O>(&self, future: impl Future<Output = Result<O>>) -> Result<O> {
        self.runtime.block_on(future)?
    }

    /// One of its streams as an iterator.
    pub fn iterate<I>(&self, stream: Pin<Box<dyn Stream<Item = Result<I>> + Send>>) -> BlockingStream<I> {
        BlockingStream::new(stream, self.runtime.clone())
    }
}
