//! Vector store of arshai over Milvus gRPC.
//!
//! [`MilvusStore`] keeps core's contract of a vector store on a Milvus server; [`MilvusClient`] is the way to what only
//! Milvus has. The protocol is a subset written by hand, in the folder `proto` of the repository.
//!
//! # Servers
//!
//! | server | dense | sparse | text (BM25) | |
//! |---|---|---|---|---|
//! | Milvus 2.3 | yes | no | no | tested on 2.3.5 |
//! | Milvus 2.4 | yes | yes | no | written from the protocol, not run |
//! | Milvus 2.5 and later | yes | yes | yes | written from the protocol, not run |
//! | Milvus Lite 2.5 (C++) | yes | yes | yes | tested on 2.5.1 |
//! | Milvus Lite 3 (Python) | yes | yes | yes | tested on 3.2.2 |
//!
//! What a server lacks is in the store's capabilities and refused before anything is sent. Hybrid search asks its legs at
//! once and fuses them with core's formulas: no server tested orders hits of equal score by key, so none of their own
//! fusions gives the order that every other engine gives.
//!
//! # Collections
//!
//! A collection of ours has a key, a text, metadata as JSON and, as its spec says, a dense vector (HNSW with M = 8 and
//! efConstruction = 64, or AUTOINDEX where there is no HNSW) and a sparse one. Text search has two more fields: the
//! terms of the text as core splits it, and what the server computes from them. A collection that wants no vector has a
//! placeholder, because Milvus needs one. Collections of other programs, the Python package's among them, are opened by
//! the names of their fields ([`CollectionSpec::fields`](arshai_core::vector::CollectionSpec::fields)) and searched with
//! the index, metric and analyzer they have.
//!
//! # More than one machine
//!
//! Nothing here assumes a single node: reads say how fresh they must be with a timestamp of the server's, which holds
//! across proxies, and writes report per batch. What changes on a distributed Milvus is time: a strong read waits for the
//! slowest shard, a collection takes longer to load, and a proxy limits rates, which is waited for within the deadline.
//!
//! # Examples
//!
//! ```no_run
//! use arshai_core::vector::{CollectionSpec, Query, Record, VectorStore, VectorStoreExt};
//! use arshai_milvus::{MilvusConfig, MilvusStore};
//!
//! # async fn example() -> arshai_core::Result<()> {
//! let store = MilvusStore::new(MilvusConfig::from_env()?)?;
//! store.open(&CollectionSpec::new("docs").with_dense(3)).await?;
//! let record = Record::new("a text").with_id("a").with_dense(vec![0.1, 0.2, 0.3]);
//! store.upsert("docs", vec![record]).await?.into_complete()?;
//! for hit in store.search_one("docs", Query::dense([0.1, 0.2, 0.3]), 3).await? {
//!     println!("{} {}", hit.score, hit.text);
//! }
//! # Ok(())
//! # }
//! ```

mod access;
mod client;
mod columns;
mod condition;
mod config;
mod connection;
mod described;
mod encode;
mod engine;
mod expression;
mod failure;
mod filter;
mod finding;
mod gate;
mod hits;
mod inner;
mod key;
mod open;
mod proto;
mod provider;
mod question;
mod raw_codec;
mod rows;
mod schema_field;
mod search;
mod shape;
mod store;
mod terms;
#[cfg(test)]
mod tests;
mod traced;
mod url;
mod wire;
mod write;

pub use access::Grant;
pub use client::{IndexInfo, MilvusClient};
pub use config::{Credentials, MilvusConfig, Tls};
pub use provider::provider;
pub use schema_field::{FieldKind, SchemaField};
pub use store::MilvusStore;
