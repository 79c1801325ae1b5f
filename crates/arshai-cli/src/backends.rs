//! Opening what the flags name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arshai_core::{
    Error,
    chat::ChatModel,
    memory::{InMemoryMemory, MemoryStore},
    vector::{CollectionSpec, VectorStore},
};
use arshai_kb_tool::KnowledgeBase;

use crate::{
    args::Global,
    embedder::{Choice, Need},
    failure::{Failure, Outcome},
    file::File,
    output::Printer,
};

/// The backends of one run, opened when first needed.
pub(crate) struct Backends<'a> {
    global: &'a Global,
    printer: Printer,
    open: tokio::sync::Mutex<Vec<(PathBuf, File)>>,
}

/// A collection that can be searched or written.
pub(crate) struct Knowledge {
    pub(crate) base: KnowledgeBase,
    /// Whether it was told already that it is searched by words only.
    pub(crate) told: bool,
}

impl<'a> Backends<'a> {
    pub(crate) fn new(global: &'a Global, printer: Printer) -> Self {
        Self { global, printer, open: tokio::sync::Mutex::new(Vec::new()) }
    }

    /// The knowledge base of the chosen collection, with the embedder when the command needs it.
    pub(crate) async fn knowledge(&self, need: Need) -> Outcome<Knowledge> {
        let embedder = Choice::read(self.global.embedder.as_deref())?;
        CollectionSpec::new(&self.global.collection).validate().map_err(as_usage("--collection"))?;
        let base = KnowledgeBase::new(self.store().await?, &self.global.collection);
        let (base, told) = embedder.give_to(base, need, self.printer).await?;
        Ok(Knowledge { base, told })
    }

    pub(crate) async fn store(&self) -> Outcome<Arc<dyn VectorStore>> {
        match address(self.global.store.as_deref(), "--store", "ARSHAI_STORE")? {
            Some(Address::Memory) => {
                Err(usage("--store memory:// would forget the documents at once; use sqlite://PATH"))
            }
            Some(Address::Sqlite(path)) => Ok(self.file(&path).await?.vectors()),
            None => Ok(self.file(&self.default_path()?).await?.vectors()),
        }
    }

    pub(crate) async fn memory(&self) -> Outcome<Arc<dyn MemoryStore>> {
        match address(self.global.memory.as_deref(), "--memory", "ARSHAI_MEMORY")? {
            Some(Address::Memory) => Ok(Arc::new(InMemoryMemory::new())),
            Some(Address::Sqlite(path)) => Ok(self.file(&path).await?.memory()),
            None => match address(self.global.store.as_deref(), "--store", "ARSHAI_STORE")? {
                Some(Address::Sqlite(path)) => Ok(self.file(&path).await?.memory()),
                _ => Ok(self.file(&self.default_path()?).await?.memory()),
            },
        }
    }

    pub(crate) fn model(&self) -> Outcome<Arc<dyn ChatModel>> {
        let from_environment = std::env::var("ARSHAI_MODEL").ok().filter(|name| !name.is_empty());
        match self.global.model.as_deref().or(from_environment.as_deref()).unwrap_or("extractive") {
            "extractive" => extractive(),
            name if name == "openai" || name.starts_with("openai:") => Err(usage(
                "--model openai:MODEL needs the Cargo feature `openai`, which this program was built without",
            )),
            other => Err(usage(format!(
                "--model {} is not known; known: extractive, openai:MODEL",
                other.escape_debug()
            ))),
        }
    }

    /// Waits for what is in flight.
    pub(crate) async fn close(&self) -> Outcome {
        for (_, file) in self.open.lock().await.drain(..) {
            file.close().await?;
        }
        Ok(())
    }

    async fn file(&self, path: &Path) -> Outcome<File> {
        let mut open = self.open.lock().await;
        if let Some((_, file)) = open.iter().find(|(known, _)| known == path) {
            return Ok(file.clone());
        }
        let file = File::open(path).await?;
        open.push((path.to_owned(), file.clone()));
        Ok(file)
    }

    fn default_path(&self) -> Outcome<PathBuf> {
        let folder = match &self.global.data {
            Some(folder) => folder.clone(),
            None => directories::ProjectDirs::from("", "", "arshai")
                .ok_or_else(|| usage("this system has no data folder; name one with --data DIR"))?
                .data_dir()
                .to_owned(),
        };
        Ok(folder.join("arshai.db"))
    }
}

#[cfg(feature = "local")]
fn extractive() -> Outcome<Arc<dyn ChatModel>> {
    Ok(Arc::new(arshai_local::ExtractiveModel::new()))
}

#[cfg(not(feature = "local"))]
fn extractive() -> Outcome<Arc<dyn ChatModel>> {
    Err(usage("--model extractive needs the Cargo feature `local`, which this program was built without"))
}

#[derive(Debug, PartialEq)]
enum Address {
    Sqlite(PathBuf),
    Memory,
}

/// Reads an address from the flag or, when it is absent, the environment.
fn address(flag: Option<&str>, name: &str, variable: &str) -> Outcome<Option<Address>> {
    if let Some(url) = flag {
        if has_credentials(url) {
            return Err(usage(format!(
                "{name} holds credentials, which every user of this machine can read in the process list; \
                 put the URL into the environment variable {variable}"
            )));
        }
        return parse_address(url, name).map(Some);
    }
    match std::env::var(variable) {
        Ok(url) if !url.is_empty() => parse_address(&url, variable).map(Some),
        _ => Ok(None),
    }
}

fn has_credentials(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(scheme, rest)| match scheme {
        "sqlite" | "memory" => "",
        _ => rest.split(['/', '?']).next().unwrap_or(""),
    });
    authority.contains('@')
}

/// Errors name the scheme only: the rest may hold a password.
fn parse_address(url: &str, name: &str) -> Outcome<Address> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(usage(format!("{name} is not a URL; known: sqlite://PATH, memory://")));
    };
    let needs = |feature: &str| {
        Err(usage(format!(
            "{name} {scheme}://… needs the Cargo feature `{feature}`, which this program was built without"
        )))
    };
    match scheme {
        "sqlite" if rest.is_empty() => {
            Err(usage(format!("{name} sqlite:// names no file; write sqlite://PATH")))
        }
        "sqlite" => Ok(Address::Sqlite(PathBuf::from(rest))),
        "memory" => Ok(Address::Memory),
        "milvus" | "milvus+tls" => needs("milvus"),
        "redis" | "rediss" | "redis-cluster" | "rediss-cluster" | "redis-sentinel" | "rediss-sentinel"
        | "redis+unix" => needs("redis"),
        other => Err(usage(format!(
            "{name} has the unknown scheme {}; known: sqlite, memory, milvus, redis",
            other.escape_debug()
        ))),
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
    fn addresses() {
        assert_eq!(parse_address("sqlite:///a/b.db", "--store").unwrap(), Address::Sqlite("/a/b.db".into()));
        assert_eq!(parse_address("sqlite://b.db", "--store").unwrap(), Address::Sqlite("b.db".into()));
        assert_eq!(parse_address("memory://", "--memory").unwrap(), Address::Memory);
    }

    #[test]
    fn a_password_is_never_repeated() {
        for flag in ["redis://:hunter2@host", "foo://u:hunter2@host", "hunter2"] {
            let failure = address(Some(flag), "--memory", "ARSHAI_TEST_UNSET").unwrap_err();
            assert_eq!(failure.exit_status(), 2);
            assert!(!failure.to_text().unwrap().contains("hunter2"));
        }
    }

    #[test]
    fn an_absent_feature_is_named() {
        let text = parse_address("milvus://localhost:19530", "--store").unwrap_err().to_text().unwrap();
        assert!(text.contains("feature `milvus`"), "{text}");
    }
}
