//! The published suite, with connections of its own for every handle, as other processes would have.

use std::sync::Arc;

use arshai_conformance::{capabilities::expect_capabilities, vectors};
use arshai_core::vector::VectorStore;

use crate::{engine, store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_keep_the_contract() {
    let report = vectors::suite(&|| async { Ok(Arc::new(store()) as Arc<dyn VectorStore>) }).await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test]
async fn an_engine_can_do_exactly_what_the_table_says() {
    let can = store().capabilities(None).await.unwrap();
    expect_capabilities(&engine().0, &can).unwrap();
}
