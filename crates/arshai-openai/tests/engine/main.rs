//! Real servers: `cargo xtask integration openai`, or `eval "$(cargo xtask services up openai --env)"` first.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod chat;
mod embeddings;

use arshai_openai::{
    ChatConfig, EmbedderConfig, OpenAiChat, OpenAiConfig, OpenAiEmbedder, TooLong, Transport,
};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: start the servers with `cargo xtask services up openai --env`, or set it to a base URL")
    })
}

fn transport(name: &str) -> Transport {
    Transport::new(OpenAiConfig::new(variable(name))).unwrap()
}

fn embedder(too_long: TooLong) -> OpenAiEmbedder {
    let config = EmbedderConfig::minilm().with_too_long(too_long);
    OpenAiEmbedder::with_config(transport("ARSHAI_TEST_OPENAI_EMBEDDINGS_URL"), "all-MiniLM-L6-v2", config)
        .unwrap()
}

/// Short answers, always the same ones.
fn chat() -> OpenAiChat {
    chat_with(ChatConfig::default().with_max_tokens(24))
}

fn chat_with(config: ChatConfig) -> OpenAiChat {
    let config = config.with_temperature(0.0).with_extra("seed", 7);
    OpenAiChat::with_config(transport("ARSHAI_TEST_OPENAI_CHAT_URL"), "gemma-3-270m", config).unwrap()
}
