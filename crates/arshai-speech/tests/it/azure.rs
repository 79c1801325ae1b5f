//! Azure AI Speech.

use std::time::Duration;

use arshai_core::{
    ErrorKind,
    speech::{
        Audio, AudioFormat, SpeakOptions, Synthesizer as _, Timestamps, TranscribeOptions, Transcriber as _,
    },
};
use arshai_speech::{AzureHearing, AzureSpeechConfig};
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::fake::{serve, sound, wav};

fn config(base: &str) -> AzureSpeechConfig {
    let mut config = AzureSpeechConfig::new("very-hidden", "westeurope").with_base_url(base);
    config.server.first_wait = Duration::from_millis(1);
    config
}

fn words() -> TranscribeOptions {
    TranscribeOptions::default().with_timestamps(Timestamps::Words)
}

#[tokio::test]
async fn a_text_is_spoken_as_escaped_ssml() {
    let server = serve(|_, _| sound("audio/x-wav", wav(24_000, &[1, 2]))).await;
    let synthesizer = config(&server.url()).synthesizer().unwrap();
    let options = SpeakOptions::default().with_voice("de-DE-KatjaNeural").with_speed(1.5);
    synthesizer.synthesize("1 < 2 & </voice>", &options).await.unwrap();
    let [sent] = server.sent().try_into().unwrap();
    assert_eq!(sent.path, "/cognitiveservices/v1");
    assert_eq!(sent.header("ocp-apim-subscription-key"), Some("very-hidden"));
    assert_eq!(sent.header("authorization"), None);
    assert_eq!(sent.header("content-type"), Some("application/ssml+xml"));
    assert_eq!(sent.header("x-microsoft-outputformat"), Some("riff-24khz-16bit-mono-pcm"));
    let body = String::from_utf8(sent.body).unwrap();
    assert!(
        body.contains("xml:lang=\"de-DE\"") && body.contains("<voice name=\"de-DE-KatjaNeural\">"),
        "{body}"
    );
    assert!(body.contains("rate=\"+50%\"") && body.contains("1 &lt; 2 &amp; &lt;/voice&gt;"), "{body}");
}

#[tokio::test]
async fn a_long_text_is_joined_and_formats_that_azure_lacks_are_refused() {
    let server = serve(|_, _| sound("audio/x-wav", wav(24_000, &[1, 2]))).await;
    let mut config = config(&server.url());
    config.max_chars = 12;
    let synthesizer = config.synthesizer().unwrap();
    let spoken = synthesizer.synthesize("One is one. Two is two.", &SpeakOptions::default()).await.unwrap();
    assert_eq!(spoken.audio, wav(24_000, &[1, 2, 1, 2]));
    let flac = SpeakOptions::default().with_format(AudioFormat::Flac);
    assert_eq!(synthesizer.synthesize("x", &flac).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(server.sent().len(), 2);
}

#[tokio::test]
async fn fast_transcription_tells_segments_words_and_speakers() {
    let server = serve(|_, _| {
        ResponseTemplate::new(200).set_body_json(json!({
            "durationMilliseconds": 2500,
            "combinedPhrases": [{ "text": "Hello there." }],
            "phrases": [{
                "offsetMilliseconds": 100, "durationMilliseconds": 900, "text": "Hello there.", "locale": "en-US",
                "confidence": 0.9, "speaker": 1,
                "words": [{ "text": "hello", "offsetMilliseconds": 100, "durationMilliseconds": 400 }]
            }]
        }))
    })
    .await;
    let transcriber = config(&server.url()).transcriber().unwrap();
    let options = words().with_language("de-DE").with_hints(["arshai"]);
    let heard = transcriber.transcribe(Audio::bytes("a.mp3", "sound"), &options).await.unwrap();
    assert_eq!((heard.text.as_str(), heard.duration), ("Hello there.", Some(Duration::from_millis(2500))));
    assert_eq!(
        (heard.segments[0].end, heard.segments[0].speaker.as_deref()),
        (Duration::from_secs(1), Some("1"))
    );
    assert_eq!(heard.words[0].end, Duration::from_millis(500));
    let [sent] = server.sent().try_into().unwrap();
    assert_eq!(sent.path, "/speechtotext/transcriptions:transcribe");
    assert_eq!((sent.query.as_str(), sent.recording().name.as_str()), ("api-version=2025-10-15", "audio"));
    let definition = sent.field("definition").unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&definition).unwrap(),
        json!({ "locales": ["de-DE"], "phraseList": { "phrases": ["arshai"] } })
    );
}

#[tokio::test]
async fn short_audio_is_sent_as_it_is() {
    let server = serve(|number, _| match number {
        0 => ResponseTemplate::new(503),
        1 => ResponseTemplate::new(200).set_body_json(json!({
            "RecognitionStatus": "Success", "Offset": 1_000_000, "Duration": 9_000_000,
            "NBest": [{ "Display": "Hello.", "Words": [{ "Word": "hello", "Offset": 1_000_000, "Duration": 5_000_000 }] }]
        })),
        _ => ResponseTemplate::new(200).set_body_json(json!({ "RecognitionStatus": "InitialSilenceTimeout" })),
    })
    .await;
    let transcriber = config(&server.url()).with_hearing(AzureHearing::Short).transcriber().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    let file = wav(16_000, &[1; 100]);
    std::fs::write(&path, &file).unwrap();
    let heard = transcriber.transcribe(Audio::file(&path), &words()).await.unwrap();
    assert_eq!((heard.text.as_str(), heard.segments[0].start), ("Hello.", Duration::from_millis(100)));
    assert_eq!(heard.words[0].end, Duration::from_millis(600));
    assert_eq!(transcriber.transcribe(Audio::file(&path), &words()).await.unwrap().text, "");
    let sent = server.sent();
    assert_eq!(sent[1].path, "/speech/recognition/conversation/cognitiveservices/v1");
    assert!(sent[1].query.contains("language=en-US") && sent[1].query.contains("format=detailed"));
    assert_eq!((&sent[0].body, &sent[1].body), (&file, &file));
    assert_eq!(sent[1].header("content-length"), Some("244"));
    let error = transcriber.transcribe(Audio::bytes("a.mp3", "x"), &words()).await.unwrap_err();
    assert_eq!((error.kind(), server.sent().len()), (ErrorKind::Unsupported, 3));
}

#[tokio::test]
async fn names_and_terms_are_not_sent_to_a_version_that_does_not_know_them() {
    let server = serve(|_, _| {
        ResponseTemplate::new(200).set_body_json(json!({ "combinedPhrases": [], "phrases": [] }))
    })
    .await;
    let options = words().with_hints(["arshai"]);
    let mut old = config(&server.url());
    old.api_version = "2024-11-15".to_owned();
    let old = old.transcriber().unwrap();
    let error = old.transcribe(Audio::bytes("a.mp3", "x"), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("api_version: 2024-11-15"), "{error}");
    old.transcribe(Audio::bytes("a.mp3", "x"), &words()).await.unwrap();
    let short = config(&server.url()).with_hearing(AzureHearing::Short).transcriber().unwrap();
    let error = short.transcribe(Audio::bytes("a.wav", wav(16_000, &[1])), &options).await.unwrap_err();
    assert_eq!((error.kind(), server.sent().len()), (ErrorKind::Unsupported, 1));
}

#[tokio::test]
async fn what_arrives_is_sent_as_it_arrives_or_with_its_length() {
    let server = serve(|_, _| {
        ResponseTemplate::new(200).set_body_json(json!({ "combinedPhrases": [], "phrases": [] }))
    })
    .await;
    for spool in [false, true] {
        let transcriber = config(&server.url()).with_spool(spool).transcriber().unwrap();
        let audio = Audio::reader("a.mp3", std::io::Cursor::new(vec![7; 5_000]));
        transcriber.transcribe(audio, &words()).await.unwrap();
        let sent = server.sent().pop().unwrap();
        assert_eq!((sent.recording().body.len(), sent.header("content-length").is_some()), (5_000, spool));
    }
}

#[tokio::test]
async fn a_recording_that_azure_finds_too_large_is_named() {
    let server = serve(|_, _| ResponseTemplate::new(413)).await;
    let transcriber = config(&server.url()).transcriber().unwrap();
    let error =
        transcriber.transcribe(Audio::bytes("a.mp3", "sound"), &words()).await.unwrap_err().to_string();
    assert!(error.contains("file: a.mp3") && !error.contains("azure-speech:fast"), "{error}");
    assert!(!error.contains("limit_bytes"), "{error}");
}

#[tokio::test]
async fn what_is_no_transcript_is_an_error() {
    for (body, kind) in [
        (json!({ "ok": true }), ErrorKind::Protocol),
        (json!({ "error": { "code": "401", "message": "no very-hidden here" } }), ErrorKind::Unauthorized),
    ] {
        let server = serve(move |_, _| ResponseTemplate::new(200).set_body_json(&body)).await;
        let transcriber = config(&server.url()).transcriber().unwrap();
        let error = transcriber.transcribe(Audio::bytes("a.mp3", "x"), &words()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!format!("{error:?}").contains("very-hidden"));
    }
}
