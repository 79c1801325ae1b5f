//! The models by name.

use std::sync::Arc;

use arshai_core::{chat::ChatModel, registry::Provider};

use crate::ExtractiveModel;

/// The extractive model, as `extractive`.
pub fn model_provider() -> Provider<dyn ChatModel> {
    Provider::new(|_address| async { Ok(Arc::new(ExtractiveModel::new()) as Arc<dyn ChatModel>) })
        .with_names(["extractive"])
}

/// The embedder, as `local`. Its files are fetched when they are not there.
#[cfg(feature = "minilm")]
pub fn embedder_provider() -> Provider<dyn arshai_core::embed::Embedder> {
    use arshai_core::{Error, embed::Embedder};

    use crate::{MiniLmConfig, MiniLmEmbedder, Weights};

    Provider::new(|_address| async {
        let weights =
            match Weights::find()? {
                Some(weights) => weights,
                None => tokio::task::spawn_blocking(|| Weights::fetch(|_progress| {})).await.map_err(
                    |error| Error::internal("fetching the model was interrupted").with_source(error),
                )??,
            };
        Ok(Arc::new(MiniLmEmbedder::open(weights, MiniLmConfig::default()).await?) as Arc<dyn Embedder>)
    })
    .with_names(["local"])
}
