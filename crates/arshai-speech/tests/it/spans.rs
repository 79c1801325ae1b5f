//! What is logged, and what is not.

use std::sync::{Arc, Mutex};

use arshai_core::speech::{Audio, SpeakOptions, Synthesizer as _, TranscribeOptions, Transcriber as _};
use arshai_openai::{OpenAiConfig, Transport};
use arshai_speech::{OpenAiSynthesizer, OpenAiTranscriber, SpeechConfig};
use futures_util::StreamExt as _;
use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

use crate::{
    fake::{serve, sound, wav},
    synthesizer, transcriber,
};

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What is warned of while both models of these settings are made.
fn warned(config: &SpeechConfig) -> String {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        config.transcriber().unwrap();
        config.synthesizer().unwrap();
    });
    log.text()
}

#[test]
fn a_retiring_model_of_openai_is_warned_of_once_by_name_and_day() {
    // Making a model opens no connection.
    let openai = SpeechConfig::default();
    for (model, day) in [
        ("whisper-1", "2027-02-26"),
        ("gpt-4o-transcribe", "2027-02-26"),
        ("gpt-4o-mini-transcribe", "2027-02-26"),
        ("gpt-4o-transcribe-diarize", "2027-02-26"),
        ("tts-1", "2027-01-06"),
        ("tts-1-hd", "2027-01-06"),
        ("gpt-4o-mini-tts", "2027-01-06"),
    ] {
        let speaks = model.contains("tts");
        let (hearing, speaking) = if speaks { ("stays", model) } else { (model, "stays") };
        let config = openai.clone().with_transcription_model(hearing).with_synthesis_model(speaking);
        let text = warned(&config);
        assert_eq!(text.matches(" WARN ").count(), 1, "{model}: {text}");
        assert!(text.contains("arshai_speech"), "by its name it is shown or hidden: {text}");
        for told in [format!("model=\"{model}\""), format!("day=\"{day}\"")] {
            assert!(text.contains(&told), "{told} is not in {text}");
        }
    }
    let both = openai.with_transcription_model("whisper-1").with_synthesis_model("tts-1");
    assert_eq!(warned(&both).matches(" WARN ").count(), 2, "one for each");
}

#[test]
fn no_other_host_and_no_other_model_is_warned_of() {
    let old = |server: OpenAiConfig| {
        SpeechConfig::of(server).with_transcription_model("whisper-1").with_synthesis_model("tts-1")
    };
    let azure = OpenAiConfig::azure_deployment("https://x.openai.azure.com", "hears", "2024-10-21");
    for (name, config) in [
        ("a server of one's own", old(OpenAiConfig::new("http://127.0.0.1:1/v1"))),
        ("another vendor", old(OpenAiConfig::new("https://api.openai.com.example/v1").with_api_key("k"))),
        ("Azure", old(azure.with_api_key("k"))),
        (
            "models that stay",
            SpeechConfig::default().with_transcription_model("gpt-transcribe").with_synthesis_model("later"),
        ),
    ] {
        assert_eq!(warned(&config), "", "{name}");
    }
}

#[tokio::test]
async fn spans_hold_content_when_they_are_told_to() {
    let server = serve(|_, sent| match sent.path.as_str() {
        "/v1/audio/speech" => sound("audio/wav", wav(8_000, &[1, 2])),
        _ => crate::fake::said("what was heard"),
    })
    .await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .finish();
    let work = async {
        let mut config = crate::quick(&server.url());
        config.capture_content = true;
        let transport = Transport::new(config).unwrap();
        let hears = OpenAiTranscriber::new(transport.clone(), "m").unwrap();
        let speaks = OpenAiSynthesizer::new(transport, "m").unwrap();
        speaks.synthesize("what was said", &SpeakOptions::default()).await.unwrap();
        let stream = hears.stream(Audio::bytes("a.wav", "x"), &TranscribeOptions::default()).await.unwrap();
        stream.map(Result::unwrap).collect::<Vec<_>>().await;
    };
    work.with_subscriber(subscriber).await;
    let text = log.text();
    for expected in [r#"gen_ai.input.messages="what was said""#, r#"gen_ai.output.messages="what was heard""#]
    {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
}

#[tokio::test]
async fn spans_name_operation_model_and_failure_and_hold_no_content() {
    let server = serve(|_, sent| match sent.path.as_str() {
        "/v1/audio/speech" => sound("audio/wav", wav(8_000, &[1, 2])),
        _ => wiremock::ResponseTemplate::new(401),
    })
    .await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_span_events(FmtSpan::CLOSE)
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .finish();
    let work = async {
        synthesizer(&server.url()).synthesize("a private text", &SpeakOptions::default()).await.unwrap();
        let options = TranscribeOptions::default().with_prompt("a private prompt");
        transcriber(&server.url()).transcribe(Audio::bytes("a.wav", "x"), &options).await.unwrap_err();
    };
    work.with_subscriber(subscriber).await;
    let text = log.text();
    for expected in [
        r#"otel.name="speak test-model""#,
        r#"gen_ai.operation.name="speak""#,
        r#"gen_ai.output.type="speech""#,
        r#"otel.name="transcribe test-model""#,
        r#"gen_ai.request.model="test-model""#,
        r#"error.type="unauthorized""#,
        r#"server.address="127.0.0.1""#,
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    assert!(!text.contains("private") && !text.contains("sk-very-hidden"), "{text}");
}
