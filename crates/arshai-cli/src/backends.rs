//! Opening what the flags name.

use std::sync::Arc;

use arshai::{
    Config, Origin,
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
            config = config.with_embedder(no_url_with_credentials(address, "--embedder", "ARSHAI_EMBEDDER")?);
        }
        if let Some(address) = &global.model {
            config = config.with_model(no_url_with_credentials(address, "--model", "ARSHAI_MODEL")?);
        }
        if let Some(name) = &global.collection {
            config = config.with_collection(name);
        }
        Ok(Self { config, printer, opened: Mutex::default() })
    }

    /// Whether a flag or the environment names the collection.
    pub(crate) fn names_collection(&self) -> bool {
        self.config.origin("ARSHAI_COLLECTION") != Origin::Default
    }

    /// Whether collections may be made by others, with columns of their own.
    pub(crate) fn store_has_schema(&self) -> bool {
        let address = self.config.store_address().and_then(|address| Address::new(&address));
        address.is_ok_and(|address| address.name() != "sqlite")
    }

    /// The knowledge base of the chosen collection, with the embedder when the command needs it.
    pub(crate) async fn knowledge(&self, need: Need) -> Outcome<Knowledge> {
        let embedder = Choice::of(&self.config)?;
        CollectionSpec::new(self.config.collection()).validate().map_err(as_usage(label(
            &self.config,
            "--collection",
            "ARSHAI_COLLECTION",
        )))?;
        let in_flight = self.config.settings().concurrency(KnowledgeBase::IN_FLIGHT);
        let base = KnowledgeBase::new(self.store().await?, self.config.collection())
            .with_batch(KnowledgeBase::BATCH, in_flight);
        let (base, told) = embedder.give_to(base, need, &self.config, self.printer).await?;
        Ok(Knowledge { base, told })
    }

    pub(crate) async fn store(&self) -> Outcome<Arc<dyn VectorStore>> {
        let label = label(&self.config, "--store", "ARSHAI_STORE");
        let address = self.config.store_address().map_err(wrong_setting_or)?;
        let address = known(&self.config.backends().stores, &address, label)?;
        if is_in_process(&address) {
            return Err(usage(format!(
                "{label} memory:// would forget the documents at once; use sqlite://PATH"
            )));
        }
        let store = self.config.store().await.map_err(wrong_setting_or)?;
        self.opened.lock().await.stores.push(Arc::clone(&store));
        Ok(store)
    }

    pub(crate) async fn memory(&self) -> Outcome<Arc<dyn MemoryStore>> {
        let address = self.config.memory_address().map_err(wrong_setting_or)?;
        // Unless somebody names a memory, it is where the store is, if that keeps conversations.
        let is_named = self.config.origin("ARSHAI_MEMORY") != Origin::Default;
        let is_store = !is_named && self.config.store_address().is_ok_and(|store| store == address);
        let label = match is_store {
            true => label(&self.config, "--store", "ARSHAI_STORE"),
            false => label(&self.config, "--memory", "ARSHAI_MEMORY"),
        };
        let address = known(&self.config.backends().memories, &address, label)?;
        if !is_named && is_in_process(&address) {
            return Err(usage(format!(
                "{label} memory:// would forget the conversation at once; use sqlite://PATH, or name a memory"
            )));
        }
        let memory = self.config.memory().await.map_err(wrong_setting_or)?;
        self.opened.lock().await.memories.push(Arc::clone(&memory));
        Ok(memory)
    }

    pub(crate) async fn model(&self) -> Outcome<Arc<dyn ChatModel>> {
        known(
            &self.config.backends().models,
            self.config.model_address(),
            label(&self.config, "--model", "ARSHAI_MODEL"),
        )?;
        let model = self.config.model().await.map_err(wrong_setting_or)?;
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

/// What a wrong value is blamed on: the variable, when it is the one that was set.
pub(crate) fn label(config: &Config, flag: &'static str, variable: &'static str) -> &'static str {
    match config.origin(variable) {
        Origin::Environment => variable,
        Origin::Default | Origin::Explicit => flag,
    }
}

/// The address, when somebody takes it.
pub(crate) fn known<T: ?Sized>(
    registry: &Registry<T>,
    address: &str,
    label: &'static str,
) -> Outcome<Address> {
    let address = Address::new(address).map_err(as_usage(label))?;
    match registry.refusal(&address) {
        None => Ok(address),
        Some(refusal) => Err(as_usage(label)(refusal)),
    }
}

/// Whether what is kept there is gone when the program ends.
fn is_in_process(address: &Address) -> bool {
    ["memory", "in_memory"].contains(&address.name().as_str())
}

/// As [`without_credentials`], for what is a name most of the time: a model's may hold an `@`.
fn no_url_with_credentials<'a>(address: &'a str, flag: &str, variable: &str) -> Outcome<&'a str> {
    match address.contains("://") {
        true => without_credentials(address, flag, variable),
        false => Ok(address),
    }
}

/// Every user of a machine can read the arguments of its programs.
fn without_credentials<'a>(address: &'a str, flag: &str, variable: &str) -> Outcome<&'a str> {
    let is_file = Address::new(address).is_ok_and(|address| address.name() == "sqlite");
    let lower = address.to_ascii_lowercase();
    let holds = address.contains('@') || ["password=", "token="].iter().any(|query| lower.contains(query));
    match holds && !is_file {
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
        for address in [
            "redis://:hunter2@host",
            "foo://u:hunter2@host",
            "redis://u:hun/hunter2@host",
            "redis://u:hun?hunter2@host",
            "redis:u:hunter2@host",
            "redis-sentinel://host?sentinelServiceName=m&sentinelPassword=hunter2",
        ] {
            let failure = without_credentials(address, "--memory", "ARSHAI_MEMORY").unwrap_err();
            assert_eq!(failure.exit_status(), 2);
            assert!(!failure.to_text().unwrap().contains("hunter2"));
        }
        for address in ["sqlite:///a@b/c.db", "sqlite:a@b.db", "redis://host:1/2", "in_memory"] {
            assert!(without_credentials(address, "--memory", "ARSHAI_MEMORY").is_ok(), "{address}");
        }
        // A version of a model is no password.
        let named = no_url_with_credentials("openai:sonnet@20240620", "--model", "ARSHAI_MODEL");
        assert_eq!(named.ok(), Some("openai:sonnet@20240620"));
    }

    #[test]
    fn an_unknown_address_is_bad_usage() {
        let stores = arshai::Backends::built_in().stores;
        let text = known(&stores, "postgres://hunter2", "--store").unwrap_err().to_text().unwrap();
        assert!(text.contains("--store") && text.contains("known") && !text.contains("hunter2"), "{text}");
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn batches_are_written_one_at_a_time_when_async_operations_are_off() {
        let folder = tempfile::tempdir().unwrap();
        let config =
            Config::from_env().unwrap().with_data(folder.path()).with_store("sqlite").with_embedder("none");
        let mut off = config.settings().clone();
        off.enable_async_operations = false;
        for (config, in_flight) in
            [(config.clone(), "in_flight: 4"), (config.with_settings(off), "in_flight: 1")]
        {
            let printer = Printer { json: false, verbose: false };
            let backends = Backends { config, printer, opened: Mutex::default() };
            let base = backends.knowledge(Need::Write).await.unwrap().base;
            assert!(format!("{base:?}").contains(in_flight), "{base:?}");
            backends.close().await.unwrap();
        }
    }
}
