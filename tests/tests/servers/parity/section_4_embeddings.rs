//! Section 4: what the embedder does in Python.

use std::{sync::Arc, time::Duration};

use arshai::{
    ErrorKind,
    blocking::{Blocking, Runtime},
    embed::{Embedder as _, Input},
    prelude::*,
    vector::Metric,
};
use arshai_conformance::fault::{Direction, Fault};

use crate::{
    own_process::with_variables,
    place::{behind_proxy, embedder_at, url},
};

fn notes(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("note {n}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_embeddings_carry_one_many_and_a_query() {
    let embedder = embedder_at(&url("embeddings"));
    assert_eq!(embedder.dimension(), None, "nobody has been asked yet");
    let one = embedder.embed_documents(&["a red fox"]).await.unwrap().remove(0);
    let many = embedder.embed_documents(&["the moon", "a red fox"]).await.unwrap();
    let query = embedder.embed_query("a red fox").await.unwrap();
    assert_eq!((one.len(), many.len(), embedder.dimension()), (384, 2, Some(384)));
    for (same, other) in [(&one, &many[1]), (&one, &query)] {
        assert!(Metric::Cosine.score(same, other) > 0.999);
    }
    assert!(Metric::Cosine.score(&one, &many[0]) < 0.9);
}

#[test]
fn section_4_embeddings_carry_one_many_and_a_query_without_async() {
    let runtime = Runtime::new().unwrap();
    let embedder: Arc<dyn Embedder> = Arc::new(embedder_at(&url("embeddings")));
    let embedder = Blocking::new(embedder, runtime);
    let many = embedder.embed_documents(&["a red fox", "the moon"]).unwrap();
    let query = embedder.embed_query("a red fox").unwrap();
    assert!(Metric::Cosine.score(&many[0], &query) > 0.999);
    arshai::blocking::Embedder::close(&embedder).unwrap();
    assert_eq!(embedder.embed_query("x").unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_4_embeddings_carry_batches_of_100_with_5_in_flight_keep_their_order() {
    let (proxy, url) = behind_proxy("embeddings").await;
    let embedder = Arc::new(embedder_at(&url));
    assert_eq!(proxy.stats().accepted, 0, "it connects when it is first used");
    let texts = notes(720);
    proxy.set(Fault::stall().only(Direction::ToClient)).await.unwrap();
    let embedding = tokio::spawn({
        let (embedder, texts) = (Arc::clone(&embedder), texts.clone());
        async move {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            embedder.embed(&texts, Input::Document).await
        }
    });
    // No reply has come back: what has been sent is what is in flight at once.
    proxy.until(|stats| stats.requests >= 5).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(proxy.stats().requests, 5);
    proxy.heal().await.unwrap();
    let batch = embedding.await.unwrap().unwrap();
    assert_eq!(proxy.stats().requests, 8, "720 texts in batches of 100");
    for position in [0, 99, 100, 655, 719] {
        let alone = embedder.embed_query(&texts[position]).await.unwrap();
        let row = batch.row(position).unwrap().unwrap();
        assert!(Metric::Cosine.score(row, &alone) > 0.999, "{position}");
    }
    embedder.close().await.unwrap();
    assert_eq!(embedder.embed_query("x").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn section_4_embeddings_carry_the_environment_names_key_and_server() {
    let url = url("embeddings");
    let test = "section_4_embeddings_carry_the_environment_names_key_and_server";
    let variables = [("OPENAI_BASE_URL", url.as_str()), ("OPENAI_API_KEY", "sk-hunter2")];
    with_variables(module_path!(), test, &variables, || {
        let runtime = Runtime::new().unwrap();
        let opened = arshai::Backends::built_in();
        let embedder = runtime.block_on(opened.embedders.open("openai:all-MiniLM-L6-v2")).unwrap().unwrap();
        let config = OpenAiConfig::from_env().unwrap();
        let key = config.api_key.as_ref().map(|key| key.expose().to_owned());
        assert_eq!(key.as_deref(), Some("sk-hunter2"));
        assert!(!format!("{config:?} {embedder:?}").contains("hunter2"));
        assert_eq!(Blocking::new(embedder, runtime).embed_query("a red fox").unwrap().len(), 384);
    });
}
