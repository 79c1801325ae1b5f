//! Formats by the endings of their file names.

use arshai_core::{Error, Result};

/// The endings that OpenAI's servers take.
pub const FORMATS: [&str; 10] = ["flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm"];

/// The ending of a file name, in lower case.
pub(crate) fn ending(name: &str) -> Option<String> {
    let (before, ending) = name.rsplit_once('.')?;
    (!before.is_empty() && !ending.is_empty()).then(|| ending.to_ascii_lowercase())
}

/// The MIME type of a file of this name.
pub(crate) fn mime(name: &str) -> &'static str {
    match ending(name).as_deref() {
        Some("flac") => "audio/flac",
        Some("m4a" | "mp4") => "audio/mp4",
        Some("mp3" | "mpeg" | "mpga") => "audio/mpeg",
        Some("oga" | "ogg" | "opus") => "audio/ogg",
        Some("wav") => "audio/wav",
        Some("webm") => "audio/webm",
        Some("aac") => "audio/aac",
        _ => "application/octet-stream",
    }
}

/// # Errors
///
/// When the ending is none of `known`.
pub(crate) fn check(name: &str, known: &[String]) -> Result<()> {
    let ending = ending(name);
    if ending.as_ref().is_some_and(|ending| known.iter().any(|known| known.eq_ignore_ascii_case(ending))) {
        return Ok(());
    }
    Err(Error::invalid(
        "the format of the recording is not known by its name: convert it, or name it by one of the formats taken",
    )
    .with_context("file", name.escape_debug())
    .with_context("formats", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_ending_is_refused_with_the_list() {
        let known: Vec<String> = FORMATS.map(str::to_owned).into();
        for name in ["notes.txt", "wav", ".wav", "a.", "a.wav.zip"] {
            let error = check(name, &known).unwrap_err().to_string();
            assert!(error.contains("flac, m4a"), "{error}");
        }
        for name in ["a.wav", "A.B.WAV", "x.Mp3"] {
            check(name, &known).unwrap();
        }
    }

    #[test]
    fn every_format_taken_has_a_mime_type() {
        for ending in FORMATS {
            assert!(mime(&format!("a.{ending}")).starts_with("audio/"), "{ending}");
        }
    }
}
