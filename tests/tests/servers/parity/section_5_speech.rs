//! Section 5: speech to text and back.

use std::{io::Cursor, path::Path, sync::Arc, time::Duration};

use arshai::speech::{
    AzureSpeechConfig, OpenAiSynthesizer, OpenAiTranscriber, SpeechConfig, Split, SynthesizerConfig,
    TranscriberConfig,
};
use arshai::{
    ErrorKind,
    blocking::{Blocking, Runtime, Synthesizer as _, Transcriber as _},
    speech::{
        Audio, AudioFormat, SpeakOptions, Speech, Synthesizer, SynthesizerExt as _, Timestamps,
        TranscribeOptions, Transcriber,
    },
};
use arshai_conformance::fault::{Direction, Fault, FaultProxy};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use crate::{own_process::with_variables, place::variable};

const SENTENCE: &str = "The moon orbits the earth in about twenty seven days.";

fn hears() -> SpeechConfig {
    SpeechConfig::new(variable("ARSHAI_TEST_SPEECH_TO_TEXT_URL"))
        .with_transcription_model("whisper-1")
        .with_transcriber(TranscriberConfig::faster_whisper_server())
}

fn speaks(url: &str) -> OpenAiSynthesizer {
    SpeechConfig::new(url).with_synthesis_model("tts-1").synthesizer().unwrap()
}

fn speaker() -> OpenAiSynthesizer {
    speaks(&variable("ARSHAI_TEST_TEXT_TO_SPEECH_URL"))
}

fn wav() -> SpeakOptions {
    SpeakOptions::default().with_format(AudioFormat::Wav)
}

fn is_heard(text: &str) {
    let text = text.to_lowercase();
    assert!(text.contains("moon") && text.contains("earth"), "{text}");
}

async fn spoken(text: &str) -> Speech {
    speaker().synthesize(text, &wav()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_5_speech_carry_speech_becomes_text_from_a_path_bytes_and_a_reader() {
    let (folder, speech) = (tempfile::tempdir().unwrap(), spoken(SENTENCE).await);
    let file = folder.path().join("moon.wav");
    std::fs::write(&file, &speech.audio).unwrap();
    let transcriber = hears().transcriber().unwrap();
    for audio in [
        Audio::file(&file),
        Audio::bytes("moon.wav", speech.audio.clone()),
        Audio::reader("moon.wav", Cursor::new(speech.audio.clone())),
    ] {
        is_heard(&transcriber.transcribe(audio, &TranscribeOptions::default()).await.unwrap().text);
    }
}

#[test]
fn section_5_speech_carry_both_ways_without_async() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), Runtime::new().unwrap());
    let file = folder.path().join("moon.wav");
    let speaker: Blocking<dyn Synthesizer> = Blocking::new(Arc::new(speaker()), runtime.clone());
    let length = speaker.synthesize_to_file(SENTENCE, &wav(), &file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().len(), length);
    let hearer: Blocking<dyn Transcriber> = Blocking::new(Arc::new(hears().transcriber().unwrap()), runtime);
    is_heard(&hearer.transcribe(Audio::file(&file), &TranscribeOptions::default()).unwrap().text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_5_speech_carry_text_becomes_speech_as_bytes_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("moon.wav");
    let bytes = spoken(SENTENCE).await;
    assert!(bytes.format == AudioFormat::Wav && bytes.audio.starts_with(b"RIFF"), "{:?}", bytes.format);
    let length = speaker().synthesize_to_file(SENTENCE, &wav(), &file).await.unwrap();
    let written = std::fs::read(&file).unwrap();
    assert!(written.len() as u64 == length && written.starts_with(b"RIFF"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_5_speech_carry_a_missing_file_is_a_clear_error() {
    let proxy = FaultProxy::start("127.0.0.1:9").await.unwrap();
    let transcriber = SpeechConfig::new(proxy.url("http")).transcriber().unwrap();
    let error = transcriber.transcribe(Audio::file("no/such.wav"), &Default::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no/such.wav"), "{error}");
    assert_eq!(proxy.stats().accepted, 0, "nothing was sent");
}

#[test]
fn section_5_speech_carry_azure_is_reached_by_its_variables() {
    let variables =
        [("AZURE_SPEECH_KEY", "hunter2"), ("AZURE_SPEECH_REGION", "westeurope"), ("AZURE_SPEECH_VOICE", "v")];
    let test = "section_5_speech_carry_azure_is_reached_by_its_variables";
    with_variables(module_path!(), test, &variables, || {
        let config = AzureSpeechConfig::from_env().unwrap();
        assert_eq!((config.region.as_str(), config.voice.as_str()), ("westeurope", "v"));
        assert!(!format!("{config:?}").contains("hunter2"));
        config.transcriber().unwrap();
        config.synthesizer().unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_5_speech_mend_a_recording_is_sent_as_it_is_read() {
    // A stream of which nobody knows the length: it can only be sent as it comes.
    let speech = spoken(SENTENCE).await;
    let server = MockServer::start().await;
    let heard = ResponseTemplate::new(200).set_body_json(json!({ "text": "heard" }));
    Mock::given(method("POST")).respond_with(heard).mount(&server).await;
    let transcriber = SpeechConfig::new(server.uri()).transcriber().unwrap();
    let audio = Audio::reader("moon.wav", Cursor::new(speech.audio.clone()));
    assert_eq!(transcriber.transcribe(audio, &Default::default()).await.unwrap().text, "heard");
    let request = &server.received_requests().await.unwrap()[0];
    assert!(request.headers.get("content-length").is_none(), "{:?}", request.headers);
    assert!(request.body.len() > speech.audio.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_5_speech_mend_a_file_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("moon.wav");
    let url = variable("ARSHAI_TEST_TEXT_TO_SPEECH_URL");
    let place = url.split_once("://").unwrap().1.split('/').next().unwrap();
    let proxy = FaultProxy::start(place).await.unwrap();
    proxy.set(Fault::cut_after(Direction::ToClient, 20_000)).await.unwrap();
    let behind = speaks(&url.replacen(place, &proxy.address().to_string(), 1));
    let error = behind.synthesize_to_file(SENTENCE, &wav(), &file).await.unwrap_err();
    println!("{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no part of it is left");
    proxy.heal().await.unwrap();
    behind.synthesize_to_file(SENTENCE, &wav(), &file).await.unwrap();
    assert!(Path::new(&file).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_5_speech_mend_subtitles_are_written() {
    let speech = spoken(SENTENCE).await;
    let options = TranscribeOptions::default().with_timestamps(Timestamps::Segments);
    let transcriber = hears().transcriber().unwrap();
    let transcript = transcriber.transcribe(Audio::bytes("moon.wav", speech.audio), &options).await.unwrap();
    assert!(!transcript.segments.is_empty(), "{transcript:?}");
    is_heard(&transcript.to_srt().unwrap());
    assert!(transcript.to_srt().unwrap().contains(" --> "));
    assert!(transcript.to_vtt().unwrap().starts_with("WEBVTT"));
    let json = serde_json::to_value(&transcript).unwrap();
    assert!(json["segments"][0]["end"].as_f64().unwrap() > 0.0, "{json}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn section_5_speech_mend_long_texts_and_long_recordings_are_split() {
    let sentences = [
        "The moon orbits the earth.",
        "Green tea is steeped for two minutes.",
        "Bread needs flour and water.",
    ];
    let text = sentences.join(" ");
    let speaker = |url: &str| {
        let short = SynthesizerConfig::default().with_max_chars(40);
        let config = SpeechConfig::new(url).with_synthesis_model("tts-1").with_synthesizer(short);
        config.synthesizer().unwrap()
    };
    let hearer = |config: SpeechConfig| -> OpenAiTranscriber {
        let split = Split::default().with_longest(Duration::from_secs(3));
        let split = TranscriberConfig::faster_whisper_server().with_split(Some(split));
        config.with_transcriber(split).transcriber().unwrap()
    };
    let speech =
        speaker(&variable("ARSHAI_TEST_TEXT_TO_SPEECH_URL")).synthesize(&text, &wav()).await.unwrap();
    let long = || Audio::bytes("long.wav", speech.audio.clone());
    let transcript = hearer(hears()).transcribe(long(), &Default::default()).await.unwrap();
    println!("{}", transcript.text);
    let said = transcript.text.to_lowercase();
    // The voice is never twice the same and the smallest Whisper mishears a word now and then: one of each sentence.
    let words = [["moon", "orbit", "earth"], ["green", "tea", "minutes"], ["bread", "flour", "water"]];
    let places = words.map(|words| words.iter().filter_map(|word| said.find(word)).min());
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}: {said}");

    // The same beside a server that counts: a request for each sentence, and for each part of the recording.
    let (server, ears) = (MockServer::start().await, MockServer::start().await);
    let one = ResponseTemplate::new(200).set_body_raw(spoken(SENTENCE).await.audio, "audio/wav");
    Mock::given(path("/audio/speech")).respond_with(one).mount(&server).await;
    let heard = ResponseTemplate::new(200).set_body_json(json!({ "text": "part" }));
    Mock::given(path("/audio/transcriptions")).respond_with(heard).mount(&ears).await;
    speaker(&server.uri()).synthesize(&text, &wav()).await.unwrap();
    let inputs = server.received_requests().await.unwrap().into_iter().map(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        body["input"].as_str().unwrap().trim().to_owned()
    });
    let mut inputs: Vec<String> = inputs.collect();
    inputs.sort();
    let mut expected = sentences;
    expected.sort_unstable();
    assert_eq!(inputs, expected);
    let config = SpeechConfig::new(ears.uri()).with_transcription_model("whisper-1");
    let transcript = hearer(config).transcribe(long(), &Default::default()).await.unwrap();
    let parts = ears.received_requests().await.unwrap();
    println!("{} bytes in {} parts", speech.audio.len(), parts.len());
    assert!(parts.len() > 1 && parts.iter().all(|part| part.body.len() < speech.audio.len()));
    assert_eq!(transcript.text.matches("part").count(), parts.len(), "{}", transcript.text);
}

#[test]
fn section_5_speech_mend_models_are_configuration_and_a_retiring_one_is_warned_of() {
    let variables = [("OPENAI_TRANSCRIPTION_MODEL", "whisper-1"), ("OPENAI_SPEECH_MODEL", "piper")];
    let test = "section_5_speech_mend_models_are_configuration_and_a_retiring_one_is_warned_of";
    with_variables(module_path!(), test, &variables, || {
        let config = SpeechConfig::from_env().unwrap();
        let models = (config.transcription_model.as_str(), config.synthesis_model.as_str());
        assert_eq!(models, ("whisper-1", "piper"));
        let warned = crate::said::by(|| drop(config.transcriber().unwrap()));
        assert!(warned.contains("WARN") && warned.contains("whisper-1"), "{warned}");
        let silent = crate::said::by(|| drop(hears_elsewhere().transcriber().unwrap()));
        assert!(!silent.contains("WARN"), "servers of one's own keep their models: {silent}");
    });
}

fn hears_elsewhere() -> SpeechConfig {
    SpeechConfig::new("http://127.0.0.1:9/v1").with_transcription_model("whisper-1")
}
