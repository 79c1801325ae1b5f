//! The store against a server that answers what a test tells it to.

mod calls;
mod canned;
mod replies;
mod spans;
mod tls;
mod writes;
