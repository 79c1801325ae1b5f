//! What the interface for short audio would hear half, or hear wrongly.

use arshai_core::{
    ErrorKind,
    speech::{Audio, TranscribeOptions, Transcriber as _},
};
use arshai_speech::{AzureHearing, AzureSpeechConfig, AzureSpeechTranscriber};
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::fake::{Running, serve, wav};

const MINUTE: usize = 60 * 16_000;

async fn server() -> Running {
    serve(|_, _| {
        ResponseTemplate::new(200)
            .set_body_json(json!({ "RecognitionStatus": "Success", "DisplayText": "Hello." }))
    })
    .await
}

fn transcriber(server: &Running) -> AzureSpeechTranscriber {
    let config = AzureSpeechConfig::new("very-hidden", "westeurope").with_base_url(server.url());
    config.with_hearing(AzureHearing::Short).transcriber().unwrap()
}

#[tokio::test]
async fn what_is_not_short_audio_is_refused_before_it_is_sent() {
    let server = server().await;
    let transcriber = transcriber(&server);
    let options = TranscribeOptions::default();
    let mut stereo = wav(16_000, &[1; 100]);
    stereo[22] = 2;
    stereo[32] = 4;
    for (audio, told) in [
        (Audio::bytes("a.wav", wav(16_000, &vec![1; MINUTE + 16_000])), "seconds: 61.0"),
        (Audio::bytes("a.wav", wav(44_100, &[1; 100])), "44100 Hz"),
        (Audio::bytes("a.wav", stereo), "2 channels"),
        (Audio::bytes("a.wav", "no such file"), "no WAV file"),
        (Audio::bytes("a.ogg", "no such file"), "no Ogg file"),
        (Audio::reader("a.wav", std::io::Cursor::new(wav(8_000, &[1; 100]))), "8000 Hz"),
    ] {
        let error = transcriber.transcribe(audio, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(told) && text.contains("file: a.") && text.contains("fast transcription"),
            "{text}"
        );
    }
    assert!(server.sent().is_empty());
}

#[tokio::test]
async fn a_minute_is_short_however_it_arrives() {
    let server = server().await;
    let transcriber = transcriber(&server);
    let minute = wav(16_000, &vec![1; MINUTE]);
    for audio in
        [Audio::bytes("a.wav", minute.clone()), Audio::reader("a.wav", std::io::Cursor::new(minute.clone()))]
    {
        let heard = transcriber.transcribe(audio, &TranscribeOptions::default()).await.unwrap();
        assert_eq!(heard.text, "Hello.");
        assert_eq!(server.sent().pop().unwrap().body, minute);
    }
}
