//! Speech to text and back of arshai, for OpenAI-compatible servers and Azure.
//!
//! * [`SpeechConfig`]: which servers, which models; [`SpeechConfig::from_env`]; [`transcriber_from_env`] and
//!   [`synthesizer_from_env`] choose between these
//! * [`OpenAiTranscriber`]: a [`Transcriber`](arshai_core::speech::Transcriber) for OpenAI, Azure OpenAI and servers of
//!   one's own (speaches, whisper.cpp, LocalAI and others: [`TranscriberConfig`] knows their ways)
//! * [`OpenAiSynthesizer`]: a [`Synthesizer`](arshai_core::speech::Synthesizer) for the same
//! * [`AzureSpeechTranscriber`] and [`AzureSpeechSynthesizer`]: Azure AI Speech, which is another interface
//! * [`audio_from_reader`]: tokio's readers as recordings
//!
//! Without async, wrap any of them in `arshai_core::blocking::Blocking`.
//!
//! # What is sent again
//!
//! What is retried, and what never happens (redirects, keys in errors, endless waits), is as in
//! [`arshai_openai`]: connections, limits and budget are its [`Transport`](arshai_openai::Transport). A recording that
//! is a file or bytes is sent again for another attempt; one that arrives as a stream is sent once. Speech that streams
//! is tried again until its first byte.
//!
//! # Examples
//!
//! ```no_run
//! use std::path::Path;
//! use arshai_core::speech::{Audio, SpeakOptions, SynthesizerExt as _, Transcriber as _};
//! use arshai_speech::SpeechConfig;
//!
//! # async fn example() -> arshai_core::Result<()> {
//! let config = SpeechConfig::from_env()?;
//! let question = config.transcriber()?.transcribe(Audio::file("question.wav"), &Default::default()).await?;
//! let answer = format!("You asked: {}", question.text);
//! config.synthesizer()?.synthesize_to_file(&answer, &SpeakOptions::default(), Path::new("answer.wav")).await?;
//! # Ok(())
//! # }
//! ```

mod audio;
mod azure;
mod config;
mod span;
mod synthesize;
mod task;
mod transcribe;
mod wav;

pub use audio::{FORMATS, audio_from_reader};
pub use azure::{AzureHearing, AzureSpeechConfig, AzureSpeechSynthesizer, AzureSpeechTranscriber};
pub use config::{SpeechConfig, SpeechService, synthesizer_from_env, transcriber_from_env};
pub use synthesize::{OpenAiSynthesizer, SynthesizerConfig};
pub use transcribe::{Hints, OpenAiTranscriber, Split, TranscriberConfig};
