//! The program as a user types it: its contract, bad input, and crashes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print what they measured"
)]

mod bad_input;
mod contract;
mod crash;
mod embedder;
mod model;
mod program;
mod settings;
#[cfg(feature = "speech")]
mod speech;
mod transfer;
