//! The crates together on real servers: the matrix of every memory with every vector store, the parity with the
//! Python guide row by row, the way from one set of backends to another, a thousand operations at once, and the
//! examples, a newcomer's package. `cargo xtask integration --only arshai-tests` starts the servers and names them in variables.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print what they measured"
)]

mod crowd;
mod examples;
mod in_place;
mod matrix;
mod newcomer;
mod own_process;
mod parity;
mod place;
mod python;
mod said;
mod threads;
mod walk;
mod wire;
