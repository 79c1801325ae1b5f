//! What is refused before a connection opens.

use arshai_core::{
    ErrorKind,
    speech::{Audio, SpeakOptions, Synthesizer as _, TranscribeOptions, Transcriber as _},
};
use arshai_speech::TranscriberConfig;
use futures_util::stream;

use crate::{fake::hears, synthesizer, transcriber, transcriber_with};

#[tokio::test]
async fn what_cannot_be_transcribed_is_told_before_anything_is_sent() {
    let server = hears("x").await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("empty.wav"), "").unwrap();
    std::fs::write(at("notes.txt"), "x").unwrap();
    std::fs::write(at("large.mp3"), vec![0; 101]).unwrap();
    std::fs::write(at("large.wav"), vec![0; 101]).unwrap();
    std::fs::create_dir(at("folder.wav")).unwrap();
    let transcriber =
        transcriber_with(&server.url(), TranscriberConfig::default().with_max_upload_bytes(100));
    let (invalid, missing) = (ErrorKind::InvalidInput, ErrorKind::NotFound);
    for (audio, kind, words) in [
        (Audio::file(at("gone.wav")), missing, ["gone.wav", "no such recording"]),
        (Audio::file(at("empty.wav")), invalid, ["empty.wav", "is empty"]),
        (Audio::file(at("notes.txt")), invalid, ["notes.txt", "flac, m4a, mp3"]),
        (Audio::file(at("large.mp3")), invalid, ["large.mp3", "limit_bytes: 100"]),
        // No WAV file by its content: it cannot be split.
        (Audio::file(at("large.wav")), invalid, ["large.wav", "limit_bytes: 100"]),
        (Audio::file(at("folder.wav")), invalid, ["folder.wav", "is a folder"]),
        (Audio::bytes("b.wav", ""), invalid, ["b.wav", "is empty"]),
        (Audio::bytes("b.exe", "x"), invalid, ["b.exe", "flac, m4a, mp3"]),
        (Audio::bytes("b.mp3", vec![0; 101]), invalid, ["b.mp3", "limit_bytes: 100"]),
        (Audio::stream("c.zip", stream::empty()), invalid, ["c.zip", "flac, m4a, mp3"]),
    ] {
        let shown = format!("{audio:?}");
        let error = transcriber.transcribe(audio, &TranscribeOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{shown}: {error}");
        assert_eq!(error.operation(), Some("speech.transcribe"));
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{shown}: {text}");
    }
    assert!(server.sent().is_empty());
}

#[tokio::test]
async fn what_cannot_be_spoken_is_told_before_anything_is_sent() {
    let server = hears("x").await;
    let synthesizer = synthesizer(&server.url());
    let plain = SpeakOptions::default();
    for (text, options) in
        [("", plain.clone()), (" \n\t", plain.clone()), ("x", plain.clone().with_speed(f32::NAN))]
    {
        assert_eq!(synthesizer.stream(text, &options).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(synthesizer.synthesize(text, &options).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(server.sent().is_empty());
}

#[tokio::test]
async fn a_temperature_out_of_range_is_refused() {
    let server = hears("x").await;
    let options = TranscribeOptions::default().with_temperature(f32::NAN);
    let error =
        transcriber(&server.url()).transcribe(Audio::bytes("a.wav", "x"), &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(server.sent().is_empty());
}

#[tokio::test]
async fn a_closed_transcriber_lets_nobody_in() {
    let server = hears("x").await;
    let transcriber = transcriber(&server.url());
    transcriber.health().await.unwrap();
    transcriber.close().await.unwrap();
    transcriber.close().await.unwrap();
    let error =
        transcriber.transcribe(Audio::bytes("a.wav", "x"), &TranscribeOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}
