//! Traits, value types and in-memory backends of arshai: the contracts that every backend keeps.
//!
//! * [`memory`]: conversation memory with a conditional put, and the update loop on top of it
//! * [`vector`]: collections searched by vector, text, or both
//! * [`embed`], [`chat`], [`tool`]: what stands around a language model
//! * [`speech`]: speech to text and back
//! * [`Filter`]: typed filters, parsed from a subset of Milvus's expression syntax
//! * [`wrap`]: retry, timeout and limit for third-party backends
//! * [`transfer`]: collections and memories from one backend to another
//! * [`blocking`]: every trait for programs without async
//! * [`config`]: settings from the environment
//! * [`registry`]: backends by name or URL
//!
//! This crate knows no backend: no HTTP, no gRPC, no database.

pub mod blocking;
pub mod chat;
pub mod config;
mod deadline;
pub mod embed;
mod error;
pub mod filter;
pub mod memory;
pub mod registry;
pub mod speech;
pub mod text;
pub mod tool;
pub mod transfer;
pub mod vector;
pub mod wrap;

pub use deadline::Deadline;
pub use error::{Effect, Error, ErrorKind, Result};
pub use filter::Filter;
