//! Settings of a file.

use std::{path::PathBuf, time::Duration};

use arshai_core::{Error, ErrorKind, Result};

/// How a file is opened.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use arshai_sqlite::SqliteConfig;
///
/// let config = SqliteConfig::new("data/arshai.db").with_timeout(Duration::from_secs(5)).with_readers(8);
/// assert_eq!(config.readers, 8);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// The file. It and its folder are created when absent.
    pub path: PathBuf,
    /// How long an operation may take when the caller set no [`arshai_core::Deadline`]. Default: 30 s.
    pub timeout: Duration,
    /// How long a memory is kept after its last write. Default: until it is deleted.
    pub memory_ttl: Option<Duration>,
    /// How many operations may read at once, each on a connection of its own. Default: 4.
    pub readers: usize,
    /// The file does not grow beyond this many bytes; a write that would is refused like one on a full disk.
    /// Default: no limit.
    pub max_bytes: Option<u64>,
}

impl SqliteConfig {
    /// The file at `path`, with the defaults.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            timeout: Duration::from_secs(30),
            memory_ttl: None,
            readers: 4,
            max_bytes: None,
        }
    }

    /// The same with another timeout.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with memories that expire `ttl` after their last write.
    #[must_use]
    pub fn with_memory_ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.memory_ttl = ttl.into();
        self
    }

    /// The same with another number of readers.
    #[must_use]
    pub fn with_readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }

    /// The same with a limit on the file's size.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_bytes = bytes.into();
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let wrong = |problem: &'static str| Err(Error::new(ErrorKind::Config, problem));
        if self.path.as_os_str().is_empty() {
            return wrong("the path of the SQLite file is empty");
        }
        if self.readers == 0 || self.readers > 1024 {
            return wrong("the number of readers of a SQLite file is 1 to 1024");
        }
        if self.timeout.is_zero() {
            return wrong("the timeout of a SQLite file is above 0");
        }
        Ok(())
    }
}
