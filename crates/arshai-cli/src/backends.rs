//! Opening what the flags name.

use std::sync::Arc;

use arshai::{
    Config,
    registry::{Address, Registry},
};
use arshai_core::{
    Error, ErrorKind,
    chat::ChatModel,
    memory::MemoryStore,
    vector::{CollectionSpec, VectorStore},
};
use arshai_kb_tool::KnowledgeBase;
use tokio::sync::Mutex;

use crate::{
    args::Global,
    embedder::{Choice, Need},
    failure::{Failure, Outcome},
    output::Printer,
};

/// The backends of one run, opened when first needed.
pub(crate) struct Backends {
    pub(crate) config: Config,
    names_collection: bool,
    printer: Printer,
    opened: Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    stores: Vec<Arc<dyn VectorStore>>,
    memories: Vec<Arc<dyn MemoryStore>>,
    models: Vec<Arc<dyn ChatModel>>,
}

/// A collection that can be searched or written.
pub(crate) struct Knowledge {
    pub(crate) base: KnowledgeBase,
    /// Whether it was told already that it is searched by words only.
    pub(crate) told: bool,
}

impl Backends {
    /// Those that the flags name, and for want of them the environment.
    pub(crate) fn new(global: &Global, printer: Printer) -> Outcome<Self> {
        let mut config = Config::from_env().map_err(wrong_setting_or)?;
        if let Some(folder) = &global.data {
            config = config.with_data(folder);
        }
        if let Some(address) = &global.store {
            config = config.with_store(without_credentials(address, "--store", "ARSHAI_STORE")?);
        }
        if let Some(address) = &global.memory {
            config = config.with_memory(without_credentials(address, "--memory", "ARSHAI_MEMORY")?);
        }
        if let Some(address) = &global.embedder {
            config = config.with_embedder(address);
        }
        if let Some(address) = &global.model {
            config = config.with_model(address);
        }
        if let Some(name) = &global.collection {
            config = config.with_collection(name);
        }
        let names_collection = global.collection.is_some();
        Ok(Self { config, names_collection, printer, opened: Mutex::default() })
    }

    /// Whether a flag names the collection.
    pub(crate) fn names_collection(&self) -> bool {
        self.names_collection
    }

    /// The knowledge base of the chosen collection, with the embedder when the command needs it.
    pub(crate) async fn knowledge(&self, need: Need) -> Outcome<Knowledge> {
        let embedder = Choice::of(&self.config)?;
        CollectionSpec::new(self.config.collection()).validate().map_err(as_usage("--collection"))?;
        let base = KnowledgeBase::new(self.store().await?, self.config.collection());
        let (base, told) = embedder.give_to(base, need, &self.config, self.printer).await?;
        Ok(Knowledge { base, told })
    }

    pub(crate) async fn store(&self) -> Outcome<Arc<dyn VectorStore>> {
        let address = self.config.store_address().map_err(wrong_setting_or)?;
        let address = known(&self.config.backends().stores, &address, "--store")?;
        if ["memory", "in_memory"].contains(&address.name().as_str()) {
            return Err(usage("--store memory:// would forget the documents at once; use sqlite://PATH"));
        }
        let store = self.config.backends().stores.open_address(address).await.map_err(wrong_setting_or)?;
        self.opened.lock().await.stores.push(Arc::clone(&store));
        Ok(store)
    }

    pub(crate) async fn memory(&self) -> Outcome<Arc<dyn MemoryStore>> {
        let address = self.config.memory_address().map_err(wrong_setting_or)?;
        let address = known(&self.config.backends().memories, &address, "--memory")?;
        let memory = self.config.backends().memories.open_address(address).await.map_err(wrong_setting_or)?;
        self.opened.lock().await.memories.push(Arc::clone(&memory));
        Ok(memory)
    }

    pub(crate) async fn model(&self) -> Outcome<Arc<dyn ChatModel>> {
        let address = known(&self.config.backends().models, self.config.model_address(), "--model")?;
        let model = self.config.backends().models.open_address(address).await.map_err(wrong_setting_or)?;
        self.opened.lock().await.models.push(Arc::clone(&model));
        Ok(model)
    }

    /// Waits for what is in flight.
    pub(crate) async fn close(&self) -> Outcome {
        let Opened { stores, memories, models } = std::mem::take(&mut *self.opened.lock().await);
        for store in stores {
            store.close().await?;
        }
        for memory in memories {
            memory.close().await?;
        }
        for model in models {
            model.close().await?;
        }
        Ok(())
    }
}

/// The address, when somebody takes it.
pub(crate) fn known<T: ?Sized>(
    registry: &Registry<T>,
    address: &str,
    flag: &'static str,
) -> Outcome<Address> {
    let address = Address::new(address).map_err(as_usage(flag))?;
    match registry.refusal(&address) {
        None => Ok(address),
        Some(refusal) => Err(as_usage(flag)(refusal)),
    }
}

/// Every user of a machine can read the arguments of its programs.
fn without_credentials<'a>(address: &'a str, flag: &str, variable: &str) -> Outcome<&'a str> {
    let authority = address.split_once("://").map_or("", |(scheme, rest)| match scheme {
        "sqlite" | "memory" => "",
        _ => rest.split('?').next().unwrap_or_default(),
    });
    match authority.contains('@') {
        false => Ok(address),
        true => Err(usage(format!(
            "{flag} holds credentials, which every user of this machine can read in the process list; put the URL into \
             the environment variable {variable}"
        ))),
    }
}

/// A setting that cannot be meant is bad usage; everything else is failed work.
pub(crate) fn wrong_setting_or(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::Config => usage(error.to_string()),
        _ => Failure::Work(error),
    }
}

pub(crate) fn usage(message: impl Into<String>) -> Failure {
    Failure::Usage(message.into())
}

/// A mistake in a flag's value is bad usage, not failed work.
pub(crate) fn as_usage(flag: &str) -> impl Fn(Error) -> Failure + '_ {
    move |error| usage(format!("{flag}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_repeated() {
        for address in ["redis://:hunter2@host", "foo://u:hunter2@host", "redis://u:hun/hunter2@host"] {
            let failure = without_credentials(address, "--memory", "ARSHAI_MEMORY").unwrap_err();
            assert_eq!(failure.exit_status(), 2);
            assert!(!failure.to_text().unwrap().contains("hunter2"));
        }
        assert!(without_credentials("sqlite:///a@b/c.db", "--memory", "ARSHAI_MEMORY").is_ok());
    }

    #[test]
    fn an_unknown_address_is_bad_usage() {
        let stores = arshai::Backends::built_in().stores;
        let text = known(&stores, "postgres://hunter2", "--store").unwrap_err().to_text().unwrap();
        assert!(text.contains("--store") && text.contains("known") && !text.contains("hunter2"), "{text}");
    }
}
