//! What each engine is expected to be able to do. A backend that can do more or less than the table says fails its
//! tests, so that no capability appears or disappears unnoticed.

use arshai_core::{memory::MemoryCapabilities, vector::Capabilities};

use crate::Failure;

/// The vector stores: name, and the abilities it has. What is not listed it has not.
pub const VECTOR_ENGINES: &[(&str, &[&str])] = &[
    (
        "in-memory",
        &[
            "dense",
            "sparse",
            "text",
            "hybrid",
            "filter",
            "upsert",
            "delete_by_filter",
            "optional_dense",
            "gain_dense",
        ],
    ),
    (
        "sqlite",
        &[
            "dense",
            "text",
            "hybrid",
            "filter",
            "upsert",
            "delete_by_filter",
            "optional_dense",
            "gain_dense",
            "persistent",
            "shared",
        ],
    ),
    ("milvus", MILVUS),
    ("milvus-lite", MILVUS_LITE),
    ("milvus-lite-py", MILVUS_LITE),
];

/// Milvus 2.3.
const MILVUS: &[&str] =
    &["dense", "hybrid", "filter", "raw_filter", "upsert", "delete_by_filter", "persistent", "shared"];

/// Milvus Lite 2.5 and 3.2.
const MILVUS_LITE: &[&str] = &[
    "dense",
    "sparse",
    "text",
    "hybrid",
    "filter",
    "raw_filter",
    "upsert",
    "delete_by_filter",
    "persistent",
    "shared",
];

/// The memory stores: name, and the abilities it has.
pub const MEMORY_ENGINES: &[(&str, &[&str])] = &[
    ("in-memory", &["expiry", "compare_and_set"]),
    ("sqlite", &["persistent", "shared", "expiry", "compare_and_set"]),
    ("redis", &["persistent", "shared", "expiry", "compare_and_set"]),
    ("redis6", &["persistent", "shared", "expiry", "compare_and_set"]),
    ("redis-tls", &["persistent", "shared", "expiry", "compare_and_set"]),
    ("redis-cluster", &["persistent", "shared", "expiry", "compare_and_set"]),
    ("redis-sentinel", &["persistent", "shared", "expiry", "compare_and_set"]),
];

const CHECK: &str = "capabilities.expected";
const CONTRACT: &str = "arshai_conformance::capabilities";

/// Whether a vector store (asked without a collection) can do exactly what the table says of `engine`.
///
/// # Errors
///
/// Every deviation in one [`Failure`]; also an engine the table does not know.
pub fn expect_capabilities(engine: &str, actual: &Capabilities) -> Result<(), Failure> {
    compare(VECTOR_ENGINES, engine, &vector_flags(actual))
}

/// Whether a memory store can do exactly what the table says of `engine`.
///
/// # Errors
///
/// Every deviation in one [`Failure`]; also an engine the table does not know.
pub fn expect_memory_capabilities(engine: &str, actual: &MemoryCapabilities) -> Result<(), Failure> {
    let MemoryCapabilities { persistent, shared, expiry, compare_and_set, .. } = *actual;
    let flags = [
        ("persistent", persistent),
        ("shared", shared),
        ("expiry", expiry),
        ("compare_and_set", compare_and_set),
    ];
    compare(MEMORY_ENGINES, engine, &flags)
}

fn vector_flags(actual: &Capabilities) -> [(&'static str, bool); 12] {
    [
        ("dense", actual.dense),
        ("sparse", actual.sparse),
        ("text", actual.text),
        ("hybrid", actual.hybrid),
        ("filter", actual.filter),
        ("raw_filter", actual.raw_filter),
        ("upsert", actual.upsert),
        ("delete_by_filter", actual.delete_by_filter),
        ("optional_dense", actual.optional_dense),
        ("gain_dense", actual.gain_dense),
        ("persistent", actual.persistent),
        ("shared", actual.shared),
    ]
}

fn compare(table: &[(&str, &[&str])], engine: &str, actual: &[(&str, bool)]) -> Result<(), Failure> {
    let Some((_, expected)) = table.iter().find(|(name, _)| *name == engine) else {
        let known: Vec<_> = table.iter().map(|(name, _)| *name).collect();
        return Err(Failure::new(
            CHECK,
            CONTRACT,
            format!("an engine of the table: {}", known.join(", ")),
            format!("{engine:?}; add it to the table with what it can do"),
        ));
    };
    let deviations: Vec<_> = actual
        .iter()
        .filter(|(name, can)| expected.contains(name) != *can)
        .map(|(name, can)| format!("{name} = {can}"))
        .collect();
    if deviations.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        CHECK,
        CONTRACT,
        format!("{engine} can do exactly: {}", expected.join(", ")),
        format!("it deviates in {}", deviations.join(", ")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_and_a_gained_ability_are_both_named() {
        let mut actual = Capabilities::default();
        for (name, flag) in [("dense", &mut actual.dense), ("shared", &mut actual.shared)] {
            *flag = name == "shared";
        }
        let found = expect_capabilities("in-memory", &actual).unwrap_err().found;
        assert!(found.contains("dense = false") && found.contains("shared = true"), "{found}");
        assert!(expect_capabilities("no such engine", &actual).is_err());
    }

    #[test]
    fn every_ability_of_the_table_exists() {
        let names = vector_flags(&Capabilities::default()).map(|(name, _)| name);
        for (engine, abilities) in VECTOR_ENGINES {
            for ability in *abilities {
                assert!(names.contains(ability), "{engine}: {ability}");
            }
        }
    }
}
