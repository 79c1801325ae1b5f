//! The models by name.

use std::sync::Arc;

use arshai_core::{chat::ChatModel, registry::Provider};

use crate::ExtractiveModel;

/// The extractive model, as `extractive`.
pub fn model_provider() -> Provider<dyn ChatModel> {
    Provider::new(|address| async move {
        address.refuse_argument()?;
        Ok(Arc::new(ExtractiveModel::new()) as Arc<dyn ChatModel>)
    })
    .with_names(["extractive"])
}

/// The embedder, as `local`. Its files are fetched when they are not there.
#[cfg(feature = "minilm")]
pub fn embedder_provider() -> Provider<dyn arshai_core::embed::Embedder> {
    use arshai_core::{Error, embed::Embedder};

    use crate::{MiniLmConfig, MiniLmEmbedder, Weights};

    Provider::new(|address| async move {
        address.refuse_argument()?;
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

#[cfg(test)]
mod tests {
    use arshai_core::{ErrorKind, registry::Registry};

    use super::*;

    #[tokio::test]
    async fn a_model_that_is_not_offered_is_refused_and_not_passed_over() {
        let mut models = Registry::new("chat model");
        models.register(model_provider());
        models.open("extractive").await.unwrap();
        assert_eq!(models.open("extractive:large").await.unwrap_err().kind(), ErrorKind::Config);
        #[cfg(feature = "minilm")]
        {
            let mut embedders = Registry::new("embedder");
            embedders.register(embedder_provider());
            assert_eq!(embedders.open("local:large").await.unwrap_err().kind(), ErrorKind::Config);
        }
    }
}
