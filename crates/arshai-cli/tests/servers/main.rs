//! The program on real servers. `cargo xtask integration --only arshai-cli` starts them and names them in variables.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod milvus;
mod openai;
#[path = "../cli/program.rs"]
#[expect(dead_code, reason = "shared with the tests that need no server")]
mod program;
mod redis;
mod speech;

/// The address of a server.
fn address(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask integration --only arshai-cli`"))
}
