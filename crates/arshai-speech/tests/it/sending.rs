//! What is sent, how, and how often.

use arshai_conformance::fault::{Direction, Fault, FaultProxy, Plan};
use arshai_core::{
    ErrorKind,
    speech::{Audio, Timestamps, TranscribeOptions, Transcriber as _},
};
use arshai_openai::{OpenAiConfig, Transport};
use arshai_speech::{Hints, OpenAiTranscriber, TranscriberConfig};
use wiremock::ResponseTemplate;

use crate::{
    fake::{hears, said, serve},
    transcriber, transcriber_with,
};

fn all() -> TranscribeOptions {
    TranscribeOptions::default()
        .with_language("en")
        .with_prompt("We met on Monday.")
        .with_temperature(0.2)
        .with_hints(["arshai", " Milvus "])
}

#[tokio::test]
async fn a_file_has_length_name_and_type() {
    let server = hears(" Hello. ").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my \"call\".mp3");
    let content: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let heard = transcriber(&server.url()).transcribe(Audio::file(&path), &all()).await.unwrap();
    assert_eq!(heard.text, "Hello.");
    let [sent] = server.sent().try_into().unwrap();
    assert_eq!(sent.path, "/v1/audio/transcriptions");
    assert_eq!(sent.header("authorization"), Some("Bearer sk-very-hidden"));
    assert_eq!(sent.header("content-length"), Some(sent.body.len().to_string().as_str()));
    assert_eq!(sent.header("transfer-encoding"), None);
    let recording = sent.recording();
    assert_eq!((recording.name.as_str(), &recording.body), ("file", &content));
    assert!(recording.head.contains("audio/mpeg") && recording.head.contains("call"), "{}", recording.head);
    let expected = [
        ("model", "test-model"),
        ("language", "en"),
        ("temperature", "0.2"),
        ("prompt", "arshai, Milvus. We met on Monday."),
        ("response_format", "json"),
    ];
    assert_eq!(sent.fields(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn times_are_asked_for_as_finely_as_they_are_wanted() {
    let server = hears("x").await;
    let transcriber = transcriber(&server.url());
    for (wanted, format, granularities) in [
        (Timestamps::None, "json", vec![]),
        (Timestamps::Segments, "verbose_json", vec!["segment"]),
        (Timestamps::Words, "verbose_json", vec!["segment", "word"]),
    ] {
        let options = TranscribeOptions::default().with_timestamps(wanted);
        transcriber.transcribe(Audio::bytes("a.wav", "x"), &options).await.unwrap();
        let sent = server.sent().pop().unwrap();
        assert_eq!(sent.field("response_format").as_deref(), Some(format));
        let fields = sent.fields();
        let asked: Vec<_> = fields.iter().filter(|(name, _)| name == "timestamp_granularities[]").collect();
        assert_eq!(asked.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), granularities);
    }
}

#[tokio::test]
async fn servers_that_name_things_otherwise_are_served() {
    let server = hears("x").await;
    let mut hints = TranscriberConfig::default().with_path("/hear").with_field("vad_filter", "true");
    hints.hints = Hints::Field("hotwords".to_owned());
    for (config, path, query, file, model) in [
        (
            TranscriberConfig::faster_whisper_server(),
            "/v1/audio/transcriptions",
            "",
            "file",
            Some("model_name"),
        ),
        (TranscriberConfig::whisper_cpp(), "/v1/inference", "", "file", None),
        (TranscriberConfig::whisper_asr(), "/v1/asr", "output=json", "audio_file", None),
        (hints, "/v1/hear", "", "file", Some("model")),
    ] {
        transcriber_with(&server.url(), config).transcribe(Audio::bytes("a.wav", "x"), &all()).await.unwrap();
        let sent = server.sent().pop().unwrap();
        assert_eq!((sent.path.as_str(), sent.query.as_str()), (path, query));
        assert_eq!(sent.recording().name, file);
        for name in ["model", "model_name"] {
            assert_eq!(sent.field(name).is_some(), model == Some(name), "{name} at {path}");
        }
        if path == "/v1/hear" {
            let hints: Vec<_> = sent.fields().into_iter().filter(|(name, _)| name == "hotwords").collect();
            assert_eq!(hints.len(), 2);
            assert_eq!(sent.field("vad_filter").as_deref(), Some("true"));
            assert_eq!(sent.field("prompt").as_deref(), Some("We met on Monday."));
        }
    }
}

#[tokio::test]
async fn gpt_transcribe_is_told_names_as_keywords() {
    let server = hears("x").await;
    let transport = Transport::new(crate::quick(&server.url())).unwrap();
    let transcriber = OpenAiTranscriber::new(transport, "gpt-transcribe").unwrap();
    transcriber.transcribe(Audio::bytes("a.wav", "x"), &all()).await.unwrap();
    let [sent] = server.sent().try_into().unwrap();
    let keywords: Vec<_> = sent.fields().into_iter().filter(|(name, _)| name == "keywords[]").collect();
    assert_eq!(keywords.len(), 2);
    assert_eq!(sent.field("prompt").as_deref(), Some("We met on Monday."));
}

#[tokio::test]
async fn azure_openai_is_addressed_by_deployment() {
    let server = hears("x").await;
    let config = OpenAiConfig::azure_deployment(server.url(), "hears", "2024-10-21").with_api_key("k");
    let transcriber = OpenAiTranscriber::new(Transport::new(config).unwrap(), "whisper").unwrap();
    transcriber.transcribe(Audio::bytes("a.wav", "x"), &all()).await.unwrap();
    let [sent] = server.sent().try_into().unwrap();
    assert_eq!(sent.path, "/openai/deployments/hears/audio/transcriptions");
    assert_eq!((sent.query.as_str(), sent.header("api-key")), ("api-version=2024-10-21", Some("k")));
}

#[tokio::test]
async fn files_and_bytes_are_sent_again_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp3");
    let content = vec![7_u8; 200_000];
    std::fs::write(&path, &content).unwrap();
    for audio in [Audio::file(&path), Audio::bytes("a.mp3", content.clone())] {
        let server = serve(|number, _| match number {
            0 => ResponseTemplate::new(503),
            1 => ResponseTemplate::new(429).insert_header("retry-after-ms", "1"),
            _ => said("third time"),
        })
        .await;
        let heard = transcriber(&server.url()).transcribe(audio, &all()).await.unwrap();
        assert_eq!(heard.text, "third time");
        let sent = server.sent();
        assert_eq!(sent.len(), 3);
        assert!(sent.iter().all(|sent| sent.recording().body == content));
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_off_is_sent_again() {
    let server = hears("whole").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp3");
    std::fs::write(&path, vec![7_u8; 2_000_000]).unwrap();
    for bytes in [10, 100_000, 1_000_000] {
        let proxy = FaultProxy::start(*server.server.address()).await.unwrap();
        proxy.plan(Plan::new().connection(0, [Fault::cut_after(Direction::ToServer, bytes)]));
        let heard = transcriber(&proxy.url("http")).transcribe(Audio::file(&path), &all()).await.unwrap();
        assert_eq!((heard.text.as_str(), proxy.stats().cut), ("whole", 1), "after {bytes} bytes");
    }
    assert!(server.sent().iter().all(|sent| sent.recording().body.len() == 2_000_000));
}

#[tokio::test]
async fn a_file_that_is_gone_for_the_second_attempt_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mp3");
    std::fs::write(&path, "sound").unwrap();
    let gone = path.clone();
    let server = serve(move |_, _| {
        // The first request has been read.
        let _ = std::fs::remove_file(&gone);
        ResponseTemplate::new(503)
    })
    .await;
    let error = transcriber(&server.url()).transcribe(Audio::file(&path), &all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("a.mp3"), "{error}");
}
