//! What kind of server answers, and what it can do.

use arshai_core::vector::Capabilities;

use crate::filter::Dialect;

/// In what order a query returns rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The first rows are those with the least keys.
    Keys,
    /// The same, when it is asked as pymilvus' query iterator asks.
    Iterator,
    Unknown,
}

/// A server as its version tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Engine {
    /// As the server says it; empty for one that does not.
    pub(crate) version: String,
    pub(crate) sparse: bool,
    /// BM25 computed by the server.
    pub(crate) text: bool,
    /// BM25 scores come with the wrong sign.
    pub(crate) negative_bm25: bool,
    pub(crate) hnsw: bool,
    /// An upsert takes the old row away and then puts the new one, seen by readers in between.
    pub(crate) torn_upsert: bool,
    /// A row whose key holds a single quote cannot be replaced or removed.
    pub(crate) escaped_keys: bool,
    /// A query never returns the row whose key is the greatest integer.
    pub(crate) hides_greatest_key: bool,
    /// Hits can be grouped by a field, and a group can have more than one hit.
    pub(crate) group_by: bool,
    pub(crate) group_size: bool,
    /// Text search fails while no text has a word.
    pub(crate) nan_without_words: bool,
    pub(crate) order: Order,
    pub(crate) dialect: Dialect,
}

impl Engine {
    /// The server of this version.
    pub(crate) fn of(version: &str) -> Self {
        if version.starts_with("milvus_lite") {
            return Self::lite_python(version);
        }
        let mut numbers =
            version.trim_start_matches('v').split(['.', '-']).map(|part| part.parse::<u32>().ok());
        let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
        let at_least = |wanted: u32| match (major, minor) {
            (Some(2), Some(minor)) => minor >= wanted,
            (Some(major), _) => major > 2,
            (None, _) => false,
        };
        Self {
            version: version.to_owned(),
            sparse: at_least(4),
            text: at_least(5),
            negative_bm25: false,
            hnsw: true,
            torn_upsert: false,
            escaped_keys: false,
            hides_greatest_key: (major, minor) == (Some(2), Some(3)),
            group_by: at_least(4),
            group_size: at_least(5),
            nan_without_words: false,
            // Later ones are known from pymilvus only.
            order: match (major, minor) {
                (Some(2), Some(3)) => Order::Keys,
                _ if at_least(4) => Order::Iterator,
                _ => Order::Unknown,
            },
            // Later ones are known from the protocol only; there, what no server was asked is finished by the client.
            dialect: match (major, minor) {
                (Some(2), Some(3)) => {
                    Dialect { not_equal_is_negation: true, exact_numbers: true, exists: false, not: true }
                }
                _ => Dialect::unknown(),
            },
        }
    }

    /// Milvus Lite in C++, which does not say its version.
    pub(crate) fn lite_cpp() -> Self {
        Self {
            version: String::new(),
            sparse: true,
            text: true,
            negative_bm25: false,
            hnsw: false,
            torn_upsert: true,
            escaped_keys: true,
            hides_greatest_key: false,
            group_by: true,
            group_size: false,
            nan_without_words: true,
            order: Order::Keys,
            dialect: Dialect { not_equal_is_negation: true, exact_numbers: true, exists: false, not: false },
        }
    }

    fn lite_python(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            sparse: true,
            text: true,
            negative_bm25: true,
            hnsw: true,
            torn_upsert: false,
            escaped_keys: false,
            hides_greatest_key: false,
            group_by: true,
            group_size: true,
            nan_without_words: false,
            order: Order::Unknown,
            dialect: Dialect { not_equal_is_negation: false, exact_numbers: false, exists: true, not: true },
        }
    }

    /// Whether this index is known not to be there. Of most servers nothing is known.
    pub(crate) fn lacks_index(&self, index: &str) -> bool {
        let sparse = index.starts_with("SPARSE_");
        match self.hnsw {
            true => sparse && !self.sparse,
            false => !sparse && !["FLAT", "IVF_FLAT", "AUTOINDEX"].contains(&index) && is_dense(index),
        }
    }

    /// What a store on it can do.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let mut can = Capabilities::default();
        can.dense = true;
        can.sparse = self.sparse;
        can.text = self.text;
        can.hybrid = true;
        can.filter = true;
        can.raw_filter = true;
        can.upsert = true;
        can.delete_by_filter = true;
        can.persistent = true;
        can.shared = true;
        can
    }
}

/// Whether it is one of Milvus' indexes of dense vectors.
fn is_dense(index: &str) -> bool {
    ["HNSW", "IVF_", "DISKANN", "SCANN", "GPU_", "FLAT"].iter().any(|start| index.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_says_what_there_is() {
        for (version, sparse, text) in [
            ("v2.3.5-lite", false, false),
            ("2.4.0", true, false),
            ("v2.5.15", true, true),
            ("2.6-dev", true, true),
            ("3.0.0", true, true),
            ("milvus_lite-3.2.2", true, true),
            ("unknown", false, false),
        ] {
            let engine = Engine::of(version);
            assert_eq!((engine.sparse, engine.text), (sparse, text), "{version}");
        }
        assert!(!Engine::lite_cpp().hnsw);
    }

    #[test]
    fn a_server_nobody_asked_is_not_trusted_with_what_servers_differ_in() {
        let engine = Engine::of("v2.6.1");
        assert_eq!((engine.dialect, engine.order), (Dialect::unknown(), Order::Iterator));
        for neither in ["v2.2.9", "unknown", "milvus_lite-3.2.2"] {
            assert_eq!(Engine::of(neither).order, Order::Unknown, "{neither}");
        }
    }
}
