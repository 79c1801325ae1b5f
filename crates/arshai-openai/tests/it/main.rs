//! What real servers do to a client, done on purpose: statuses and bodies with wiremock, the wire with the fault proxy and
//! a server of a few lines.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod batches;
mod chat;
mod config;
mod drops;
mod fake;
mod limits;
mod logs;
mod status;
mod stream;
mod tls;
mod unstreamed;
mod vectors;
mod wire;

use std::time::Duration;

use arshai_openai::{OpenAiChat, OpenAiConfig, OpenAiEmbedder, Transport};

/// A configuration that does not keep tests waiting.
fn quick(base: &str) -> OpenAiConfig {
    let mut config = OpenAiConfig::new(format!("{base}/v1")).with_api_key("sk-very-hidden");
    config.first_wait = Duration::from_millis(1);
    config.longest_wait = Duration::from_millis(5);
    config
}

fn embedder(config: OpenAiConfig) -> OpenAiEmbedder {
    OpenAiEmbedder::new(Transport::new(config).unwrap(), "test-model").unwrap()
}

fn chat_model(config: OpenAiConfig) -> OpenAiChat {
    OpenAiChat::new(Transport::new(config).unwrap(), "test-model").unwrap()
}
