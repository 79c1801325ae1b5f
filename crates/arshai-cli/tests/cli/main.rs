//! The program as a user types it: its contract, bad input, and crashes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod bad_input;
mod contract;
mod crash;
mod program;
