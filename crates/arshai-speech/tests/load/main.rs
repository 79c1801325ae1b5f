//! Much at once: memory during a large upload, and async threads beside slow readers. No server is needed but our own.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod canned;
#[cfg(target_os = "linux")]
mod growth;
#[cfg(target_os = "linux")]
mod large;
mod slow;

use std::time::Duration;

use arshai_openai::{OpenAiConfig, Transport};
use arshai_speech::{OpenAiTranscriber, TranscriberConfig};

/// What one test measures, another must not disturb.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn transcriber(base: &str, config: TranscriberConfig) -> OpenAiTranscriber {
    let mut server = OpenAiConfig::new(base);
    server.total_timeout = Duration::from_secs(120);
    OpenAiTranscriber::with_config(Transport::new(server).unwrap(), "test-model", config).unwrap()
}
