//! What arrives, kept in a temporary file until all of it is there.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::PoisonError,
};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};
use futures_util::StreamExt as _;
use tempfile::TempPath;

use super::{Once, Stored, upload::too_large};

/// The largest recordings that are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Any.
    pub(crate) any: u64,
    /// WAV files, which can be split.
    pub(crate) wav: u64,
}

/// Reads all of it, at most as much as the limits say. The file goes away with what is returned, or when the future is dropped.
///
/// # Errors
///
/// [`ErrorKind::InvalidInput`] when it is empty or too large, [`ErrorKind::Io`] when it cannot be read or written.
pub(crate) async fn spool(
    once: Once,
    limits: Limits,
    deadline: Deadline,
    operation: &'static str,
) -> Result<Stored> {
    let copy = async {
        let stream = once.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut stream = stream.ok_or_else(|| Error::internal("the recording was read before"))?;
        let (mut file, path) = blocking(create).await?;
        let mut length = 0_u64;
        let mut beginning = Vec::new();
        while let Some(block) = stream.next().await {
            let block = block.map_err(|error| {
                Error::new(ErrorKind::Io, "the recording broke off while it was read")
                    .with_context("file", once.name.escape_debug())
                    .with_source(error)
            })?;
            length = length.saturating_add(block.len() as u64);
            let room = WAV_BEGINNING.saturating_sub(beginning.len());
            beginning.extend(block.iter().take(room));
            // What it is called does not make a WAV file of it.
            let limit = if is_wav(&beginning) { limits.wav } else { limits.any };
            if length > limit.max(WAV_BEGINNING as u64) {
                return Err(too_large(&once.name.escape_debug().to_string(), None, limit));
            }
            file = blocking(move || file.write_all(&block).map(|()| file)).await?;
        }
        Stored::spooled(once.name, length, path)
    };
    let copied = deadline.run(operation, Effect::NotApplied, Box::pin(copy)).await;
    copied.map_err(|error| error.with_operation(operation))
}

const WAV_BEGINNING: usize = 12;

fn is_wav(beginning: &[u8]) -> bool {
    beginning.starts_with(b"RIFF") && beginning.get(8..WAV_BEGINNING) == Some(b"WAVE")
}

fn create() -> io::Result<(File, TempPath)> {
    Ok(tempfile::Builder::new().prefix("arshai-").tempfile()?.into_parts())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done);
    done.map_err(|error| {
        Error::new(
            ErrorKind::Io,
            "the recording cannot be kept in a temporary file: look at the space there, or do not spool",
        )
        .with_context("folder", std::env::temp_dir().display())
        .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::audio::Place;

    #[tokio::test]
    async fn a_name_does_not_make_a_wav_file_of_what_arrives() {
        let limits = Limits { any: 100, wav: 1_000 };
        for (beginning, limit) in [("RIFF____WAVE", 1_000), ("no such file", 100)] {
            let read = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&read);
            // In crumbs, so that the beginning is put together.
            let crumbs =
                beginning.bytes().map(|byte| vec![byte]).chain(std::iter::repeat_n(vec![0; 10], 1_000));
            let blocks = stream::iter(crumbs.map(move |block| {
                counted.fetch_add(block.len(), Ordering::SeqCst);
                Ok(block.into())
            }));
            let deadline = Deadline::after(Duration::from_secs(10));
            let once = Once::new("a.wav".to_owned(), blocks.boxed());
            let error = spool(once, limits, deadline, "test").await.unwrap_err().to_string();
            assert!(error.contains(&format!("limit_bytes: {limit}")), "{error}");
            assert!(
                read.load(Ordering::SeqCst) <= limit + 10,
                "{} bytes were read",
                read.load(Ordering::SeqCst)
            );
        }
    }

    fn arriving(blocks: usize) -> Once {
        let blocks = stream::iter((0..blocks).map(|_| Ok(bytes::Bytes::from_static(b"sound"))));
        Once::new("a.wav".to_owned(), blocks.boxed())
    }

    #[tokio::test]
    async fn the_file_goes_away_with_its_last_owner() {
        let deadline = Deadline::after(Duration::from_secs(10));
        let stored = spool(arriving(5), Limits { any: 100, wav: 100 }, deadline, "test").await.unwrap();
        let Place::File { path, .. } = stored.place.clone() else { unreachable!() };
        assert_eq!(std::fs::read(&path).unwrap(), b"sound".repeat(5));
        let other = stored.clone();
        drop(stored);
        assert!(path.exists());
        drop(other);
        assert!(!path.exists());
    }
}
