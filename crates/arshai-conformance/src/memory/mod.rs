//! The suite of [`MemoryStore`].

mod expiry;
mod listing;
mod updates;
mod values;

use std::{future::Future, sync::Arc};

use arshai_core::{
    Error, ErrorKind, Result,
    memory::{KeyPrefix, Memory, MemoryCapabilities, MemoryKey, MemoryStore, PageRequest, Precondition},
};
use async_trait::async_trait;

use crate::{
    Report,
    check::{Checks, Outcome, Problem, checks, fails, unique},
};

/// Gives handles to one store.
///
/// Implemented for closures that return a future of a handle.
#[async_trait]
pub trait MemoryFactory: Send + Sync {
    /// A handle to the store. Every call gives another handle to the *same* data, as another process would have.
    ///
    /// # Errors
    ///
    /// What keeps the store from being opened; the suite reports it.
    async fn open(&self) -> Result<Arc<dyn MemoryStore>>;
}

#[async_trait]
impl<F, Opening> MemoryFactory for F
where
    F: Fn() -> Opening + Send + Sync,
    Opening: Future<Output = Result<Arc<dyn MemoryStore>>> + Send,
{
    async fn open(&self) -> Result<Arc<dyn MemoryStore>> {
        self().await
    }
}

/// Runs every check a memory store must pass.
///
/// The store may hold other data: the suite's keys carry a name no other run has, and are removed at the end.
///
/// # Cancel safety
///
/// Dropping the future stops the suite and leaves its keys behind.
pub async fn suite(factory: &dyn MemoryFactory) -> Report {
    let mut checks = Checks::new("memory");
    match Context::open(factory).await {
        Ok(context) => context.run(&mut checks).await,
        Err(error) => checks.fail("memory.open", "MemoryFactory::open", error.into()),
    }
    checks.finish()
}

/// What a check works with: two handles to the same store and keys of its own.
#[derive(Debug)]
pub(crate) struct Context {
    store: Arc<dyn MemoryStore>,
    other: Arc<dyn MemoryStore>,
    run: String,
}

impl Context {
    async fn open(factory: &dyn MemoryFactory) -> Result<Self> {
        Ok(Self { store: factory.open().await?, other: factory.open().await?, run: unique("conformance-") })
    }

    /// A key of this run.
    fn key(&self, name: &str) -> Outcome<MemoryKey> {
        Ok(MemoryKey::new(format!("{}-{name}", self.run))?)
    }

    /// The keys of this run that begin with `name`.
    fn prefix(&self, name: &str) -> KeyPrefix {
        KeyPrefix::conversations(format!("{}-{name}", self.run))
    }

    async fn run(&self, checks: &mut Checks) {
        let can = self.store.capabilities();
        values::run(self, checks, &can).await;
        listing::run(self, checks).await;
        expiry::run(self, checks, &can).await;
        updates::run(self, checks, &can).await;
        if let Err(error) = self.store.delete_all(&self.prefix("")).await {
            checks.note(format!("the suite's keys could not be removed: {error}"));
        }
        // Last, because handles of some stores close together.
        checks!(checks;
            "memory.health_of_an_open_store": "arshai_core::memory::MemoryStore::health" => async {
                Ok(self.store.health().await?)
            };
            "memory.closed_store_says_closed": "arshai_core::memory::MemoryStore::close" => self.closed(&can);
        );
    }

    async fn closed(&self, can: &MemoryCapabilities) -> Outcome {
        let key = self.key("closed")?;
        self.store.close().await?;
        self.store.close().await.map_err(|error| Problem::from(error).during("closing twice"))?;
        let store = &self.store;
        fails("get after close", store.get(&key).await, ErrorKind::Closed)?;
        fails(
            "put after close",
            store.put(&key, &Memory::new("x"), Precondition::Any).await,
            ErrorKind::Closed,
        )?;
        fails("delete after close", store.delete(&key).await, ErrorKind::Closed)?;
        fails(
            "list after close",
            store.list(&self.prefix(""), &PageRequest::default()).await,
            ErrorKind::Closed,
        )?;
        fails("delete_all after close", store.delete_all(&self.prefix("")).await, ErrorKind::Closed)?;
        fails("ttl after close", store.ttl(&key).await, ErrorKind::Closed)?;
        if can.expiry {
            let touched = store.touch(&key, arshai_core::memory::Ttl::Forever).await;
            fails("touch after close", touched, ErrorKind::Closed)?;
        }
        let health: Result<(), Error> = store.health().await;
        fails("health after close", health, ErrorKind::Closed)?;
        Ok(self.other.close().await?)
    }
}
