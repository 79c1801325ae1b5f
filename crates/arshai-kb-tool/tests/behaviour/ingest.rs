//! Ingestion of documents: nothing lost, nothing doubled, whatever happens in between.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use crate::support::{COLLECTION, TinyEmbedder, Watched, base, sentences, sources, stored};
use arshai_core::{Error, ErrorKind, filter::Subject};
use arshai_kb_tool::{ChunkSettings, Document, Format, KnowledgeBase, SourceFailure};
use futures_util::stream;

fn documents() -> Vec<Document> {
    ["a", "b", "c"].map(|name| Document::new(name, sentences(name, 7))).to_vec()
}

#[tokio::test]
async fn a_second_run_writes_nothing() {
    let store = Watched::default();
    let base = base(&store);
    let first = base.ingest_documents(documents(), &()).await.unwrap();
    assert_eq!((first.documents, first.chunks, first.written, first.unchanged), (3, 21, 21, 0));
    let before = stored(&store).await;
    store.forget_calls();

    let second = base.ingest_documents(documents(), &()).await.unwrap();
    assert_eq!((second.documents, second.chunks, second.written, second.unchanged), (3, 21, 0, 3));
    assert_eq!(store.calls(), Vec::<String>::new());
    assert_eq!(stored(&store).await, before);
}

#[tokio::test]
async fn chunks_carry_what_the_next_run_needs() {
    let store = Watched::default();
    let document = Document::new("a.md", "# Head\n\nSome words.")
        .with_format(Format::Markdown)
        .with_metadata(serde_json::from_str(r#"{"year": 2020, "source": "forged", "chunk": 9}"#).unwrap());
    base(&store).ingest_documents([document], &()).await.unwrap();
    let rows = stored(&store).await;
    let (_, (text, metadata, _)) = rows.iter().next().unwrap();
    assert_eq!(text, "# Head\n\nSome words.");
    assert_eq!(metadata["source"], "a.md");
    assert_eq!((&metadata["chunk"], &metadata["chunks"]), (&0.into(), &1.into()));
    assert_eq!((&metadata["heading"], &metadata["year"]), (&"Head".into(), &2020.into()));
    assert_eq!(metadata["content_hash"].as_str().map(str::len), Some(64));
    assert!(metadata["settings_hash"].is_string());
}

#[tokio::test]
async fn new_chunks_are_in_before_old_ones_go() {
    let store = Watched::default();
    let base = base(&store);
    base.ingest_documents(documents(), &()).await.unwrap();
    store.forget_calls();

    let changed = vec![Document::new("b", sentences("other", 3))];
    let report = base.ingest_documents(changed.clone(), &()).await.unwrap();
    assert_eq!((report.documents, report.written, report.unchanged), (1, 3, 0));
    let calls = store.calls();
    assert_eq!(calls.last().map(String::as_str), Some("delete"), "{calls:?}");
    assert!(calls.iter().take(calls.len() - 1).all(|call| call.starts_with("upsert")), "{calls:?}");

    let clean = Watched::default();
    let all = vec![documents()[0].clone(), changed[0].clone(), documents()[2].clone()];
    crate::support::base(&clean).ingest_documents(all, &()).await.unwrap();
    assert_eq!(stored(&store).await, stored(&clean).await);
}

#[tokio::test]
async fn other_settings_replace_the_chunks() {
    let store = Watched::default();
    base(&store).ingest_documents(documents(), &()).await.unwrap();
    let other = base(&store).with_chunking(ChunkSettings::new(200, 20));
    let report = other.ingest_documents(documents(), &()).await.unwrap();
    assert_eq!(report.unchanged, 0);
    let clean = Watched::default();
    base(&clean).with_chunking(ChunkSettings::new(200, 20)).ingest_documents(documents(), &()).await.unwrap();
    assert_eq!(stored(&store).await, stored(&clean).await);
}

#[tokio::test]
async fn a_document_that_became_empty_is_removed_and_not_failed() {
    let store = Watched::default();
    let base = base(&store);
    base.ingest_documents(documents(), &()).await.unwrap();
    let report = base
        .ingest_documents([Document::new("a", " \n\t"), Document::new("new", "\u{a0}")], &())
        .await
        .unwrap();
    assert_eq!((report.skipped.empty, report.removed, report.failed.len()), (2, 1, 0));
    assert_eq!(sources(&store).await, ["b", "c"]);
}

#[tokio::test]
async fn a_refused_chunk_fails_its_document_alone_and_the_old_version_stays() {
    let store = Watched { poison: Some("bad word".into()), ..Watched::default() };
    let base = base(&store);
    base.ingest_documents(documents(), &()).await.unwrap();
    let before = stored(&store).await;

    let broken = format!("{} A bad word stands here.", sentences("broken", 5));
    let report = base
        .ingest_documents([Document::new("b", broken), Document::new("d", sentences("d", 2))], &())
        .await
        .unwrap();
    assert_eq!(report.documents, 1);
    assert_eq!(report.failed.len(), 1);
    assert_eq!((report.failed[0].source.as_str(), report.failed[0].retryable), ("b", false));
    assert!(report.failed[0].error.contains("this record is refused"), "{:?}", report.failed);
    let mut after = stored(&store).await;
    after.retain(|_, (_, metadata, _)| metadata["source"] != "d");
    assert_eq!(after, before);
}

#[tokio::test]
async fn chunks_that_an_old_and_a_failed_version_share_are_not_lost() {
    let store = Watched { poison: Some("bad word".into()), ..Watched::default() };
    let base = base(&store);
    base.ingest_documents(documents(), &()).await.unwrap();
    let before: Vec<String> = stored(&store).await.into_keys().collect();
    let longer = format!("{}A bad word stands here.", documents()[1].text);
    let report = base.ingest_documents([Document::new("b", longer)], &()).await.unwrap();
    assert_eq!(report.failed.len(), 1);
    assert_eq!(stored(&store).await.into_keys().collect::<Vec<_>>(), before);
    let report = base.ingest_documents(documents(), &()).await.unwrap();
    assert!(report.is_complete());
    let clean = Watched::default();
    crate::support::base(&clean).ingest_documents(documents(), &()).await.unwrap();
    assert_eq!(stored(&store).await, stored(&clean).await);
}

#[tokio::test]
async fn a_text_that_cannot_be_embedded_fails_its_document_alone() {
    let store = Watched::default();
    let base = base(&store).with_embedder(Arc::new(TinyEmbedder::default()));
    let mut documents = documents();
    documents[1].text.push_str("This is the poison sentence of the document.");
    let report = base.ingest_documents(documents, &()).await.unwrap();
    assert_eq!((report.documents, report.embedded, report.failed.len()), (2, 14, 1));
    assert_eq!(sources(&store).await, ["a", "c"]);
    assert!(stored(&store).await.values().all(|(_, _, has_dense)| *has_dense));
}

#[tokio::test]
async fn chunks_without_vectors_get_them_from_the_next_run() {
    let store = Watched::default();
    base(&store).ingest_documents(documents(), &()).await.unwrap();
    let embedder = TinyEmbedder::default();
    let base = base(&store).with_embedder(Arc::new(embedder.clone()));
    let report = base.ingest_documents(documents(), &()).await.unwrap();
    assert_eq!((report.unchanged, report.embedded, report.chunks), (3, 21, 21));
    assert!(stored(&store).await.values().all(|(_, _, has_dense)| *has_dense));
    assert_eq!(embedder.texts.load(Ordering::SeqCst), 21);
    let report = base.ingest_documents(documents(), &()).await.unwrap();
    assert_eq!((report.unchanged, report.embedded, report.written), (3, 0, 0));
}

#[tokio::test]
async fn a_run_without_embedder_keeps_the_vectors() {
    let store = Watched::default();
    base(&store)
        .with_embedder(Arc::new(TinyEmbedder::default()))
        .ingest_documents(documents(), &())
        .await
        .unwrap();
    let report = base(&store).ingest_documents(documents(), &()).await.unwrap();
    assert_eq!((report.unchanged, report.written), (3, 0));
    assert!(stored(&store).await.values().all(|(_, _, has_dense)| *has_dense));
}

#[tokio::test]
async fn a_store_that_goes_down_leaves_a_true_report_and_a_rerun_finishes() {
    let many: Vec<Document> =
        (0..40).map(|n| Document::new(format!("d{n:02}"), sentences("word", 3))).collect();
    let clean = Watched::default();
    base(&clean).ingest_documents(many.clone(), &()).await.unwrap();
    for upserts in 0..6 {
        let store = Watched::default();
        let base = base(&store);
        store.fail_after(upserts);
        let report = base.ingest_documents(many.clone(), &()).await.unwrap();
        let named = report.documents as usize + report.failed.len() + report.not_attempted.len();
        assert_eq!(named, many.len(), "{report:?}");
        assert!(!report.failed.is_empty() && !report.not_attempted.is_empty());
        assert!(report.failed.iter().all(|failure| failure.retryable), "{report:?}");

        store.heal();
        let report = base.ingest_documents(many.clone(), &()).await.unwrap();
        assert!(report.is_complete());
        assert_eq!(stored(&store).await, stored(&clean).await);
    }
}

#[tokio::test]
async fn an_embedder_that_is_down_ends_the_run() {
    let store = Watched::default();
    let base = base(&store).with_embedder(Arc::new(TinyEmbedder { down: true, ..TinyEmbedder::default() }));
    let report = base.ingest_documents(documents(), &()).await.unwrap();
    assert_eq!(report.documents, 0);
    assert_eq!(report.failed.len() + report.not_attempted.len(), 3);
    assert_eq!(report.into_error().unwrap().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_run_dropped_anywhere_is_finished_by_the_next() {
    let clean = Watched::default();
    base(&clean).ingest_documents(documents(), &()).await.unwrap();
    let expected = stored(&clean).await;
    for polls in 1..40 {
        let store = Watched::default();
        let base = base(&store);
        base.ingest_documents([Document::new("b", sentences("old", 4))], &()).await.unwrap();
        {
            let mut run = Box::pin(base.ingest_documents(documents(), &()));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if let Poll::Ready(report) = run.as_mut().poll(&mut context) {
                    report.unwrap();
                    break;
                }
                tokio::task::yield_now().await;
                std::thread::yield_now();
            }
        }
        let report = base.ingest_documents(documents(), &()).await.unwrap();
        assert!(report.is_complete(), "dropped after {polls} polls: {report:?}");
        assert_eq!(stored(&store).await, expected, "dropped after {polls} polls");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_give_what_one_gives() {
    let clean = Watched::default();
    base(&clean).ingest_documents(documents(), &()).await.unwrap();
    let store = Watched::default();
    let (one, other) = (base(&store), base(&store));
    let (one, other) =
        tokio::join!(one.ingest_documents(documents(), &()), other.ingest_documents(documents(), &()));
    assert!(one.unwrap().is_complete() && other.unwrap().is_complete());
    assert_eq!(stored(&store).await, stored(&clean).await);
}

#[tokio::test]
async fn state_is_read_by_pages_and_not_per_document() {
    let store = Watched::default();
    let many: Vec<Document> = (0..300).map(|n| Document::new(format!("d{n}"), "A text.")).collect();
    base(&store).ingest_documents(many.clone(), &()).await.unwrap();
    store.queries.store(0, Ordering::SeqCst);
    base(&store).ingest_documents(many, &()).await.unwrap();
    assert_eq!(store.queries.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn failures_of_the_source_and_doubled_sources_are_reported() {
    let store = Watched::default();
    let items = vec![
        Ok(Document::new("a", "One.")),
        Err(SourceFailure::new("b", Error::new(ErrorKind::Timeout, "slow"))),
        Ok(Document::new("a", "Two.")),
        Ok(Document::new(" ", "No name.")),
    ];
    let report = base(&store).ingest(stream::iter(items), &()).await.unwrap();
    assert_eq!(report.documents, 1);
    let failed: Vec<(&str, bool)> = report.failed.iter().map(|f| (f.source.as_str(), f.retryable)).collect();
    assert_eq!(failed, [(" ", false), ("a", false), ("b", true)]);
}

#[tokio::test]
async fn records_of_others_are_never_touched() {
    let store = Watched::default();
    let base = base(&store);
    base.open().await.unwrap();
    let foreign = arshai_core::vector::Record::new("made by another program").with_id("x");
    use arshai_core::vector::VectorStore as _;
    let report = store.inner.upsert(COLLECTION, vec![foreign]).await.unwrap();
    assert!(report.is_complete());
    base.ingest_documents(documents(), &()).await.unwrap();
    base.ingest_documents([Document::new("a", "")], &()).await.unwrap();
    assert!(stored(&store).await.contains_key("x"));
}

#[tokio::test]
async fn without_embedder_and_text_search_nothing_goes_in() {
    let store = Watched { without_text: true, ..Watched::default() };
    let error = base(&store).ingest_documents(documents(), &()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn another_embedder_is_refused_naming_both() {
    let store = Watched::default();
    base(&store)
        .with_embedder(Arc::new(TinyEmbedder::default()))
        .ingest_documents(documents(), &())
        .await
        .unwrap();
    let other = arshai_core::vector::CollectionSpec::new(COLLECTION).with_dense(2).with_embedder("other");
    use arshai_core::vector::VectorStore as _;
    let error = store.open(&other).await.unwrap_err().to_string();
    assert!(error.contains("tiny") && error.contains("other"), "{error}");
}

#[tokio::test]
async fn html_is_stored_as_text() {
    let store = Watched::default();
    let html = "<h1>Tea</h1><script>steal()</script><p>Two <i>minutes</i>.</p>";
    let base = KnowledgeBase::new(Arc::new(store.clone()), COLLECTION);
    base.ingest_documents([Document::new("t.html", html).with_format(Format::Html)], &()).await.unwrap();
    let rows = stored(&store).await;
    let (text, metadata, _) = rows.values().next().unwrap();
    assert_eq!(text, "# Tea\n\nTwo minutes.");
    assert_eq!(metadata["heading"], "Tea");
    let scripts =
        base.ingest_documents([Document::new("s.html", "<script>x</script>").with_format(Format::Html)], &());
    assert_eq!(scripts.await.unwrap().skipped.empty, 1);
}

#[test]
fn filters_for_paths_are_exact() {
    let holds = |path: &str, source: &str| {
        let metadata = serde_json::Map::from_iter([("source".to_owned(), source.into())]);
        let subject = Subject { id: &"x".into(), text: "", metadata: &metadata };
        arshai_kb_tool::files::filter_for(path).unwrap().matches(&subject)
    };
    for (path, source, expected) in [
        ("./docs/", "docs", true),
        ("docs", "docs/a/b.md", true),
        ("docs", "docs2/a.md", false),
        ("docs", "docs/../other/a.md", false),
        ("docs", "docs/sub/../../other/a.md", false),
        ("docs/..", "docs/../other/a.md", true),
        ("do_s", "docs/a.md", false),
        ("100%", "100%/a.md", true),
        (".", "a.md", true),
        (".", "/a.md", false),
        (".", "../a.md", false),
        ("/", "/a.md", true),
        ("a.md", "a.md", true),
    ] {
        assert_eq!(holds(path, source), expected, "{source} below {path}");
    }
}
