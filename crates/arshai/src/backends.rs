//! What this program was built with, by name and URL.

use std::sync::Arc;

use arshai_core::{
    chat::ChatModel,
    config::Variable,
    embed::Embedder,
    memory::{InMemoryMemory, MemoryStore},
    registry::{Provider, Registry},
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
/// | chat model | `openai`, `openai:MODEL` | `openai` |
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
        };
        backends.memories.register(
            Provider::new(|_| async { Ok(Arc::new(InMemoryMemory::new()) as Arc<dyn MemoryStore>) })
                .with_names(["in_memory"])
                .with_schemes(["memory"]),
        );
        backends.stores.register(
            Provider::new(|_| async { Ok(Arc::new(InMemoryVectors::new()) as Arc<dyn VectorStore>) })
                .with_names(["in_memory"])
                .with_schemes(["memory"]),
        );
        backends.note_absent();
        backends.add_built_in();
        backends
    }

    /// Those that are there are found before these.
    fn note_absent(&mut self) {
        self.memories.note_absent(["sqlite"], "sqlite");
        self.stores.note_absent(["sqlite"], "sqlite");
        self.memories.note_absent(
            [
                "redis",
                "rediss",
                "redis-cluster",
                "rediss-cluster",
                "redis-sentinel",
                "rediss-sentinel",
                "redis+unix",
                "async_redis",
            ],
            "redis",
        );
        self.stores.note_absent(["milvus", "milvuss"], "milvus");
        self.embedders.note_absent(["local"], "minilm");
        self.embedders.note_absent(["openai"], "openai");
        self.models.note_absent(["extractive"], "local");
        self.models.note_absent(["openai"], "openai");
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
    }
}

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
