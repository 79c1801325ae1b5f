//! Speech as it is sent.

use std::path::Path;

use arshai_conformance::fault::{Direction, Fault, FaultProxy, Plan};
use arshai_core::{
    ErrorKind,
    speech::{AudioFormat, SpeakOptions, Speech, Synthesizer as _, SynthesizerExt as _},
};
use arshai_openai::{OpenAiConfig, Transport};
use arshai_speech::{OpenAiSynthesizer, SynthesizerConfig};
use futures_util::TryStreamExt as _;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::{
    fake::{serve, sound, wav},
    synthesizer, synthesizer_with,
};

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn every_option_is_sent() {
    let server = serve(|_, _| sound("audio/mpeg", "ID3 sound")).await;
    let config = SynthesizerConfig::default().with_voice("joe").with_field("lang_code", "a");
    let synthesizer = synthesizer_with(&server.url(), config);
    let options = SpeakOptions::default().with_format(AudioFormat::Mp3);
    synthesizer.synthesize("Hello.", &options).await.unwrap();
    synthesizer
        .synthesize("Hello.", &options.with_voice("amy").with_speed(1.1).with_instructions("Whisper."))
        .await
        .unwrap();
    let bodies: Vec<_> = server.sent().iter().map(|sent| (sent.path.clone(), sent.json())).collect();
    let plain = json!({ "model": "test-model", "input": "Hello.", "voice": "joe", "response_format": "mp3", "lang_code": "a" });
    let mut full = plain.clone();
    full["voice"] = "amy".into();
    full["speed"] = 1.1.into();
    full["instructions"] = "Whisper.".into();
    assert_eq!(bodies, [("/v1/audio/speech".to_owned(), plain), ("/v1/audio/speech".to_owned(), full)]);
}

#[tokio::test]
async fn speech_comes_as_bytes_as_a_stream_and_as_a_file() {
    let file = wav(8_000, &(0..50_000).map(|n| n as i16).collect::<Vec<_>>());
    let body = file.clone();
    let server = serve(move |_, _| sound("audio/wav", body.clone())).await;
    let synthesizer = synthesizer(&server.url());
    let options = SpeakOptions::default();
    assert_eq!(
        synthesizer.synthesize("x", &options).await.unwrap(),
        Speech::new(AudioFormat::Wav, file.clone())
    );
    let streamed: Vec<_> =
        synthesizer.stream("x", &options).await.unwrap().audio.try_collect().await.unwrap();
    assert_eq!(streamed.concat(), file);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    let length = synthesizer.synthesize_to_file("x", &options, &path).await.unwrap();
    assert_eq!((length, std::fs::read(&path).unwrap(), files(folder.path())), (file.len() as u64, file, 1));
}

#[tokio::test]
async fn what_is_no_sound_is_an_error_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    std::fs::write(&path, "what was there").unwrap();
    for (kind, body, expected) in [
        ("text/html", "<html>Log in</html>", ErrorKind::Protocol),
        ("application/json", r#"{"error":{"message":"no such voice","code":400}}"#, ErrorKind::InvalidInput),
        ("application/json", r#"{"ok":true}"#, ErrorKind::Protocol),
        ("text/event-stream", "data: {}\n\n", ErrorKind::Protocol),
        ("audio/wav", "<html>", ErrorKind::Protocol),
        ("audio/wav", "ID3 is mp3", ErrorKind::Protocol),
        ("audio/wav", "\u{feff}<html>", ErrorKind::Protocol),
        ("audio/wav", "\r\n\r\n{\"error\":1}", ErrorKind::Protocol),
        ("audio/wav", "no RIFF at the beginning", ErrorKind::Protocol),
        ("audio/wav", "RI", ErrorKind::Protocol),
        ("audio/mpeg", "\u{1}\u{2}", ErrorKind::Truncated),
    ] {
        let body = if expected == ErrorKind::Truncated { "" } else { body };
        let server = serve(move |_, _| sound(kind, body)).await;
        let synthesizer = synthesizer(&server.url());
        let mut config = crate::quick(&server.url());
        config.max_attempts = 2;
        let options = SpeakOptions::default();
        let error = synthesizer.synthesize_to_file("x", &options, &path).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{kind} {body}: {error}");
        let patient = OpenAiSynthesizer::new(Transport::new(config).unwrap(), "m").unwrap();
        assert_eq!(patient.synthesize("x", &options).await.unwrap_err().kind(), expected, "{kind} {body}");
        assert_eq!(
            (std::fs::read_to_string(&path).unwrap().as_str(), files(folder.path())),
            ("what was there", 1)
        );
    }
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_sound_leaves_no_file() {
    let body = wav(8_000, &[1; 100_000]);
    let server = serve(move |_, _| sound("audio/wav", body.clone())).await;
    let folder = tempfile::tempdir().unwrap();
    for bytes in [1_000, 60_000, 150_000] {
        let proxy = FaultProxy::start(*server.server.address()).await.unwrap();
        proxy.plan(Plan::new().connection(0, [Fault::cut_after(Direction::ToClient, bytes)]));
        let synthesizer = synthesizer(&proxy.url("http"));
        let path = folder.path().join("x.wav");
        let error = synthesizer.synthesize_to_file("x", &SpeakOptions::default(), &path).await.unwrap_err();
        assert_eq!(
            (error.kind(), files(folder.path())),
            (ErrorKind::Truncated, 0),
            "after {bytes} bytes: {error}"
        );
        // Nothing was given out yet of what is read whole: it is asked for again.
        proxy.plan(Plan::new().connection(0, [Fault::cut_after(Direction::ToClient, bytes)]));
        let spoken = synthesizer.synthesize("x", &SpeakOptions::default()).await.unwrap();
        assert_eq!(spoken.audio.len(), 200_044);
    }
}

#[tokio::test]
async fn a_stream_is_tried_again_until_it_begins() {
    let server = serve(|number, _| match number {
        0 => ResponseTemplate::new(503),
        _ => sound("audio/mpeg", "ID3 sound"),
    })
    .await;
    let options = SpeakOptions::default().with_format(AudioFormat::Mp3);
    let stream = synthesizer(&server.url()).stream("x", &options).await.unwrap();
    assert_eq!(stream.audio.try_collect::<Vec<_>>().await.unwrap().concat(), b"ID3 sound");
}

#[tokio::test]
async fn a_refusal_repeats_no_text() {
    let server = serve(|_, sent| {
        let message = format!("cannot say {}", sent.json()["input"]);
        ResponseTemplate::new(400).set_body_json(json!({ "error": { "message": message } }))
    })
    .await;
    let error = synthesizer(&server.url())
        .synthesize("my diagnosis is confidential", &SpeakOptions::default())
        .await
        .unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("cannot say") && !text.contains("diagnosis"), "{text}");
}

#[tokio::test]
async fn a_header_of_unknown_size_is_mended_in_whole_speech_and_in_files() {
    let true_sizes = wav(8_000, &[1, 2, 3]);
    let mut body = true_sizes.clone();
    body[4..8].copy_from_slice(&[255; 4]);
    body[40..44].copy_from_slice(&[255; 4]);
    let server = serve(move |_, _| sound("audio/wav", body.clone())).await;
    let spoken = synthesizer(&server.url()).synthesize("x", &SpeakOptions::default()).await.unwrap();
    assert_eq!(spoken.audio, true_sizes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    let length =
        synthesizer(&server.url()).synthesize_to_file("x", &SpeakOptions::default(), &path).await.unwrap();
    assert_eq!((std::fs::read(&path).unwrap(), length), (true_sizes.clone(), true_sizes.len() as u64));
}

#[tokio::test]
async fn azure_openai_is_addressed_by_deployment() {
    let server = serve(|_, _| sound("audio/wav", wav(8_000, &[1]))).await;
    let config =
        OpenAiConfig::azure_deployment(server.url(), "speaks", "2025-03-01-preview").with_api_key("k");
    let synthesizer = OpenAiSynthesizer::new(Transport::new(config).unwrap(), "tts").unwrap();
    synthesizer.synthesize("x", &SpeakOptions::default()).await.unwrap();
    let [sent] = server.sent().try_into().unwrap();
    assert_eq!(sent.path, "/openai/deployments/speaks/audio/speech");
    assert_eq!((sent.query.as_str(), sent.header("api-key")), ("api-version=2025-03-01-preview", Some("k")));
}
