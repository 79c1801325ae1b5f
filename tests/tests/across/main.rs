//! The crates together: the whole agent on every pair of backends, and the blocking way in.

mod agent;
mod blocking;
mod pairs;
