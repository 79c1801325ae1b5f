//! What is spoken, and how.

use std::{fmt, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;

use crate::{Error, Result};

/// How a text is spoken.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SpeakOptions {
    /// The voice, by the name that the server knows. Default: the synthesizer's.
    pub voice: Option<String>,
    /// The format. Default: WAV.
    pub format: AudioFormat,
    /// How fast, 1 is normal. Default: the model's own.
    pub speed: Option<f32>,
    /// How it is to sound, in words. Default: none.
    pub instructions: Option<String>,
}

impl SpeakOptions {
    /// The same with a voice.
    #[must_use]
    pub fn with_voice(mut self, voice: impl Into<String>) -> Self {
        self.voice = Some(voice.into());
        self
    }

    /// The same in another format.
    #[must_use]
    pub fn with_format(mut self, format: AudioFormat) -> Self {
        self.format = format;
        self
    }

    /// The same at another speed.
    #[must_use]
    pub fn with_speed(mut self, speed: f32) -> Self {
        self.speed = Some(speed);
        self
    }

    /// The same with instructions.
    #[must_use]
    pub fn with_instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }
}

/// A format of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AudioFormat {
    /// RIFF/WAVE.
    #[default]
    Wav,
    /// Samples without a header: 16 bits, little endian, one channel, at the server's rate (OpenAI: 24 kHz).
    Pcm,
    /// MPEG layer 3.
    Mp3,
    /// Opus in Ogg.
    Opus,
    /// AAC.
    Aac,
    /// FLAC.
    Flac,
}

impl AudioFormat {
    const ALL: [Self; 6] = [Self::Wav, Self::Pcm, Self::Mp3, Self::Opus, Self::Aac, Self::Flac];

    /// Its name, which is the ending of its files too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Pcm => "pcm",
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
            Self::Aac => "aac",
            Self::Flac => "flac",
        }
    }
}

impl fmt::Display for AudioFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for AudioFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            Error::invalid("a format of audio is wav, pcm, mp3, opus, aac or flac")
                .with_context("given", name.escape_debug())
        })
    }
}

/// A text spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Speech {
    /// The format.
    pub format: AudioFormat,
    /// The sound.
    pub audio: Bytes,
}

impl Speech {
    /// Sound in a format.
    pub fn new(format: AudioFormat, audio: impl Into<Bytes>) -> Self {
        Self { format, audio: audio.into() }
    }
}

/// A text as it is spoken: the bytes of one file, in order. The sound is whole only when the stream ended without an
/// error.
pub struct SpeechStream {
    /// The format.
    pub format: AudioFormat,
    /// The sound.
    pub audio: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
}

impl SpeechStream {
    /// A stream in a format.
    pub fn new(format: AudioFormat, audio: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self { format, audio: Box::pin(audio) }
    }
}

impl fmt::Debug for SpeechStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpeechStream").field("format", &self.format).finish_non_exhaustive()
    }
}
