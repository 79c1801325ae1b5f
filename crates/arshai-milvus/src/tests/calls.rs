//! Calls: what they carry, what is sent again, and when they end.

use std::{sync::Arc, time::Duration};

use arshai_core::{
    Deadline, Effect, ErrorKind,
    config::Secret,
    vector::{Consistency, Query, Record, Search, VectorStore as _, VectorStoreExt as _},
};
use futures_util::future::join_all;

use super::{
    canned::{Answer, Canned, spec},
    replies::hits,
};
use crate::{
    Credentials, MilvusStore,
    proto::{
        common::{ConsistencyLevel, Status},
        milvus::{CollectionRequest, MutationResult, SearchRequest},
    },
};

fn query() -> Query {
    Query::dense([1.0, 0.0])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_searches_are_under_way_at_once() {
    const SEARCHES: usize = 64;
    let server = Canned::start(|method, _, _| {
        let reply = Answer::of(&hits());
        let Answer::Message(bytes, _) = reply else { return None };
        (method == "Search").then_some(Answer::Message(bytes, Duration::from_millis(300)))
    })
    .await;
    let store = server.store();
    store.open(&spec()).await.unwrap();
    let found = join_all((0..SEARCHES).map(|_| store.search_one("c", query(), 5))).await;
    assert!(found.iter().all(|hits| hits.as_ref().is_ok_and(|hits| hits.len() == 2)));
    assert!(server.most_at_once() >= SEARCHES, "{} at once", server.most_at_once());
}

#[tokio::test]
async fn a_server_that_limits_the_rate_is_asked_again() {
    let server = Canned::start(|method, _, before| {
        (method == "Search").then(|| match before {
            0 | 1 => Answer::code(8),
            _ => Answer::of(&hits()),
        })
    })
    .await;
    assert_eq!(server.store().search_one("c", query(), 5).await.unwrap().len(), 2);
    assert_eq!(server.requests::<SearchRequest>("Search").len(), 3);
}

#[tokio::test]
async fn a_proxy_that_limits_the_rate_is_asked_again_as_well() {
    let server = Canned::start(|method, _, before| {
        (method == "Search").then(|| match before {
            0 => Answer::Status(8),
            1 => Answer::Said(8, "rate limit exceeded"),
            _ => Answer::of(&hits()),
        })
    })
    .await;
    assert_eq!(server.store().search_one("c", query(), 5).await.unwrap().len(), 2);
    assert_eq!(server.calls("Search"), 3);
}

#[tokio::test]
async fn what_will_not_pass_is_not_asked_again() {
    for (answer, kind) in [
        (Answer::code(1100), ErrorKind::InvalidInput),
        (Answer::code(1400), ErrorKind::Unauthorized),
        (Answer::code(9), ErrorKind::Exhausted),
        (Answer::Status(16), ErrorKind::Unauthorized),
        (Answer::too_large(), ErrorKind::Exhausted),
        (Answer::Status(12), ErrorKind::Unsupported),
    ] {
        let given = answer.clone();
        let server =
            Canned::start(move |method, _, _| (method == "ShowCollections").then(|| given.clone())).await;
        let error = server.store().collections().await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (kind, 1), "{answer:?}: {error}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_the_store_is_usable_after_it() {
    let server = Canned::start(|method, _, before| {
        (method == "Search").then(|| if before < 2 { Answer::Silence } else { Answer::of(&hits()) })
    })
    .await;
    let store = server.store();
    store.open(&spec()).await.unwrap();
    let searching = store.search_one("c", query(), 5);
    let error = Deadline::after(Duration::from_millis(200)).scope(searching).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied), "{error}");
    let mut config = server.config();
    config.attempt_timeout = Duration::from_millis(200);
    let store = MilvusStore::new(config).unwrap();
    // The second silence ends with the attempt, and the next attempt is answered.
    assert_eq!(store.search_one("c", query(), 5).await.unwrap().len(), 2);
}

#[tokio::test]
async fn nobody_listening_is_unavailable_and_nothing_was_sent() {
    let server = Canned::start(|_, _, _| None).await;
    let mut config = server.config();
    drop(server);
    config.timeout = Duration::from_millis(300);
    let store = MilvusStore::new(config).unwrap();
    let error = store.collections().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
    assert!(error.is_retryable() && error.attempts() > 1, "{error}");
}

#[tokio::test]
async fn a_read_whose_connection_breaks_is_sent_again() {
    let server = Canned::start(|method, _, before| {
        (method == "Search").then(|| if before == 0 { Answer::HangUp } else { Answer::of(&hits()) })
    })
    .await;
    assert_eq!(server.store().search_one("c", query(), 5).await.unwrap().len(), 2);
}

#[tokio::test]
async fn credentials_and_database_are_sent_and_never_shown() {
    let server = Canned::start(|_, _, _| None).await;
    let mut config = server.config();
    config.credentials = Credentials::Password { user: "root".into(), password: Secret::new("hunter2") };
    config.database = "library".into();
    let store = MilvusStore::new(config).unwrap();
    store.open(&spec()).await.unwrap();
    let headers = server.headers();
    assert_eq!(headers.get("authorization").unwrap(), "cm9vdDpodW50ZXIy");
    assert_eq!(headers.get("dbname").unwrap(), "library");
    let shown = format!("{store:?} {}", store.search_one("c", query(), 5).await.unwrap_err());
    assert!(!shown.contains("hunter2") && !shown.contains("cm9vdDpodW50ZXIy"), "{shown}");
}

#[tokio::test]
async fn a_session_reads_its_own_writes_and_waits_for_nobody_else() {
    let server = Canned::start(|method, _, _| match method {
        "Search" => Some(Answer::of(&hits())),
        "Upsert" => Some(Answer::of(&MutationResult {
            status: Some(Status::default()),
            timestamp: 4242,
            ..MutationResult::default()
        })),
        _ => None,
    })
    .await;
    let store = server.store();
    let search = Search::new(query());
    store.search("c", &search).await.unwrap();
    let record = Record::new("x").with_id("a").with_dense(vec![1.0, 0.0]);
    store.upsert("c", vec![record]).await.unwrap().into_complete().unwrap();
    store.search("c", &search).await.unwrap();
    store.search("c", &search.clone().consistency(Consistency::Strong)).await.unwrap();
    server.store().search("c", &search).await.unwrap();
    let asked: Vec<_> = server
        .requests::<SearchRequest>("Search")
        .iter()
        .map(|request| (request.consistency_level, request.guarantee_timestamp))
        .collect();
    let (session, strong) = (ConsistencyLevel::Session.into(), ConsistencyLevel::Strong.into());
    assert_eq!(asked, [(session, 1), (session, 4242), (strong, 0), (session, 1)]);
}

#[tokio::test]
async fn a_collection_released_underneath_is_loaded_again() {
    let server = Canned::start(|method, _, before| {
        (method == "Search").then(|| if before == 0 { Answer::code(101) } else { Answer::of(&hits()) })
    })
    .await;
    assert_eq!(server.store().search_one("c", query(), 5).await.unwrap().len(), 2);
    assert_eq!(server.requests::<CollectionRequest>("LoadCollection").len(), 1);
}

#[tokio::test]
async fn a_collection_dropped_underneath_is_not_found_and_forgotten() {
    let server = Canned::start(|method, _, before| match (method, before) {
        ("Search", _) => Some(Answer::code(100)),
        ("DescribeCollection", 1..) => Some(Answer::code(100)),
        _ => None,
    })
    .await;
    let store = server.store();
    for _ in 0..2 {
        let error = store.search_one("c", query(), 5).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    // The second time nothing was searched: the collection is gone.
    assert_eq!(server.requests::<SearchRequest>("Search").len(), 1);
}

#[tokio::test]
async fn closing_waits_for_what_is_under_way() {
    let server = Canned::start(|method, _, _| {
        let Answer::Message(bytes, _) = Answer::of(&hits()) else { return None };
        (method == "Search").then_some(Answer::Message(bytes, Duration::from_millis(100)))
    })
    .await;
    let store = Arc::new(server.store());
    store.open(&spec()).await.unwrap();
    let searching = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.search_one("c", query(), 5).await }
    });
    while server.requests::<SearchRequest>("Search").is_empty() {
        tokio::task::yield_now().await;
    }
    store.close().await.unwrap();
    assert_eq!(searching.await.unwrap().unwrap().len(), 2);
    assert_eq!(store.collections().await.unwrap_err().kind(), ErrorKind::Closed);
}
