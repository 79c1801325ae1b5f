//! The store against a server that answers what a test tells it to.

mod calls;
pub(crate) mod canned;
mod depth;
mod only_milvus;
pub(crate) mod replies;
mod sessions;
mod spans;
mod sure;
mod tls;
mod waits;
mod writes;
