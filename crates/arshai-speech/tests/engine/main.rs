//! Real servers: `cargo xtask integration speech`, or `eval "$(cargo xtask services up speech --env)"` first.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[cfg(target_os = "linux")]
#[path = "../load/growth.rs"]
mod growth;
#[cfg(target_os = "linux")]
mod large;
mod long;
mod refusals;
mod round_trip;
mod words;

use arshai_openai::{OpenAiConfig, Transport};
use arshai_speech::{OpenAiSynthesizer, OpenAiTranscriber, SynthesizerConfig, TranscriberConfig};

/// What is spoken and heard again. Numbers and names would be written in more than one way.
const SENTENCES: [&str; 10] = [
    "The quick brown fox jumps over the lazy dog.",
    "A memory is kept for twelve hours and then it is forgotten.",
    "Please close the window before you leave the room.",
    "They walked along the river until the sun went down.",
    "She bought fresh bread and a bottle of milk.",
    "Nothing in this building works without electricity.",
    "The children were playing in the garden behind the house.",
    "Every document is divided into passages before it is stored.",
    "He wrote a long letter to his brother in Canada.",
    "The weather will be cold and cloudy for the rest of the week.",
];

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: start the servers with `cargo xtask services up speech --env`, or set it to a base URL")
    })
}

fn server(name: &str) -> Transport {
    let mut config = OpenAiConfig::new(variable(name));
    config.request_timeout = std::time::Duration::from_secs(180);
    config.total_timeout = std::time::Duration::from_secs(900);
    Transport::new(config).unwrap()
}

fn transcriber(config: TranscriberConfig) -> OpenAiTranscriber {
    OpenAiTranscriber::with_config(server("ARSHAI_TEST_SPEECH_TO_TEXT_URL"), "whisper-1", config).unwrap()
}

fn synthesizer(config: SynthesizerConfig) -> OpenAiSynthesizer {
    OpenAiSynthesizer::with_config(server("ARSHAI_TEST_TEXT_TO_SPEECH_URL"), "tts-1", config).unwrap()
}
