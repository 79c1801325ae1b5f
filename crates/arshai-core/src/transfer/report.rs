//! What came of it.

use std::{fmt, ops::Deref};

use crate::Error;

/// What an import did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ImportReport {
    /// Collections in the export.
    pub collections: u64,
    /// Records in the export.
    pub records: u64,
    /// Records that were written; the others were there already, or failed.
    pub written_records: u64,
    /// Memories in the export.
    pub memories: u64,
    /// Memories that were written.
    pub written_memories: u64,
    /// Memories that were kept although the export's differ.
    pub kept_memories: u64,
    /// What was refused: the record's or memory's key, and why. The import went on.
    pub failed: Vec<(String, Error)>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

impl ImportReport {
    /// Whether all of the export is there now.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.kept_memories == 0
    }
}

/// An import that ended early: why, and what it did until then. What was written stays; the import is run again.
///
/// It is an [`Error`] where one is asked for (`?`), and is read like one.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportError {
    /// Why it ended.
    pub error: Error,
    /// What it did until then.
    pub report: Box<ImportReport>,
}

impl ImportError {
    pub(super) fn new(error: Error, report: ImportReport) -> Self {
        Self { error, report: Box::new(report) }
    }
}

impl Deref for ImportError {
    type Target = Error;

    fn deref(&self) -> &Error {
        &self.error
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

impl From<ImportError> for Error {
    fn from(failed: ImportError) -> Self {
        failed.error
    }
}
