//! The test doubles keep the contracts they stand in for.

use std::sync::Arc;

use arshai_conformance::{
    chat,
    doubles::{FailingMemory, HashEmbedder, ScriptedModel},
    embedder, memory,
};
use arshai_core::{
    Effect, ErrorKind,
    chat::ChatCapabilities,
    memory::{Memory, MemoryKey, MemoryStore, MemoryStoreExt as _, Precondition},
};

#[tokio::test]
async fn hash_embedder() {
    let report = embedder::suite(Arc::new(HashEmbedder::new(64).with_poison("poison")), Some("poison")).await;
    println!("{report}");
    report.assert_passed();
    assert!(report.skipped.is_empty());
}

#[tokio::test]
async fn scripted_model() {
    let report = chat::suite(Arc::new(ScriptedModel::echo())).await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test]
async fn scripted_model_without_tools() {
    let plain = ScriptedModel::echo().with_capabilities(ChatCapabilities::default());
    let report = chat::suite(Arc::new(plain)).await;
    report.assert_passed();
    assert!(report.skipped.iter().any(|skipped| skipped.check == "chat.required_tool_is_called"));
}

#[tokio::test]
async fn a_healed_memory_is_a_memory() {
    let store = FailingMemory::new(ErrorKind::Unavailable);
    store.heal();
    let report = memory::suite(&|| {
        let handle: Arc<dyn MemoryStore> = Arc::new(store.clone());
        async { Ok(handle) }
    })
    .await;
    report.assert_passed();
}

#[tokio::test]
async fn a_failing_memory_fails_the_suite() {
    let store = FailingMemory::new(ErrorKind::Unavailable);
    let report = memory::suite(&|| {
        let handle: Arc<dyn MemoryStore> = Arc::new(store.clone());
        async { Ok(handle) }
    })
    .await;
    assert!(report.failed("memory.absent_is_none"), "{report}");
}

#[tokio::test]
async fn a_lost_reply_comes_after_the_write() {
    let store = FailingMemory::new(ErrorKind::OutcomeUnknown).writes_only();
    let key = MemoryKey::new("c").unwrap();
    let error = store.put(&key, &Memory::new("written"), Precondition::Any).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    assert_eq!(store.retrieve(&key).await.unwrap().unwrap().text, "written");
    assert_eq!(store.failures(), 1);
}
