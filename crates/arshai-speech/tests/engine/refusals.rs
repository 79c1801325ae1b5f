//! What real servers refuse.

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
async fn both_answer_a_readiness_probe() {
    transcriber(TranscriberConfig::faster_whisper_server()).health().await.unwrap();
    synthesizer(SynthesizerConfig::default()).health().await.unwrap();
}

#[tokio::test]
async fn a_format_that_the_server_cannot_make_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mp3");
    let options = SpeakOptions::default().with_format(AudioFormat::Mp3);
    match synthesizer(SynthesizerConfig::default()).synthesize_to_file("Hello.", &options, &path).await {
        // Where ffmpeg is installed the server can.
        Ok(length) => assert_eq!(std::fs::metadata(&path).unwrap().len(), length),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_is_an_error_and_no_retry() {
    let mut config = OpenAiConfig::new(variable("ARSHAI_TEST_SPEECH_TO_TEXT_URL"));
    config.max_attempts = 2;
    let transport = Transport::new(config).unwrap();
    let config = TranscriberConfig::faster_whisper_server();
    let hears = OpenAiTranscriber::with_config(transport, "no-such-model", config).unwrap();
    let error =
        hears.transcribe(Audio::bytes("a.wav", "RIFF"), &TranscribeOptions::default()).await.unwrap_err();
    println!("{error}");
    assert!(error.to_string().contains("speech.transcribe"), "{error}");
}
