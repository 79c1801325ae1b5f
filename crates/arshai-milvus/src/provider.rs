//! The store by name and URL.

use std::sync::Arc;

use arshai_core::{registry::Provider, vector::VectorStore};

use crate::{MilvusConfig, MilvusStore};

/// Stores in Milvus: as `milvus`, where [`MilvusConfig::from_env`] says, and as `milvus://…` and `milvuss://…` of
/// [`MilvusConfig::from_url`], with the other settings those of the address, else of the environment. Nothing is sent
/// before the first use.
pub fn provider() -> Provider<dyn VectorStore> {
    Provider::new(|address| async move {
        let settings = address.settings()?;
        let config = match address.url() {
            Some(url) => MilvusConfig::from_url_with(url, &settings)?,
            None => {
                address.refuse_argument()?;
                MilvusConfig::from_env_with(&settings)?
            }
        };
        Ok(Arc::new(MilvusStore::new(config)?) as Arc<dyn VectorStore>)
    })
    .with_names(["milvus"])
    .with_schemes(["milvus", "milvuss"])
}

#[cfg(test)]
mod tests {
    use arshai_core::{ErrorKind, registry::Registry};

    use super::*;

    #[tokio::test]
    async fn it_is_opened_by_name_and_url_and_keeps_a_password_from_the_network() {
        let mut stores = Registry::new("vector store");
        stores.register(provider());
        for address in ["milvus", "milvus://h:1/library", "milvuss://u:p@h"] {
            stores.open(address).await.map(drop).unwrap_or_else(|error| unreachable!("{address}: {error}"));
        }
        let refused = stores.open("milvus:prod:19530").await.unwrap_err();
        assert!(refused.kind() == ErrorKind::Config, "not the server of the environment: {refused}");
        let refused = stores.open("milvus://u:hunter2@db.example").await.unwrap_err();
        assert!(refused.kind() == ErrorKind::Config && !refused.to_string().contains("hunter2"));
    }
}
