//! Retry, timeout and limit around any backend; coalescing around an embedder.
//!
//! These wrappers are for third-party backends. arshai's own network backends retry inside, because they know what
//! is safe to send again, and say so with [`Error::attempts`](crate::Error::attempts).
//!
//! A [`Wrapped`] backend implements the same trait as the backend in it, so wrappers nest. The outermost decides first:
//! `Timeout` around `Retry` bounds all attempts together, `Retry` around `Timeout` bounds each attempt.
//!
//! # Examples
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use arshai_core::{memory::InMemoryMemory, wrap::{Limit, Retry, Timeout, Wrapped}};
//!
//! let store = Wrapped::new(InMemoryMemory::new(), Limit::new(8));
//! let store = Wrapped::new(store, Retry::default());
//! let store = Wrapped::new(store, Timeout::new(Duration::from_secs(5)));
//! # let _ = store;
//! ```

mod backends;
mod coalesce;
mod limit;
mod retry;
mod timeout;

use std::future::Future;

pub use coalesce::{Coalesce, Gather};
pub use limit::Limit;
pub use retry::Retry;
pub use timeout::Timeout;

use crate::{Result, chat::ChatStream};

/// One call of a backend, as a policy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its name, such as `memory.put`.
    pub operation: &'static str,
    /// Whether doing it twice leaves the same state as doing it once.
    pub idempotent: bool,
    /// Whether it changes nothing.
    pub reads: bool,
}

/// How calls are made. `attempt` makes one; its argument says whether it may be asked again.
pub trait Policy: Send + Sync + std::fmt::Debug + 'static {
    /// Makes a call.
    fn run<T, F, A>(&self, call: Call, attempt: A) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
        A: FnMut(bool) -> F + Send;

    /// Makes a call whose result goes on arriving after the call returned.
    fn run_stream<F, A>(&self, call: Call, attempt: A) -> impl Future<Output = Result<ChatStream>> + Send
    where
        F: Future<Output = Result<ChatStream>> + Send,
        A: FnMut(bool) -> F + Send,
    {
        self.run(call, attempt)
    }
}

/// A backend whose calls are made by a [`Policy`].
#[derive(Debug, Clone)]
pub struct Wrapped<B, P> {
    backend: B,
    policy: P,
}

impl<B, P: Policy> Wrapped<B, P> {
    /// Wraps `backend`; an `Arc<dyn …>` is a backend too.
    pub fn new(backend: B, policy: P) -> Self {
        Self { backend, policy }
    }

    /// The backend inside.
    pub fn backend(&self) -> &B {
        &self.backend
    }
}
