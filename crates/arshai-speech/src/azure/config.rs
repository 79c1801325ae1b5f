//! Where Azure AI Speech is.

use arshai_core::{
    Error, ErrorKind, Result,
    config::{Secret, Settings, Variable},
};
use arshai_openai::{OpenAiConfig, Transport};

use super::{AzureSpeechSynthesizer, AzureSpeechTranscriber};
use crate::{
    audio::FORMATS,
    config::{bad, patient},
};

/// Settings of Azure AI Speech. (Azure OpenAI's speech models are [`SpeechConfig`](crate::SpeechConfig)'s.)
///
/// # Examples
///
/// ```
/// use arshai_speech::AzureSpeechConfig;
///
/// let config = AzureSpeechConfig::new("key", "westeurope").with_voice("de-DE-KatjaNeural");
/// let synthesizer = config.synthesizer()?;
/// # let _ = synthesizer;
/// # Ok::<(), arshai_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AzureSpeechConfig {
    /// The resource's key.
    pub key: Secret,
    /// The resource's region, such as `westeurope`.
    pub region: String,
    /// One base URL for all interfaces, for a private endpoint or a container. Default: the region's.
    pub base_url: Option<String>,
    /// Timeouts, retries, proxy and certificates; its base URL, keys and Azure are not used. Default:
    /// [`OpenAiConfig`]'s, with 300 s for one attempt and 1800 s for an operation.
    pub server: OpenAiConfig,
    /// The voice, where the call names none. Default: `en-US-JennyNeural`.
    pub voice: String,
    /// The language spoken, where the call names none. Default: `en-US`.
    pub language: String,
    /// Which interface hears. Default: [`AzureHearing::Fast`].
    pub hearing: AzureHearing,
    /// The version of fast transcription. Default: `2025-10-15`, which is the first that takes names and terms to expect.
    pub api_version: String,
    /// The endings of the file names that are taken. Default: [`FORMATS`].
    pub formats: Vec<String>,
    /// The largest recording that is sent, in bytes. Default: 200,000,000.
    pub max_upload_bytes: u64,
    /// Whether recordings that arrive as a stream are kept in a temporary file until they are whole; short audio always
    /// is, so that its length is known. Default: false, sent as they arrive.
    pub spool: bool,
    /// The longest text in one request, in Unicode scalar values. Default: 4,096.
    pub max_chars: usize,
    /// Parts of one text in flight at once. Default: 3.
    pub concurrency: usize,
}

/// Which of the interfaces hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AzureHearing {
    /// Fast transcription: recordings of up to two hours, with segments, words and speakers.
    #[default]
    Fast,
    /// Short audio of up to a minute: WAV (PCM, 16 bits, 16 kHz, one channel) or Ogg (Opus). What is longer or otherwise
    /// is refused before it is sent.
    Short,
}

impl AzureSpeechConfig {
    /// What [`AzureSpeechConfig::from_env`] reads.
    pub const VARIABLES: [Variable; 5] = [
        Variable::new("AZURE_SPEECH_KEY", "the key of Azure AI Speech").secret(),
        Variable::new("AZURE_SPEECH_REGION", "its region, such as westeurope"),
        Variable::new("AZURE_SPEECH_ENDPOINT", "one base URL instead of the region's").url(),
        Variable::new("AZURE_SPEECH_VOICE", "the voice that speaks").of("en-US-JennyNeural", ""),
        Variable::new("AZURE_SPEECH_LANGUAGE", "the language spoken").of("en-US", ""),
    ];

    /// The resource with this key in this region; everything else as by default.
    pub fn new(key: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            key: Secret::new(key),
            region: region.into(),
            base_url: None,
            server: patient(OpenAiConfig::default()),
            voice: "en-US-JennyNeural".to_owned(),
            language: "en-US".to_owned(),
            hearing: AzureHearing::Fast,
            api_version: "2025-10-15".to_owned(),
            formats: FORMATS.map(str::to_owned).into(),
            max_upload_bytes: 200_000_000,
            spool: false,
            max_chars: 4096,
            concurrency: 3,
        }
    }

    /// The settings of this process's environment.
    ///
    /// | variable | meaning | default |
    /// |---|---|---|
    /// | `AZURE_SPEECH_KEY` | the key | needed |
    /// | `AZURE_SPEECH_REGION` | the region, such as `westeurope` | needed unless there is an endpoint |
    /// | `AZURE_SPEECH_ENDPOINT` | one base URL instead of the region's | none |
    /// | `AZURE_SPEECH_VOICE` | the voice that speaks | `en-US-JennyNeural` |
    /// | `AZURE_SPEECH_LANGUAGE` | the language spoken | `en-US` |
    ///
    /// Proxy, certificates and `OPENAI_REQUEST_TIMEOUT` are those of [`OpenAiConfig::from_env`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the variable that is missing or not understood.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// The settings of any source of variables.
    ///
    /// # Errors
    ///
    /// As [`AzureSpeechConfig::from_env`].
    pub fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self> {
        let read = |name| {
            variable(name).map(|value: String| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let missing = |name: &'static str| {
            Error::new(ErrorKind::Config, "Azure AI Speech needs a key and a region: set the variable")
                .with_operation("speech.config")
                .with_context("variable", name)
        };
        let key = read("AZURE_SPEECH_KEY").ok_or_else(|| missing("AZURE_SPEECH_KEY"))?;
        let base_url = read("AZURE_SPEECH_ENDPOINT");
        let region = match (read("AZURE_SPEECH_REGION"), &base_url) {
            (None, None) => return Err(missing("AZURE_SPEECH_REGION")),
            (region, _) => region.unwrap_or_default(),
        };
        // Azure OpenAI's variables are another resource's.
        let server = OpenAiConfig::from_variables(|name| match name {
            "AZURE_OPENAI_ENDPOINT" | "OPENAI_BASE_URL" | "OPENAI_API_KEY" => None,
            _ => variable(name),
        })?;
        let mut config = Self { base_url, server: patient(server), ..Self::new(key, region) };
        if let Some(voice) = read("AZURE_SPEECH_VOICE") {
            config.voice = voice;
        }
        if let Some(language) = read("AZURE_SPEECH_LANGUAGE") {
            config.language = language;
        }
        Ok(config)
    }

    /// The same with the shared settings; the time for one attempt stays 300 s where they say less.
    #[must_use]
    pub fn with_settings(mut self, settings: &Settings) -> Self {
        self.server = patient(self.server.with_settings(settings));
        self
    }

    /// The same at another base URL, for all interfaces.
    #[must_use]
    pub fn with_base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// The same with another voice.
    #[must_use]
    pub fn with_voice(mut self, voice: impl Into<String>) -> Self {
        self.voice = voice.into();
        self
    }

    /// The same for another language.
    #[must_use]
    pub fn with_language(mut self, language: impl Into<String>) -> Self {
        self.language = language.into();
        self
    }

    /// The same with another interface that hears.
    #[must_use]
    pub fn with_hearing(mut self, hearing: AzureHearing) -> Self {
        self.hearing = hearing;
        self
    }

    /// The same keeping streams in a temporary file until they are whole.
    #[must_use]
    pub fn with_spool(mut self, spool: bool) -> Self {
        self.spool = spool;
        self
    }

    /// A transcriber with connections of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the setting that is wrong.
    pub fn transcriber(&self) -> Result<AzureSpeechTranscriber> {
        AzureSpeechTranscriber::new(self.clone())
    }

    /// A synthesizer with connections of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the setting that is wrong.
    pub fn synthesizer(&self) -> Result<AzureSpeechSynthesizer> {
        AzureSpeechSynthesizer::new(self.clone())
    }

    /// Connections to one of the hosts of the region; `host` is what stands between the region and `.microsoft.com`.
    pub(super) fn transport(&self, host: &'static str) -> Result<Transport> {
        if self.key.expose().trim().is_empty() {
            return Err(bad("key", "Azure AI Speech needs a key"));
        }
        if self.max_chars == 0 || self.concurrency == 0 || self.max_upload_bytes == 0 {
            return Err(bad("max_chars, concurrency, max_upload_bytes", "they must be above 0"));
        }
        let region = self.region.trim();
        let is_region = !region.is_empty() && region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let base_url = match &self.base_url {
            Some(url) => url.clone(),
            None if is_region => format!("https://{region}.{host}.microsoft.com"),
            None => return Err(bad("region", "a region is letters and digits, such as westeurope")),
        };
        let mut server = self.server.clone();
        server.base_url = base_url;
        server.api_key = None;
        server.azure = None;
        Transport::new(server.with_header("Ocp-Apim-Subscription-Key", self.key.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&'static str, &str)]) -> Result<AzureSpeechConfig> {
        AzureSpeechConfig::from_variables(|asked| {
            variables.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn settings_of_the_program_beat_the_environment_and_leave_time_for_sound() {
        let environment = [
            ("AZURE_SPEECH_KEY", "k"),
            ("AZURE_SPEECH_REGION", "westeurope"),
            ("OPENAI_REQUEST_TIMEOUT", "500"),
        ];
        for (given, expected) in [(60, 300), (100_000, 100_000)] {
            let mut settings = Settings::default();
            settings.openai_request_timeout = std::time::Duration::from_secs(given);
            let server = read(&environment).unwrap().with_settings(&settings).server;
            assert_eq!(server.request_timeout.as_secs(), expected);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (variables, missing) in
            [(vec![], "AZURE_SPEECH_KEY"), (vec![("AZURE_SPEECH_KEY", "k")], "AZURE_SPEECH_REGION")]
        {
            let error = read(&variables).unwrap_err();
            assert!(error.kind() == ErrorKind::Config && error.to_string().contains(missing), "{error}");
        }
        let config = read(&[
            ("AZURE_SPEECH_KEY", "hidden-key"),
            ("AZURE_SPEECH_REGION", "westeurope"),
            ("AZURE_SPEECH_VOICE", "de-DE-KatjaNeural"),
            ("AZURE_SPEECH_LANGUAGE", "de-DE"),
        ])
        .unwrap();
        assert_eq!((config.voice.as_str(), config.language.as_str()), ("de-DE-KatjaNeural", "de-DE"));
        assert!(!format!("{config:?} {:?}", config.synthesizer().unwrap()).contains("hidden-key"));
    }

    #[test]
    fn a_region_that_is_another_host_is_refused() {
        for region in ["", "evil.example/", "a.b", "x@y", "a b"] {
            assert_eq!(
                AzureSpeechConfig::new("k", region).transcriber().unwrap_err().kind(),
                ErrorKind::Config,
                "{region}"
            );
        }
    }

    #[test]
    fn the_key_does_not_travel_in_plaintext() {
        let config = AzureSpeechConfig::new("k", "westeurope").with_base_url("http://speech.example");
        assert_eq!(config.synthesizer().unwrap_err().kind(), ErrorKind::Config);
    }
}
