//! Everything from settings: which backends a program uses, and with what.

mod open;
mod value;

use std::path::PathBuf;

use arshai_core::{
    Error, ErrorKind, Result,
    config::{Secret, Settings, Variable},
    registry::Address,
    vector::CollectionSpec,
};

pub use value::{InForce, Origin};

use crate::Backends;
use value::Value;

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
    /// Whether the program gave them.
    gives_settings: bool,
    /// The folder that the program gave.
    folder: Option<PathBuf>,
    data: Value,
    store: Value,
    memory: Value,
    embedder: Value,
    model: Value,
    collection: Value,
    transcriber: Option<Secret>,
    synthesizer: Option<Secret>,
}

impl Config {
    /// What [`Config::from_env`] reads beside the variables of the backends.
    pub const VARIABLES: [Variable; 6] = [
        Variable::new("ARSHAI_DATA", "folder of the SQLite file").otherwise("the platform's data folder"),
        Variable::new("ARSHAI_STORE", "where documents are: a URL or a provider's name")
            .otherwise("arshai.db in the data folder")
            .url(),
        Variable::new("ARSHAI_MEMORY", "where conversations are: a URL or a provider's name")
            .otherwise(
                "where documents are, if that keeps conversations too; else arshai.db in the data folder",
            )
            .url(),
        Variable::new("ARSHAI_EMBEDDER", "who embeds text: none, local, openai or openai:MODEL")
            .otherwise("local; none without the Cargo feature `minilm`")
            .url(),
        Variable::new("ARSHAI_MODEL", "who answers: extractive or openai:MODEL").of("extractive", "").url(),
        Variable::new("ARSHAI_COLLECTION", "the collection of documents").of("default", ""),
    ];

    /// What the terminal program reads beside all others.
    pub const LOG: Variable = Variable::new(
        "ARSHAI_LOG",
        "what the program `arshai` logs: a level, or levels of targets, such as `warn,arshai=debug`",
    )
    .otherwise("error; with -v more");

    /// Every variable that this program reads, with the features it was built with.
    pub fn variables() -> Vec<Variable> {
        let own = Self::VARIABLES.into_iter().chain([Self::LOG]);
        own.chain(Settings::VARIABLES).chain(crate::backends::variables()).collect()
    }

    /// What the environment says.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the first variable whose value is not understood, and what is. Variables of a backend
    /// are looked at when it is opened; [`Config::problems`] looks at all of them.
    pub fn from_env() -> Result<Self> {
        let [data, store, memory, embedder, model, collection] = Self::VARIABLES;
        Ok(Self {
            backends: Backends::built_in(),
            settings: Settings::from_env()?,
            gives_settings: false,
            folder: None,
            data: Value::of(data)?,
            store: Value::of(store)?,
            memory: Value::of(memory)?,
            embedder: Value::of(embedder)?,
            model: Value::of(model)?,
            collection: Value::of(collection)?,
            transcriber: None,
            synthesizer: None,
        })
    }

    /// The same with other backends to choose from.
    #[must_use]
    pub fn with_backends(mut self, backends: Backends) -> Self {
        self.backends = backends;
        self
    }

    /// The same with these settings instead of the environment's, in every backend that is opened.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self.gives_settings = true;
        self
    }

    /// The same with another folder for the SQLite file.
    #[must_use]
    pub fn with_data(mut self, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        self.data.set(&folder.to_string_lossy());
        self.folder = Some(folder);
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

    /// The same with this transcriber, such as `openai:whisper-1` or `azure`. Default: the one for which the environment
    /// holds a key or an address.
    #[must_use]
    pub fn with_transcriber(mut self, address: &str) -> Self {
        self.transcriber = Some(Secret::new(address));
        self
    }

    /// The same with this synthesizer, likewise.
    #[must_use]
    pub fn with_synthesizer(mut self, address: &str) -> Self {
        self.synthesizer = Some(Secret::new(address));
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
        self.collection.get_or_default()
    }

    /// The store's address, which may hold a password. `sqlite` is the file in the data folder.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the default is meant and the platform has no data folder, or when its name is not UTF-8.
    pub fn store_address(&self) -> Result<String> {
        self.address_of(self.store.get())
    }

    /// The memory's address, which may hold a password: by default that of the store, where that keeps conversations too,
    /// else the file in the data folder.
    ///
    /// # Errors
    ///
    /// As [`Config::store_address`].
    pub fn memory_address(&self) -> Result<String> {
        match self.store_as_memory()? {
            Some(store) => Ok(store),
            None => self.address_of(self.memory.get()),
        }
    }

    /// The store's address, where nobody names a memory and the store keeps conversations too.
    fn store_as_memory(&self) -> Result<Option<String>> {
        if self.memory.get().is_some() {
            return Ok(None);
        }
        let store = self.store_address()?;
        let keeps = self.backends.memories.refusal(&Address::new(&store)?).is_none();
        Ok(Some(store).filter(|_| keeps))
    }

    /// The value that the memory's address comes from.
    fn memory_value(&self) -> &Value {
        match self.store_as_memory() {
            Ok(Some(_)) => &self.store,
            _ => &self.memory,
        }
    }

    /// The embedder's address; `None` for nobody.
    pub fn embedder_address(&self) -> Option<&str> {
        match self.embedder.get() {
            Some(address) => Some(address).filter(|address| !address.eq_ignore_ascii_case("none")),
            None => cfg!(feature = "minilm").then_some("local"),
        }
    }

    /// Whether somebody chose the embedder, so that going on without it would not be what was asked for.
    pub fn names_embedder(&self) -> bool {
        self.embedder.origin() != Origin::Default
    }

    /// The chat model's address.
    pub fn model_address(&self) -> &str {
        self.model.get_or_default()
    }

    /// Who set a variable of this program: [`Origin::Explicit`] means that the variable is not looked at.
    pub fn origin(&self, variable: &str) -> Origin {
        let all = self.in_force();
        let found = all.iter().find(|one| one.variable.name == variable);
        found.map_or(Origin::Default, |one| one.origin)
    }

    /// Every variable with the value in force and where it comes from. Secrets are masked.
    pub fn in_force(&self) -> Vec<InForce> {
        let unknown = |_error| String::new();
        let folder = self.data_folder().map_or_else(unknown, |folder| folder.display().to_string());
        let own = [
            self.data.in_force(&folder),
            self.store.in_force(&self.store_address().unwrap_or_else(unknown)),
            self.memory.in_force(&self.memory_address().unwrap_or_else(unknown)),
            self.embedder.in_force(self.embedder_address().unwrap_or("none")),
            self.model.in_force(self.model_address()),
            self.collection.in_force(self.collection()),
        ];
        let settings = Settings::VARIABLES.into_iter().map(|variable| {
            let origin = match variable.read() {
                _ if self.gives_settings => Origin::Explicit,
                Ok(None) => Origin::Default,
                _ => Origin::Environment,
            };
            InForce { variable, value: self.settings.value(variable.name).unwrap_or_default(), origin }
        });
        let mut all: Vec<InForce> = own.into_iter().chain(settings).collect();
        for variable in crate::backends::variables().into_iter().chain([Self::LOG]) {
            let one = in_environment(variable, &all);
            all.push(one);
        }
        all
    }

    /// What is wrong with the settings, whether or not this program comes to use them: each error names its variable.
    pub fn problems(&self) -> Vec<Error> {
        let mut problems = crate::backends::problems();
        let refusals = [
            (&self.store, self.store_address().map(|at| self.backends.stores.refused(&at))),
            (self.memory_value(), self.memory_address().map(|at| self.backends.memories.refused(&at))),
            (&self.embedder, Ok(self.embedder_address().and_then(|at| self.backends.embedders.refused(at)))),
            (&self.model, Ok(self.backends.models.refused(self.model_address()))),
        ];
        for (value, refusal) in refusals {
            problems.extend(refusal.unwrap_or_else(Some).map(|error| value.blame(error)));
        }
        let collection = CollectionSpec::new(self.collection()).validate();
        problems.extend(collection.err().map(|error| self.collection.blame(error)));
        problems
    }

    /// `sqlite` alone, and nothing, are the file in the data folder.
    fn address_of(&self, chosen: Option<&str>) -> Result<String> {
        let is_default = |address: &str| {
            Address::new(address).is_ok_and(|address| {
                address.url().is_none() && address.name() == "sqlite" && address.argument().is_none()
            })
        };
        if let Some(address) = chosen.filter(|address| !is_default(address)) {
            return Ok(address.to_owned());
        }
        let file = self.data_folder()?.join("arshai.db");
        match file.to_str() {
            Some(file) => Ok(format!("sqlite://{file}")),
            None => Err(Error::new(
                ErrorKind::Config,
                "the name of the data folder is not UTF-8 text: name another",
            )
            .with_context("folder", file.display())
            .with_context("variable", self.data.variable.name)),
        }
    }

    fn data_folder(&self) -> Result<PathBuf> {
        let chosen = self.folder.clone().or_else(|| self.data.get().map(PathBuf::from));
        chosen.map_or_else(data_folder, Ok)
    }
}

/// A variable of a backend. Where its default is another variable's value, that is in force.
fn in_environment(variable: Variable, known: &[InForce]) -> InForce {
    let default = || {
        let other = known.iter().find(|one| one.variable.name == variable.default.trim_matches('`'));
        match other {
            Some(other) => other.value.clone(),
            None if variable.literal => variable.default.to_owned(),
            None => crate::backends::default_of(&variable).unwrap_or_default(),
        }
    };
    match variable.read() {
        Ok(Some(value)) => {
            // As it is understood: `yes` is true.
            let switched = Some(&value).filter(|_| variable.unit == "true, false");
            let switched = switched.and_then(|value| variable.switch(value).ok());
            let value = switched.map_or_else(|| variable.shown(&value), |value| value.to_string());
            InForce { variable, value, origin: Origin::Environment }
        }
        Ok(None) => InForce { variable, value: default(), origin: Origin::Default },
        Err(_not_text) => InForce { variable, value: "(not UTF-8)".to_owned(), origin: Origin::Environment },
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
