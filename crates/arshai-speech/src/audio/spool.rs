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

/// Reads all of it, at most `limit` bytes. The file goes away with what is returned, or when the future is dropped.
///
/// # Errors
///
/// [`ErrorKind::InvalidInput`] when it is empty or too large, [`ErrorKind::Io`] when it cannot be read or written.
pub(crate) async fn spool(
    once: Once,
    limit: u64,
    deadline: Deadline,
    operation: &'static str,
) -> Result<Stored> {
    let copy = async {
        let stream = once.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut stream = stream.ok_or_else(|| Error::internal("the recording was read before"))?;
        let (mut file, path) = blocking(create).await?;
        let mut length = 0_u64;
        while let Some(block) = stream.next().await {
            let block = block.map_err(|error| {
                Error::new(ErrorKind::Io, "the recording broke off while it was read")
                    .with_context("file", once.name.escape_debug())
                    .with_source(error)
            })?;
            length = length.saturating_add(block.len() as u64);
            if length > limit {
                return Err(too_large(&once.name, None, limit));
            }
            file = blocking(move || file.write_all(&block).map(|()| file)).await?;
        }
        Stored::spooled(once.name, length, path)
    };
    let copied = deadline.run(operation, Effect::NotApplied, Box::pin(copy)).await;
    copied.map_err(|error| error.with_operation(operation))
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
    use std::time::Duration;

    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::audio::Place;

    fn arriving(blocks: usize) -> Once {
        let blocks = stream::iter((0..blocks).map(|_| Ok(bytes::Bytes::from_static(b"sound"))));
        Once::new("a.wav".to_owned(), blocks.boxed())
    }

    #[tokio::test]
    async fn the_file_goes_away_with_its_last_owner() {
        let deadline = Deadline::after(Duration::from_secs(10));
        let stored = spool(arriving(5), 100, deadline, "test").await.unwrap();
        let Place::File { path, .. } = stored.place.clone() else { unreachable!() };
        assert_eq!(std::fs::read(&path).unwrap(), b"sound".repeat(5));
        let other = stored.clone();
        drop(stored);
        assert!(path.exists());
        drop(other);
        assert!(!path.exists());
    }
}
