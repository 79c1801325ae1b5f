//! What was said.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a recording is transcribed.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct TranscribeOptions {
    /// The language spoken, such as `en`. Default: the model finds out.
    pub language: Option<String>,
    /// Words that came before, or show the style. Default: none.
    pub prompt: Option<String>,
    /// Randomness, 0 to 1. Default: the model's own.
    pub temperature: Option<f32>,
    /// Names and terms to expect. Default: none.
    pub hints: Vec<String>,
    /// How finely times are told. Default: not at all.
    pub timestamps: Timestamps,
}

impl TranscribeOptions {
    /// The same with a language.
    #[must_use]
    pub fn with_language(mut self, language: impl Into<String>) -> Self {
        self.language = Some(language.into());
        self
    }

    /// The same with a prompt.
    #[must_use]
    pub fn with_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = Some(prompt.into());
        self
    }

    /// The same with another randomness.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// The same with names and terms to expect.
    #[must_use]
    pub fn with_hints<S: Into<String>>(mut self, hints: impl IntoIterator<Item = S>) -> Self {
        self.hints = hints.into_iter().map(Into::into).collect();
        self
    }

    /// The same with times.
    #[must_use]
    pub fn with_timestamps(mut self, timestamps: Timestamps) -> Self {
        self.timestamps = timestamps;
        self
    }
}

/// How finely a transcript tells times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Timestamps {
    /// Not at all.
    #[default]
    None,
    /// Per segment, a sentence or so.
    Segments,
    /// Per segment and per word.
    Words,
}

/// What was said in a recording.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transcript {
    /// All of it, without blanks around it.
    pub text: String,
    /// The language, where the model tells.
    pub language: Option<String>,
    /// How long the recording is, where the model tells.
    #[serde(with = "seconds::optional", rename = "duration_seconds")]
    pub duration: Option<Duration>,
    /// Its segments in order; empty when times were not asked for or the model tells none.
    pub segments: Vec<Segment>,
    /// Its words in order; empty likewise.
    pub words: Vec<Word>,
}

impl Transcript {
    /// A transcript without times.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self { text: text.as_ref().trim().to_owned(), ..Self::default() }
    }
}

/// A stretch of a recording. Times count from its beginning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// When it begins.
    #[serde(with = "seconds")]
    pub start: Duration,
    /// When it ends.
    #[serde(with = "seconds")]
    pub end: Duration,
    /// What was said.
    pub text: String,
    /// Who said it, where the model tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
}

/// A word of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// When it begins.
    #[serde(with = "seconds")]
    pub start: Duration,
    /// When it ends.
    #[serde(with = "seconds")]
    pub end: Duration,
    /// The word.
    pub text: String,
}

/// Times as seconds, such as `1.25`.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    pub(super) mod optional {
        use std::time::Duration;

        use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            time.map(|time| time.as_secs_f64()).serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            let seconds = Option::<f64>::deserialize(deserializer)?;
            seconds.map(Duration::try_from_secs_f64).transpose().map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_tells_seconds_and_is_read_again() {
        let mut transcript = Transcript::new(" Hello there. ");
        transcript.duration = Some(Duration::from_millis(1_500));
        transcript.segments.push(Segment {
            start: Duration::ZERO,
            end: Duration::from_millis(1_250),
            text: "Hello there.".to_owned(),
            speaker: None,
        });
        let json = serde_json::to_value(&transcript).unwrap();
        assert_eq!((&json["text"], &json["duration_seconds"]), (&"Hello there.".into(), &1.5.into()));
        assert_eq!(json["segments"][0]["end"], 1.25);
        assert_eq!(serde_json::from_value::<Transcript>(json).unwrap(), transcript);
    }
}
