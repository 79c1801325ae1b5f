//! Servers that refuse, and replies that are none.

use std::time::Duration;

use arshai_conformance::fault::{Direction, Fault, FaultProxy, Plan};
use arshai_core::{
    ErrorKind,
    speech::{Audio, Timestamps, TranscribeOptions, Transcriber as _},
};
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::{
    fake::{hears, said, serve},
    transcriber,
};

fn audio() -> Audio {
    Audio::bytes("a.wav", "sound")
}

fn timed() -> TranscribeOptions {
    TranscribeOptions::default().with_timestamps(Timestamps::Words)
}

#[tokio::test]
async fn a_recording_that_the_server_finds_too_large_is_told_as_ours_are() {
    for body in
        [r#"{"error":{"message":"Maximum content size limit (26214400) exceeded"}}"#, "<html>413</html>", ""]
    {
        let server = serve(move |_, _| ResponseTemplate::new(413).set_body_string(body)).await;
        let error = transcriber(&server.url()).transcribe(audio(), &timed()).await.unwrap_err();
        assert_eq!((error.kind(), server.sent().len()), (ErrorKind::InvalidInput, 1));
        assert!(error.message().contains("larger than the server takes"), "{error}");
        // Whose fault it is: this recording's, and not that of a limit it did not pass.
        let text = error.to_string();
        assert!(text.contains("file: a.wav") && text.contains("bytes: 5"), "{text}");
        assert!(!text.contains("test-model") && !text.contains("limit_bytes"), "{text}");
    }
}

#[tokio::test]
async fn a_refusal_is_understood_in_every_shape_and_repeats_no_prompt() {
    let prompt = "the patient is called Erika Mustermann";
    for body in [
        json!({ "error": { "message": format!("bad prompt: {prompt}"), "code": "invalid_value" } }),
        json!({ "detail": { "error": format!("bad prompt: {prompt}") } }),
        json!({ "detail": [{ "loc": ["body", "prompt"], "msg": "bad prompt", "input": prompt }] }),
    ] {
        let server = serve(move |_, _| ResponseTemplate::new(400).set_body_json(&body)).await;
        let options = TranscribeOptions::default().with_prompt(prompt);
        let error = transcriber(&server.url()).transcribe(audio(), &options).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert_eq!((error.kind(), server.sent().len()), (ErrorKind::InvalidInput, 1), "{text}");
        assert!(text.contains("bad prompt"), "{text}");
        assert!(!text.contains("Mustermann") && !text.contains("sk-very-hidden"), "{text}");
    }
}

#[tokio::test]
async fn a_short_prompt_and_short_hints_are_repeated_by_no_error() {
    let refuse = |_: usize, _: &crate::fake::Sent| {
        ResponseTemplate::new(400)
            .set_body_json(json!({ "error": { "message": "bad words: Erika, HbA1c, Kowalski" } }))
    };
    let options = TranscribeOptions::default().with_prompt("Erika").with_hints([
        " Kowalski",
        "HbA1c",
        "three words here",
    ]);
    let server = serve(refuse).await;
    let error = transcriber(&server.url()).transcribe(audio(), &options).await.unwrap_err();
    let mut azure =
        arshai_speech::AzureSpeechConfig::new("very-hidden", "westeurope").with_base_url(server.url());
    azure.server.first_wait = Duration::from_millis(1);
    let hints = TranscribeOptions::default().with_hints(["Kowalski", "HbA1c", "Erika"]);
    let heard = azure.transcriber().unwrap().transcribe(audio(), &hints).await;
    for text in [format!("{error} {error:?}"), format!("{0} {0:?}", heard.unwrap_err())] {
        assert!(text.contains("bad words"), "{text}");
        for hidden in ["Kowalski", "HbA1c", "Erika"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
}

#[tokio::test]
async fn a_server_that_gives_no_times_is_asked_for_less_and_remembered() {
    let server = serve(|_, sent| match sent.field("response_format").as_deref() {
        Some("verbose_json") => ResponseTemplate::new(400).set_body_json(json!({
            "error": { "message": "response_format 'verbose_json' is not compatible with this model", "param": "response_format" }
        })),
        _ => said("no times"),
    })
    .await;
    let transcriber = transcriber(&server.url());
    for requests in [2, 3] {
        let heard = transcriber.transcribe(audio(), &timed()).await.unwrap();
        assert_eq!((heard.text.as_str(), heard.segments.len()), ("no times", 0));
        assert_eq!(server.sent().len(), requests);
    }
    assert_eq!(
        transcriber.transcribe(audio(), &timed()).await.unwrap().to_srt().unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[tokio::test]
async fn a_refusal_that_names_the_format_by_the_way_lowers_nothing() {
    // The recording is bad, and the server repeats what it was asked.
    let server = serve(|number, sent| match number {
        0 => said("first"),
        1..=4 => ResponseTemplate::new(400)
            .set_body_json(json!({ "error": { "message": "cannot decode a.wav (response_format=json)" } })),
        _ => said(&sent.field("response_format").unwrap_or_default()),
    })
    .await;
    let (transcriber, plain) = (transcriber(&server.url()), TranscribeOptions::default());
    transcriber.transcribe(audio(), &plain).await.unwrap();
    let error = transcriber.transcribe(audio(), &plain).await.unwrap_err();
    assert!(error.to_string().contains("cannot decode"), "{error}");
    let refused = server.sent().len() - 1;
    assert_eq!(refused, 2, "as it is, and without a format");
    transcriber.transcribe(audio(), &plain).await.unwrap_err();
    let heard = transcriber.transcribe(audio(), &plain).await.unwrap();
    assert_eq!(heard.text, "json", "a later recording is asked for as the first was");
}

#[tokio::test]
async fn a_server_that_takes_no_format_at_all_is_asked_without() {
    let server = serve(|_, sent| match sent.field("response_format") {
        Some(_) => ResponseTemplate::new(422)
            .set_body_json(json!({ "detail": [{ "loc": ["body", "response_format"], "msg": "extra fields not permitted" }] })),
        None => ResponseTemplate::new(200).set_body_raw(" just text \n", "text/plain"),
    })
    .await;
    assert_eq!(transcriber(&server.url()).transcribe(audio(), &timed()).await.unwrap().text, "just text");
    assert_eq!(server.sent().len(), 3);
}

#[tokio::test]
async fn a_server_without_times_of_words_tells_those_of_segments() {
    let server = serve(|_, sent| match sent.field("timestamp_granularities[]") {
        Some(_) => ResponseTemplate::new(400)
            .set_body_json(json!({ "detail": "unknown field timestamp_granularities[]" })),
        None => ResponseTemplate::new(200).set_body_json(json!({
            "text": "hi", "segments": [{ "start": 0, "end": 1, "text": "hi" }]
        })),
    })
    .await;
    let heard = transcriber(&server.url()).transcribe(audio(), &timed()).await.unwrap();
    assert_eq!((heard.segments.len(), heard.words.len(), server.sent().len()), (1, 0, 2));
    assert_eq!(server.sent()[1].field("response_format").as_deref(), Some("verbose_json"));
}

#[tokio::test]
async fn a_page_with_status_200_is_no_transcript() {
    for (kind, body) in [
        ("text/html", "<html>Log in</html>"),
        ("application/json", "<html>Log in</html>"),
        ("text/plain", "<!DOCTYPE html>"),
        ("application/json", r#"{"ok":true}"#),
    ] {
        let server = serve(move |_, _| ResponseTemplate::new(200).set_body_raw(body, kind)).await;
        let transcriber = transcriber(&server.url());
        let error = transcriber.transcribe(audio(), &timed()).await.unwrap_err();
        assert_eq!((error.kind(), server.sent().len()), (ErrorKind::Protocol, 1), "{kind} {body}");
    }
}

#[tokio::test]
async fn json_without_usage_and_with_fields_of_tomorrow_is_a_transcript() {
    let server = serve(|_, _| {
        ResponseTemplate::new(200).set_body_json(json!({
            "text": "hi", "task": "transcribe", "language": null, "duration": 1.5, "new": { "field": [1] },
            "segments": [{ "start": 0.0, "end": 1.5, "text": " hi", "tokens": null, "words": null }]
        }))
    })
    .await;
    let heard = transcriber(&server.url()).transcribe(audio(), &timed()).await.unwrap();
    assert_eq!((heard.text.as_str(), heard.duration), ("hi", Some(Duration::from_millis(1500))));
    assert_eq!(heard.to_srt().unwrap(), "1\n00:00:00,000 --> 00:00:01,500\nhi\n\n");
}

#[tokio::test]
async fn a_reply_that_is_cut_off_is_asked_for_again() {
    for bytes in [0, 30, 150] {
        let server = hears("a transcript that is longer than a few bytes").await;
        let proxy = FaultProxy::start(*server.server.address()).await.unwrap();
        proxy.plan(Plan::new().connection(0, [Fault::cut_after(Direction::ToClient, bytes).by_close()]));
        let heard = transcriber(&proxy.url("http")).transcribe(audio(), &timed()).await.unwrap();
        assert!(heard.text.ends_with("few bytes"), "after {bytes} bytes");
        assert_eq!(proxy.stats().cut, 1);
    }
}

#[tokio::test]
async fn a_server_that_refuses_before_it_has_read_all_is_heard() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut some = [0; 10_000];
        socket.read_exact(&mut some).await.unwrap();
        socket
            .write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
            .await
            .unwrap();
        // As servers do that linger, so that what was said is not lost with what comes still.
        while socket.read(&mut some).await.is_ok_and(|read| read > 0) {}
    });
    let audio = Audio::bytes("a.mp3", vec![0; 20_000_000]);
    let error = transcriber(&url).transcribe(audio, &timed()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::InvalidInput, 1), "{error}");
    assert!(error.message().contains("larger than the server takes"), "{error}");
    server.await.unwrap();
}
