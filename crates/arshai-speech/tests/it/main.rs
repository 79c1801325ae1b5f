//! What real servers do to a client, done on purpose: statuses and bodies with wiremock, the wire with the fault proxy.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod arrival;
mod arriving;
mod azure;
mod azure_short;
mod blocking;
mod checks;
mod deltas;
mod dropped;
mod fake;
mod long;
mod refusals;
mod sending;
mod spans;
mod speak;
mod speak_long;
mod wire;

use std::time::Duration;

use arshai_openai::{OpenAiConfig, Transport};
use arshai_speech::{OpenAiSynthesizer, OpenAiTranscriber, SynthesizerConfig, TranscriberConfig};

/// A configuration that does not keep tests waiting.
fn quick(base: &str) -> OpenAiConfig {
    let mut config = OpenAiConfig::new(format!("{base}/v1")).with_api_key("sk-very-hidden");
    config.first_wait = Duration::from_millis(1);
    config.longest_wait = Duration::from_millis(5);
    config
}

fn transcriber(base: &str) -> OpenAiTranscriber {
    transcriber_with(base, TranscriberConfig::default())
}

fn transcriber_with(base: &str, config: TranscriberConfig) -> OpenAiTranscriber {
    OpenAiTranscriber::with_config(Transport::new(quick(base)).unwrap(), "test-model", config).unwrap()
}

fn synthesizer(base: &str) -> OpenAiSynthesizer {
    synthesizer_with(base, SynthesizerConfig::default())
}

fn synthesizer_with(base: &str, config: SynthesizerConfig) -> OpenAiSynthesizer {
    OpenAiSynthesizer::with_config(Transport::new(quick(base)).unwrap(), "test-model", config).unwrap()
}
