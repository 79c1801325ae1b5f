//! Named pipes, read without holding up a thread: opening one blocks until somebody writes, and nobody may.

use std::{io, path::Path};

use arshai_core::speech::ByteStream;
use tokio::net::unix::pipe;

/// What is written into the pipe. A pipe that nobody writes to is silent, not at its end.
pub(super) fn open(path: &Path) -> io::Result<ByteStream> {
    // Reads begin when the pipe is readable, and that it is not before the first writer has opened it.
    let receiver = pipe::OpenOptions::new().open_receiver(path)?;
    Ok(Box::pin(super::reader::blocks(Box::pin(receiver))))
}
