//! What this program was built with, by name and URL.

use std::sync::Arc;

use arshai_core::{
    Error,
    chat::ChatModel,
    config::Variable,
    embed::Embedder,
    memory::{InMemoryMemory, MemoryStore},
    registry::{Provider, Registry},
    speech::{Synthesizer, Transcriber},
    vector::{InMemoryVectors, VectorStore},
};

/// Everything that can be opened by name or URL. Other crates' backends join with
/// [`register`](Registry::register).
///
/// | kind | names and URLs | feature |
/// |---|---|---|
/// | memory | `in_memory`, `memory://` | |
/// | memory | `sqlite://PATH`, `sqlite:PATH` | `sqlite` |
/// | memory | `redis`, `async_redis` (both as `REDIS_URL` says), `redis://…`, `redis-cluster://…`, `redis-sentinel://…`, with TLS `rediss…` | `redis` |
/// | vector store | `in_memory`, `memory://` | |
/// | vector store | `sqlite://PATH`, `sqlite:PATH` | `sqlite` |
/// | vector store | `milvus` (as `MILVUS_HOST` and others say), `milvus://…`, `milvuss://…` (TLS) | `milvus` |
/// | embedder | `local` | `minilm` |
/// | embedder | `openai`, `openai:MODEL` | `openai` |
/// | chat model | `extractive` | `local` |
/// | chat model | `openai:MODEL` | `openai` |
/// | transcriber, synthesizer | `openai`, `openai:MODEL`, `azure` | `speech` |
///
/// What stands behind a name and is not in this table is refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Backends {
    /// Conversation memory.
    pub memories: Registry<dyn MemoryStore>,
    /// Vector stores.
    pub stores: Registry<dyn VectorStore>,
    /// Embedders.
    pub embedders: Registry<dyn Embedder>,
    /// Chat models.
    pub models: Registry<dyn ChatModel>,
    /// What writes down speech.
    pub transcribers: Registry<dyn Transcriber>,
    /// What speaks.
    pub synthesizers: Registry<dyn Synthesizer>,
}

impl Default for Backends {
    fn default() -> Self {
        Self::built_in()
    }
}

impl Backends {
    /// What the features of this crate give.
    pub fn built_in() -> Self {
        let mut backends = Self {
            memories: Registry::new("memory"),
            stores: Registry::new("vector store"),
            embedders: Registry::new("embedder"),
            models: Registry::new("chat model"),
            transcribers: Registry::new("transcriber"),
            synthesizers: Registry::new("synthesizer"),
        };
        backends.memories.register(
            Provider::new(|address| async move {
                address.refuse_argument()?;
                Ok(Arc::new(InMemoryMemory::new()) as Arc<dyn MemoryStore>)
            })
            .with_names(["in_memory"])
            .with_schemes(["memory"]),
        );
        backends.stores.register(
            Provider::new(|address| async move {
                address.refuse_argument()?;
                Ok(Arc::new(InMemoryVectors::new()) as Arc<dyn VectorStore>)
            })
            .with_names(["in_memory"])
            .with_schemes(["memory"]),
        );
        backends.note_absent();
        backends.add_built_in();
        backends
    }

    /// Only what is not there: a scheme that is, written without its slashes, needs no feature.
    fn note_absent(&mut self) {
        if cfg!(not(feature = "sqlite")) {
            self.memories.note_absent(["sqlite"], "sqlite");
            self.stores.note_absent(["sqlite"], "sqlite");
        }
        if cfg!(not(feature = "redis")) {
            self.memories.note_absent(REDIS, "redis");
        }
        if cfg!(not(feature = "milvus")) {
            self.stores.note_absent(["milvus", "milvuss"], "milvus");
        }
        if cfg!(not(feature = "minilm")) {
            self.embedders.note_absent(["local"], "minilm");
        }
        if cfg!(not(feature = "local")) {
            self.models.note_absent(["extractive"], "local");
        }
        if cfg!(not(feature = "openai")) {
            self.embedders.note_absent(["openai"], "openai");
            self.models.note_absent(["openai"], "openai");
        }
        if cfg!(not(feature = "speech")) {
            self.transcribers.note_absent(["openai", "azure"], "speech");
            self.synthesizers.note_absent(["openai", "azure"], "speech");
        }
    }

    fn add_built_in(&mut self) {
        #[cfg(feature = "sqlite")]
        {
            let files = arshai_sqlite::SqliteFiles::default();
            self.memories.register(files.memories());
            self.stores.register(files.stores());
        }
        #[cfg(feature = "milvus")]
        self.stores.register(arshai_milvus::provider());
        #[cfg(feature = "redis")]
        self.memories.register(arshai_redis::provider());
        #[cfg(feature = "minilm")]
        self.embedders.register(arshai_local::embedder_provider());
        #[cfg(feature = "local")]
        self.models.register(arshai_local::model_provider());
        #[cfg(feature = "openai")]
        {
            self.embedders.register(arshai_openai::embedder_provider());
            self.models.register(arshai_openai::model_provider());
        }
        #[cfg(feature = "speech")]
        {
            self.transcribers.register(crate::speaking::openai_transcriber());
            self.transcribers.register(crate::speaking::azure_transcriber());
            self.synthesizers.register(crate::speaking::openai_synthesizer());
            self.synthesizers.register(crate::speaking::azure_synthesizer());
        }
    }
}

/// Names and schemes of the feature `redis`.
const REDIS: [&str; 12] = [
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "redis-cluster",
    "rediss-cluster",
    "redis+cluster",
    "rediss+cluster",
    "redis-sentinel",
    "rediss-sentinel",
    "redis+unix",
    "async_redis",
];

/// What the backends of this program read from the environment.
pub(crate) fn variables() -> Vec<Variable> {
    #[cfg_attr(
        not(any(feature = "minilm", feature = "milvus", feature = "redis", feature = "openai")),
        expect(unused_mut, reason = "some features add to it")
    )]
    let mut variables = Vec::new();
    #[cfg(feature = "minilm")]
    variables.extend(arshai_local::Weights::VARIABLES);
    #[cfg(feature = "milvus")]
    variables.extend(arshai_milvus::MilvusConfig::VARIABLES);
    #[cfg(feature = "redis")]
    variables.extend(arshai_redis::RedisConfig::VARIABLES);
    #[cfg(feature = "openai")]
    variables.extend(arshai_openai::OpenAiConfig::VARIABLES);
    #[cfg(feature = "speech")]
    {
        variables.extend(arshai_speech::SpeechConfig::VARIABLES);
        variables.extend(arshai_speech::AzureSpeechConfig::VARIABLES);
    }
    variables
}

/// What is in force where the default of a backend's variable is told in words.
pub(crate) fn default_of(variable: &Variable) -> Option<String> {
    match variable.name {
        #[cfg(feature = "minilm")]
        "ARSHAI_MODEL_DIR" => Some(arshai_local::Weights::default_folder().ok()?.display().to_string()),
        _ => None,
    }
}

/// What the backends of this program do not understand in the environment.
pub(crate) fn problems() -> Vec<Error> {
    #[cfg_attr(
        not(any(feature = "minilm", feature = "milvus", feature = "redis", feature = "openai")),
        expect(unused_mut, reason = "some features add to it")
    )]
    let mut problems = Vec::new();
    #[cfg(feature = "minilm")]
    problems.extend(arshai_local::Weights::default_folder().err());
    #[cfg(feature = "milvus")]
    problems.extend(arshai_milvus::MilvusConfig::from_env().err());
    #[cfg(feature = "redis")]
    problems.extend(arshai_redis::RedisConfig::from_env().err());
    #[cfg(feature = "openai")]
    {
        use arshai_openai::OpenAiConfig;
        // An embedder reads more, and what is wrong for both is told once.
        let read = OpenAiConfig::from_env().and_then(|_| OpenAiConfig::from_env_for_embeddings());
        problems.extend(read.err());
    }
    #[cfg(feature = "speech")]
    problems.extend(crate::speaking::problems().into_iter().flatten());
    problems
}

/// The name of the service that hears when none is named.
pub(crate) fn transcription_service() -> &'static str {
    #[cfg(feature = "speech")]
    return crate::speaking::name_of(arshai_speech::SpeechService::for_transcription());
    #[cfg(not(feature = "speech"))]
    "openai"
}

/// The name of the service that speaks, likewise.
pub(crate) fn synthesis_service() -> &'static str {
    #[cfg(feature = "speech")]
    return crate::speaking::name_of(arshai_speech::SpeechService::for_synthesis());
    #[cfg(not(feature = "speech"))]
    "openai"
}

#[cfg(test)]
mod tests {
    use arshai_core::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn what_stands_behind_a_name_and_is_not_understood_is_refused() {
        let backends = Backends::built_in();
        for address in ["in_memory:x", "memory://x"] {
            assert_eq!(backends.memories.open(address).await.unwrap_err().kind(), ErrorKind::Config);
            assert_eq!(backends.stores.open(address).await.unwrap_err().kind(), ErrorKind::Config);
        }
    }

    #[cfg(all(feature = "redis", feature = "milvus"))]
    #[tokio::test]
    async fn a_scheme_without_its_slashes_is_not_told_to_need_a_feature_that_is_on() {
        let backends = Backends::built_in();
        let errors = [
            backends.memories.open("rediss").await.unwrap_err(),
            backends.stores.open("milvuss").await.unwrap_err(),
        ];
        for error in errors {
            assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("s://…?"), "{error}");
        }
    }

    #[cfg(feature = "redis")]
    #[test]
    fn every_name_of_redis_is_known_to_need_its_feature() {
        let known = Backends::built_in().memories.known();
        let of_redis = known
            .iter()
            .map(|name| name.trim_end_matches("://"))
            .filter(|name| !["in_memory", "memory", "sqlite"].contains(name));
        for name in of_redis {
            assert!(REDIS.contains(&name), "{name}");
        }
    }
}
