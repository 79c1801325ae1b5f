//! Batches: what is sent, and what becomes of it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arshai_core::{
    Deadline, ErrorKind,
    embed::{Embedder as _, EmbedderExt as _, EmbeddingBatch, Input},
};
use arshai_openai::{EmbedderConfig, EmbeddingLimits, OpenAiEmbedder, TokenCounter, TooLong, Transport};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::{
    embedder,
    fake::{Embeddings, vector_of},
    quick,
};

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("text {n}")).collect()
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Every text has its own vector.
fn assert_own(texts: &[String], batch: &EmbeddingBatch) {
    assert_eq!(batch.len(), texts.len());
    for (text, row) in texts.iter().zip(batch.rows()) {
        assert_eq!(row.unwrap(), vector_of(text), "{text}");
    }
}

fn refused(message: &str) -> ResponseTemplate {
    ResponseTemplate::new(400).set_body_json(json!({ "error": { "message": message, "code": null } }))
}

fn with(url: &str, config: EmbedderConfig) -> OpenAiEmbedder {
    OpenAiEmbedder::with_config(Transport::new(quick(url)).unwrap(), "test-model", config).unwrap()
}

fn inputs(request: &Value) -> usize {
    request["input"].as_array().unwrap().len()
}

fn holds(request: &Value, poison: &str) -> bool {
    request["input"].as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains(poison))
}

#[tokio::test]
async fn a_storm_of_429_loses_nothing_and_keeps_the_order() {
    let (server, requests) =
        Embeddings::start(|number, _| (number % 3 == 0).then(|| ResponseTemplate::new(429))).await;
    let texts = texts(2_000);
    let batch = embedder(quick(&server.uri())).embed(&refs(&texts), Input::Document).await.unwrap();
    assert_own(&texts, &batch);
    assert_eq!(batch.tokens, Some(2_000));
    assert!(requests.lock().unwrap().len() >= 29);
}

#[tokio::test]
async fn batches_have_a_hundred_texts_and_the_server_is_asked_for_base64() {
    let (server, requests) = Embeddings::start(|_, _| None).await;
    let texts = texts(250);
    let batch = embedder(quick(&server.uri())).embed(&refs(&texts), Input::Document).await.unwrap();
    assert_own(&texts, &batch);
    let requests = requests.lock().unwrap();
    let mut sizes: Vec<_> = requests.iter().map(inputs).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
    assert!(
        requests
            .iter()
            .all(|request| request["encoding_format"] == "base64" && request["model"] == "test-model")
    );
    assert!(requests.iter().all(|request| request.get("dimensions").is_none()));
}

#[tokio::test]
async fn nothing_is_sent_for_nothing() {
    let (server, requests) = Embeddings::start(|_, _| None).await;
    let embedder = embedder(quick(&server.uri()));
    assert!(embedder.embed(&[], Input::Document).await.unwrap().is_empty());
    let batch = embedder.embed(&["", ""], Input::Document).await.unwrap();
    assert!(batch.rows().all(|row| row.unwrap_err().kind() == ErrorKind::InvalidInput));
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn duplicates_are_sent_once_and_everyone_gets_the_vector() {
    let (server, requests) = Embeddings::start(|_, _| None).await;
    let texts = ["text 1", "text 2", "text 1", "", "text 2"];
    let batch = embedder(quick(&server.uri())).embed(&texts, Input::Document).await.unwrap();
    let rows: Vec<_> = batch.rows().map(|row| row.map(|row| row[0]).ok()).collect();
    assert_eq!(rows, [Some(1.0), Some(2.0), Some(1.0), None, Some(2.0)]);
    assert_eq!(requests.lock().unwrap().iter().map(inputs).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn one_poisoned_text_is_found_and_the_others_succeed() {
    let (server, requests) =
        Embeddings::start(|_, body| holds(body, "poison").then(|| refused("the input is invalid"))).await;
    for place in [0, 57, 99] {
        let mut texts = texts(100);
        texts[place] = "poison 1".into();
        let batch = embedder(quick(&server.uri())).embed(&refs(&texts), Input::Document).await.unwrap();
        for (position, row) in batch.rows().enumerate() {
            match row {
                Ok(row) => assert_eq!(row, vector_of(&texts[position])),
                Err(error) => assert_eq!((position, error.kind()), (place, ErrorKind::InvalidInput)),
            }
        }
        assert!(batch.row(place).unwrap().is_err());
    }
    // Halving a hundred: about two requests for each of seven levels, not a hundred.
    assert!(requests.lock().unwrap().len() <= 3 * 18, "{}", requests.lock().unwrap().len());
}

#[tokio::test]
async fn a_request_that_is_wrong_in_itself_is_not_halved_to_pieces() {
    let (server, requests) = Embeddings::start(|_, _| Some(refused("dimensions are not supported"))).await;
    let texts = texts(100);
    let error = embedder(quick(&server.uri())).embed(&refs(&texts), Input::Document).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(requests.lock().unwrap().len() <= 4, "{}", requests.lock().unwrap().len());
}

#[tokio::test]
async fn a_request_with_too_many_tokens_is_halved() {
    let limit = |_: usize, body: &Value| {
        let error = json!({ "error": { "message": "max 300000 tokens per request", "code": "max_tokens_per_request" } });
        (inputs(body) > 30).then(|| ResponseTemplate::new(400).set_body_json(error))
    };
    let (server, _) = Embeddings::start(limit).await;
    let texts = texts(100);
    let batch = embedder(quick(&server.uri())).embed(&refs(&texts), Input::Document).await.unwrap();
    assert_own(&texts, &batch);
}

#[tokio::test]
async fn some_batches_may_fail_for_good_and_the_others_have_their_vectors() {
    let (server, _) =
        Embeddings::start(|_, body| holds(body, "text 150").then(|| ResponseTemplate::new(503))).await;
    let texts = texts(300);
    let config = quick(&server.uri()).with_max_attempts(2);
    let batch = embedder(config).embed(&refs(&texts), Input::Document).await.unwrap();
    let failed: Vec<_> = batch.rows().enumerate().filter(|(_, row)| row.is_err()).map(|(n, _)| n).collect();
    assert_eq!(failed, (100..200).collect::<Vec<_>>());
    let error = batch.row(150).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.attempts(), error.is_retryable()), (ErrorKind::Unavailable, 2, true));
}

#[tokio::test]
async fn the_deadline_cuts_off_what_is_left_and_keeps_what_is_there() {
    let slow = |_: usize, body: &Value| {
        let delay = std::time::Duration::from_secs(if holds(body, "text 150") { 60 } else { 0 });
        Some(ResponseTemplate::new(200).set_body_json(crate::fake::embeddings(body)).set_delay(delay))
    };
    let (server, _) = Embeddings::start(slow).await;
    let texts = texts(300);
    let embedder = embedder(quick(&server.uri()));
    let (refs, within) = (refs(&texts), Deadline::after(std::time::Duration::from_secs(3)));
    let batch = within.scope(embedder.embed(&refs, Input::Document)).await.unwrap();
    assert!(batch.row(0).unwrap().is_ok() && batch.row(299).unwrap().is_ok());
    assert_eq!(batch.row(150).unwrap().unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_server_that_refuses_base64_is_asked_for_floats_from_then_on() {
    for message in ["encoding_format 'base64' is not supported", "bad request"] {
        let (server, requests) =
            Embeddings::start(move |_, body| (body["encoding_format"] == "base64").then(|| refused(message)))
                .await;
        let embedder = embedder(quick(&server.uri()));
        for n in 0..3 {
            assert_eq!(embedder.embed_query(&format!("text {n}")).await.unwrap()[0], n as f32);
        }
        let asked: Vec<bool> =
            requests.lock().unwrap().iter().map(|request| request["encoding_format"] == "base64").collect();
        assert_eq!(asked, [true, false, false, false], "{message}");
    }
}

#[tokio::test]
async fn what_one_embedder_learnt_of_a_server_the_others_on_its_transport_know() {
    let (server, requests) =
        Embeddings::start(|_, body| (body["encoding_format"] == "base64").then(|| refused("bad request")))
            .await;
    let transport = Transport::new(quick(&server.uri())).unwrap();
    for n in 0..3 {
        let embedder = OpenAiEmbedder::new(transport.clone(), "test-model").unwrap();
        assert_eq!(embedder.embed_query(&format!("text {n}")).await.unwrap()[0], n as f32);
    }
    let asked: Vec<bool> =
        requests.lock().unwrap().iter().map(|request| request["encoding_format"] == "base64").collect();
    assert_eq!(asked, [true, false, false, false]);
}

#[tokio::test]
async fn a_split_texts_row_is_the_weighted_mean_of_what_the_server_gave_for_its_parts() {
    let words = |text: &str| text.split_whitespace().count();
    let (server, requests) = Embeddings::start(|_, _| None).await;
    let limits = EmbeddingLimits { tokens_per_input: 20, ..EmbeddingLimits::OPENAI };
    let mut config = EmbedderConfig::default().with_limits(limits).with_too_long(TooLong::SplitAndMean);
    config.tokens = TokenCounter::new(words);
    let long: Vec<String> = (0..50).map(|n| format!("w{n}")).collect();
    let long = long.join(" ");
    let batch = with(&server.uri(), config).embed(&["text 1", &long], Input::Document).await.unwrap();
    let requests = requests.lock().unwrap();
    let sent = requests.iter().flat_map(|request| request["input"].as_array().unwrap());
    let parts: Vec<&str> = sent.map(|text| text.as_str().unwrap()).filter(|text| *text != "text 1").collect();
    assert_eq!(parts.iter().map(|part| words(part)).collect::<Vec<_>>(), [20, 20, 10]);
    assert_eq!(parts.concat(), long);
    let mut expected = [0.0_f64; 3];
    for part in parts {
        for (sum, value) in expected.iter_mut().zip(vector_of(part)) {
            *sum += words(part) as f64 * f64::from(value);
        }
    }
    let length = expected.iter().map(|value| value * value).sum::<f64>().sqrt();
    let row = batch.row(1).unwrap().unwrap();
    for (value, expected) in row.iter().zip(expected) {
        assert!((f64::from(*value) - expected / length).abs() < 1e-6, "{row:?}");
    }
    assert_eq!(batch.row(0).unwrap().unwrap(), vector_of("text 1"), "one of one part is as it came");
}

#[tokio::test]
async fn long_texts_are_refused_cut_or_split_as_configured() {
    let words = |text: &Value| text.as_str().unwrap().split_whitespace().count();
    let limit = move |_: usize, body: &Value| {
        let error =
            json!({ "error": { "code": 400, "type": "exceed_context_size_error", "message": "too many" } });
        let is_long = body["input"].as_array().unwrap().iter().any(|text| words(text) > 20);
        is_long.then(|| ResponseTemplate::new(400).set_body_json(error))
    };
    let (server, requests) = Embeddings::start(limit).await;
    // The estimate allows three times what the server takes, so the server has to say so first.
    let limits = EmbeddingLimits { tokens_per_input: 60, ..EmbeddingLimits::OPENAI };
    let long = "word ".repeat(150);
    let embed = |too_long| {
        let embedder =
            with(&server.uri(), EmbedderConfig::default().with_limits(limits).with_too_long(too_long));
        let long = long.clone();
        async move { embedder.embed(&["text 1", &long], Input::Document).await.unwrap() }
    };
    let refused = embed(TooLong::Error).await;
    assert_eq!(refused.row(0).unwrap().unwrap()[0], 1.0);
    assert_eq!(refused.row(1).unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
    let cut = embed(TooLong::Truncate).await;
    let length = cut.row(1).unwrap().unwrap()[1];
    assert!(length > 30.0 && length <= 100.0, "the longest beginning that fits, nearly: {length}");
    let split = embed(TooLong::SplitAndMean).await;
    let row = split.row(1).unwrap().unwrap();
    let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    assert!((norm - 1.0).abs() < 1e-5, "a mean is normalised: {row:?}");
    assert!(requests.lock().unwrap().iter().all(|request| inputs(request) > 0));
}

#[tokio::test]
async fn a_text_that_is_surely_too_long_is_not_sent() {
    let (server, requests) = Embeddings::start(|_, _| None).await;
    let batch = with(&server.uri(), EmbedderConfig::minilm());
    let batch = batch.embed(&[&"word ".repeat(20_000)], Input::Document).await.unwrap();
    assert_eq!(batch.row(0).unwrap().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn prefixes_and_dimensions_are_sent() {
    let (server, requests) = Embeddings::start(|_, _| None).await;
    let config = EmbedderConfig::default().with_prefixes("passage: ", "query: ").with_dimensions(3);
    let embedder = with(&server.uri(), config);
    embedder.embed(&["a"], Input::Document).await.unwrap();
    embedder.embed_query("b").await.unwrap();
    let requests = requests.lock().unwrap();
    assert_eq!(
        (&requests[0]["input"][0], &requests[1]["input"][0]),
        (&json!("passage: a"), &json!("query: b"))
    );
    assert!(requests.iter().all(|request| request["dimensions"] == 3));
}

#[tokio::test]
async fn a_wrong_key_ends_the_call_at_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let (server, _) = Embeddings::start(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Some(ResponseTemplate::new(401))
    })
    .await;
    let texts = texts(10_000);
    let error = embedder(quick(&server.uri())).embed(&refs(&texts), Input::Document).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(asked.load(Ordering::SeqCst) <= 10, "{asked:?} of 100 batches");
}

/// What two requests have in common when one is another attempt of the other.
fn content(request: &Value) -> String {
    request["input"].to_string()
}

#[tokio::test]
async fn a_storm_of_429_while_a_bad_text_is_looked_for_loses_no_other() {
    for status in [429, 503] {
        let asked = std::sync::Mutex::new(std::collections::HashMap::new());
        // Whatever it is asked, the probe too, three times nobody has time for it.
        let (server, _) = Embeddings::start(move |_, body| {
            if holds(body, "poison") {
                return Some(refused("the input is invalid"));
            }
            let mut asked = asked.lock().unwrap();
            let times: &mut usize = asked.entry(content(body)).or_default();
            *times += 1;
            (*times <= 3).then(|| ResponseTemplate::new(status))
        })
        .await;
        let mut texts = texts(100);
        texts[37] = "poison".into();
        let batch = embedder(quick(&server.uri())).embed(&refs(&texts), Input::Document).await.unwrap();
        let failed: Vec<_> =
            batch.rows().enumerate().filter_map(|(n, row)| Some((n, row.err()?.kind()))).collect();
        assert_eq!(failed, [(37, ErrorKind::InvalidInput)], "{status}");
    }
}

#[tokio::test]
async fn a_text_that_a_server_fails_on_is_not_looked_for_with_every_attempt() {
    let (server, requests) =
        Embeddings::start(|_, body| holds(body, "poison").then(|| ResponseTemplate::new(500))).await;
    let mut texts = texts(100);
    texts[37] = "poison".into();
    let config = quick(&server.uri()).with_max_attempts(8);
    let batch = embedder(config).embed(&refs(&texts), Input::Document).await.unwrap();
    assert_eq!(batch.rows().filter(|row| row.is_err()).count(), 1);
    // The whole, the harmless text, and on each level twice the half that fails and once the other.
    let requests = requests.lock().unwrap().len();
    assert!(requests <= 8 + 1 + 7 * 3, "{requests}");
}

#[tokio::test]
async fn a_configured_length_is_no_proof_that_requests_are_sound() {
    let config = || EmbedderConfig::default().with_dimensions(3);
    let (server, requests) = Embeddings::start(|_, _| Some(refused("dimensions are not supported"))).await;
    let texts = texts(100);
    let error = with(&server.uri(), config()).embed(&refs(&texts), Input::Document).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(requests.lock().unwrap().len() <= 4, "{}", requests.lock().unwrap().len());
    // Nor that base64 is taken.
    let (server, requests) =
        Embeddings::start(|_, body| (body["encoding_format"] == "base64").then(|| refused("bad request")))
            .await;
    let embedder = with(&server.uri(), config());
    for n in 0..2 {
        assert_eq!(embedder.embed_query(&format!("text {n}")).await.unwrap()[0], n as f32);
    }
    assert_eq!(requests.lock().unwrap().len(), 3);
}

/// A hundred texts, one of them poisoned; which ones failed, and why, and how many requests it took.
async fn one_fails(
    failure: impl Fn(&Value) -> ResponseTemplate + Send + Sync + 'static,
) -> (Vec<(usize, ErrorKind)>, usize) {
    let (server, requests) =
        Embeddings::start(move |_, body| holds(body, "poison").then(|| failure(body))).await;
    let texts: Vec<String> =
        (0..100).map(|n| if n == 37 { "poison".into() } else { format!("text {n}") }).collect();
    let embedder = embedder(quick(&server.uri()).with_max_attempts(2));
    let batch = embedder.embed(&refs(&texts), Input::Document).await.unwrap();
    let failed = batch.rows().enumerate().filter_map(|(n, row)| Some((n, row.err()?.kind()))).collect();
    let count = requests.lock().unwrap().len();
    (failed, count)
}

#[tokio::test]
async fn a_text_that_a_server_fails_on_or_a_filter_forbids_fails_alone() {
    for (status, kind) in [(500, ErrorKind::Unavailable), (403, ErrorKind::Unauthorized)] {
        let (failed, requests) = one_fails(move |_| ResponseTemplate::new(status)).await;
        assert_eq!(failed, [(37, kind)], "{status}");
        assert!(requests <= 36, "{status}: {requests}");
    }
}

#[tokio::test]
async fn a_text_whose_vector_is_not_finite_fails_alone() {
    let with = |vector: Value| {
        move |body: &Value| {
            let poisoned =
                body["input"].as_array().unwrap().iter().position(|text| text == "poison").unwrap();
            let mut reply = crate::fake::embeddings(body);
            let rows = reply["data"].as_array_mut().unwrap();
            rows.iter_mut().find(|row| row["index"] == poisoned).unwrap()["embedding"] = vector.clone();
            ResponseTemplate::new(200).set_body_json(reply)
        }
    };
    for vector in [crate::fake::base64_of(&[1.0, f32::NAN, 1.0]), json!([1.0, null, 1.0])] {
        let (failed, requests) = one_fails(with(vector)).await;
        assert_eq!(
            (failed, requests),
            (vec![(37, ErrorKind::Protocol)], 1),
            "its neighbours came in the same reply"
        );
    }
    // Python writes NaN, which is not JSON: the whole reply cannot be read.
    let (failed, _) =
        one_fails(|_| ResponseTemplate::new(200).set_body_string(r#"{"data":[{"embedding":[NaN]}]}"#)).await;
    assert_eq!(failed, [(37, ErrorKind::Protocol)]);
}

#[tokio::test]
async fn a_server_that_fails_on_everything_is_not_asked_for_every_half() {
    let (server, requests) = Embeddings::start(|_, _| Some(ResponseTemplate::new(500))).await;
    let texts = texts(100);
    let config = quick(&server.uri()).with_max_attempts(2);
    let error = embedder(config).embed(&refs(&texts), Input::Document).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
    assert_eq!(requests.lock().unwrap().len(), 4, "the batch and the harmless text, twice each");
}

#[tokio::test]
async fn a_server_that_refuses_everything_from_now_on_is_not_asked_for_every_half() {
    let billing = || {
        let error =
            json!({ "message": "Billing hard limit has been reached", "code": "billing_hard_limit_reached" });
        ResponseTemplate::new(400).set_body_json(json!({ "error": error }))
    };
    let texts = texts(300);
    for refusal in [billing(), refused("maximum context length exceeded"), ResponseTemplate::new(403)] {
        let (server, requests) =
            Embeddings::start(move |number, _| (number > 0).then(|| refusal.clone())).await;
        let embedder = embedder(quick(&server.uri()));
        embedder.embed_query("text 1").await.unwrap();
        let error = embedder.embed(&refs(&texts), Input::Document).await.unwrap_err();
        assert!(!error.is_retryable(), "{error}");
        let count = requests.lock().unwrap().len();
        assert!(count <= 1 + 3 * 2, "each batch and the harmless text: {count}");
    }
}

#[tokio::test]
async fn what_a_server_embedded_before_it_refused_everything_is_kept() {
    let (server, requests) =
        Embeddings::start(|number, _| (number > 0).then(|| refused("Billing hard limit has been reached")))
            .await;
    let mut config = quick(&server.uri());
    config.batch_concurrency = 1;
    let texts = texts(300);
    let batch = embedder(config).embed(&refs(&texts), Input::Document).await.unwrap();
    let rows: Vec<bool> = batch.rows().map(|row| row.is_ok()).collect();
    assert_eq!(rows.iter().filter(|row| **row).count(), 100);
    assert_eq!(requests.lock().unwrap().len(), 1 + 2 * 2);
}

#[tokio::test]
async fn a_server_that_is_down_for_a_moment_while_a_bad_text_is_looked_for_ends_one_batch_only() {
    let (server, _) = Embeddings::start(|_, body| {
        let is_probe = inputs(body) == 1;
        if !is_probe && !holds(body, "poison") {
            // The other batch: until it is answered, nothing says that the request is sound.
            let late = ResponseTemplate::new(200).set_body_json(crate::fake::embeddings(body));
            return Some(late.set_delay(std::time::Duration::from_secs(2)));
        }
        Some(if is_probe { ResponseTemplate::new(503) } else { refused("the input is invalid") })
    })
    .await;
    let mut texts = texts(200);
    texts[37] = "poison".into();
    let batch = embedder(quick(&server.uri())).embed(&refs(&texts), Input::Document).await.unwrap();
    let error = batch.row(0).unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Unavailable, true),
        "whose fault it is, is not known"
    );
    assert!((100..200).all(|n| batch.row(n).unwrap().is_ok()));
}

#[tokio::test]
async fn an_error_in_a_reply_that_began_well_is_that_error() {
    for (error, kind, attempts) in [
        (json!({ "error": { "message": "busy", "code": 503 } }), ErrorKind::Unavailable, 3),
        (
            json!({ "error": { "message": "no", "type": "invalid_request_error" } }),
            ErrorKind::InvalidInput,
            1,
        ),
        (json!({ "error": "who knows" }), ErrorKind::Unavailable, 1),
    ] {
        let (server, requests) =
            Embeddings::start(move |_, _| Some(ResponseTemplate::new(200).set_body_json(&error))).await;
        let config = quick(&server.uri()).with_max_attempts(3);
        let embedder = embedder(config);
        let error = embedder.embed_query("x").await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (kind, attempts), "{error}");
        // A refusal before the first success may be about base64.
        let most = if kind == ErrorKind::InvalidInput { 2 } else { attempts as usize };
        assert_eq!(requests.lock().unwrap().len(), most, "{error}");
    }
}

#[tokio::test]
async fn a_text_that_is_too_long_however_often_it_is_cut_says_so() {
    let (server, _) = Embeddings::start(|_, body| {
        holds(body, "long").then(|| refused("this input is too long, maximum context length exceeded"))
    })
    .await;
    let long = "long ".repeat(4000);
    for too_long in [TooLong::Truncate, TooLong::SplitAndMean] {
        let embedder = with(&server.uri(), EmbedderConfig::minilm().with_too_long(too_long));
        let batch = embedder.embed(&["text 1", &long], Input::Document).await.unwrap();
        assert!(batch.row(0).unwrap().is_ok());
        let error = batch.row(1).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{too_long:?}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_do_base64_and_says_501_is_asked_for_floats() {
    let (server, requests) = Embeddings::start(|_, body| {
        (body["encoding_format"] == "base64").then(|| ResponseTemplate::new(501))
    })
    .await;
    let embedder = embedder(quick(&server.uri()));
    for n in 0..2 {
        assert_eq!(embedder.embed_query(&format!("text {n}")).await.unwrap()[0], n as f32);
    }
    assert_eq!(requests.lock().unwrap().len(), 3);
}
