//! Recordings as bodies of requests.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use arshai_core::{
    Error, ErrorKind,
    speech::{Audio, ByteStream},
};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};

use super::{
    Source,
    recording::{Clip, Once, Place, Stored, empty, unreadable},
};

type Blocks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Why a body broke off: the client of HTTP says only that it did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Why(Arc<Mutex<Option<Error>>>);

impl Why {
    /// Whether it broke off.
    pub(crate) fn is_told(&self) -> bool {
        self.lock().is_some()
    }

    pub(crate) fn take(&self) -> Option<Error> {
        self.lock().take()
    }

    fn tell(&self, error: Error) -> io::Error {
        let mut told = self.lock();
        let shown = io::Error::other(error.to_string());
        told.get_or_insert(error);
        shown
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    /// A part of it as a body, which is exactly [`Clip::size`] long or breaks off.
    pub(crate) fn body(&self, clip: &Clip, why: Why) -> reqwest::Body {
        let blocks = match &self.place {
            Place::Bytes(bytes) => {
                let end = usize::try_from(clip.from.saturating_add(clip.length)).unwrap_or(usize::MAX);
                let from = usize::try_from(clip.from).unwrap_or(usize::MAX).min(bytes.len());
                let part = bytes.slice(from..end.clamp(from, bytes.len()));
                if clip.header.is_empty() {
                    return part.into();
                }
                stream::iter([Ok(part)]).boxed()
            }
            Place::File { path, .. } => {
                exactly(file(path.clone(), clip, why.clone()), clip.length, self.title(), why)
            }
        };
        let header = clip.header.clone();
        let with_header = stream::iter((!header.is_empty()).then_some(Ok(header))).chain(blocks);
        // A spooled file stays as long as it is read.
        let kept = self.place.clone();
        reqwest::Body::wrap_stream(with_header.inspect(move |_| _ = &kept))
    }
}

impl Once {
    /// What arrives as a body, cut at `limit`; `None` the second time.
    pub(crate) fn body(&self, limit: u64, why: Why) -> Option<reqwest::Body> {
        let arriving: ByteStream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let name = self.name.clone();
        let (mut length, told) = (0_u64, why.clone());
        let (counted_name, end_name) = (name.clone(), name);
        let counted = arriving.map(move |block| {
            let block = block.map_err(|error| {
                told.tell(
                    Error::new(ErrorKind::Io, "the recording broke off while it was sent")
                        .with_context("file", counted_name.escape_debug())
                        .with_source(error),
                )
            })?;
            length = length.saturating_add(block.len() as u64);
            match length > limit {
                true => Err(told.tell(too_large(&counted_name.escape_debug().to_string(), None, limit))),
                false => Ok(block),
            }
        });
        Some(reqwest::Body::wrap_stream(never_empty(counted, end_name, why)))
    }
}

/// The same error for what is found too large before it is sent and while it is sent.
pub(crate) fn too_large(name: &str, length: Option<u64>, limit: u64) -> Error {
    let error = Error::invalid(
        "the recording is larger than the server takes: compress it, send it in parts, or raise the limit of the \
         settings",
    )
    .with_context("file", name)
    .with_context("limit_bytes", limit);
    match length {
        Some(length) => error.with_context("bytes", length),
        None => error,
    }
}

/// The error for what passed our own limit, and not the server's.
pub(crate) fn found_too_large(source: &Source, cause: Error) -> Error {
    let error = Error::invalid(
        "the recording is larger than the server takes: compress it, or lower max_upload_bytes to the server's limit, \
         so that it is known before anything is sent",
    )
    .with_attempts(cause.attempts())
    .with_context("file", source.title())
    .with_context("status", "413");
    let error = match source.size() {
        Some(size) => error.with_context("bytes", size),
        None => error,
    };
    error.with_source(cause)
}

fn file(path: PathBuf, clip: &Clip, why: Why) -> Blocks {
    let (from, length) = (clip.from, clip.length);
    let place = path.clone();
    let open = async move {
        let open = tokio::task::spawn_blocking(move || {
            let mut file = File::open(place)?;
            if from > 0 {
                file.seek(SeekFrom::Start(from))?;
            }
            Ok::<_, io::Error>(file.take(length))
        });
        let opened = open.await.map_err(io::Error::other).and_then(|file| file);
        let file = opened.map_err(|error| why.tell(unreadable(&path, error)))?;
        match Audio::reader("file", file) {
            Audio::Stream { stream, .. } => Ok::<Blocks, io::Error>(
                stream.map_err(move |error| why.tell(unreadable(&path, error))).boxed(),
            ),
            _ => Ok(stream::empty().boxed()),
        }
    };
    stream::once(open).try_flatten().boxed()
}

/// A file that became shorter must not end as if it were whole.
fn exactly(blocks: Blocks, length: u64, name: String, why: Why) -> Blocks {
    let start = (blocks, length);
    let counted = stream::try_unfold(start, move |(mut blocks, left)| {
        let (why, name) = (why.clone(), name.clone());
        async move {
            match blocks.next().await {
                Some(block) => {
                    let block = block?;
                    let left = left.saturating_sub(block.len() as u64);
                    Ok(Some((block, (blocks, left))))
                }
                None if left == 0 => Ok(None),
                None => Err(why.tell(
                    Error::new(
                        ErrorKind::Io,
                        "the recording became shorter while it was sent: wait until it is written",
                    )
                    .with_context("file", name)
                    .with_context("missing_bytes", left),
                )),
            }
        }
    });
    counted.boxed()
}

fn never_empty<S>(blocks: S, name: String, why: Why) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let some = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = Arc::clone(&some);
    let order = std::sync::atomic::Ordering::Relaxed;
    let end = stream::once(future::lazy(move |_| match some.load(order) {
        true => Ok(Bytes::new()),
        false => Err(why.tell(empty(&name.escape_debug().to_string()))),
    }));
    let blocks = blocks.inspect_ok(move |block| {
        if !block.is_empty() {
            seen.store(true, order);
        }
    });
    blocks.chain(end).try_filter(|block| future::ready(!block.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A named pipe in the place of a file is a disk as slow as we please: each block comes only after a task on the one
    /// async thread has asked for it. Were the file opened or read on that thread, the task would never ask.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_slow_disk_holds_up_no_async_thread() {
        const BLOCKS: usize = 5;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slow.wav");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        let (wrote, mut written) = tokio::sync::mpsc::unbounded_channel::<()>();
        let to = path.clone();
        let disk = std::thread::spawn(move || {
            let patience = Duration::from_secs(10);
            let mut held_up = asked.recv_timeout(patience).is_err();
            let mut pipe = std::fs::OpenOptions::new().write(true).open(to).unwrap();
            for _ in 0..BLOCKS {
                held_up |= asked.recv_timeout(patience).is_err();
                io::Write::write_all(&mut pipe, &[7; 1_000]).unwrap();
                let _ = wrote.send(());
            }
            held_up
        });
        let length = BLOCKS as u64 * 1_000;
        let clip = Clip { header: Bytes::new(), from: 0, length };
        let reading = async {
            let blocks = file(path, &clip, Why::default());
            blocks.try_collect::<Vec<_>>().await.unwrap().concat().len() as u64
        };
        let asking = async {
            // The file is being opened by now, and then waited for.
            tokio::task::yield_now().await;
            ask.send(()).unwrap();
            for _ in 0..BLOCKS {
                ask.send(()).unwrap();
                written.recv().await.unwrap();
            }
        };
        let (read, ()) = tokio::join!(reading, asking);
        assert_eq!(read, length);
        assert!(!disk.join().unwrap(), "a task beside the upload was held up");
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_does_not_end_as_if_it_were_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let clip = |length| Clip { header: Bytes::new(), from: 10, length };
        for (length, told) in [(99_990, None), (50, None), (99_991, Some("missing_bytes: 1"))] {
            let why = Why::default();
            let blocks = file(path.clone(), &clip(length), why.clone());
            let read: io::Result<Vec<Bytes>> =
                exactly(blocks, length, "a.wav".to_owned(), why.clone()).try_collect().await;
            assert_eq!(read.is_ok(), told.is_none(), "{length}");
            if let Ok(blocks) = read {
                assert_eq!(blocks.concat().len() as u64, length);
            }
            let error = why.take().map(|error| error.to_string());
            assert_eq!(error.is_some(), told.is_some());
            assert!(error.unwrap_or_default().contains(told.unwrap_or_default()));
        }
    }
}
