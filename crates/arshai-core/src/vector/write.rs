//! What became of each record of a batch.

use super::Id;
use crate::{Error, Result};

/// What became of one record.
#[derive(Debug)]
pub enum ItemOutcome {
    /// Written under this key, as durably as the backend promises.
    Written(Id),
    /// Not written, or (when the error's effect is unknown) perhaps written.
    Failed(Error),
    /// Not tried, because the operation ended before its turn.
    NotAttempted,
}

/// What became of every record of a write, in the order given.
#[derive(Debug, Default)]
#[must_use = "a batch may have been written in part"]
pub struct WriteReport {
    /// One outcome per record.
    pub items: Vec<ItemOutcome>,
}

impl WriteReport {
    /// A report in which every record was written.
    pub fn all_written(ids: impl IntoIterator<Item = Id>) -> Self {
        Self { items: ids.into_iter().map(ItemOutcome::Written).collect() }
    }

    /// How many records were written.
    pub fn written(&self) -> usize {
        self.ids().count()
    }

    /// The keys of the records that were written.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        self.items.iter().filter_map(|item| match item {
            ItemOutcome::Written(id) => Some(id),
            _ => None,
        })
    }

    /// The records that failed: position and error.
    pub fn failed(&self) -> impl Iterator<Item = (usize, &Error)> {
        self.items.iter().enumerate().filter_map(|(position, item)| match item {
            ItemOutcome::Failed(error) => Some((position, error)),
            _ => None,
        })
    }

    /// Whether every record was written.
    pub fn is_complete(&self) -> bool {
        self.written() == self.items.len()
    }

    /// For callers to whom a partial write is a failure.
    ///
    /// # Errors
    ///
    /// The first failure, with the numbers written, failed and not attempted in its context.
    pub fn into_complete(self) -> Result<Vec<Id>> {
        if self.is_complete() {
            return Ok(self.ids().cloned().collect());
        }
        let (written, failed) = (self.written(), self.failed().count());
        let total = self.items.len();
        let first = self.items.into_iter().find_map(|item| match item {
            ItemOutcome::Failed(error) => Some(error),
            _ => None,
        });
        Err(first
            .unwrap_or_else(|| {
                Error::new(crate::ErrorKind::Closed, "the write ended before all records were tried")
            })
            .with_context("written", written)
            .with_context("failed", failed)
            .with_context("not_attempted", total.saturating_sub(written + failed)))
    }
}
