//! How a server of speech to text differs from others.

use std::time::Duration;

use arshai_core::Result;

use crate::{
    audio::FORMATS,
    config::{bad, path},
};

/// Settings of an [`OpenAiTranscriber`](crate::OpenAiTranscriber).
///
/// # Examples
///
/// ```
/// use arshai_speech::TranscriberConfig;
///
/// let config = TranscriberConfig::whisper_cpp().with_field("no_timestamps", "false");
/// assert_eq!(config.path, "/inference");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TranscriberConfig {
    /// The path below the base URL. Default: `/audio/transcriptions`.
    pub path: String,
    /// The field of the recording. Default: `file`.
    pub file_field: String,
    /// The field of the model's name; empty for a server that takes none. Default: `model`.
    pub model_field: String,
    /// Further fields of every request. Default: none.
    pub fields: Vec<(String, String)>,
    /// How the server is told of names and terms. Default: [`Hints::Auto`].
    pub hints: Hints,
    /// The `response_format` to ask for. Default: what gives the times that are wanted, else less, as the server allows.
    pub response_format: Option<String>,
    /// The endings of the file names that the server takes. Default: [`FORMATS`].
    pub formats: Vec<String>,
    /// The largest recording the server takes, in bytes. Default: 25,000,000.
    pub max_upload_bytes: u64,
    /// How WAV recordings that are too large or too long are split; `None` refuses them. Default: as [`Split`].
    pub split: Option<Split>,
    /// Parts of one recording in flight at once. Default: 4.
    pub concurrency: usize,
    /// Whether recordings that arrive as a stream are kept in a temporary file until they are whole: for servers that
    /// want to know the length first, and for long WAV recordings. Default: false, sent as they arrive.
    pub spool: bool,
    /// Whether to ask for the transcript as it is made. A server that ignores that is understood. Default: true.
    pub streaming: bool,
    /// Time for one attempt. Default: that of the transport, and a second for each 100 kB of the recording.
    pub timeout: Option<Duration>,
}

/// How names and terms are told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Hints {
    /// In the field `keywords[]` for the model `gpt-transcribe`, else before the prompt.
    #[default]
    Auto,
    /// Before the prompt.
    Prompt,
    /// Each in a field of this name.
    Field(String),
}

/// How a long recording is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Split {
    /// The longest part. Default: 10 min.
    pub longest: Duration,
    /// How much of the end of a part is looked through for silence; never more than a third of the part. Default: 30 s.
    pub search: Duration,
    /// The largest recording that is split, in bytes. Default: 4 GiB, which is the largest WAV file.
    pub max_recording_bytes: u64,
}

impl Default for Split {
    fn default() -> Self {
        Self {
            longest: Duration::from_secs(600),
            search: Duration::from_secs(30),
            max_recording_bytes: 4 << 30,
        }
    }
}

impl Split {
    /// The same with another longest part.
    #[must_use]
    pub fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }
}

impl Default for TranscriberConfig {
    fn default() -> Self {
        Self {
            path: "/audio/transcriptions".to_owned(),
            file_field: "file".to_owned(),
            model_field: "model".to_owned(),
            fields: Vec::new(),
            hints: Hints::Auto,
            response_format: None,
            formats: FORMATS.map(str::to_owned).into(),
            max_upload_bytes: 25_000_000,
            split: Some(Split::default()),
            concurrency: 4,
            spool: false,
            streaming: true,
            timeout: None,
        }
    }
}

impl TranscriberConfig {
    /// For the package `faster-whisper-server`, which calls the model `model_name`.
    pub fn faster_whisper_server() -> Self {
        Self { model_field: "model_name".to_owned(), streaming: false, ..Self::default() }
    }

    /// For the server of whisper.cpp as it starts by default; the base URL is without `/v1`.
    pub fn whisper_cpp() -> Self {
        Self {
            path: "/inference".to_owned(),
            model_field: String::new(),
            streaming: false,
            ..Self::default()
        }
    }

    /// For whisper-asr-webservice; the base URL is without `/v1`.
    pub fn whisper_asr() -> Self {
        Self {
            path: "/asr?output=json".to_owned(),
            file_field: "audio_file".to_owned(),
            model_field: String::new(),
            streaming: false,
            ..Self::default()
        }
    }

    /// The same with one more field in every request.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The same at another path.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same with another limit of size.
    #[must_use]
    pub fn with_max_upload_bytes(mut self, bytes: u64) -> Self {
        self.max_upload_bytes = bytes;
        self
    }

    /// The same with other parts; `None` splits nothing.
    #[must_use]
    pub fn with_split(mut self, split: Option<Split>) -> Self {
        self.split = split;
        self
    }

    /// The same with another number of parts in flight.
    #[must_use]
    pub fn with_concurrency(mut self, parts: usize) -> Self {
        self.concurrency = parts;
        self
    }

    /// The same keeping streams in a temporary file until they are whole.
    #[must_use]
    pub fn with_spool(mut self, spool: bool) -> Self {
        self.spool = spool;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        path(&self.path)?;
        if self.file_field.trim().is_empty() {
            return Err(bad("file_field", "the field of the recording must have a name"));
        }
        if self.max_upload_bytes == 0 || self.concurrency == 0 {
            return Err(bad("max_upload_bytes, concurrency", "they must be above 0"));
        }
        if self.split.is_some_and(|split| split.longest < Duration::from_secs(1)) {
            return Err(bad("split.longest", "a part must be a second or longer"));
        }
        Ok(())
    }
}
