//! What an ingestion did.

use arshai_core::Error;
use serde::Serialize;

/// What became of the documents of a run. Serialises to the JSON that `arshai ingest --json` prints.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct IngestReport {
    /// Documents that are in the store completely now, unchanged ones included.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Chunks of theirs that were written in this run.
    pub written: u64,
    /// Documents of which text and settings were stored completely already.
    pub unchanged: u64,
    /// Chunks that were given a vector in this run.
    pub embedded: u64,
    /// Documents that were removed because they are gone or empty.
    pub removed: u64,
    /// What was left out, counted.
    pub skipped: Skipped,
    /// Documents that could not be ingested, with the reason.
    pub failed: Vec<Failure>,
    /// Documents that were not tried because the run ended early.
    pub not_attempted: Vec<String>,
    /// What was left out, by name: for people who ask.
    #[serde(skip)]
    pub skipped_paths: Vec<(SkipReason, String)>,
    /// What a person should know: what was adopted, what was not removed and why.
    #[serde(skip)]
    pub notes: Vec<String>,
    #[serde(skip)]
    first_error: Option<Error>,
}

impl IngestReport {
    /// Whether every document was tried and none failed.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.not_attempted.is_empty()
    }

    /// For callers to whom an incomplete run is a failure: the first failure, with the numbers in its context.
    pub fn into_error(self) -> Option<Error> {
        let (failed, not_attempted) = (self.failed.len(), self.not_attempted.len());
        let error = self.first_error?.with_context("failed", failed);
        Some(error.with_context("not_attempted", not_attempted))
    }

    pub(crate) fn skip(&mut self, reason: SkipReason, path: String) {
        let count = match reason {
            SkipReason::Hidden => &mut self.skipped.hidden,
            SkipReason::Ignored => &mut self.skipped.ignored,
            SkipReason::Binary => &mut self.skipped.binary,
            SkipReason::Empty => &mut self.skipped.empty,
            SkipReason::Unsupported => &mut self.skipped.unsupported,
        };
        *count += 1;
        self.skipped_paths.push((reason, path));
    }

    pub(crate) fn fail(&mut self, failure: SourceFailure) {
        self.failed.push(Failure {
            source: failure.source,
            retryable: failure.error.is_retryable(),
            error: failure.error.to_string(),
        });
        let error = failure.error;
        if self.first_error.is_none() {
            let source = self.failed.last().map_or(String::new(), |failure| failure.source.clone());
            self.first_error = Some(error.with_context("source", source));
        }
    }
}

/// How many files or folders were left out. A folder that is left out counts once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Skipped {
    /// Hidden ones: their name begins with a dot.
    pub hidden: u64,
    /// Those that a `.gitignore` names.
    pub ignored: u64,
    /// Files that are not text.
    pub binary: u64,
    /// Files of white space only.
    pub empty: u64,
    /// Files that are text of a kind nobody asked for, and things that are no files.
    pub unsupported: u64,
}

/// Why a path was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// [`Skipped::hidden`]
    Hidden,
    /// [`Skipped::ignored`]
    Ignored,
    /// [`Skipped::binary`]
    Binary,
    /// [`Skipped::empty`]
    Empty,
    /// [`Skipped::unsupported`]
    Unsupported,
}

impl SkipReason {
    /// The name of the count in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Ignored => "ignored",
            Self::Binary => "binary",
            Self::Empty => "empty",
            Self::Unsupported => "unsupported",
        }
    }
}

/// A document that failed, as it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The document.
    pub source: String,
    /// Why, for people.
    pub error: String,
    /// Whether the same run may succeed later.
    pub retryable: bool,
}

/// A document that could not be read.
#[derive(Debug)]
pub struct SourceFailure {
    /// The document.
    pub source: String,
    /// Why.
    pub error: Error,
}

impl SourceFailure {
    /// A failure of a document.
    pub fn new(source: impl Into<String>, error: Error) -> Self {
        Self { source: source.into(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_the_contract_s() {
        let mut report = IngestReport::default();
        report.skip(SkipReason::Binary, "a.bin".into());
        report.fail(SourceFailure::new("b", Error::invalid("bad")));
        report.notes.push("not in it".into());
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"documents":0,"chunks":0,"written":0,"unchanged":0,"embedded":0,"removed":0,"skipped":{"hidden":0,"ignored":0,"binary":1,"empty":0,"unsupported":0},"failed":[{"source":"b","error":"bad (invalid_input)","retryable":false}],"not_attempted":[]}"#
        );
    }
}
