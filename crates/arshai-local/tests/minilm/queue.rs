//! Waiting, leaving and closing.

use std::time::Duration;

use arshai_core::{
    Deadline, ErrorKind,
    embed::{Embedder as _, EmbedderExt as _, Input},
};
use arshai_local::MiniLmConfig;
use futures_util::{FutureExt as _, future::join_all};

use crate::{embedder, open};

/// More than can be computed while a test runs.
fn endless() -> Vec<String> {
    (0..20_000).map(|n| format!("{n} {}", "and so on ".repeat(80))).collect()
}

#[tokio::test]
async fn a_deadline_ends_the_wait_and_the_work() {
    let embedder = embedder().await;
    let texts = endless();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let call = embedder.embed(&texts, Input::Document);
    let error = Deadline::after(Duration::from_millis(50)).scope(call).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Timeout, Some("minilm.embed")));
    // Were the rest of it still computed, this would not end.
    embedder.embed_query("next").await.unwrap();
    embedder.close().await.unwrap();
}

#[tokio::test]
async fn a_full_queue_makes_callers_wait_until_their_deadline() {
    let embedder = open(MiniLmConfig::default().with_queue(1)).await;
    let texts = endless();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut first = Box::pin(embedder.embed(&texts, Input::Document));
    assert!(first.as_mut().now_or_never().is_none());
    let second = Deadline::after(Duration::from_millis(20)).scope(embedder.embed_query("waits"));
    assert_eq!(second.await.unwrap_err().kind(), ErrorKind::Timeout);
    drop(first);
    embedder.embed_query("goes on").await.unwrap();
}

#[tokio::test]
async fn a_question_does_not_wait_for_an_ingest() {
    let embedder = open(MiniLmConfig::default().with_threads(1)).await;
    let texts = endless();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut ingest = Box::pin(embedder.embed(&texts, Input::Document));
    assert!(ingest.as_mut().now_or_never().is_none());
    embedder.embed_query("how long?").await.unwrap();
    assert!(ingest.as_mut().now_or_never().is_none(), "the ingest goes on");
}

#[tokio::test]
async fn closing_waits_for_what_was_taken_and_refuses_the_rest() {
    let embedder = embedder().await;
    let calls = (0..10).map(|_| embedder.embed(&["taken", "before", "closing"], Input::Document));
    let mut calls = Box::pin(join_all(calls));
    assert!(calls.as_mut().now_or_never().is_none());
    embedder.close().await.unwrap();
    let outcomes = calls.now_or_never().unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().len() == 3));
    assert_eq!(embedder.embed_query("after").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(embedder.health().await.unwrap_err().kind(), ErrorKind::Closed);
}
