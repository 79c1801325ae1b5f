//! Writes: nothing twice that must not be, nothing lost silently, an outcome for each record.

use std::time::Duration;

use arshai_core::{
    Effect, ErrorKind,
    vector::{CollectionSpec, Id, IdKind, ItemOutcome, Record, VectorStore as _},
};
use bytes::Bytes;
use prost::Message as _;

use super::canned::{Answer, Canned, described};
use crate::proto::{
    common::Status,
    milvus::{MutationResult, WriteRequest},
    schema::{IDs, LongArray, field_data::Field, i_ds::IdField, scalar_field::Data},
};

fn record(n: usize) -> Record {
    Record::new(format!("text {n}")).with_id(format!("r{n}")).with_dense(vec![1.0, 0.0])
}

fn with_text(n: usize, text: &str) -> Record {
    let mut record = record(n);
    record.text = text.to_owned();
    record
}

fn written() -> Answer {
    Answer::of(&MutationResult { status: Some(Status::default()), timestamp: 7, ..MutationResult::default() })
}

/// A collection whose keys the server chooses.
fn auto(method: &str) -> Option<Answer> {
    let spec = CollectionSpec::new("c").with_dense(2).with_id(IdKind::AutoInt);
    (method == "DescribeCollection").then(|| Answer::of(&described(&spec, "v2.3.5")))
}

fn keys(request: &Bytes) -> Vec<String> {
    let request = WriteRequest::decode(request.clone()).unwrap();
    let column = request.fields_data.iter().find(|field| field.field_name == "id").unwrap();
    let Some(Field::Scalars(scalars)) = &column.field else { panic!("no scalars") };
    let Some(Data::StringData(texts)) = &scalars.data else { panic!("no texts") };
    texts.data.iter().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn batches_hold_so_many_rows_and_so_many_are_under_way() {
    let server = Canned::start(|method, _, _| {
        let Answer::Message(bytes, _) = written() else { return None };
        (method == "Upsert").then_some(Answer::Message(bytes, Duration::from_millis(50)))
    })
    .await;
    let store = server.store();
    let report = store.upsert("c", (0..430).map(record).collect()).await.unwrap();
    assert!(report.is_complete());
    let rows: Vec<_> =
        server.requests::<WriteRequest>("Upsert").iter().map(|request| request.num_rows).collect();
    assert_eq!((rows.len(), rows.iter().sum::<u32>(), rows.iter().max()), (9, 430, Some(&50)));
    assert_eq!(server.most_at_once(), 4);
}

#[tokio::test]
async fn an_insert_whose_reply_is_lost_is_not_sent_again() {
    let server = Canned::start(|method, _, _| match method {
        "Insert" => Some(Answer::HangUp),
        _ => auto(method),
    })
    .await;
    let record = Record::new("x").with_dense(vec![1.0, 0.0]);
    let report = server.store().insert("c", vec![record]).await.unwrap();
    let ItemOutcome::Failed(error) = &report.items[0] else { panic!("{report:?}") };
    assert_eq!((error.kind(), error.effect()), (ErrorKind::OutcomeUnknown, Effect::Unknown), "{error}");
    assert_eq!(server.requests::<WriteRequest>("Insert").len(), 1);
}

#[tokio::test]
async fn an_insert_that_a_limit_kept_out_is_sent_again() {
    let server = Canned::start(|method, _, before| match (method, before) {
        ("Insert", 0 | 1) => Some(Answer::code(8)),
        ("Insert", _) => Some(Answer::of(&MutationResult {
            status: Some(Status::default()),
            ids: Some(IDs { id_field: Some(IdField::IntId(LongArray { data: vec![77] })) }),
            ..MutationResult::default()
        })),
        _ => auto(method),
    })
    .await;
    let record = Record::new("x").with_dense(vec![1.0, 0.0]);
    let ids = server.store().insert("c", vec![record]).await.unwrap().into_complete().unwrap();
    assert_eq!(ids, [Id::Int(77)]);
}

#[tokio::test]
async fn an_upsert_whose_reply_is_lost_is_sent_again() {
    let server = Canned::start(|method, _, before| {
        (method == "Upsert").then(|| if before == 0 { Answer::HangUp } else { written() })
    })
    .await;
    let report = server.store().upsert("c", vec![record(1)]).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(server.requests::<WriteRequest>("Upsert").len(), 2);
}

#[tokio::test]
async fn a_record_that_the_server_refuses_fails_alone() {
    let server = Canned::start(|method, request, _| {
        (method == "Upsert")
            .then(|| if keys(request).contains(&"r13".to_owned()) { Answer::code(1100) } else { written() })
    })
    .await;
    let report = server.store().upsert("c", (0..60).map(record).collect()).await.unwrap();
    let failed: Vec<_> = report.failed().map(|(position, error)| (position, error.kind())).collect();
    assert_eq!(failed, [(13, ErrorKind::InvalidInput)]);
    assert_eq!(report.written(), 59);
}

#[tokio::test]
async fn an_upsert_too_large_for_one_message_is_written_by_halves() {
    const MOST: usize = 500;
    let server = Canned::start(|method, request, _| {
        (method == "Upsert").then(|| if request.len() > MOST { Answer::too_large() } else { written() })
    })
    .await;
    let report = server.store().upsert("c", (0..50).map(record).collect()).await.unwrap();
    let ids = report.into_complete().unwrap();
    assert_eq!(ids, (0..50).map(|n| Id::from(format!("r{n}"))).collect::<Vec<_>>());
    let sent = server.bodies("Upsert");
    assert!(sent[0].len() > MOST && keys(&sent[0]).len() == 50, "all of it was small enough");
    let kept: Vec<_> = sent.iter().filter(|sent| sent.len() <= MOST).flat_map(keys).collect();
    assert_eq!(kept, (0..50).map(|n| format!("r{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_proxy_that_limits_the_rate_does_not_make_batches_smaller() {
    let server = Canned::start(|method, _, before| {
        (method == "Upsert").then(|| if before < 2 { Answer::Status(8) } else { written() })
    })
    .await;
    let report = server.store().upsert("c", (0..40).map(record).collect()).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let rows: Vec<_> = server.requests::<WriteRequest>("Upsert").iter().map(|sent| sent.num_rows).collect();
    assert_eq!(rows, [40, 40, 40]);
}

#[tokio::test]
async fn an_error_inside_the_server_does_not_make_batches_smaller() {
    // On a full Milvus 5 is an internal error and 6 another cluster, with 1 as the older code.
    for code in [5, 6] {
        let server = Canned::start(move |method, _, _| {
            let reason = "invalid segment".into();
            let status = Status { code, error_code: 1, reason, ..Status::default() };
            let reply = MutationResult { status: Some(status), ..MutationResult::default() };
            (method == "Upsert").then(|| Answer::of(&reply))
        })
        .await;
        let report = server.store().upsert("c", (0..40).map(record).collect()).await.unwrap();
        assert_eq!(report.failed().count(), 40);
        for (_, error) in report.failed() {
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
        }
        assert_eq!(server.calls("Upsert"), 1, "{code}");
    }
}

#[tokio::test]
async fn what_was_not_tried_is_said_to_be_so() {
    let server = Canned::start(|method, _, before| {
        (method == "Upsert").then(|| if before < 4 { written() } else { Answer::code(1400) })
    })
    .await;
    let report = server.store().upsert("c", (0..1_000).map(record).collect()).await.unwrap();
    let not_tried = report.items.iter().filter(|item| matches!(item, ItemOutcome::NotAttempted)).count();
    assert_eq!(report.written(), 200);
    assert!(report.failed().all(|(_, error)| error.kind() == ErrorKind::Unauthorized));
    assert!(not_tried >= 400 && report.failed().count() >= 50, "{not_tried} not tried");
}

#[tokio::test]
async fn what_is_in_flight_when_another_batch_fails_is_told_as_it_ends() {
    let server = Canned::start(|method, request, _| {
        let Answer::Message(bytes, _) = written() else { return None };
        (method == "Upsert").then(|| match keys(request).as_slice() {
            [key] if key == "r0" => Answer::code(1400),
            _ => Answer::Message(bytes, Duration::from_millis(100)),
        })
    })
    .await;
    let mut config = server.config();
    (config.batch_size, config.batch_concurrency) = (1, 2);
    let store = crate::MilvusStore::new(config).unwrap();
    let report = store.upsert("c", (0..3).map(record).collect()).await.unwrap();
    let [ItemOutcome::Failed(_), ItemOutcome::Written(_), ItemOutcome::NotAttempted] = &report.items[..]
    else {
        panic!("{report:?}")
    };
}

#[tokio::test]
async fn a_key_given_twice_is_sent_once_and_the_last_one_wins() {
    let server = Canned::start(|method, _, _| (method == "Upsert").then(written)).await;
    let records = vec![record(1), record(2), with_text(1, "last")];
    let report = server.store().upsert("c", records).await.unwrap();
    assert_eq!(report.written(), 3);
    let request = &server.requests::<WriteRequest>("Upsert")[0];
    assert_eq!(keys(&request.encode_to_vec().into()), ["r2", "r1"]);
}

#[tokio::test]
async fn what_no_server_takes_is_refused_record_by_record_before_anything_is_sent() {
    let server = Canned::start(|method, _, _| (method == "Upsert").then(written)).await;
    let big = serde_json::json!({ "k": "x".repeat(70_000) });
    let serde_json::Value::Object(big) = big else { panic!("no object") };
    let records = vec![
        record(1),
        with_text(2, &"x".repeat(65_536)),
        record(3).with_dense(vec![f32::NAN, 0.0]),
        record(4).with_dense(vec![1.0]),
        record(5).with_id("a\u{0}b"),
        record(6).with_id("k".repeat(65_536)),
        record(7).with_metadata(big),
        Record::new("x").with_id("r8"),
        record(9).with_id(9),
        record(10).with_id("quo\"te' or id != \\"),
        with_text(11, &"x".repeat(65_535)),
    ];
    let report = server.store().upsert("c", records).await.unwrap();
    let failed: Vec<usize> = report.failed().map(|(position, _)| position).collect();
    assert_eq!(failed, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(report.failed().all(|(_, error)| error.kind() == ErrorKind::InvalidInput));
    assert_eq!(server.requests::<WriteRequest>("Upsert")[0].num_rows, 3);
}

#[tokio::test]
async fn a_reply_that_names_too_few_chosen_keys_is_an_unknown_outcome() {
    let server = Canned::start(|method, _, _| match method {
        "Insert" => Some(written()),
        _ => auto(method),
    })
    .await;
    let record = Record::new("x").with_dense(vec![1.0, 0.0]);
    let report = server.store().insert("c", vec![record]).await.unwrap();
    let ItemOutcome::Failed(error) = &report.items[0] else { panic!("{report:?}") };
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
}
