//! The fault proxy does exactly what its plan says, in both directions, and leaves nothing behind.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod cuts;
mod ending;
mod http2;
mod passing;
mod refusals;
mod seeded;
mod server;
mod slowness;
mod switching;
