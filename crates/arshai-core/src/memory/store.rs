//! The contract of a memory backend.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::{KeyPrefix, Memory, MemoryKey};
use crate::Result;

/// Identifies one stored state of a memory: an opaque digest of the stored bytes, chosen by the backend.
///
/// Two equal revisions of one key mean equal content, whoever wrote it.
#[derive(Clone)]
pub struct Revision(Origin);

#[derive(Clone)]
enum Origin {
    Known(Arc<[u8]>),
    Later(Arc<dyn Later>),
}

/// A digest that is made when it is first asked for.
trait Later: Send + Sync {
    fn digest(&self) -> &[u8];
}

impl<F: FnOnce() -> Vec<u8> + Send> Later for LazyLock<Vec<u8>, F> {
    fn digest(&self) -> &[u8] {
        self
    }
}

impl Revision {
    /// Wraps a backend's own digest.
    pub fn from_digest(digest: &[u8]) -> Self {
        Self(Origin::Known(digest.into()))
    }

    /// A backend's own digest, made when it is first asked for: who only reads never does.
    pub fn computed_by(digest: impl FnOnce() -> Vec<u8> + Send + 'static) -> Self {
        Self(Origin::Later(Arc::new(LazyLock::new(digest))))
    }

    /// SHA-256 of the stored bytes, for backends that need no other digest.
    pub fn of_bytes(stored: &[u8]) -> Self {
        Self::from_digest(&Sha256::digest(stored))
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Origin::Known(digest) => digest,
            Origin::Later(later) => later.digest(),
        }
    }
}

impl PartialEq for Revision {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Revision {}

impl Hash for Revision {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({self})")
    }
}

/// A memory with the revision under which it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned {
    /// The memory.
    pub memory: Memory,
    /// Pass it as [`Precondition::Matches`] to replace exactly this state.
    pub revision: Revision,
}

/// What must hold for a put to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: replace whatever is there.
    Any,
    /// There is no value.
    Absent,
    /// The stored value is exactly this one.
    Matches(Revision),
}

/// What a put did.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a conflict means nothing was written"]
pub enum Put {
    /// Written, durably as far as the backend promises; the new revision.
    Stored(Revision),
    /// Nothing was written: the precondition did not hold. Carries the current value, so that a retry costs one
    /// round trip; `None` when there is none.
    Conflict(Option<Versioned>),
}

/// How long a memory lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// Until it is deleted.
    Forever,
    /// For this long from now.
    Remaining(Duration),
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// At most about this many keys (a backend may return a few more or fewer). Default: 100.
    pub limit: usize,
    /// Where the last page ended; `None` for the first.
    pub cursor: Option<String>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: 100, cursor: None }
    }
}

/// Keys of one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys. A key present during the whole listing appears in it at least once.
    pub keys: Vec<MemoryKey>,
    /// Pass it to get the next page; `None` after the last.
    pub next: Option<String>,
}

/// What a memory backend can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryCapabilities {
    /// Values survive a restart of the program.
    pub persistent: bool,
    /// Other processes see the same values.
    pub shared: bool,
    /// Values can expire.
    pub expiry: bool,
    /// Conditional puts are one atomic step across every handle and process.
    pub compare_and_set: bool,
    /// Largest stored value in bytes, `None` when only memory or disk limits it.
    pub max_value_bytes: Option<u64>,
}

impl MemoryCapabilities {
    /// Nothing but the contract's minimum: a compare-and-set on values that live in this process.
    pub fn minimal() -> Self {
        Self { persistent: false, shared: false, expiry: false, compare_and_set: true, max_value_bytes: None }
    }
}

/// A place where conversation memories live.
///
/// Every operation has a finite deadline: the caller's ([`crate::Deadline`]) or the backend's default.
/// Absent is not an error (`None`, `false`, `0`); a backend that is down is always one.
///
/// # Cancel safety
///
/// Dropping any of these futures leaves the store usable. A dropped `put`, `delete` or `touch` has been applied
/// or not, never half.
#[async_trait]
pub trait MemoryStore: Send + Sync + fmt::Debug {
    /// What this backend can do.
    fn capabilities(&self) -> MemoryCapabilities;

    /// The memory under `key`, `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Corrupt`] naming the key when the stored value cannot be read.
    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>>;

    /// Writes `memory` under `key` when `when` holds, in one atomic step.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidInput`] as [`Memory::validate`] says, and for a value above
    /// [`MemoryCapabilities::max_value_bytes`]. [`crate::ErrorKind::OutcomeUnknown`] when the write was sent and no
    /// reply came back, and the backend could not find out what became of it.
    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put>;

    /// Removes the memory; `false` when there was none.
    async fn delete(&self, key: &MemoryKey) -> Result<bool>;

    /// Lists keys, a page at a time, in no particular order.
    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage>;

    /// Removes every memory of the set; how many were removed.
    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64>;

    /// How long the memory will live; `None` when there is none.
    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>>;

    /// Sets how long the memory will live from now; `false` when there is none.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Unsupported`] when the backend cannot expire values.
    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool>;

    /// Whether the backend answers, for a readiness probe.
    ///
    /// # Errors
    ///
    /// What keeps it from answering.
    async fn health(&self) -> Result<()>;

    /// Waits for what is in flight and releases connections and files. Later calls fail with
    /// [`crate::ErrorKind::Closed`]. Closing twice is fine.
    async fn close(&self) -> Result<()>;
}
