//! The published suite, with connections of its own for every handle, as other processes would have.

use std::sync::Arc;

use arshai_conformance::vectors;
use arshai_core::vector::{Capabilities, VectorStore};

use crate::{engine, store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_keep_the_contract() {
    let report = vectors::suite(&|| async { Ok(Arc::new(store()) as Arc<dyn VectorStore>) }).await;
    println!("{report}");
    report.assert_passed();
}

/// What no engine lacks is left out.
const LACKS: &[(&str, &[&str])] =
    &[("milvus", &["sparse", "text"]), ("milvus-lite", &[]), ("milvus-lite-py", &[])];

#[tokio::test]
async fn an_engine_can_do_exactly_what_the_table_says() {
    let engine = engine().0;
    let can = store().capabilities(None).await.unwrap();
    let (_, lacks) = LACKS.iter().find(|(name, _)| *name == engine).unwrap();
    let mut expected = Capabilities::default();
    let has = |ability: &str| !lacks.contains(&ability);
    (expected.dense, expected.hybrid, expected.filter, expected.raw_filter) = (true, true, true, true);
    (expected.upsert, expected.delete_by_filter, expected.persistent, expected.shared) =
        (true, true, true, true);
    (expected.sparse, expected.text) = (has("sparse"), has("text"));
    assert_eq!(can, expected, "{engine}");
}
