//! all-MiniLM-L6-v2 in this process.

mod config;
mod embedder;
mod model;
mod queue;
mod tokenizer;
mod worker;

pub use config::{MiniLmConfig, TooLong};
pub use embedder::MiniLmEmbedder;
