//! Transcripts as they are made.

use arshai_core::{
    ErrorKind,
    speech::{Audio, Timestamps, TranscribeOptions, Transcriber as _, Transcript, TranscriptEvent},
};
use arshai_speech::TranscriberConfig;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::{
    fake::{Running, said, serve},
    transcriber, transcriber_with,
};

async fn streams(events: String) -> Running {
    serve(move |_, _| {
        ResponseTemplate::new(200).set_body_raw(events.clone(), "text/event-stream; charset=utf-8")
    })
    .await
}

fn events(values: &[Value]) -> String {
    values.iter().map(|value| format!("event: x\ndata: {value}\n\n")).collect()
}

/// The pieces of text, how many segments were told, and how it ended.
async fn told(server: &Running) -> (Vec<String>, usize, Result<Transcript, ErrorKind>) {
    let options = TranscribeOptions::default();
    let mut stream = transcriber(&server.url()).stream(Audio::bytes("a.wav", "x"), &options).await.unwrap();
    let (mut pieces, mut segments) = (Vec::new(), 0);
    while let Some(event) = stream.next().await {
        match event {
            Ok(TranscriptEvent::Text(text)) => pieces.push(text),
            Ok(TranscriptEvent::Segment(_)) => segments += 1,
            Ok(TranscriptEvent::Done(transcript)) => {
                assert!(stream.next().await.is_none(), "something follows the end");
                return (pieces, segments, Ok(transcript));
            }
            Err(error) => {
                assert!(stream.next().await.is_none(), "something follows an error");
                return (pieces, segments, Err(error.kind()));
            }
            _ => panic!("an unknown event"),
        }
    }
    panic!("no end after {pieces:?}")
}

#[tokio::test]
async fn deltas_are_told_one_by_one() {
    let server = streams(events(&[
        json!({ "type": "transcript.text.delta", "delta": "Hel" }),
        json!({ "type": "transcript.text.delta", "delta": "lo.", "logprobs": null }),
        json!({ "type": "transcript.something.new" }),
        json!({ "type": "transcript.text.done", "text": "Hello." }),
    ]))
    .await;
    let (pieces, _, whole) = told(&server).await;
    assert_eq!((pieces.concat().as_str(), pieces.len()), ("Hello.", 2));
    assert_eq!(whole.unwrap().text, "Hello.");
    assert_eq!(server.sent()[0].field("stream").as_deref(), Some("true"));
}

#[tokio::test]
async fn a_stream_is_one_however_its_type_is_written() {
    let server = serve(|_, _| {
        let body = events(&[json!({ "type": "transcript.text.done", "text": "Hello." })]);
        ResponseTemplate::new(200).set_body_raw(body, "Text/Event-Stream")
    })
    .await;
    assert_eq!(told(&server).await.2.unwrap().text, "Hello.");
}

/// A server that says this whatever it is asked.
async fn says(kind: Option<&'static str>, body: String) -> Running {
    serve(move |_, _| match kind {
        Some(kind) => ResponseTemplate::new(200).set_body_raw(body.clone(), kind),
        None => ResponseTemplate::new(200).set_body_bytes(body.clone()),
    })
    .await
}

const KINDS: [Option<&str>; 5] = [
    None,
    Some("text/plain; charset=utf-8"),
    Some("text/event-stream"),
    Some("application/json"),
    Some("application/octet-stream"),
];

#[tokio::test]
async fn events_are_read_whatever_they_are_called() {
    let deltas = [
        json!({ "type": "transcript.text.delta", "delta": "Hel" }),
        json!({ "type": "transcript.text.delta", "delta": "lo." }),
        json!({ "type": "transcript.text.done", "text": "Hello." }),
    ];
    let without_names: String = deltas.iter().map(|value| format!("data: {value}\n\n")).collect();
    for kind in KINDS {
        for beginning in ["", "\r\n", ": ping\n\n", "\u{feff}", "id: 1\nretry: 5\n"] {
            for body in [&without_names, &events(&deltas)] {
                let (pieces, _, whole) = told(&says(kind, format!("{beginning}{body}")).await).await;
                assert_eq!(pieces, ["Hel", "lo."], "{kind:?} {beginning:?}");
                assert_eq!(whole.unwrap().text, "Hello.", "{kind:?} {beginning:?}");
            }
        }
        let (pieces, _, whole) = told(&says(kind, events(&deltas[..1])).await).await;
        assert_eq!((pieces.len(), whole.unwrap_err()), (1, ErrorKind::Truncated), "{kind:?}");
    }
}

#[tokio::test]
async fn a_whole_transcript_is_read_whatever_it_is_called() {
    let body = json!({ "text": "Hello.", "segments": [{ "start": 0, "end": 1, "text": "Hello." }] });
    for kind in KINDS {
        for beginning in ["", "\u{feff}", "\n  "] {
            let (pieces, segments, whole) = told(&says(kind, format!("{beginning}{body}")).await).await;
            assert_eq!((pieces.concat().as_str(), segments), ("Hello.", 1), "{kind:?} {beginning:?}");
            assert_eq!(whole.unwrap().text, "Hello.", "{kind:?}");
        }
        let (pieces, _, whole) = told(&says(kind, "<html>Sign in".to_owned()).await).await;
        assert_eq!((pieces.len(), whole.unwrap_err()), (0, ErrorKind::Protocol), "{kind:?}");
    }
    // What is only text is what somebody said, though it may look a little like an event.
    let (_, _, whole) = told(&says(Some("text/plain"), "data: it is the new oil.\n".to_owned()).await).await;
    assert_eq!(whole.unwrap().text, "data: it is the new oil.");
    let (_, _, whole) = told(&says(Some("text/plain"), String::new()).await).await;
    assert_eq!(whole.unwrap(), Transcript::default());
}

#[tokio::test]
async fn events_that_nobody_asked_for_are_no_transcript() {
    let body = events(&[json!({ "type": "transcript.text.done", "text": "Hello." })]);
    for kind in KINDS {
        for body in [body.clone(), body.replace("event: x\n", "")] {
            let server = says(kind, body).await;
            let transcriber = transcriber(&server.url());
            let heard =
                transcriber.transcribe(Audio::bytes("a.wav", "x"), &TranscribeOptions::default()).await;
            let error = heard.unwrap_err();
            assert_eq!(
                (error.kind(), error.is_retryable()),
                (ErrorKind::Protocol, false),
                "{kind:?}: {error}"
            );
            assert!(error.to_string().contains("events"), "{kind:?}: {error}");
            assert_eq!(server.sent().len(), 1, "it is not asked again");
        }
    }
}

#[tokio::test]
async fn segments_with_speakers_are_told_with_their_text() {
    let segment = |start: u32, text: &str, speaker: &str| json!({ "type": "transcript.text.segment", "id": "s", "start": start, "end": start + 1, "text": text, "speaker": speaker });
    let server = streams(events(&[
        segment(0, " Hi. ", "A"),
        json!({ "type": "transcript.text.delta", "delta": " Yes?" }),
        segment(1, "Yes?", "B"),
        json!({ "type": "transcript.text.done" }),
    ]))
    .await;
    let (pieces, segments, whole) = told(&server).await;
    let whole = whole.unwrap();
    assert_eq!((pieces.concat().as_str(), segments, whole.text.as_str()), ("Hi. Yes?", 2, "Hi. Yes?"));
    assert_eq!(whole.segments[1].speaker.as_deref(), Some("B"));
}

#[tokio::test]
async fn stretches_without_a_type_end_with_the_body() {
    for end in ["", "data: [DONE]\n\n"] {
        let stretches = events(&[
            json!({ "text": " One." }),
            json!({ "text": "Two. ", "segments": [{ "start": 1, "end": 2, "text": "Two." }] }),
        ]);
        let (pieces, segments, whole) = told(&streams(format!("{stretches}{end}")).await).await;
        assert_eq!((pieces.concat().as_str(), segments), ("One. Two.", 1));
        assert_eq!(whole.unwrap().text, "One. Two.");
    }
}

#[tokio::test]
async fn a_server_that_ignores_stream_is_understood() {
    let server = serve(|_, _| said("All at once.")).await;
    let (pieces, _, whole) = told(&server).await;
    assert_eq!((pieces, whole.unwrap().text.as_str()), (vec!["All at once.".to_owned()], "All at once."));
}

#[tokio::test]
async fn a_server_that_refuses_to_stream_is_asked_for_the_whole_and_remembered() {
    let server = serve(|_, sent| match sent.field("stream") {
        Some(_) => ResponseTemplate::new(400)
            .set_body_json(json!({ "error": { "message": "Unsupported parameter", "param": "stream" } })),
        None => said("All at once."),
    })
    .await;
    let transcriber = transcriber(&server.url());
    for requests in [2, 3] {
        let options = TranscribeOptions::default();
        let stream = transcriber.stream(Audio::bytes("a.wav", "x"), &options).await.unwrap();
        let events: Vec<_> = stream.map(Result::unwrap).collect().await;
        assert!(matches!(events.last(), Some(TranscriptEvent::Done(whole)) if whole.text == "All at once."));
        assert_eq!(server.sent().len(), requests);
    }
}

#[tokio::test]
async fn a_number_in_a_stream_of_text_is_what_somebody_said() {
    let (pieces, _, whole) =
        told(&streams("data: 42\n\ndata: true\n\ndata: apples\n\n".to_owned()).await).await;
    assert_eq!(
        (pieces.concat().as_str(), whole.unwrap().text.as_str()),
        ("42 true apples", "42 true apples")
    );
}

#[tokio::test]
async fn what_nobody_said_is_no_word() {
    let (pieces, _, whole) =
        told(&streams("data: null\n\ndata: apples\n\ndata: null\n\n".to_owned()).await).await;
    assert_eq!((pieces.concat().as_str(), whole.unwrap().text.as_str()), ("apples", "apples"));
    let (pieces, _, whole) = told(&streams("data: [{\"text\":\"apples\"}]\n\n".to_owned()).await).await;
    assert_eq!((pieces, whole.unwrap_err()), (Vec::new(), ErrorKind::Protocol));
}

#[tokio::test]
async fn what_only_the_end_tells_is_told() {
    let server = streams(events(&[
        json!({ "type": "transcript.text.delta", "delta": "Hello." }),
        json!({ "type": "transcript.text.done", "text": "Hello.", "duration": 1.5,
                "segments": [{ "start": 0, "end": 1.5, "text": "Hello." }] }),
    ]))
    .await;
    let (pieces, segments, whole) = told(&server).await;
    let whole = whole.unwrap();
    assert_eq!((pieces.len(), segments, whole.segments.len()), (1, 1, 1));
    assert_eq!(whole.duration, Some(std::time::Duration::from_millis(1500)));
}

#[tokio::test]
async fn a_stream_without_its_end_is_truncated() {
    let half = events(&[json!({ "type": "transcript.text.delta", "delta": "Hel" })]);
    for body in [
        half.clone(),
        format!("{half}data: {{\"type\":\"transc"),
        format!("{half}data: [DONE]\n\n"),
        String::new(),
    ] {
        let (_, _, whole) = told(&streams(body.clone()).await).await;
        assert_eq!(whole.unwrap_err(), ErrorKind::Truncated, "{body}");
    }
}

#[tokio::test]
async fn an_error_in_the_middle_is_an_error() {
    let server = streams(events(&[
        json!({ "type": "transcript.text.delta", "delta": "Hel" }),
        json!({ "type": "error", "error": { "message": "out of memory", "code": 503 } }),
    ]))
    .await;
    assert_eq!(told(&server).await.2.unwrap_err(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn the_reason_of_a_server_is_told_wherever_it_stands_and_the_prompt_is_not() {
    let prompt = "the patient is called Erika Mustermann";
    let error = json!({ "error": { "message": format!("out of memory at {prompt}"), "code": 503 } });
    for (kind, body) in [
        ("application/json", error.to_string()),
        ("text/event-stream", events(std::slice::from_ref(&error))),
        ("text/event-stream", events(&[json!({ "type": "error", "error": error["error"] })])),
    ] {
        let server = serve(move |_, _| ResponseTemplate::new(200).set_body_raw(body.clone(), kind)).await;
        let options = TranscribeOptions::default().with_prompt(prompt);
        let transcriber = transcriber(&server.url());
        let mut stream = transcriber.stream(Audio::bytes("a.wav", "x"), &options).await.unwrap();
        let error = stream.next().await.unwrap().unwrap_err();
        let text = format!("{error} {error:?}");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{text}");
        assert!(text.contains("out of memory") && !text.contains("Mustermann"), "{kind}: {text}");
    }
}

#[tokio::test]
async fn a_page_instead_of_a_stream_is_an_error() {
    let server = serve(|_, _| ResponseTemplate::new(200).set_body_raw("<html>", "text/html")).await;
    assert_eq!(told(&server).await.2.unwrap_err(), ErrorKind::Protocol);
}

#[tokio::test]
async fn who_does_not_want_streams_asks_for_none() {
    let server = serve(|_, _| {
        ResponseTemplate::new(200)
            .set_body_json(json!({ "text": "a b", "segments": [{ "start": 0, "end": 1, "text": "a b" }] }))
    })
    .await;
    let options = TranscribeOptions::default().with_timestamps(Timestamps::Segments);
    let transcriber = transcriber_with(&server.url(), TranscriberConfig::faster_whisper_server());
    let stream = transcriber.stream(Audio::bytes("a.wav", "x"), &options).await.unwrap();
    let events: Vec<_> = stream.map(Result::unwrap).collect().await;
    assert!(matches!(
        events.as_slice(),
        [TranscriptEvent::Text(_), TranscriptEvent::Segment(_), TranscriptEvent::Done(_)]
    ));
    assert_eq!(server.sent()[0].field("stream"), None);
}
