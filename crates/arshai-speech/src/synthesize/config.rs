//! How a server of text to speech differs from others.

use std::time::Duration;

use arshai_core::Result;
use serde_json::{Map, Value};

use crate::config::{bad, path};

/// Settings of an [`OpenAiSynthesizer`](crate::OpenAiSynthesizer).
///
/// # Examples
///
/// ```
/// use arshai_speech::SynthesizerConfig;
///
/// let config = SynthesizerConfig::default().with_voice("af_heart").with_field("lang_code", "a");
/// assert_eq!(config.max_chars, 4096);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SynthesizerConfig {
    /// The path below the base URL. Default: `/audio/speech`.
    pub path: String,
    /// The voice, where the call names none. Default: `alloy`.
    pub voice: String,
    /// Further fields of every request. Default: none.
    pub fields: Map<String, Value>,
    /// The longest text the server takes, in Unicode scalar values; longer ones are split at the ends of sentences.
    /// Default: 4,096.
    pub max_chars: usize,
    /// Parts of one text in flight at once. Default: 3.
    pub concurrency: usize,
    /// Time for one attempt. Default: that of the transport.
    pub timeout: Option<Duration>,
}

impl Default for SynthesizerConfig {
    fn default() -> Self {
        Self {
            path: "/audio/speech".to_owned(),
            voice: "alloy".to_owned(),
            fields: Map::new(),
            max_chars: 4096,
            concurrency: 3,
            timeout: None,
        }
    }
}

impl SynthesizerConfig {
    /// The same with another voice.
    #[must_use]
    pub fn with_voice(mut self, voice: impl Into<String>) -> Self {
        self.voice = voice.into();
        self
    }

    /// The same with one more field in every request.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// The same at another path.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same with another longest text.
    #[must_use]
    pub fn with_max_chars(mut self, characters: usize) -> Self {
        self.max_chars = characters;
        self
    }

    /// The same with another number of parts in flight.
    #[must_use]
    pub fn with_concurrency(mut self, parts: usize) -> Self {
        self.concurrency = parts;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        path(&self.path)?;
        if self.max_chars == 0 || self.concurrency == 0 {
            return Err(bad("max_chars, concurrency", "they must be above 0"));
        }
        Ok(())
    }
}
