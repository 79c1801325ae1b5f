//! Writing speech while it arrives: off the runtime's threads, and never for ever.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;

use super::{AudioFormat, file::Unfinished};
use crate::{Deadline, Effect, Error, ErrorKind, Result};

const OPERATION: &str = "speech.synthesize";

/// The longest wait for a file to open, and for it to take the next bytes, unless the operation's deadline is nearer.
const STEP: Duration = Duration::from_secs(60);
/// The same for the end: a disk may have much to make up for.
const LAST_STEP: Duration = Duration::from_secs(600);
/// Bytes written at once: what plays them takes its time for each.
const PIECE: usize = 64 << 10;
/// How often it is asked whether a pipe has a reader, and room.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Where speech is written to. Dropping it leaves what was there before.
#[derive(Debug)]
pub(super) struct Output {
    file: Unfinished,
    path: PathBuf,
}

impl Output {
    /// Opens it. A pipe is open only when somebody reads it.
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let deadline = Deadline::current_or(STEP);
        let mut pause = FIRST_PAUSE;
        loop {
            let target = path.clone();
            let opened = within(deadline, Effect::NotApplied, &path, move || Unfinished::beside(&target));
            if let Some(file) = opened.await? {
                return Ok(Self { file, path });
            }
            deadline.sleep(OPERATION, pause).await?;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    pub(super) async fn write(self, mut block: Bytes) -> Result<Self> {
        let Self { mut file, path } = self;
        let mut deadline = Deadline::current_or(STEP);
        let mut pause = FIRST_PAUSE;
        while !block.is_empty() {
            let piece = block.slice(..block.len().min(PIECE));
            let (back, written) =
                within(deadline, Effect::Unknown, &path, move || file.write(&piece)).await?;
            file = back;
            if written > 0 {
                block = block.split_off(written.min(block.len()));
                (deadline, pause) = (Deadline::current_or(STEP), FIRST_PAUSE);
                continue;
            }
            let paused = deadline.sleep(OPERATION, pause).await;
            paused.map_err(|error| error.with_effect(Effect::Unknown))?;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
        Ok(Self { file, path })
    }

    pub(super) async fn finish(self, format: AudioFormat) -> Result<()> {
        let Self { file, path } = self;
        let deadline = Deadline::current_or(LAST_STEP);
        within(deadline, Effect::Unknown, &path, move || file.finish(format)).await
    }
}

/// Does what may block elsewhere, and waits for it no longer than this.
async fn within<T: Send + 'static>(
    deadline: Deadline,
    effect: Effect,
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = async {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(io::Error::other).and_then(|done| done).map_err(|error| {
            Error::new(ErrorKind::Io, "the speech could not be written")
                .with_context("file", path.display())
                .with_source(error)
        })
    };
    deadline.run(OPERATION, effect, done).await
}
