//! What a failed write says of what happened.

use std::time::Duration;

use arshai_core::{
    Effect, Error, ErrorKind,
    vector::{CollectionSpec, IdKind, Record, Selection, VectorStore as _},
};

use super::{
    canned::{Answer, Canned, described},
    replies::rows_of_keys,
};
use crate::{
    MilvusStore,
    proto::{
        common::Status,
        milvus::{DeleteRequest, MutationResult, WriteRequest},
        schema::{IDs, LongArray, i_ds::IdField},
    },
};

fn failed(code: i32, error_code: i32, reason: &str) -> Answer {
    let status = Status { code, error_code, reason: reason.into(), retriable: true, ..Status::default() };
    Answer::of(&MutationResult { status: Some(status), ..MutationResult::default() })
}

/// What an insert without keys ends with when the server answers so at first, and how often it was sent.
async fn insert(answer: Answer) -> (Result<usize, Error>, usize) {
    let server = Canned::start(move |method, _, before| match (method, before) {
        ("Insert", 0) => Some(answer.clone()),
        ("Insert", _) => Some(Answer::of(&MutationResult {
            status: Some(Status::default()),
            ids: Some(IDs { id_field: Some(IdField::IntId(LongArray { data: vec![1] })) }),
            ..MutationResult::default()
        })),
        ("DescribeCollection", _) => {
            let spec = CollectionSpec::new("c").with_dense(2).with_id(IdKind::AutoInt);
            Some(Answer::of(&described(&spec, "v2.3.5")))
        }
        _ => None,
    })
    .await;
    let record = Record::new("x").with_dense(vec![1.0, 0.0]);
    let report = server.store().insert("c", vec![record]).await.unwrap();
    (report.into_complete().map(|ids| ids.len()), server.requests::<WriteRequest>("Insert").len())
}

#[tokio::test]
async fn an_insert_is_sent_again_only_after_what_surely_kept_it_out() {
    for (code, legacy) in [(8, 49), (0, 49), (4, 0)] {
        let (inserted, sent) = insert(failed(code, legacy, "")).await;
        assert_eq!((inserted.unwrap(), sent), (1, 2), "{code} {legacy}");
    }
    for (what, answer) in [
        ("a lost node", failed(1002, 0, "")),
        ("not ready", failed(1, 0, "")),
        ("unavailable", failed(2, 0, "")),
        ("resources", failed(12, 0, "")),
        ("recovering", failed(106, 0, "")),
        ("anything that may pass", failed(4711, 0, "")),
        ("words that sound like a refusal", failed(65535, 1, "invalid segment")),
        ("the older words for not ready", failed(0, 56, "")),
        ("a message too large", Answer::too_large()),
        ("a rate, says the transport", Answer::Said(8, "rate limit exceeded")),
        ("a reply too large", Answer::Status(11)),
        ("an argument, says the transport", Answer::Status(3)),
        ("away", Answer::Status(14)),
        ("no status", Answer::of(&MutationResult::default())),
    ] {
        let (inserted, sent) = insert(answer).await;
        let error = inserted.unwrap_err();
        assert_eq!((error.effect(), sent), (Effect::Unknown, 1), "{what}: {error}");
    }
}

#[tokio::test]
async fn an_insert_that_nothing_answers_is_neither_sent_again_nor_told_to_be_retryable() {
    let server = Canned::start(|method, _, _| match method {
        "Insert" => Some(Answer::Silence),
        "DescribeCollection" => {
            let spec = CollectionSpec::new("c").with_dense(2).with_id(IdKind::AutoInt);
            Some(Answer::of(&described(&spec, "v2.3.5")))
        }
        _ => None,
    })
    .await;
    let mut config = server.config();
    config.attempt_timeout = Duration::from_millis(200);
    let store = MilvusStore::new(config).unwrap();
    let report = store.insert("c", vec![Record::new("x").with_dense(vec![1.0, 0.0])]).await.unwrap();
    let error = report.into_complete().unwrap_err();
    let told = (error.kind(), error.effect(), error.is_retryable(), server.calls("Insert"));
    assert_eq!(told, (ErrorKind::OutcomeUnknown, Effect::Unknown, false, 1), "{error}");
}

#[tokio::test]
async fn a_refusal_before_anything_is_done_is_told_as_one() {
    for answer in [failed(1100, 1, ""), failed(1400, 0, ""), failed(9, 0, ""), Answer::Status(16)] {
        let (inserted, sent) = insert(answer.clone()).await;
        let error = inserted.unwrap_err();
        assert_eq!((error.effect(), sent), (Effect::NotApplied, 1), "{answer:?}: {error}");
    }
}

#[tokio::test]
async fn a_deletion_that_fails_half_way_does_not_say_that_nothing_was_deleted() {
    let keys = |numbers: std::ops::Range<usize>| numbers.map(|n| format!("k{n:04}")).collect::<Vec<_>>();
    let server = Canned::start(move |method, _, before| match (method, before) {
        ("Query", 0) => Some(Answer::of(&rows_of_keys(&keys(0..1000)))),
        ("Query", _) => Some(Answer::of(&rows_of_keys(&keys(1000..1500)))),
        ("Delete", 0) => {
            Some(Answer::of(&MutationResult { status: Some(Status::default()), ..MutationResult::default() }))
        }
        ("Delete", _) => Some(failed(1400, 0, "")),
        _ => None,
    })
    .await;
    let ids = (0..1500).map(|n| format!("k{n:04}").into()).collect();
    let error = server.store().delete("c", &Selection::Ids(ids)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unauthorized, Effect::Unknown), "{error}");
    assert!(error.to_string().contains("removed: 1000"), "{error}");
}

#[tokio::test]
async fn a_deletion_goes_on_after_a_reload_and_counts_what_it_removed_before() {
    let keys = |numbers: std::ops::Range<usize>| numbers.map(|n| format!("k{n:04}")).collect::<Vec<_>>();
    let server = Canned::start(move |method, _, before| match (method, before) {
        ("Query", 0) => Some(Answer::of(&rows_of_keys(&keys(0..1000)))),
        // When it looks again, the first thousand are gone.
        ("Query", 2) => Some(Answer::of(&rows_of_keys(&[]))),
        ("Query", _) => Some(Answer::of(&rows_of_keys(&keys(1000..1500)))),
        ("Delete", 1) => Some(failed(101, 0, "")),
        ("Delete", _) => {
            Some(Answer::of(&MutationResult { status: Some(Status::default()), ..MutationResult::default() }))
        }
        _ => None,
    })
    .await;
    let ids = (0..1500).map(|n| format!("k{n:04}").into()).collect();
    assert_eq!(server.store().delete("c", &Selection::Ids(ids)).await.unwrap(), 1500);
}

#[tokio::test]
async fn a_deletion_too_large_for_one_message_is_made_in_smaller_ones() {
    let keys: Vec<String> = (0..1000).map(|n| format!("k{n:04}")).collect();
    let all = keys.clone();
    let server = Canned::start(move |method, request, _| match method {
        "Query" => Some(Answer::of(&rows_of_keys(&all))),
        "Delete" if request.len() > 4_000 => Some(Answer::too_large()),
        "Delete" => {
            Some(Answer::of(&MutationResult { status: Some(Status::default()), ..MutationResult::default() }))
        }
        _ => None,
    })
    .await;
    let ids = keys.into_iter().map(Into::into).collect();
    assert_eq!(server.store().delete("c", &Selection::Ids(ids)).await.unwrap(), 1000);
    assert!(server.requests::<DeleteRequest>("Delete").len() > 2);
}
