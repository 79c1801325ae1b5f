//! The messages of `proto/`, written by `cargo xtask codegen`.

#[expect(unreachable_pub, clippy::enum_variant_names, reason = "generated code")]
#[rustfmt::skip]
pub(crate) mod generated {
    pub(crate) mod common {
        include!("generated/milvus.proto.common.rs");
    }
    pub(crate) mod schema {
        include!("generated/milvus.proto.schema.rs");
    }
    pub(crate) mod milvus {
        include!("generated/milvus.proto.milvus.rs");
    }
}

pub(crate) use generated::{common, milvus, schema};

use common::{KeyValuePair, Status};

/// Writes are encoded by [`crate::wire`]; their message is what tests read them by.
const _: fn() -> milvus::WriteRequest = Default::default;

/// A reply that says how the call went.
pub(crate) trait Reply: prost::Message + Default {
    /// `None` when the server left it out.
    fn status(&self) -> Option<&Status>;
}

impl Reply for Status {
    fn status(&self) -> Option<&Status> {
        Some(self)
    }
}

macro_rules! replies {
    ($($reply:ident)*) => {
        $(impl Reply for milvus::$reply {
            fn status(&self) -> Option<&Status> {
                self.status.as_ref()
            }
        })*
    };
}

replies! {
    GetVersionResponse ConnectResponse DescribeCollectionResponse GetLoadStateResponse
    ShowCollectionsResponse GetCollectionStatisticsResponse ShowPartitionsResponse ListAliasesResponse
    DescribeIndexResponse MutationResult SearchResults QueryResults FlushResponse ListDatabasesResponse
    ListCredUsersResponse SelectRoleResponse SelectUserResponse SelectGrantResponse
}

/// A name with its value.
pub(crate) fn pair(key: &str, value: impl Into<String>) -> KeyValuePair {
    KeyValuePair { key: key.to_owned(), value: value.into() }
}

/// The value of a name.
pub(crate) fn value_of<'a>(pairs: &'a [KeyValuePair], key: &str) -> Option<&'a str> {
    pairs.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str())
}
