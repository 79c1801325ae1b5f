//! Searching, and the tool that a model calls.

use std::sync::Arc;

use crate::support::{COLLECTION, TinyEmbedder};
use arshai_core::{
    ErrorKind, Filter,
    tool::Tool as _,
    vector::{CollectionSpec, InMemoryVectors, VectorStore as _},
};
use arshai_kb_tool::{Document, KnowledgeBase, KnowledgeBaseTool, Mode, SearchOptions};
use serde_json::json;

async fn knowledge(embedder: bool) -> KnowledgeBase {
    let base = KnowledgeBase::new(Arc::new(InMemoryVectors::new()), COLLECTION);
    let base = if embedder { base.with_embedder(Arc::new(TinyEmbedder::default())) } else { base };
    let documents = [
        Document::new("tea.md", "Green tea is steeped for two minutes."),
        Document::new("coffee.md", "Coffee is brewed with hot water."),
    ];
    base.ingest_documents(documents, &()).await.unwrap();
    base
}

fn mode(mode: Mode) -> SearchOptions {
    SearchOptions::default().with_mode(mode)
}

#[tokio::test]
async fn the_mode_is_what_collection_and_embedder_can() {
    let both = knowledge(true).await.search("tea", &SearchOptions::default()).await.unwrap();
    assert_eq!((both.mode, both.note), (Mode::Hybrid, None));
    let words = knowledge(false).await.search("tea", &SearchOptions::default()).await.unwrap();
    assert_eq!((words.mode, words.hits.len()), (Mode::Lexical, 1));
    assert!(words.note.unwrap().contains("no embedder"));
}

#[tokio::test]
async fn a_mode_that_is_not_possible_is_refused_naming_what_is_missing() {
    let base = knowledge(false).await;
    for wanted in [Mode::Dense, Mode::Hybrid] {
        let error = base.search("tea", &mode(wanted)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("no embedder is set"), "{error}");
    }
    assert!(base.search("tea", &mode(Mode::Lexical)).await.is_ok());
}

#[tokio::test]
async fn an_embedder_over_a_collection_without_vectors_searches_words() {
    let store = Arc::new(InMemoryVectors::new());
    let plain = KnowledgeBase::new(store.clone(), COLLECTION);
    plain.ingest_documents([Document::new("a", "tea")], &()).await.unwrap();
    let base = KnowledgeBase::new(store, COLLECTION).with_embedder(Arc::new(TinyEmbedder::default()));
    let found = base.search("tea", &SearchOptions::default()).await.unwrap();
    assert_eq!((found.mode, found.hits.len()), (Mode::Lexical, 1));
    base.ingest_documents([Document::new("a", "tea")], &()).await.unwrap();
    assert_eq!(base.search("tea", &SearchOptions::default()).await.unwrap().mode, Mode::Hybrid);
}

#[tokio::test]
async fn a_collection_of_another_embedder_is_refused_naming_both() {
    let store = Arc::new(InMemoryVectors::new());
    store.open(&CollectionSpec::new(COLLECTION).with_dense(2).with_embedder("other")).await.unwrap();
    let base = KnowledgeBase::new(store, COLLECTION).with_embedder(Arc::new(TinyEmbedder::default()));
    let error = base.search("tea", &SearchOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("tiny") && error.to_string().contains("other"), "{error}");
}

#[tokio::test]
async fn a_collection_that_is_not_there_says_what_to_do() {
    let base = KnowledgeBase::new(Arc::new(InMemoryVectors::new()), COLLECTION);
    let error = base.search("tea", &SearchOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("ingest"), "{error}");
}

#[tokio::test]
async fn an_identifier_that_only_words_find_stays_on_top_of_what_means_the_same() {
    let base = KnowledgeBase::new(Arc::new(InMemoryVectors::new()), COLLECTION)
        .with_embedder(Arc::new(TinyEmbedder::default()));
    let query = "Which pump replaces the part KX-4471-B here?";
    // This embedder holds texts of one length for alike.
    let alike = (0..100).map(|n| {
        Document::new(format!("{n}.md"), format!("{:<1$}", format!("Sentence number {n} says"), query.len()))
    });
    let part = Document::new("part.md", "KX-4471-B pump");
    base.ingest_documents(alike.chain([part]), &()).await.unwrap();
    let dense = base.search(query, &mode(Mode::Dense).with_limit(50)).await.unwrap();
    assert!(dense.hits.iter().all(|hit| hit.source != "part.md"));
    for query in [query, "kx-4471-b"] {
        let found = base.search(query, &SearchOptions::default().with_limit(3)).await.unwrap();
        assert_eq!(found.mode, Mode::Hybrid);
        assert!(found.hits.iter().any(|hit| hit.source == "part.md"), "{query}: {:?}", found.hits);
    }
}

#[tokio::test]
async fn empty_and_huge_queries() {
    let base = knowledge(true).await;
    assert_eq!(
        base.search(" \n", &SearchOptions::default()).await.unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let huge = "tea OR (NEAR \"' ; DROP TABLE -- ".repeat(40_000);
    assert!(!base.search(&huge, &SearchOptions::default()).await.unwrap().hits.is_empty());
}

#[tokio::test]
async fn filters_and_limits_hold() {
    let base = knowledge(false).await;
    let only = SearchOptions::default().with_filter(Filter::parse(r#"source == "tea.md""#).unwrap());
    let found = base.search("is hot green", &only).await.unwrap();
    assert_eq!(found.hits.iter().map(|hit| hit.source.as_str()).collect::<Vec<_>>(), ["tea.md"]);
    let one = base.search("is hot green", &SearchOptions::default().with_limit(1)).await.unwrap();
    assert_eq!(one.hits.len(), 1);
}

#[tokio::test]
async fn the_tool_s_text_is_the_listing_callers_expect() {
    let tool = KnowledgeBaseTool::new(Arc::new(knowledge(false).await));
    assert_eq!(tool.definition().name, "knowledge_base_search");
    let output = tool.call(&json!({"query": "tea coffee brewed"})).await.unwrap();
    let [first, second] = output.passages.as_slice() else { panic!("{output:?}") };
    assert_eq!((first.n, second.n, first.source.as_str()), (1, 2, "coffee.md"));
    assert_eq!(
        output.text,
        format!(
            "Relevant information from knowledge base:\n\n1. {} (Score: {})\n\n2. {} (Score: {})",
            first.text, first.score, second.text, second.score
        )
    );
    let nothing = tool.call(&json!({"query": "zebra"})).await.unwrap();
    assert_eq!(nothing.text, "No relevant information found in the knowledge base.");
    assert!(!nothing.is_error && nothing.passages.is_empty());
}

#[tokio::test]
async fn a_failing_search_is_told_to_the_model_and_is_no_crash() {
    let base = KnowledgeBase::new(Arc::new(InMemoryVectors::new()), COLLECTION);
    let tool = KnowledgeBaseTool::new(Arc::new(base));
    for arguments in [json!({"query": "tea"}), json!({}), json!({"query": 1}), json!("tea"), json!(null)] {
        let output = tool.call(&arguments).await.unwrap();
        assert!(
            output.is_error && output.text.starts_with("Error during knowledge base search: "),
            "{output:?}"
        );
    }
}

#[tokio::test]
async fn the_filter_of_a_tool_is_not_the_model_s_to_change() {
    let filter = Filter::parse(r#"source == "tea.md""#).unwrap();
    let tool = KnowledgeBaseTool::new(Arc::new(knowledge(false).await)).with_filter(filter);
    let output = tool.call(&json!({"query": "coffee is hot", "filter": "true"})).await.unwrap();
    assert!(output.passages.iter().all(|passage| passage.source == "tea.md"), "{output:?}");
}
