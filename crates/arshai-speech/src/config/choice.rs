//! Which service hears and speaks, by what the environment holds.

use std::sync::Arc;

use arshai_core::{
    Result,
    speech::{Synthesizer, Transcriber},
};

use super::SpeechConfig;
use crate::AzureSpeechConfig;

/// Who hears and speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpeechService {
    /// A server of OpenAI's protocol, or Azure OpenAI: [`SpeechConfig`].
    OpenAi,
    /// Azure AI Speech: [`AzureSpeechConfig`].
    Azure,
}

impl SpeechService {
    /// The one that the environment names to hear: Azure AI Speech when `AZURE_SPEECH_KEY` is set and no
    /// OpenAI-compatible server is (`OPENAI_API_KEY`, `OPENAI_BASE_URL`, `AZURE_OPENAI_ENDPOINT`,
    /// `OPENAI_TRANSCRIPTION_BASE_URL`).
    pub fn for_transcription() -> Self {
        Self::chosen(is_set, "OPENAI_TRANSCRIPTION_BASE_URL")
    }

    /// The one that it names to speak, likewise (`OPENAI_SPEECH_BASE_URL`).
    pub fn for_synthesis() -> Self {
        Self::chosen(is_set, "OPENAI_SPEECH_BASE_URL")
    }

    fn chosen(is_set: impl Fn(&str) -> bool, own: &str) -> Self {
        let others = ["OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", own];
        if is_set("AZURE_SPEECH_KEY") && !others.into_iter().any(is_set) { Self::Azure } else { Self::OpenAi }
    }
}

/// Opens [`SpeechService::for_transcription`].
///
/// # Errors
///
/// [`ErrorKind::Config`](arshai_core::ErrorKind::Config) naming the variable that is not understood.
pub fn transcriber_from_env() -> Result<Arc<dyn Transcriber>> {
    match SpeechService::for_transcription() {
        SpeechService::Azure => Ok(Arc::new(AzureSpeechConfig::from_env()?.transcriber()?)),
        SpeechService::OpenAi => Ok(Arc::new(SpeechConfig::from_env()?.transcriber()?)),
    }
}

/// Opens [`SpeechService::for_synthesis`].
///
/// # Errors
///
/// As [`transcriber_from_env`].
pub fn synthesizer_from_env() -> Result<Arc<dyn Synthesizer>> {
    match SpeechService::for_synthesis() {
        SpeechService::Azure => Ok(Arc::new(AzureSpeechConfig::from_env()?.synthesizer()?)),
        SpeechService::OpenAi => Ok(Arc::new(SpeechConfig::from_env()?.synthesizer()?)),
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.to_string_lossy().trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azure_speech_is_used_when_nothing_else_is_named() {
        let own = "OPENAI_SPEECH_BASE_URL";
        let chosen =
            |set: &[&str]| SpeechService::chosen(|name| set.contains(&name), own) == SpeechService::Azure;
        assert!(chosen(&["AZURE_SPEECH_KEY", "AZURE_SPEECH_REGION"]));
        assert!(!chosen(&[]));
        for other in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", own] {
            assert!(!chosen(&["AZURE_SPEECH_KEY", other]), "{other}");
        }
    }
}
