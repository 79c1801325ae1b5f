//! One line.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Error, ErrorKind, Result,
    vector::{CollectionSpec, Id},
};

/// The version that is written, and the newest that is read.
pub(super) const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    Export {
        version: u32,
    },
    Collection {
        spec: CollectionSpec,
    },
    Record {
        id: Id,
        text: String,
        metadata: Map<String, Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dense: Option<Vec<f32>>,
    },
    Memory {
        key: String,
        value: Value,
        ttl_seconds: Option<f64>,
    },
    End(Totals),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) collections: u64,
    pub(super) records: u64,
    pub(super) memories: u64,
    /// Memories that are not in it because they could not be read.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) unreadable: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Line {
    pub(super) fn encode(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Error::internal("a line could not be written").with_source(error))
    }

    pub(super) fn decode(text: &str, number: u64) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "a line of the export is not understood")
                .with_context("line", number)
                .with_source(error)
        })
    }
}
