//! Core's in-memory backends pass every suite.

use std::sync::Arc;

use arshai_conformance::{
    capabilities::{expect_capabilities, expect_memory_capabilities},
    memory, vectors,
};
use arshai_core::{
    memory::{InMemoryMemory, MemoryStore},
    vector::{InMemoryVectors, VectorStore},
};

#[tokio::test(flavor = "multi_thread")]
async fn memory_suite() {
    let shared = InMemoryMemory::new();
    let report = memory::suite(&|| {
        let handle: Arc<dyn MemoryStore> = Arc::new(shared.clone());
        async { Ok(handle) }
    })
    .await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn vector_suite() {
    let shared = InMemoryVectors::new();
    let report = vectors::suite(&|| {
        let handle: Arc<dyn VectorStore> = Arc::new(shared.clone());
        async { Ok(handle) }
    })
    .await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test]
async fn capabilities_are_the_expected_ones() {
    expect_capabilities("in-memory", &InMemoryVectors::new().capabilities(None).await.unwrap()).unwrap();
    expect_memory_capabilities("in-memory", &InMemoryMemory::new().capabilities()).unwrap();
}
