//! Everything from settings: which backends a program uses, and with what.

use std::{path::PathBuf, sync::Arc};

use arshai_core::{
    Error, ErrorKind, Result,
    chat::ChatModel,
    config::{Secret, Settings, Variable},
    embed::Embedder,
    memory::MemoryStore,
    vector::VectorStore,
};

use crate::Backends;

/// Which backends a program uses. What is set here beats the environment, which beats the defaults.
///
/// # Examples
///
/// ```
/// use arshai::Config;
///
/// # async fn example() -> arshai::Result<()> {
/// let config = Config::from_env()?.with_memory("memory://");
/// let memory = config.memory().await?;
/// # memory.close().await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    backends: Backends,
    settings: Settings,
    data: Value,
    store: Value,
    memory: Value,
    embedder: Value,
    model: Value,
    collection: Value,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing sets it.
    Default,
    /// An environment variable.
    Environment,
    /// The program, or a flag.
    Explicit,
}

/// A value, where it comes from, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InForce {
    /// The variable that sets it.
    pub variable: Variable,
    /// The value, with `***` in place of a secret.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

#[derive(Debug, Clone)]
struct Value {
    variable: Variable,
    set: Option<(Secret, Origin)>,
}

impl Value {
    fn of(variable: Variable) -> Self {
        let value = std::env::var(variable.name).ok().filter(|value| !value.trim().is_empty());
        Self { variable, set: value.map(|value| (Secret::new(value.trim()), Origin::Environment)) }
    }

    fn set(&mut self, value: &str) {
        self.set = Some((Secret::new(value), Origin::Explicit));
    }

    fn get(&self) -> Option<&str> {
        self.set.as_ref().map(|(value, _)| value.expose())
    }

    fn in_force(&self) -> InForce {
        let origin = self.set.as_ref().map_or(Origin::Default, |(_, origin)| *origin);
        let value = self.get().unwrap_or(self.variable.default);
        InForce { variable: self.variable, value: self.variable.shown(value), origin }
    }
}

impl Config {
    /// What [`Config::from_env`] reads beside the variables of the backends.
    pub const VARIABLES: [Variable; 6] = [
        Variable::new("ARSHAI_DATA", "folder of the SQLite file").of("the platform's data folder", ""),
        Variable::new("ARSHAI_STORE", "where documents are: a URL or a provider's name")
            .of("sqlite://, arshai.db in the data folder", "")
            .url(),
        Variable::new("ARSHAI_MEMORY", "where conversations are: a URL or a provider's name")
            .of("as the store", "")
            .url(),
        Variable::new("ARSHAI_EMBEDDER", "who embeds text: none, local, openai or openai:MODEL")
            .of("local", ""),
        Variable::new("ARSHAI_MODEL", "who answers: extractive, openai or openai:MODEL").of("extractive", ""),
        Variable::new("ARSHAI_COLLECTION", "the collection of documents").of("default", ""),
    ];

    /// Every variable that this program reads, with the features it was built with.
    pub fn variables() -> Vec<Variable> {
        Self::VARIABLES.into_iter().chain(Settings::VARIABLES).chain(crate::backends::variables()).collect()
    }

    /// What the environment says.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the first variable whose value is not understood, and what is.
    pub fn from_env() -> Result<Self> {
        let [data, store, memory, embedder, model, collection] = Self::VARIABLES.map(Value::of);
        let settings = Settings::from_env()?;
        Ok(Self {
            backends: Backends::built_in(),
            settings,
            data,
            store,
            memory,
            embedder,
            model,
            collection,
        })
    }

    /// The same with other backends to choose from.
    #[must_use]
    pub fn with_backends(mut self, backends: Backends) -> Self {
        self.backends = backends;
        self
    }

    /// The same with another folder for the SQLite file.
    #[must_use]
    pub fn with_data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data.set(&folder.into().to_string_lossy());
        self
    }

    /// The same with another store.
    #[must_use]
    pub fn with_store(mut self, address: &str) -> Self {
        self.store.set(address);
        self
    }

    /// The same with another memory.
    #[must_use]
    pub fn with_memory(mut self, address: &str) -> Self {
        self.memory.set(address);
        self
    }

    /// The same with another embedder; `none` for nobody.
    #[must_use]
    pub fn with_embedder(mut self, address: &str) -> Self {
        self.embedder.set(address);
        self
    }

    /// The same with another chat model.
    #[must_use]
    pub fn with_model(mut self, address: &str) -> Self {
        self.model.set(address);
        self
    }

    /// The same with another collection.
    #[must_use]
    pub fn with_collection(mut self, name: &str) -> Self {
        self.collection.set(name);
        self
    }

    /// What there is to choose from.
    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    /// The settings that backends share.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The collection's name.
    pub fn collection(&self) -> &str {
        self.collection.get().unwrap_or(self.collection.variable.default)
    }

    /// The store's address, which may hold a password. `sqlite` is the file in the data folder.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the default is meant and the platform has no data folder.
    pub fn store_address(&self) -> Result<String> {
        match self.store.get() {
            Some(address) if address != "sqlite" => Ok(address.to_owned()),
            _ => self.default_address(),
        }
    }

    /// The memory's address, which may hold a password: by default that of the store, where that is a SQLite file.
    ///
    /// # Errors
    ///
    /// As [`Config::store_address`].
    pub fn memory_address(&self) -> Result<String> {
        match self.memory.get().or(self.store.get().filter(|address| address.starts_with("sqlite://"))) {
            Some(address) if address != "sqlite" => Ok(address.to_owned()),
            _ => self.default_address(),
        }
    }

    /// The embedder's address; `None` for nobody.
    pub fn embedder_address(&self) -> Option<&str> {
        match self.embedder.get() {
            Some("none") => None,
            Some(address) => Some(address),
            None => cfg!(feature = "minilm").then_some("local"),
        }
    }

    /// Whether somebody chose the embedder, so that going on without it would not be what was asked for.
    pub fn names_embedder(&self) -> bool {
        self.embedder.set.is_some()
    }

    /// The chat model's address.
    pub fn model_address(&self) -> &str {
        self.model.get().unwrap_or(self.model.variable.default)
    }

    /// Opens the store.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`](arshai_core::registry::Registry::open).
    pub async fn store(&self) -> Result<Arc<dyn VectorStore>> {
        self.backends.stores.open(&self.store_address()?).await
    }

    /// Opens the memory.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`](arshai_core::registry::Registry::open).
    pub async fn memory(&self) -> Result<Arc<dyn MemoryStore>> {
        self.backends.memories.open(&self.memory_address()?).await
    }

    /// Opens the embedder; `None` for nobody.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`](arshai_core::registry::Registry::open).
    pub async fn embedder(&self) -> Result<Option<Arc<dyn Embedder>>> {
        match self.embedder_address() {
            Some(address) => self.backends.embedders.open(address).await.map(Some),
            None => Ok(None),
        }
    }

    /// Opens the chat model.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`](arshai_core::registry::Registry::open).
    pub async fn model(&self) -> Result<Arc<dyn ChatModel>> {
        self.backends.models.open(self.model_address()).await
    }

    /// Opens store and embedder as the knowledge base of the collection.
    ///
    /// # Errors
    ///
    /// As [`Config::store`] and [`Config::embedder`].
    #[cfg(feature = "kb-tool")]
    pub async fn knowledge_base(&self) -> Result<arshai_kb_tool::KnowledgeBase> {
        let base = arshai_kb_tool::KnowledgeBase::new(self.store().await?, self.collection());
        let in_flight = self.settings.concurrency(arshai_kb_tool::KnowledgeBase::IN_FLIGHT);
        let base = base.with_batch(arshai_kb_tool::KnowledgeBase::BATCH, in_flight);
        Ok(match self.embedder().await? {
            Some(embedder) => base.with_embedder(embedder),
            None => base,
        })
    }

    /// Opens everything as the agent over the knowledge base.
    ///
    /// # Errors
    ///
    /// As [`Config::knowledge_base`], [`Config::memory`] and [`Config::model`].
    #[cfg(all(feature = "agent", feature = "kb-tool"))]
    pub async fn agent(&self) -> Result<arshai_agent::Agent> {
        let tool = arshai_kb_tool::KnowledgeBaseTool::new(Arc::new(self.knowledge_base().await?));
        let agent = arshai_agent::Agent::builder(self.model().await?).memory(self.memory().await?);
        Ok(agent.retriever(Arc::new(tool)).build())
    }

    /// Every variable with the value in force and where it comes from. Secrets are masked.
    pub fn in_force(&self) -> Vec<InForce> {
        let own = [&self.data, &self.store, &self.memory, &self.embedder, &self.model, &self.collection];
        let others = Settings::VARIABLES.into_iter().chain(crate::backends::variables()).map(Value::of);
        own.into_iter().map(Value::in_force).chain(others.map(|value| value.in_force())).collect()
    }

    fn default_address(&self) -> Result<String> {
        let folder = match self.data.get() {
            Some(folder) => PathBuf::from(folder),
            None => data_folder()?,
        };
        Ok(format!("sqlite://{}", folder.join("arshai.db").display()))
    }
}

#[cfg(feature = "sqlite")]
fn data_folder() -> Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "arshai");
    folders.map(|folders| folders.data_dir().to_owned()).ok_or_else(|| {
        Error::new(ErrorKind::Config, "this system has no data folder; name one in ARSHAI_DATA")
    })
}

#[cfg(not(feature = "sqlite"))]
fn data_folder() -> Result<PathBuf> {
    Err(Error::new(
        ErrorKind::Config,
        "the default is a SQLite file, which needs the Cargo feature `sqlite`: name a store and a memory",
    ))
}
