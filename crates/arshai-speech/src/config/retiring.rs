//! Models that OpenAI has said it will switch off.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use arshai_openai::Transport;

/// The model, and the day. `/v1/audio/speech` has no other models than these, `whisper-1` is of `/v1/audio/transcriptions`.
const RETIRING: [(&str, &str); 4] = [
    ("tts-1", "2027-01-06"),
    ("tts-1-hd", "2027-01-06"),
    ("gpt-4o-mini-tts", "2027-01-06"),
    ("whisper-1", "2027-02-26"),
];

static WARNED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// One warning for each model of a process. Other servers keep models of these names as long as they like.
pub(crate) fn warn_of_retirement(transport: &Transport, model: &str) {
    if !transport.is_openai() {
        return;
    }
    if let Some((model, day)) = first_warning(model, &WARNED) {
        tracing::warn!(
            model,
            day,
            "OpenAI switches this speech model off on that day: set another model, or a server of your own"
        );
    }
}

fn first_warning(
    model: &str,
    warned: &Mutex<BTreeSet<&'static str>>,
) -> Option<(&'static str, &'static str)> {
    // A dated version goes with its model.
    let is_version = |name: &str| {
        let version = model.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
    };
    let found = RETIRING.into_iter().find(|(name, _)| model == *name || is_version(name))?;
    warned.lock().unwrap_or_else(PoisonError::into_inner).insert(found.0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retiring_model_is_warned_of_once() {
        let warned = Mutex::default();
        assert_eq!(first_warning("whisper-1", &warned), Some(("whisper-1", "2027-02-26")));
        assert_eq!(first_warning("whisper-1", &warned), None);
        assert_eq!(first_warning("tts-1-hd", &warned), Some(("tts-1-hd", "2027-01-06")));
        assert_eq!(
            first_warning("gpt-4o-mini-tts-2025-12-15", &warned).map(|(model, _)| model),
            Some("gpt-4o-mini-tts")
        );
        for model in ["gpt-transcribe", "whisper-large-v3", "tts-1-hdx", ""] {
            assert_eq!(first_warning(model, &warned), None, "{model}");
        }
    }
}
