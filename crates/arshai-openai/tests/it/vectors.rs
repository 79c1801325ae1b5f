//! Replies of embeddings servers that are not what they should be.

use arshai_core::{
    Error, ErrorKind,
    embed::{Embedder as _, EmbedderExt as _},
};
use serde_json::{Value, json};
use wiremock::{Mock, ResponseTemplate, matchers::method};

use crate::{
    embedder,
    fake::{base64_of, fresh},
    quick,
};

async fn answered(body: impl Into<Vec<u8>>, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
    let server = fresh().await;
    let template = ResponseTemplate::new(200).set_body_raw(body, "application/json");
    Mock::given(method("POST")).respond_with(template).mount(&server).await;
    embedder(quick(&server.uri()).with_max_attempts(2)).embed_documents(texts).await
}

fn row(index: Option<usize>, embedding: Value) -> Value {
    match index {
        Some(index) => json!({ "index": index, "embedding": embedding }),
        None => json!({ "embedding": embedding }),
    }
}

async fn rows(rows: &[Value], texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
    answered(json!({ "data": rows }).to_string(), texts).await
}

#[tokio::test]
async fn a_reply_without_usage_model_and_object_is_a_reply() {
    let vectors = rows(&[row(Some(0), base64_of(&[1.0, 2.0]))], &["a"]).await.unwrap();
    assert_eq!(vectors, [[1.0, 2.0]]);
    let floats = rows(&[row(Some(0), json!([1.0, 2.0]))], &["a"]).await.unwrap();
    assert_eq!(floats, vectors);
}

#[tokio::test]
async fn an_index_missing_doubled_or_past_the_end_is_an_error_and_never_a_mix_up() {
    let one = || json!([1.0]);
    for bad in [
        vec![row(Some(0), one()), row(None, one())],
        vec![row(Some(0), one()), row(Some(0), one())],
        vec![row(Some(0), one()), row(Some(2), one())],
        vec![row(Some(0), one())],
        vec![row(Some(0), one()), row(Some(1), one()), row(Some(2), one())],
    ] {
        let error = rows(&bad, &["a", "b"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{bad:?}");
    }
    let unnumbered = rows(&[row(None, json!([1.0])), row(None, json!([2.0]))], &["a", "b"]).await.unwrap();
    assert_eq!(unnumbered, [[1.0], [2.0]]);
}

#[tokio::test]
async fn an_embedding_of_another_length_is_an_error_within_and_between_replies() {
    let error =
        rows(&[row(Some(0), json!([1.0])), row(Some(1), json!([1.0, 2.0]))], &["a", "b"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let server = fresh().await;
    for (length, times) in [(3, 1), (4, 100)] {
        let body = json!({ "data": [row(Some(0), json!(vec![0.5; length]))] });
        let template = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(method("POST")).respond_with(template).up_to_n_times(times).mount(&server).await;
    }
    let embedder = embedder(quick(&server.uri()));
    assert_eq!(embedder.dimension(), None);
    assert_eq!(embedder.embed_query("a").await.unwrap().len(), 3);
    assert_eq!(embedder.dimension(), Some(3));
    let error = embedder.embed_query("b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.context().any(|fact| fact == ("expected", "3")), "{error}");
    assert_eq!(embedder.dimension(), Some(3));
}

#[tokio::test]
async fn bad_base64_and_numbers_that_are_none_are_errors_and_not_panics() {
    for embedding in [
        json!("not base64 at all!"),
        json!("AAAA"),
        base64_of(&[f32::NAN]),
        base64_of(&[f32::INFINITY]),
        json!([1e300]),
        json!([null]),
        json!([]),
        json!({ "values": [1.0] }),
        Value::Null,
    ] {
        let error = rows(&[row(Some(0), embedding.clone())], &["a"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{embedding}");
    }
}

#[tokio::test]
async fn invalid_utf8_is_an_error_and_not_a_panic() {
    let error = answered(b"{\"data\":[{\"index\":0,\"embedding\":\"\xff\xfe\"}]}".to_vec(), &["a"])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let error = answered(b"\xff\xfe\x00".to_vec(), &["a"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_reply_that_ends_in_the_middle_is_asked_for_again() {
    let error = answered(r#"{"data":[{"index":0,"embe"#, &["a"]).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Truncated, 2));
}
