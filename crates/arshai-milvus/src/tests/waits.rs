//! Waits: all of them end at the caller's deadline, and nobody's end cuts off somebody else.

use std::{sync::Arc, time::Duration};

use arshai_core::{
    Deadline, Effect, ErrorKind,
    vector::{Query, Record, VectorStore as _, VectorStoreExt as _},
};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use super::{
    canned::{Answer, Canned, spec, standard},
    replies::hits,
};
use crate::{
    MilvusConfig, MilvusStore, Tls,
    proto::{
        common::{ServerInfo, Status},
        milvus::{
            ConnectResponse, DescribeCollectionResponse, GetVersionRequest, MutationResult, SearchRequest,
            ShowCollectionsResponse, WriteRequest,
        },
    },
};

const SHORT: Duration = Duration::from_millis(150);

fn query() -> Query {
    Query::dense([1.0, 0.0])
}

fn record() -> Record {
    Record::new("x").with_id("a").with_dense(vec![1.0, 0.0])
}

fn after(answer: &Answer, wait: Duration) -> Option<Answer> {
    match answer {
        Answer::Message(bytes, _) => Some(Answer::Message(bytes.clone(), wait)),
        _ => None,
    }
}

/// Milvus Lite in C++, which upserts in two steps.
fn lite(method: &str) -> Option<Answer> {
    match method {
        "GetVersion" => Some(Answer::Status(12)),
        "Connect" => Some(Answer::of(&ConnectResponse {
            status: Some(Status::default()),
            ..ConnectResponse::default()
        })),
        _ => None,
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_waits_for_another_s_first_use_gives_up_at_its_own_deadline_and_leaves_the_other_alone() {
    let server = Canned::start(|method, _, before| match (method, before) {
        ("GetVersion", 0) => Some(Answer::Silence),
        ("Search", _) => Some(Answer::of(&hits())),
        _ => None,
    })
    .await;
    let mut config = server.config();
    config.attempt_timeout = Duration::from_secs(2);
    let store = MilvusStore::new(config).unwrap();
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.search_one("c", query(), 5).await }
    });
    until(|| server.calls("GetVersion") == 1).await;
    for operation in ["search", "capabilities", "delete"] {
        let waiting = async {
            match operation {
                "search" => store.search_one("c", query(), 5).await.map(drop),
                "capabilities" => store.capabilities(None).await.map(drop),
                _ => {
                    store.delete("c", &arshai_core::vector::Selection::Ids(vec!["a".into()])).await.map(drop)
                }
            }
        };
        let error = Deadline::after(SHORT).scope(waiting).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{operation}: {error}");
        assert!(!first.is_finished(), "{operation} waited for somebody else");
    }
    let writing = Deadline::after(SHORT).scope(store.insert("c", vec![record()])).await;
    let error = writing.map(|report| report.into_complete()).unwrap_or_else(Err).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied), "{error}");
    assert!(!first.is_finished());
    assert_eq!(first.await.unwrap().unwrap().len(), 2);
    assert_eq!(server.requests::<GetVersionRequest>("GetVersion").len(), 2);
}

#[tokio::test]
async fn a_reader_waits_for_rows_being_replaced_no_longer_than_its_deadline() {
    let server = Canned::start(|method, _, _| match method {
        "Upsert" => Some(Answer::Silence),
        "Search" => Some(Answer::of(&hits())),
        _ => lite(method),
    })
    .await;
    let store = server.store();
    store.search_one("c", query(), 5).await.unwrap();
    let writer = tokio::spawn({
        let store = store.clone();
        async move { store.upsert("c", vec![record()]).await }
    });
    until(|| server.calls("Upsert") == 1).await;
    let error = Deadline::after(SHORT).scope(store.search_one("c", query(), 5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let report = Deadline::after(SHORT).scope(store.upsert("c", vec![record()])).await.unwrap();
    let error = report.into_complete().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied), "{error}");
    // Neither searched nor written: both waited for the writer, who still waits for the server.
    assert_eq!((server.calls("Search"), server.calls("Upsert")), (1, 1));
    assert!(!writer.is_finished());
    writer.abort();
}

#[tokio::test]
async fn closing_waits_for_rows_being_replaced_even_when_their_writer_is_gone() {
    let written = MutationResult { status: Some(Status::default()), ..MutationResult::default() };
    let answer = Answer::of(&written);
    let server = Canned::start(move |method, _, _| match method {
        "Upsert" => after(&answer, Duration::from_millis(300)),
        _ => lite(method),
    })
    .await;
    let store = server.store();
    let writer = tokio::spawn({
        let store = store.clone();
        async move { store.upsert("c", vec![record()]).await }
    });
    until(|| server.calls("Upsert") == 1).await;
    writer.abort();
    let _cancelled = writer.await;
    store.close().await.unwrap();
    assert_eq!(server.under_way(), 0, "closed while the server still replaced rows");
}

#[tokio::test]
async fn a_proxy_that_reaches_no_milvus_is_not_taken_for_one_and_the_next_use_asks_again() {
    let server = Canned::start(|method, _, before| match (method, before) {
        ("GetVersion", 0) | ("Connect", 0) => Some(Answer::Status(12)),
        ("Connect", _) => None,
        _ => Some(standard(method)),
    })
    .await;
    let store = server.store();
    let error = store.capabilities(None).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.is_retryable(), "{error}");
    assert!(error.to_string().contains("no Milvus"), "{error}");
    assert!(!store.capabilities(None).await.unwrap().sparse);
    assert_eq!(store.server_version().await.unwrap().as_deref(), Some("v2.3.5"));
}

#[tokio::test]
async fn a_collection_that_somebody_else_is_making_is_waited_for() {
    let exists =
        Status { code: 1, error_code: 1, reason: "[Errno 17] File exists: 'c'".into(), ..Status::default() };
    let status = Some(Status { code: 100, error_code: 4, ..Status::default() });
    let absent = DescribeCollectionResponse { status, ..DescribeCollectionResponse::default() };
    let server = Canned::start(move |method, _, before| match method {
        "CreateCollection" => Some(Answer::of(&exists)),
        // It is asked for once before it is made, and once behind each attempt.
        "DescribeCollection" if before < 3 => Some(Answer::of(&absent)),
        _ => None,
    })
    .await;
    let opened = server.store().open(&spec()).await;
    assert!(opened.is_ok(), "{opened:?}");
    assert_eq!(server.calls("CreateCollection"), 3);
}

#[tokio::test]
async fn a_database_on_a_server_that_has_none_is_unsupported() {
    let server = Canned::start(|method, _, _| match method {
        "ShowCollections" => Some(Answer::of(&ShowCollectionsResponse {
            status: Some(Status::default()),
            ..ShowCollectionsResponse::default()
        })),
        "DropIndex" | "ReleaseCollection" | "DropCollection" => Some(Answer::of(&Status::default())),
        _ => lite(method),
    })
    .await;
    for (database, works) in [("", true), ("default", true), ("library", false)] {
        let sent = server.all_calls();
        for operation in [
            "capabilities",
            "collections",
            "health",
            "describe",
            "drop",
            "drop_index",
            "release",
            "load",
            "indexes",
        ] {
            let mut config = server.config();
            config.database = database.into();
            // Each is the first use of its store.
            let store = MilvusStore::new(config).unwrap();
            let client = store.client();
            let done = match operation {
                "capabilities" => store.capabilities(None).await.map(drop),
                "collections" => store.collections().await.map(drop),
                "health" => store.health().await,
                "describe" => store.describe("c").await.map(drop),
                "drop" => store.drop_collection("c").await.map(drop),
                "drop_index" => client.drop_index("c", "dense_vector").await,
                "release" => client.release("c").await,
                "load" => client.load("c").await,
                _ => client.indexes("c").await.map(drop),
            };
            let kind = done.as_ref().err().map(arshai_core::Error::kind);
            assert_eq!(kind, (!works).then_some(ErrorKind::Unsupported), "{database} {operation}: {done:?}");
        }
        let sent = server.all_calls().split_off(sent.len());
        let asks = |method: &String| ["GetVersion", "Connect"].contains(&method.as_str());
        assert_eq!(sent.iter().all(asks), !works, "{database}: {sent:?}");
    }
}

#[tokio::test]
async fn a_database_is_made_by_a_store_of_that_database_before_the_server_knows_it() {
    let server = Canned::start(|method, _, _| match method {
        // What a server may say of everything else there.
        "GetVersion" => Some(Answer::code(800)),
        "CreateDatabase" => Some(Answer::of(&Status::default())),
        _ => None,
    })
    .await;
    let mut config = server.config();
    config.database = "library".into();
    let store = MilvusStore::new(config).unwrap();
    assert_eq!(store.collections().await.unwrap_err().kind(), ErrorKind::NotFound);
    store.client().create_database("library").await.unwrap();
}

#[tokio::test]
async fn a_server_that_only_hides_its_version_call_is_asked_in_another_way() {
    let server_info = Some(ServerInfo { build_tags: "v2.4.1".into() });
    let reply = ConnectResponse { status: Some(Status::default()), server_info };
    let server = Canned::start(move |method, _, _| match method {
        "GetVersion" => Some(Answer::Status(12)),
        "Connect" => Some(Answer::of(&reply)),
        _ => None,
    })
    .await;
    let can = server.store().capabilities(None).await.unwrap();
    assert!(can.sparse && !can.text, "{can:?}");
}

/// Takes connections and says nothing in them.
async fn black_hole() -> MilvusConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = MilvusConfig::from_url(&format!("milvus://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} });
        }
    });
    config.tls = Some(Tls::default());
    (config.connect_timeout, config.attempt_timeout) = (Duration::from_secs(20), Duration::from_millis(100));
    config
}

#[tokio::test]
async fn a_write_that_never_got_a_connection_is_known_not_to_have_happened() {
    let mut config = black_hole().await;
    config.timeout = Duration::from_millis(400);
    let client = MilvusStore::new(config).unwrap().client();
    let error = client.create_role("reader").await.unwrap_err();
    assert_eq!(error.effect(), Effect::NotApplied, "{error}");
    assert!(error.is_retryable(), "{error}");
}

#[tokio::test]
async fn time_to_connect_is_not_taken_from_the_time_to_answer() {
    let mut config = black_hole().await;
    config.connect_timeout = Duration::from_millis(400);
    config.timeout = Duration::from_secs(20);
    let asking = MilvusStore::new(config).unwrap();
    let asking = Deadline::after(Duration::from_millis(700)).scope(asking.collections());
    let error = asking.await.unwrap_err();
    // Its first attempt went on connecting when the time for a reply was over.
    assert!(error.attempts() <= 2, "{error}");
}

#[tokio::test]
async fn a_write_given_up_while_it_waits_for_its_turn_in_a_connection_is_not_sent_after_that() {
    let answer = Answer::of(&hits());
    let server = Canned::start_narrow(Some(1), move |method, _, before| match (method, before) {
        ("Search", 0) => after(&answer, Duration::from_secs(1)),
        ("Search", _) => Some(answer.clone()),
        ("RenameCollection", _) => Some(Answer::of(&Status::default())),
        _ => None,
    })
    .await;
    let mut config = server.config();
    config.connections = 1;
    let store = MilvusStore::new(config).unwrap();
    // By then the client knows what the server allows.
    store.open(&spec()).await.unwrap();
    let searching = tokio::spawn({
        let store = store.clone();
        async move { store.search_one("c", query(), 5).await }
    });
    until(|| server.calls("Search") == 1).await;
    let client = store.client();
    let error = Deadline::after(SHORT).scope(client.rename_collection("c", "d")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied), "{error}");
    assert_eq!(searching.await.unwrap().unwrap().len(), 2);
    // Its turn would have been before this one's.
    assert_eq!(store.search_one("c", query(), 5).await.unwrap().len(), 2);
    assert_eq!(server.calls("RenameCollection"), 0);
}

#[tokio::test]
async fn asking_what_server_it_is_takes_from_the_time_to_make_an_index() {
    let server = Canned::start(|method, _, _| match method {
        "GetVersion" | "CreateIndex" => after(&standard(method), Duration::from_millis(600)),
        _ => None,
    })
    .await;
    let mut config = server.config();
    config.timeout = Duration::from_secs(1);
    let client = MilvusStore::new(config).unwrap().client();
    let error = client.create_index("c", "dense_vector", &[("index_type", "HNSW")]).await.unwrap_err();
    // It was sent, and would have been answered in a second of its own.
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
}

#[tokio::test]
async fn a_change_whose_future_is_dropped_leaves_no_old_shape_behind() {
    const CHANGES: [&str; 4] = ["AlterAlias", "DropIndex", "CreateIndex", "RenameCollection"];
    let server = Canned::start(|method, _, _| CHANGES.contains(&method).then_some(Answer::Silence)).await;
    let store = server.store();
    for method in CHANGES {
        store.inner.look("c").await.unwrap();
        let client = store.client();
        let changing = tokio::spawn(async move {
            match method {
                "AlterAlias" => client.alter_alias("other", "c").await,
                "DropIndex" => client.drop_index("c", "dense_vector").await,
                "CreateIndex" => client.create_index("c", "dense_vector", &[]).await,
                _ => client.rename_collection("c", "d").await,
            }
        });
        until(|| server.calls(method) == 1).await;
        changing.abort();
        let _cancelled = changing.await;
        assert!(store.inner.remembered("c").is_none(), "{method}");
    }
}

#[test]
fn a_store_outlives_the_runtime_it_was_first_used_in() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let elsewhere =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server =
        elsewhere.block_on(Canned::start(|method, _, _| (method == "Search").then(|| Answer::of(&hits()))));
    let store = server.store();
    for _ in 0..2 {
        let found = runtime().block_on(
            Deadline::after(Duration::from_secs(5)).scope(async { store.search_one("c", query(), 5).await }),
        );
        assert_eq!(found.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_operation_dropped_at_any_wait_leaves_a_store_that_works() {
    let written = Answer::of(&MutationResult {
        status: Some(Status::default()),
        timestamp: 7,
        ..MutationResult::default()
    });
    let rows = Answer::of(&super::replies::no_rows());
    let count = Answer::of(&super::replies::count(3));
    let server = Arc::new(
        Canned::start(move |method, request, _| match method {
            "Insert" | "Delete" => Some(written.clone()),
            "Query" if super::replies::asks_to_count(request) => Some(count.clone()),
            "Query" => Some(rows.clone()),
            "Search" => Some(Answer::of(&hits())),
            _ => None,
        })
        .await,
    );
    for operation in ["insert", "query", "stats", "delete", "search", "open"] {
        let store = std::sync::Mutex::new(server.store());
        let current = || store.lock().unwrap().clone();
        let polls = arshai_conformance::drop_harness(
            |_run| {
                // Each run is a first use, with all of its waits.
                *store.lock().unwrap() = server.store();
                let store = current();
                async move {
                    match operation {
                        "insert" => {
                            store.insert("c", vec![record()]).await.unwrap().into_complete().map(drop)
                        }
                        "query" => store.query("c", &arshai_core::vector::RowQuery::all()).await.map(drop),
                        "stats" => store.stats("c").await.map(drop),
                        "delete" => {
                            let ids = arshai_core::vector::Selection::Ids(vec!["a".into()]);
                            store.delete("c", &ids).await.map(drop)
                        }
                        "search" => store.search_one("c", query(), 5).await.map(drop),
                        _ => store.open(&spec()).await.map(drop),
                    }
                    .unwrap();
                }
            },
            |_run, _dropped| {
                let store = current();
                async move {
                    let works = async {
                        store.insert("c", vec![record()]).await?.into_complete()?;
                        assert_eq!(store.stats("c").await?.rows, 3);
                        store.search_one("c", query(), 5).await
                    };
                    let works = Deadline::after(Duration::from_secs(10)).scope(works).await;
                    works.map(drop).map_err(|error| error.to_string())
                }
            },
        )
        .await
        .unwrap_or_else(|failure| panic!("{operation}: {failure:?}"));
        assert!(polls > 1, "{operation} never waited");
    }
    // What was sent is what was asked for, dropped or not.
    assert!(server.requests::<WriteRequest>("Insert").iter().all(|request| request.num_rows == 1));
    assert!(!server.requests::<SearchRequest>("Search").is_empty());
}
