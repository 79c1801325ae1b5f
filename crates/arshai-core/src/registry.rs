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

use crate::{Error, ErrorKind, Result, config::Secret};

type Opening<T> = Pin<Box<dyn Future<Output = Result<Arc<T>>> + Send>>;

/// What a user writes to choose a backend: a provider's name, a name with an argument (`openai:gpt-…`), or a URL.
/// `Debug` and `Display` show the name or scheme only, since the rest may hold a password.
#[derive(Clone)]
pub struct Address {
    whole: Secret,
    name_length: usize,
    is_url: bool,
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
        Ok(Self { whole: Secret::new(whole), name_length, is_url })
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

    /// The same under names, such as `redis`.
    #[must_use]
    pub fn with_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names.extend(names.into_iter().map(Into::into));
        self
    }

    /// The same for the URLs with these schemes, such as `rediss`.
    #[must_use]
    pub fn with_schemes<S: Into<String>>(mut self, schemes: impl IntoIterator<Item = S>) -> Self {
        self.schemes.extend(schemes.into_iter().map(Into::into));
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
        self.absent.push(Absent { names: names.into_iter().map(Into::into).collect(), feature });
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
    pub async fn open(&self, address: &str) -> Result<Arc<T>> {
        self.open_address(Address::new(address)?).await
    }

    /// Opens what `address` names.
    ///
    /// # Errors
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

    fn refuse(&self, address: &Address) -> Error {
        let name = address.name();
        match self.absent.iter().find(|absent| absent.names.contains(&name)) {
            Some(Absent { feature, .. }) => Error::unsupported(format!(
                "the {} {address} needs the Cargo feature `{feature}`, which this program was built without",
                self.kind
            )),
            None => Error::new(
                ErrorKind::NotFound,
                format!(
                    "the {} {address} is not known; known: {}",
                    self.kind,
                    Vec::from_iter(self.known()).join(", ")
                ),
            ),
        }
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
        registry.note_absent(["bye"], "farewell");
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
}
