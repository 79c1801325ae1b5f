//! WAV files: cut where it is quiet, and joined under one header.

mod header;
mod join;
mod split;

pub(crate) use header::{Samples, Wav};
pub(crate) use join::{Awaited, Joiner, with_true_sizes};
pub(crate) use split::cuts;
