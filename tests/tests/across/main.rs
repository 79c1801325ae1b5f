//! The crates together: the whole agent on every pair of backends, and the blocking way in.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod agent;
mod blocking;
mod pairs;
