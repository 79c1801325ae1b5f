//! Speech to text and back.

mod audio;
mod file;
mod model;
mod output;
mod sizes;
mod speak;
mod subtitles;
mod transcript;

pub use audio::{Audio, ByteStream};
pub use model::{Synthesizer, SynthesizerExt, Transcriber, TranscriptEvent, TranscriptStream};
pub use speak::{AudioFormat, SpeakOptions, Speech, SpeechStream};
pub use transcript::{Segment, Timestamps, TranscribeOptions, Transcript, Word};
