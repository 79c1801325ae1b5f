//! What real servers refuse.

use std::time::Duration;

use arshai_core::{
    ErrorKind,
    speech::{
        Audio, AudioFormat, SpeakOptions, Synthesizer as _, SynthesizerExt as _, TranscribeOptions,
        Transcriber as _,
    },
};
use arshai_openai::{OpenAiConfig, Transport};
use arshai_speech::{OpenAiTranscriber, SynthesizerConfig, TranscriberConfig};

use crate::{synthesizer, transcriber, variable};

#[tokio::test]
async fn both_answer_a_readiness_probe_and_a_port_without_a_server_does_not() {
    transcriber(TranscriberConfig::faster_whisper_server()).health().await.unwrap();
    synthesizer(SynthesizerConfig::default()).health().await.unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = OpenAiConfig::new(format!("http://{free}/v1"));
    config.max_attempts = 1;
    let nobody = OpenAiTranscriber::new(Transport::new(config).unwrap(), "whisper-1").unwrap();
    assert_eq!(nobody.health().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// The server needs a program of its machine for the formats that are compressed: what it answers to a plain request
/// says which of the two is to be seen.
#[tokio::test]
async fn a_format_that_the_server_cannot_make_leaves_no_file_and_one_that_it_can_is_that_format() {
    let speaks = synthesizer(SynthesizerConfig::default());
    let folder = tempfile::tempdir().unwrap();
    for (format, beginnings) in [
        (AudioFormat::Mp3, [b"ID3".as_slice(), b"\xff"]),
        (AudioFormat::Flac, [b"fLaC", b"fLaC"]),
        (AudioFormat::Opus, [b"OggS", b"OggS"]),
    ] {
        let path = folder.path().join(format!("x.{format}"));
        let body =
            format!(r#"{{"model":"tts-1","voice":"alloy","input":"Hello.","response_format":"{format}"}}"#);
        let asked =
            speaks.transport().post("/audio/speech").header("content-type", "application/json").body(body);
        let status = asked.send().await.unwrap().status().as_u16();
        let options = SpeakOptions::default().with_format(format);
        let written = speaks.synthesize_to_file("Hello.", &options, &path).await;
        println!("{format}: {status}, {written:?}");
        match status {
            200 => {
                let sound = std::fs::read(&path).unwrap();
                assert_eq!(written.unwrap(), sound.len() as u64);
                assert!(beginnings.iter().any(|beginning| sound.starts_with(beginning)), "{format}");
            }
            400 => {
                let error = written.unwrap_err();
                assert_eq!((error.kind(), error.attempts()), (ErrorKind::InvalidInput, 1), "{error}");
                assert!(error.to_string().contains("status: 400"), "{error}");
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            }
            other => panic!("the server answers {other} to a request of {format}"),
        }
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_is_an_error_and_no_retry() {
    let mut config = OpenAiConfig::new(variable("ARSHAI_TEST_SPEECH_TO_TEXT_URL"));
    config.max_attempts = 5;
    config.total_timeout = Duration::from_secs(60);
    let transport = Transport::new(config).unwrap();
    let config = TranscriberConfig::faster_whisper_server();
    let hears = OpenAiTranscriber::with_config(transport, "no-such-model", config).unwrap();
    let error =
        hears.transcribe(Audio::bytes("a.wav", "RIFF"), &TranscribeOptions::default()).await.unwrap_err();
    println!("{error}");
    assert_eq!(
        (error.kind(), error.attempts(), error.is_retryable()),
        (ErrorKind::InvalidInput, 1, false),
        "{error}"
    );
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("no-such-model"), "{source}");
}

#[tokio::test]
async fn what_is_no_sound_is_an_error_of_the_server_and_no_empty_transcript() {
    let mut config = OpenAiConfig::new(variable("ARSHAI_TEST_SPEECH_TO_TEXT_URL"));
    config.max_attempts = 1;
    let config_of_server = TranscriberConfig::faster_whisper_server();
    let hears =
        OpenAiTranscriber::with_config(Transport::new(config).unwrap(), "whisper-1", config_of_server)
            .unwrap();
    let audio = Audio::bytes("a.mp3", vec![7; 10_000]);
    let error = hears.transcribe(audio, &TranscribeOptions::default()).await.unwrap_err();
    println!("{error}");
    assert!(error.to_string().contains("status: "), "{error}");
}
