//! Which service hears and speaks, by what the environment holds.

use std::sync::Arc;

use arshai_core::{
    Result,
    speech::{Synthesizer, Transcriber},
};

use super::SpeechConfig;
use crate::AzureSpeechConfig;

/// What the environment says hears: Azure AI Speech when `AZURE_SPEECH_KEY` is set and no OpenAI-compatible server is
/// (`OPENAI_API_KEY`, `OPENAI_BASE_URL`, `AZURE_OPENAI_ENDPOINT`, `OPENAI_TRANSCRIPTION_BASE_URL`), else
/// [`SpeechConfig::from_env`]'s.
///
/// # Errors
///
/// [`ErrorKind::Config`](arshai_core::ErrorKind::Config) naming the variable that is not understood.
pub fn transcriber_from_env() -> Result<Arc<dyn Transcriber>> {
    match is_azure_speech(is_set, "OPENAI_TRANSCRIPTION_BASE_URL") {
        true => Ok(Arc::new(AzureSpeechConfig::from_env()?.transcriber()?)),
        false => Ok(Arc::new(SpeechConfig::from_env()?.transcriber()?)),
    }
}

/// What the environment says speaks, likewise (`OPENAI_SPEECH_BASE_URL`).
///
/// # Errors
///
/// As [`transcriber_from_env`].
pub fn synthesizer_from_env() -> Result<Arc<dyn Synthesizer>> {
    match is_azure_speech(is_set, "OPENAI_SPEECH_BASE_URL") {
        true => Ok(Arc::new(AzureSpeechConfig::from_env()?.synthesizer()?)),
        false => Ok(Arc::new(SpeechConfig::from_env()?.synthesizer()?)),
    }
}

fn is_azure_speech(is_set: impl Fn(&str) -> bool, own: &str) -> bool {
    let others = ["OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", own];
    is_set("AZURE_SPEECH_KEY") && !others.into_iter().any(is_set)
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
        let chosen = |set: &[&str]| is_azure_speech(|name| set.contains(&name), own);
        assert!(chosen(&["AZURE_SPEECH_KEY", "AZURE_SPEECH_REGION"]));
        assert!(!chosen(&[]));
        for other in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", own] {
            assert!(!chosen(&["AZURE_SPEECH_KEY", other]), "{other}");
        }
    }
}
