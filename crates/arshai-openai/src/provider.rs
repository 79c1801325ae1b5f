//! Models by name.

use std::sync::Arc;

use arshai_core::{
    Error, ErrorKind, Result,
    chat::ChatModel,
    embed::Embedder,
    registry::{Address, Provider},
    wrap::Coalesce,
};

use crate::{OpenAiChat, OpenAiConfig, OpenAiEmbedder, Transport};

/// The embedding model when none is named.
const EMBEDDING_MODEL: &str = "text-embedding-3-small";

/// Chat models, as `openai:MODEL`, with [`OpenAiConfig::from_env`]. Nothing is sent before the first use.
pub fn model_provider() -> Provider<dyn ChatModel> {
    Provider::new(|address| async move {
        let model = address.argument().ok_or_else(|| {
            Error::new(ErrorKind::Config, "which model is not said; write openai:MODEL")
                .with_context("given", &address)
        })?;
        let transport = transport(OpenAiConfig::from_env()?, &address)?;
        Ok(Arc::new(OpenAiChat::new(transport, model)?) as Arc<dyn ChatModel>)
    })
    .with_names(["openai"])
}

/// Embedders, as `openai:MODEL`, or `openai` for `text-embedding-3-small`, with
/// [`OpenAiConfig::from_env_for_embeddings`]. Questions that are asked at the same time share a request. Nothing is sent
/// before the first use.
pub fn embedder_provider() -> Provider<dyn Embedder> {
    Provider::new(|address| async move {
        let transport = transport(OpenAiConfig::from_env_for_embeddings()?, &address)?;
        let embedder = OpenAiEmbedder::new(transport, address.argument().unwrap_or(EMBEDDING_MODEL))?;
        Ok(Arc::new(Coalesce::new(embedder)) as Arc<dyn Embedder>)
    })
    .with_names(["openai"])
}

/// The server of the environment, with the settings of the address.
fn transport(config: OpenAiConfig, address: &Address) -> Result<Transport> {
    Transport::new(config.with_settings(&address.settings()?))
}

#[cfg(test)]
mod tests {
    use arshai_core::registry::Registry;

    use super::*;

    #[tokio::test]
    async fn models_are_named() {
        let mut models = Registry::new("chat model");
        models.register(model_provider());
        assert_eq!(models.open("openai").await.unwrap_err().kind(), ErrorKind::Config);
        let mut embedders = Registry::new("embedder");
        embedders.register(embedder_provider());
        for (address, id) in [("openai", "openai:text-embedding-3-small"), ("openai:a:b", "openai:a:b")] {
            assert_eq!(embedders.open(address).await.unwrap().id(), id);
        }
    }
}
