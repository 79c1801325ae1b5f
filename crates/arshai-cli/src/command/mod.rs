//! The commands.

mod ask;
mod chat;
mod config;
mod ingest;
mod memory;
#[cfg(feature = "minilm")]
mod model;
mod search;
#[cfg(feature = "speech")]
mod speak;
#[cfg(feature = "speech")]
mod transcribe;
mod transfer;

use std::io::Read as _;

use arshai_core::Error;

pub(crate) use ask::ask;
pub(crate) use chat::chat;
pub(crate) use config::config;
pub(crate) use ingest::ingest;
pub(crate) use memory::memory;
#[cfg(feature = "minilm")]
pub(crate) use model::model;
pub(crate) use search::search;
#[cfg(feature = "speech")]
pub(crate) use speak::speak;
#[cfg(feature = "speech")]
pub(crate) use transcribe::transcribe;
pub(crate) use transfer::{export, import};

use crate::failure::Outcome;

#[cfg(not(feature = "minilm"))]
pub(crate) async fn model(_args: &crate::args::Model, _printer: crate::output::Printer) -> Outcome {
    Err(crate::backends::usage(
        "arshai model needs the Cargo feature `minilm`, which this program was built without",
    ))
}

#[cfg(not(feature = "speech"))]
pub(crate) async fn transcribe(
    _args: &crate::args::Transcribe,
    _backends: &crate::backends::Backends,
    _printer: crate::output::Printer,
) -> Outcome {
    Err(crate::backends::usage(
        "arshai transcribe needs the Cargo feature `speech`, which this program was built without",
    ))
}

#[cfg(not(feature = "speech"))]
pub(crate) async fn speak(
    _args: &crate::args::Speak,
    _backends: &crate::backends::Backends,
    _printer: crate::output::Printer,
) -> Outcome {
    Err(crate::backends::usage(
        "arshai speak needs the Cargo feature `speech`, which this program was built without",
    ))
}

const MAX_INPUT: u64 = 64 << 20;

/// A text argument, or standard input for `-`.
fn text_or_stdin(argument: &str) -> Outcome<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let refused = || Error::invalid("standard input is not UTF-8 text of at most 64 MiB");
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(MAX_INPUT + 1);
    let read = input.read_to_string(&mut text).map_err(|error| refused().with_source(error))?;
    if read as u64 > MAX_INPUT {
        return Err(refused().into());
    }
    Ok(text)
}
