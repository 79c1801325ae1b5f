//! Conformance suites: what every arshai backend promises, as code any backend can run against itself.
//!
//! Each suite is one async function over a factory. It runs every check, leaves out those whose capability the
//! backend says it lacks, and returns a [`Report`] of what passed, what was left out and why, and what failed: the
//! check's name, what was expected, what came back, and where the promise is written down.
//!
//! * [`memory::suite`]: conversation memory, from absent keys to two handles racing on one key
//! * [`vectors::suite`]: collections, writes, search, fusion, and random filters against core's definition
//! * [`embedder::suite`], [`chat::suite`]: models
//! * [`drop_harness`]: drops an operation at every point where it waits
//! * [`capabilities`]: what each engine is expected to be able to do
//! * [`doubles`]: deterministic stand-ins for models and failing backends, for tests
//!
//! # Fault proxy
//!
//! With the feature `fault` (off by default: it adds tokio's network types), the module `fault` holds a TCP proxy
//! that delays, stalls, cuts, resets and refuses connections by a plan that repeats exactly. It is protocol-agnostic,
//! binds a loopback port, and is how the network backends' fault tests break their connections: a reply that is lost
//! after the server executed, a server that dies and comes back on the same port, a failure at random once in ten
//! requests. Enable it in `[dev-dependencies]`.
//!
//! # Examples
//!
//! A backend's test, with a factory that gives another handle to the same data each time:
//!
//! ```
//! use std::sync::Arc;
//!
//! use arshai_conformance::memory;
//! use arshai_core::memory::{InMemoryMemory, MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let shared = InMemoryMemory::new();
//! let report = memory::suite(&|| {
//!     let handle: Arc<dyn MemoryStore> = Arc::new(shared.clone());
//!     async { Ok(handle) }
//! })
//! .await;
//! println!("{report}");
//! report.assert_passed();
//! # });
//! ```

pub mod capabilities;
pub mod chat;
mod check;
pub mod doubles;
mod drop_harness;
pub mod embedder;
#[cfg(feature = "fault")]
pub mod fault;
pub mod memory;
mod report;
pub mod vectors;

pub use drop_harness::{Dropped, drop_harness};
pub use report::{Failure, Report, Skipped};
