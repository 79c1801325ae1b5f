//! The examples of the umbrella crate, each in a process of its own, against the servers.

use crate::{
    own_process::with_variables,
    place::{address, url, variable},
};

#[path = "../../../crates/arshai/examples/agent.rs"]
mod agent;
#[path = "../../../crates/arshai/examples/embeddings.rs"]
mod embeddings;
#[path = "../../../crates/arshai/examples/milvus_search.rs"]
mod milvus_search;
#[path = "../../../crates/arshai/examples/redis_memory.rs"]
mod redis_memory;
#[path = "../../../crates/arshai/examples/speech.rs"]
mod speech;

/// Runs an example with these variables; what it printed holds each of these.
fn runs(test: &str, variables: &[(&str, &str)], example: impl FnOnce() -> arshai::Result<()>, says: &[&str]) {
    let printed = with_variables(module_path!(), test, variables, || example().unwrap());
    let Some(printed) = printed else { return };
    println!("{printed}");
    for words in says {
        assert!(printed.contains(words), "{words:?} is not in: {printed}");
    }
}

#[test]
fn redis_memory_runs() {
    let says = ["User: What is a vector?\nAssistant: A list of numbers.", "3 visits"];
    runs("redis_memory_runs", &[("REDIS_URL", &url("redis"))], redis_memory::main, &says);
}

#[test]
fn milvus_search_runs() {
    let address = address("milvus");
    let (host, port) = address.rsplit_once(':').unwrap();
    let variables = [("MILVUS_HOST", host), ("MILVUS_PORT", port)];
    let says = ["0.994 moon.md The moon orbits the earth.", "bread.md"];
    runs("milvus_search_runs", &variables, milvus_search::main, &says);
}

#[test]
fn embeddings_runs() {
    let url = url("embeddings");
    let variables = [("OPENAI_BASE_URL", url.as_str()), ("ARSHAI_EMBEDDER", "openai:all-MiniLM-L6-v2")];
    let says = ["openai:all-MiniLM-L6-v2: 384 values", "has no vector"];
    runs("embeddings_runs", &variables, embeddings::main, &says);
}

#[test]
fn agent_runs() {
    let (redis, chat) = (url("redis"), url("chat"));
    let variables = [("REDIS_URL", redis.as_str()), ("OPENAI_BASE_URL", &chat)];
    runs("agent_runs", &variables, agent::main, &["2 turns are kept"]);
}

#[test]
fn speech_runs() {
    let (hears, speaks) =
        (variable("ARSHAI_TEST_SPEECH_TO_TEXT_URL"), variable("ARSHAI_TEST_TEXT_TO_SPEECH_URL"));
    let variables = [
        ("OPENAI_TRANSCRIPTION_BASE_URL", hears.as_str()),
        ("OPENAI_TRANSCRIPTION_MODEL", "whisper-1"),
        ("OPENAI_SPEECH_BASE_URL", &speaks),
        ("OPENAI_SPEECH_MODEL", "tts-1"),
    ];
    runs("speech_runs", &variables, speech::main, &["bytes of speech", "heard: ", "arth"]);
}
