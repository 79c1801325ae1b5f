//! Models that OpenAI has said it will switch off.

use arshai_openai::Transport;

/// The model, and the day (OpenAI's list of deprecations). `/v1/audio/speech` has no other models than its three, and
/// `/v1/audio/transcriptions` keeps `gpt-transcribe`.
const RETIRING: [(&str, &str); 7] = [
    ("tts-1", "2027-01-06"),
    ("tts-1-hd", "2027-01-06"),
    ("gpt-4o-mini-tts", "2027-01-06"),
    ("whisper-1", "2027-02-26"),
    ("gpt-4o-transcribe", "2027-02-26"),
    ("gpt-4o-mini-transcribe", "2027-02-26"),
    ("gpt-4o-transcribe-diarize", "2027-02-26"),
];

/// A warning from whoever is made for such a model. Other servers keep models of these names as long as they like.
pub(crate) fn warn_of_retirement(transport: &Transport, model: &str) {
    if !transport.is_openai() {
        return;
    }
    if let Some((model, day)) = retirement(model) {
        tracing::warn!(
            model,
            day,
            "OpenAI switches this speech model off on that day: set another model, or a server of your own"
        );
    }
}

fn retirement(model: &str) -> Option<(&'static str, &'static str)> {
    // A dated version goes with its model.
    let is_version = |name: &str| {
        let version = model.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
    };
    RETIRING.into_iter().find(|(name, _)| model == *name || is_version(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retiring_model_is_known_by_its_name_and_by_its_versions() {
        for (model, day) in [
            ("whisper-1", "2027-02-26"),
            ("tts-1-hd", "2027-01-06"),
            ("gpt-4o-mini-tts-2025-12-15", "2027-01-06"),
            ("gpt-4o-transcribe", "2027-02-26"),
            ("gpt-4o-transcribe-diarize", "2027-02-26"),
            ("gpt-4o-mini-transcribe", "2027-02-26"),
            ("gpt-4o-mini-transcribe-2025-12-15", "2027-02-26"),
        ] {
            assert_eq!(retirement(model).map(|(_, day)| day), Some(day), "{model}");
        }
        for model in ["gpt-transcribe", "whisper-large-v3", "tts-1-hdx", "gpt-4o-transcribe-other", ""] {
            assert_eq!(retirement(model), None, "{model}");
        }
    }
}
