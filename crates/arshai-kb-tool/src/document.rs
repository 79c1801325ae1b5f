//! A document as it goes in.

use std::path::Path;

use serde_json::{Map, Value};

/// How a document is written, which decides where it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Format {
    /// Paragraphs separated by blank lines.
    #[default]
    Text,
    /// Markdown: headings, fenced code, paragraphs.
    Markdown,
    /// reStructuredText: underlined headings, paragraphs.
    Rst,
    /// HTML; markup, scripts and styles are removed first.
    Html,
}

impl Format {
    /// The format that a file's extension names, if it is one of `txt md markdown rst html htm` in any case.
    pub fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "txt" => Some(Self::Text),
            "md" | "markdown" => Some(Self::Markdown),
            "rst" => Some(Self::Rst),
            "html" | "htm" => Some(Self::Html),
            _ => None,
        }
    }

    /// Stable lower-case name; part of the hash of settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Rst => "rst",
            Self::Html => "html",
        }
    }
}

/// A document to ingest.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Document {
    /// Names the document: a path, a URL, any text that stays the same when the document changes.
    pub source: String,
    /// Its text, as written.
    pub text: String,
    /// How it is written. Default: plain text.
    pub format: Format,
    /// Copied into the metadata of every chunk. Keys that arshai uses itself ([`metadata`](crate::metadata)) lose.
    pub metadata: Map<String, Value>,
}

impl Document {
    /// A plain text document.
    pub fn new(source: impl Into<String>, text: impl Into<String>) -> Self {
        Self { source: source.into(), text: text.into(), ..Self::default() }
    }

    /// The same in another format.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// The same with metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = metadata;
        self
    }
}
