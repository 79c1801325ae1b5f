//! Where things are.

use std::sync::Arc;

use arshai::{
    Backends,
    memory::{MemoryKey, MemoryStore},
    milvus::{MilvusConfig, MilvusStore},
    openai::{ChatConfig, EmbedderConfig, OpenAiChat, OpenAiConfig, OpenAiEmbedder, TooLong, Transport},
    vector::VectorStore,
};
use arshai_conformance::fault::FaultProxy;
use tempfile::TempDir;

pub(crate) const MEMORIES: [&str; 4] = ["in-memory", "sqlite", "redis", "redis-cluster"];
pub(crate) const STORES: [&str; 4] = ["in-memory", "sqlite", "milvus", "milvus-lite"];
pub(crate) const REDISES: [&str; 2] = ["redis", "redis-cluster"];
pub(crate) const MILVUSES: [&str; 2] = ["milvus", "milvus-lite"];

/// The value of a variable that the runner sets.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask integration --only arshai-tests`"))
}

/// The URL of a server, as a user writes it.
pub(crate) fn url(engine: &str) -> String {
    let milvus = |name| variable(name).replacen("http://", "milvus://", 1);
    match engine {
        "redis" => variable("ARSHAI_TEST_REDIS_URL"),
        "redis-cluster" => variable("ARSHAI_TEST_REDIS_CLUSTER_URL"),
        "milvus" => milvus("ARSHAI_TEST_MILVUS_URI"),
        "milvus-lite" => milvus("ARSHAI_TEST_MILVUS_LITE_URI"),
        "chat" => variable("ARSHAI_TEST_OPENAI_CHAT_URL"),
        "embeddings" => variable("ARSHAI_TEST_OPENAI_EMBEDDINGS_URL"),
        other => panic!("{other} is no server"),
    }
}

/// Host and port of a server.
pub(crate) fn address(engine: &str) -> String {
    let url = url(engine);
    let place = url.split_once("://").unwrap().1;
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    place.split(['/', '?']).next().unwrap().to_owned()
}

/// A proxy before a server, and the server's URL through it.
pub(crate) async fn behind_proxy(engine: &str) -> (FaultProxy, String) {
    let address = address(engine);
    let proxy = match MILVUSES.contains(&engine) {
        true => FaultProxy::start_http2(address.clone()).await.unwrap(),
        false => FaultProxy::start(address.clone()).await.unwrap(),
    };
    let url = url(engine).replacen(&address, &proxy.address().to_string(), 1);
    (proxy, url)
}

pub(crate) async fn memory_at(url: &str) -> Arc<dyn MemoryStore> {
    Backends::built_in().memories.open(url).await.unwrap()
}

pub(crate) async fn store_at(url: &str) -> Arc<dyn VectorStore> {
    Backends::built_in().stores.open(url).await.unwrap()
}

pub(crate) fn milvus(engine: &str) -> MilvusStore {
    MilvusStore::new(MilvusConfig::from_url(&url(engine)).unwrap()).unwrap()
}

/// The embedding server through this base URL.
pub(crate) fn embedder_at(url: &str) -> OpenAiEmbedder {
    let transport = Transport::new(OpenAiConfig::new(url)).unwrap();
    let config = EmbedderConfig::minilm().with_too_long(TooLong::Error);
    OpenAiEmbedder::with_config(transport, "all-MiniLM-L6-v2", config).unwrap()
}

/// The chat server through this base URL: short answers, always the same ones.
pub(crate) fn chat_at(url: &str) -> OpenAiChat {
    let transport = Transport::new(OpenAiConfig::new(url).with_max_attempts(1)).unwrap();
    let config = ChatConfig::default().with_max_tokens(24).with_temperature(0.0).with_extra("seed", 7);
    OpenAiChat::with_config(transport, "gemma-3-270m", config).unwrap()
}

/// A name that no other test, and no other run, uses.
pub(crate) fn fresh(prefix: &str) -> String {
    format!("{prefix}_{:016x}", fastrand::u64(..))
}

/// A conversation that no other test, and no other run, uses.
pub(crate) fn fresh_key(prefix: &str) -> MemoryKey {
    MemoryKey::new(fresh(prefix)).unwrap()
}

/// A memory and a store, each opened by its URL as a user opens it.
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) memory: Arc<dyn MemoryStore>,
    pub(crate) store: Arc<dyn VectorStore>,
    _folder: TempDir,
}

impl Place {
    pub(crate) async fn open(memory: &str, store: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = |name: &str| match name {
            "in-memory" => "memory://".to_owned(),
            "sqlite" => format!("sqlite://{}", folder.path().join("place.db").display()),
            server => url(server),
        };
        let backends = Backends::built_in();
        Self {
            name: format!("{memory} + {store}"),
            memory: backends.memories.open(&address(memory)).await.unwrap(),
            store: backends.stores.open(&address(store)).await.unwrap(),
            _folder: folder,
        }
    }

    pub(crate) async fn close(self) {
        self.memory.close().await.unwrap();
        self.store.close().await.unwrap();
    }
}
