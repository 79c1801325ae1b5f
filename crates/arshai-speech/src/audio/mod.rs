//! Recordings: checked before a connection opens, read while they are sent.

mod format;
#[cfg(unix)]
mod pipe;
mod reader;
mod recording;
mod source;
mod spool;
mod upload;

pub use format::FORMATS;
pub(crate) use format::mime;
pub use reader::audio_from_reader;
#[cfg(test)]
pub(crate) use recording::Place;
pub(crate) use recording::{Clip, Once, Recording, Rules, SeekableRead, Stored};
pub(crate) use source::Source;
pub(crate) use spool::{Limits, spool};
pub(crate) use upload::{Why, found_too_large, too_large};
