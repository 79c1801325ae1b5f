//! Backends by name.
//!
//! A program that lets its user choose writes `redis://…`, `sqlite`, or `openai:gpt-…` into a setting. A [`Registry`]
//! knows who opens it; other crates add theirs with [`Registry::register`].
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use arshai_core::{memory::{InMemoryMemory, MemoryStore}, registry::{Provider, Registry}};
//!
//! # async fn example() -> arshai_core::Result<()> {
//! let mut memories: Registry<dyn MemoryStore> = Registry::new("memory");
//! memories.register(
//!     Provider::new(|_address| async { Ok(Arc::new(InMemoryMemory::new()) as Arc<dyn MemoryStore>) })
//!         .with_names(["in_memory"])
//!         .with_schemes(["memory"]),
//! );
//! let memory = memories.open("memory://").await?;
//! # memory.health().await
//! # }
//! ```

use std::{collections::BTreeSet, fmt, pin::Pin, sync::Arc};

use crate::{
    Error, ErrorKind, Result,
    config::{Secret, Settings},
};

type Opening<T> = Pin<Box<dyn Future<Output = Result<Arc<T>>> + Send>>;

/// What a user writes to choose a backend: a provider's name, a name with an argument (`openai:gpt-…`), or a URL.
/// `Debug` and `Display` show the name or scheme only, since the rest may hold a password.
#[derive(Clone)]
pub struct Address {
    whole: Secret,
    name_length: usize,
    is_url: bool,
    settings: Option<Settings>,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when it is empty.
    pub fn new(address: &str) -> Result<Self> {
        let whole = address.trim();
        let (name_length, is_url) = match (whole.find("://"), whole.find(':')) {
            (Some(scheme), Some(colon)) if scheme == colon => (scheme, true),
            (_, Some(colon)) => (colon, false),
            (_, None) => (whole.len(), false),
        };
        if name_length == 0 {
            return Err(Error::new(
                ErrorKind::Config,
                "an address names a provider or is a URL; this one is empty",
            ));
        }
        Ok(Self { whole: Secret::new(whole), name_length, is_url, settings: None })
    }

    /// The same, to be opened with these settings instead of those of the environment.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// The settings to open it with: those given, else [`Settings::from_env`].
    ///
    /// # Errors
    ///
    /// As [`Settings::from_env`].
    pub fn settings(&self) -> Result<Settings> {
        self.settings.clone().map_or_else(Settings::from_env, Ok)
    }

    /// The provider's name or the URL's scheme, in lower case.
    pub fn name(&self) -> String {
        self.whole.expose().get(..self.name_length).unwrap_or_default().to_ascii_lowercase()
    }

    /// What follows the name and its colon, such as a model; `None` for a URL and where nothing follows.
    pub fn argument(&self) -> Option<&str> {
        let rest = self.whole.expose().get(self.name_length + 1..).filter(|_| !self.is_url);
        rest.map(str::trim).filter(|argument| !argument.is_empty())
    }

    /// The whole URL, which may hold a password; `None` for a name.
    pub fn url(&self) -> Option<&str> {
        self.is_url.then(|| self.whole.expose())
    }

    /// For a provider that understands nothing behind its name or scheme: what is not understood is not ignored.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when something stands there.
    pub fn refuse_argument(&self) -> Result<()> {
        let behind_scheme = self.url().and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
        match self.argument().or(behind_scheme).unwrap_or_default() {
            "" => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Config,
                "what stands behind the provider's name is not understood: write the name alone, or a whole URL",
            )
            .with_context("given", self)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_url {
            true => write!(f, "{}://…", self.name().escape_debug()),
            false => write!(f, "{}", self.name().escape_debug()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Who opens a kind of backend, and under which names.
pub struct Provider<T: ?Sized> {
    names: Vec<String>,
    schemes: Vec<String>,
    open: Arc<dyn Fn(Address) -> Opening<T> + Send + Sync>,
}

impl<T: ?Sized> Provider<T> {
    /// A provider that opens what an address says.
    pub fn new<F>(open: impl Fn(Address) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Arc<T>>> + Send + 'static,
    {
        Self {
            names: Vec::new(),
            schemes: Vec::new(),
            open: Arc::new(move |address| Box::pin(open(address))),
        }
    }

    /// The same under names, such as `redis`, in any case.
    #[must_use]
    pub fn with_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names.extend(names.into_iter().map(|name| name.into().to_ascii_lowercase()));
        self
    }

    /// The same for the URLs with these schemes, such as `rediss`, in any case.
    #[must_use]
    pub fn with_schemes<S: Into<String>>(mut self, schemes: impl IntoIterator<Item = S>) -> Self {
        self.schemes.extend(schemes.into_iter().map(|scheme| scheme.into().to_ascii_lowercase()));
        self
    }

    fn takes(&self, address: &Address) -> bool {
        let known = if address.is_url { &self.schemes } else { &self.names };
        known.contains(&address.name())
    }
}

impl<T: ?Sized> Clone for Provider<T> {
    fn clone(&self) -> Self {
        Self { names: self.names.clone(), schemes: self.schemes.clone(), open: Arc::clone(&self.open) }
    }
}

impl<T: ?Sized> fmt::Debug for Provider<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("names", &self.names)
            .field("schemes", &self.schemes)
            .finish_non_exhaustive()
    }
}

/// A provider that this program was built without.
#[derive(Debug, Clone)]
struct Absent {
    names: Vec<String>,
    feature: &'static str,
}

/// The backends of one kind that a program can open.
#[derive(Debug)]
pub struct Registry<T: ?Sized> {
    kind: &'static str,
    providers: Vec<Provider<T>>,
    absent: Vec<Absent>,
}

impl<T: ?Sized> Clone for Registry<T> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, providers: self.providers.clone(), absent: self.absent.clone() }
    }
}

impl<T: ?Sized> Registry<T> {
    /// A registry that knows nobody yet; `kind` is what its errors call a backend, such as `memory`.
    pub fn new(kind: &'static str) -> Self {
        Self { kind, providers: Vec::new(), absent: Vec::new() }
    }

    /// Adds a provider. Where two have a name, the one registered last opens it.
    pub fn register(&mut self, provider: Provider<T>) {
        self.providers.push(provider);
    }

    /// Notes names and schemes that a Cargo feature would add, so that asking for one says so.
    pub fn note_absent<S: Into<String>>(
        &mut self,
        names: impl IntoIterator<Item = S>,
        feature: &'static str,
    ) {
        let names = names.into_iter().map(|name| name.into().to_ascii_lowercase()).collect();
        self.absent.push(Absent { names, feature });
    }

    /// Every name, and every scheme with `://` behind it, in alphabetical order.
    pub fn known(&self) -> BTreeSet<String> {
        let names = self.providers.iter().flat_map(|provider| provider.names.iter().cloned());
        let schemes =
            self.providers.iter().flat_map(|provider| provider.schemes.iter().map(|s| format!("{s}://")));
        names.chain(schemes).collect()
    }

    /// Opens what `address` names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a name nobody has, listing those that are known; [`ErrorKind::Unsupported`] naming
    /// the Cargo feature that would add it; else what opening it gives.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing open.
    pub async fn open(&self, address: &str) -> Result<Arc<T>> {
        self.open_address(Address::new(address)?).await
    }

    /// Opens what `address` names.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`].
    ///
    /// # Cancel safety
    ///
    /// As [`Registry::open`].
    pub async fn open_address(&self, address: Address) -> Result<Arc<T>> {
        match self.providers.iter().rev().find(|provider| provider.takes(&address)) {
            Some(provider) => (provider.open)(address).await,
            None => Err(self.refuse(&address)),
        }
    }

    /// Why an address cannot be opened, or `None` when somebody takes it.
    pub fn refusal(&self, address: &Address) -> Option<Error> {
        let taken = self.providers.iter().any(|provider| provider.takes(address));
        (!taken).then(|| self.refuse(address))
    }

    /// The same of an address that was not read yet.
    pub fn refused(&self, address: &str) -> Option<Error> {
        match Address::new(address) {
            Ok(address) => self.refusal(&address),
            Err(error) => Some(error),
        }
    }

    fn refuse(&self, address: &Address) -> Error {
        let name = address.name();
        if let Some(Absent { feature, .. }) = self.absent.iter().find(|absent| absent.names.contains(&name)) {
            return Error::unsupported(format!(
                "the {} {address} needs the Cargo feature `{feature}`, which this program was built without",
                self.kind
            ));
        }
        // The scheme without its slashes, or a name with them.
        let takes = |providers: fn(&Provider<T>) -> &Vec<String>| {
            self.providers.iter().any(|provider| providers(provider).contains(&name))
        };
        let hint = match address.is_url {
            false if takes(|provider| &provider.schemes) => format!("; did you mean {name}://…?"),
            true if takes(|provider| &provider.names) => format!("; did you mean {name}?"),
            _ => String::new(),
        };
        let known = Vec::from_iter(self.known()).join(", ");
        let kind = self.kind;
        Error::new(ErrorKind::NotFound, format!("the {kind} {address} is not known; known: {known}{hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greetings() -> Registry<str> {
        let mut registry = Registry::new("greeting");
        for word in ["hello", "hi"] {
            registry.register(
                Provider::new(move |address: Address| async move {
                    let rest = address.url().or(address.argument()).unwrap_or("nobody").to_owned();
                    Ok(Arc::from(format!("{word} {rest}")))
                })
                .with_names([word])
                .with_schemes(["greet"]),
            );
        }
        registry.note_absent(["Bye"], "farewell");
        registry
    }

    #[tokio::test]
    async fn names_arguments_and_urls_are_opened() {
        for (address, greeting) in [
            ("hello", "hello nobody"),
            ("hi:you there", "hi you there"),
            ("Hello:a://b", "hello a://b"),
            (" greet://:secret@host ", "hi greet://:secret@host"),
        ] {
            assert_eq!(&*greetings().open(address).await.unwrap(), greeting);
        }
    }

    #[tokio::test]
    async fn what_is_not_known_is_refused_and_no_secret_repeated() {
        let registry = greetings();
        let unknown = registry.open("howdy://:hunter2@host").await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        let text = format!("{unknown} {unknown:?}");
        assert!(
            text.contains("greet://, hello, hi") && text.contains("howdy") && !text.contains("hunter2"),
            "{text}"
        );
        let absent = registry.open("bye:now").await.unwrap_err();
        assert!(
            absent.kind() == ErrorKind::Unsupported && absent.to_string().contains("`farewell`"),
            "{absent}"
        );
        assert_eq!(registry.open(" ").await.unwrap_err().kind(), ErrorKind::Config);
        let address = Address::new("redis://:hunter2@h").unwrap();
        assert_eq!(format!("{address} {address:?}"), "redis://… Address(redis://…)");
        assert!(
            registry.refusal(&address).is_some() && registry.refusal(&Address::new("hi").unwrap()).is_none()
        );
    }

    #[tokio::test]
    async fn names_are_found_in_any_case_and_a_forgotten_slash_is_told() {
        let mut registry = greetings();
        registry.register(
            Provider::new(|_| async { Ok(Arc::from("shouted")) }).with_names(["HEY"]).with_schemes(["HEY-S"]),
        );
        for address in ["hey", "Hey", "hey-s://x"] {
            assert_eq!(&*registry.open(address).await.unwrap(), "shouted", "{address}");
        }
        let error = registry.open("greet").await.unwrap_err();
        assert!(error.to_string().contains("greet://…?"), "{error}");
        let error = registry.open("hi://there").await.unwrap_err();
        assert!(error.to_string().contains("did you mean hi?"), "{error}");
    }

    #[test]
    fn what_a_provider_does_not_understand_is_refused_and_not_repeated() {
        for address in ["redis:prod:6379", "redis:u:hunter2@h", "memory://hunter2"] {
            let error = Address::new(address).unwrap().refuse_argument().unwrap_err();
            assert!(error.kind() == ErrorKind::Config && !error.to_string().contains("hunter2"), "{error}");
        }
        for address in ["redis", "redis: ", "memory://"] {
            Address::new(address).unwrap().refuse_argument().unwrap();
        }
    }

    #[test]
    fn given_settings_beat_those_of_the_environment() {
        let settings = Settings { redis_max_connections: 7_777, ..Settings::default() };
        let address = Address::new("redis").unwrap();
        assert_ne!(address.settings().unwrap(), settings);
        assert_eq!(address.with_settings(settings.clone()).settings().unwrap(), settings);
    }
}
