//! The vector store: collections of records, searched by vector, by text, or both.

mod collection;
mod fusion;
mod in_memory;
mod record;
mod search;
mod store;
mod write;

pub use collection::{Capabilities, Collection, CollectionSpec, CollectionStats, FieldNames, IdKind, Metric};
pub use fusion::{Fusion, Norm, fuse};
pub use in_memory::InMemoryVectors;
pub(crate) use record::validate_metadata;
pub use record::{Hit, Id, Record, Row, SparseVector};
pub use search::{Consistency, Leg, LegQuery, Output, Query, RowPage, RowQuery, Search};
pub(crate) use store::scan_owned;
pub use store::{Selection, VectorStore, VectorStoreExt};
pub use write::{ItemOutcome, WriteReport};
