//! Which servers hear and speak, and by which models.

mod choice;
mod env;
mod retiring;

use std::time::Duration;

use arshai_core::{Error, ErrorKind, Result, config::Settings};
use arshai_openai::{OpenAiConfig, Transport};

pub use choice::{SpeechService, synthesizer_from_env, transcriber_from_env};
pub(crate) use retiring::warn_of_retirement;

use crate::{OpenAiSynthesizer, OpenAiTranscriber, SynthesizerConfig, TranscriberConfig};

/// Hearing takes longer than answering.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(1800);

/// Settings of speech in both directions, for OpenAI-compatible servers and Azure OpenAI.
///
/// # Examples
///
/// ```
/// use arshai_speech::SpeechConfig;
///
/// let config = SpeechConfig::new("http://127.0.0.1:8000/v1").with_transcription_model("whisper-1");
/// let transcriber = config.transcriber()?;
/// # let _ = transcriber;
/// # Ok::<(), arshai_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SpeechConfig {
    /// The server that hears. Default: OpenAI's, with 300 s for one attempt and between two pieces of a reply, and 1800 s
    /// for an operation.
    pub transcription: OpenAiConfig,
    /// The model that hears. Default: `gpt-transcribe`.
    pub transcription_model: String,
    /// How the server that hears differs from OpenAI's.
    pub transcriber: TranscriberConfig,
    /// The server that speaks. Default: OpenAI's, likewise.
    pub synthesis: OpenAiConfig,
    /// The model that speaks. Default: `gpt-4o-mini-tts`.
    pub synthesis_model: String,
    /// How the server that speaks differs from OpenAI's.
    pub synthesizer: SynthesizerConfig,
}

impl Default for SpeechConfig {
    fn default() -> Self {
        Self::of(patient(OpenAiConfig::default()))
    }
}

impl SpeechConfig {
    /// One server at this base URL for both; everything else as by default.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self::of(patient(OpenAiConfig::new(base_url)))
    }

    /// One server for both, reached as these settings say, timeouts included.
    pub fn of(server: OpenAiConfig) -> Self {
        Self {
            transcription: server.clone(),
            transcription_model: "gpt-transcribe".to_owned(),
            transcriber: TranscriberConfig::default(),
            synthesis: server,
            synthesis_model: "gpt-4o-mini-tts".to_owned(),
            synthesizer: SynthesizerConfig::default(),
        }
    }

    /// The same with the shared settings, for both servers; the time for one attempt stays 300 s where they say less.
    #[must_use]
    pub fn with_settings(mut self, settings: &Settings) -> Self {
        self.transcription = patient(self.transcription.with_settings(settings));
        self.synthesis = patient(self.synthesis.with_settings(settings));
        self
    }

    /// The same with another model that hears.
    #[must_use]
    pub fn with_transcription_model(mut self, model: impl Into<String>) -> Self {
        self.transcription_model = model.into();
        self
    }

    /// The same with another model that speaks.
    #[must_use]
    pub fn with_synthesis_model(mut self, model: impl Into<String>) -> Self {
        self.synthesis_model = model.into();
        self
    }

    /// The same with other settings of the transcriber.
    #[must_use]
    pub fn with_transcriber(mut self, config: TranscriberConfig) -> Self {
        self.transcriber = config;
        self
    }

    /// The same with other settings of the synthesizer.
    #[must_use]
    pub fn with_synthesizer(mut self, config: SynthesizerConfig) -> Self {
        self.synthesizer = config;
        self
    }

    /// A transcriber with connections of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the setting that is wrong.
    pub fn transcriber(&self) -> Result<OpenAiTranscriber> {
        let transport = Transport::new(self.transcription.clone())?;
        OpenAiTranscriber::with_config(transport, &self.transcription_model, self.transcriber.clone())
    }

    /// A synthesizer with connections of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the setting that is wrong.
    pub fn synthesizer(&self) -> Result<OpenAiSynthesizer> {
        let transport = Transport::new(self.synthesis.clone())?;
        OpenAiSynthesizer::with_config(transport, &self.synthesis_model, self.synthesizer.clone())
    }
}

/// The same server with the time that sound takes.
pub(crate) fn patient(mut server: OpenAiConfig) -> OpenAiConfig {
    server.request_timeout = server.request_timeout.max(REQUEST_TIMEOUT);
    // A server may say that it streams, and then listen to the whole recording before its first word.
    server.idle_timeout = server.idle_timeout.max(REQUEST_TIMEOUT);
    server.total_timeout = server.total_timeout.max(TOTAL_TIMEOUT);
    server.stream_timeout = server.stream_timeout.max(TOTAL_TIMEOUT);
    server
}

pub(crate) fn bad(setting: &'static str, message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message).with_operation("speech.config").with_context("setting", setting)
}

/// # Errors
///
/// [`ErrorKind::Config`] for what cannot stand behind a base URL.
pub(crate) fn path(path: &str) -> Result<()> {
    if path.starts_with('/') && !path.contains(['#', ' ']) && !path.starts_with("//") {
        return Ok(());
    }
    Err(bad("path", "a path begins with one slash, such as /audio/transcriptions")
        .with_context("given", path.escape_debug()))
}
