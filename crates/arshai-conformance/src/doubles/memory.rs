//! A memory store that fails on purpose.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use arshai_core::{
    Effect, Error, ErrorKind, Result,
    memory::{
        InMemoryMemory, KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, MemoryStore, PageRequest,
        Precondition, Put, Ttl, Versioned,
    },
};
use async_trait::async_trait;

/// A test double of a [`MemoryStore`]: a store in this process that fails with a given kind of error while it is
/// told to. Clones share the data and the switch.
///
/// An error that says the outcome is unknown ([`ErrorKind::OutcomeUnknown`]) comes *after* a write was applied, as a
/// lost reply does; every other comes instead of it.
///
/// # Examples
///
/// ```
/// use arshai_conformance::doubles::FailingMemory;
/// use arshai_core::{ErrorKind, memory::{MemoryKey, MemoryStore}};
///
/// # async fn example() -> arshai_core::Result<()> {
/// let store = FailingMemory::new(ErrorKind::Unavailable);
/// let key = MemoryKey::new("c")?;
/// assert_eq!(store.get(&key).await.unwrap_err().kind(), ErrorKind::Unavailable);
/// store.heal();
/// assert_eq!(store.get(&key).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FailingMemory {
    kind: ErrorKind,
    failing: Arc<AtomicBool>,
    reads: bool,
    failures: Arc<AtomicUsize>,
    inner: InMemoryMemory,
}

impl FailingMemory {
    /// A store that fails every operation with this kind of error, until told otherwise.
    pub fn new(kind: ErrorKind) -> Self {
        Self {
            kind,
            failing: Arc::new(AtomicBool::new(true)),
            reads: true,
            failures: Arc::new(AtomicUsize::new(0)),
            inner: InMemoryMemory::new(),
        }
    }

    /// The same failing writes only (`put`, `delete`, `delete_all`, `touch`).
    #[must_use]
    pub fn writes_only(mut self) -> Self {
        self.reads = false;
        self
    }

    /// From now on, operations succeed.
    pub fn heal(&self) {
        self.failing.store(false, Ordering::SeqCst);
    }

    /// From now on, operations fail again.
    pub fn fail(&self) {
        self.failing.store(true, Ordering::SeqCst);
    }

    /// How many operations have failed.
    pub fn failures(&self) -> usize {
        self.failures.load(Ordering::SeqCst)
    }

    fn error(&self, operation: &'static str) -> Option<Error> {
        if !self.failing.load(Ordering::SeqCst) {
            return None;
        }
        self.failures.fetch_add(1, Ordering::SeqCst);
        Some(Error::new(self.kind, "this test double fails on purpose").with_operation(operation))
    }

    async fn read<T>(&self, operation: &'static str, result: impl Future<Output = Result<T>>) -> Result<T> {
        let error = if self.reads { self.error(operation) } else { None };
        match error {
            Some(error) => Err(error),
            None => result.await,
        }
    }

    async fn write<T>(&self, operation: &'static str, result: impl Future<Output = Result<T>>) -> Result<T> {
        match self.error(operation) {
            Some(error) if error.effect() == Effect::Unknown => {
                result.await?;
                Err(error)
            }
            Some(error) => Err(error),
            None => result.await,
        }
    }
}

#[async_trait]
impl MemoryStore for FailingMemory {
    fn capabilities(&self) -> MemoryCapabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        self.read("memory.get", self.inner.get(key)).await
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        self.write("memory.put", self.inner.put(key, memory, when)).await
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        self.write("memory.delete", self.inner.delete(key)).await
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        self.read("memory.list", self.inner.list(prefix, page)).await
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        self.write("memory.delete_all", self.inner.delete_all(prefix)).await
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        self.read("memory.ttl", self.inner.ttl(key)).await
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        self.write("memory.touch", self.inner.touch(key, ttl)).await
    }

    async fn health(&self) -> Result<()> {
        self.read("memory.health", self.inner.health()).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
