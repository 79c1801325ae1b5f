//! What is known of a recording before anything is sent.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use arshai_core::{
    Deadline, Effect, Error, ErrorKind, Result,
    speech::{Audio, ByteStream},
};
use bytes::Bytes;
use tempfile::TempPath;

use super::format;

/// A recording that passed the checks.
#[derive(Debug)]
pub(crate) enum Recording {
    /// It can be read again, and in parts.
    Stored(Stored),
    /// It can be read once.
    Once(Once),
}

/// A recording of known length.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) length: u64,
    pub(crate) place: Place,
}

#[derive(Debug, Clone)]
pub(crate) enum Place {
    File {
        path: PathBuf,
        /// A spooled file goes away with its last owner.
        spooled: Option<Arc<TempPath>>,
    },
    Bytes(Bytes),
}

/// A recording that arrives.
pub(crate) struct Once {
    pub(crate) name: String,
    pub(crate) stream: Mutex<Option<ByteStream>>,
}

/// A part of a stored recording behind a header of its own.
#[derive(Debug, Clone)]
pub(crate) struct Clip {
    pub(crate) header: Bytes,
    pub(crate) from: u64,
    pub(crate) length: u64,
}

/// What can be read at any place.
pub(crate) trait SeekableRead: io::Read + io::Seek {}

impl<T: io::Read + io::Seek> SeekableRead for T {}

/// What is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) operation: &'static str,
    pub(crate) formats: &'a [String],
    pub(crate) deadline: Deadline,
}

impl Recording {
    /// Checks what can be checked without reading.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::InvalidInput`] or [`ErrorKind::Io`], naming the recording.
    pub(crate) async fn open(audio: Audio, rules: Rules<'_>) -> Result<Self> {
        let opened = match audio {
            Audio::File(path) => Self::file(path, rules).await,
            Audio::Bytes { name, bytes } => {
                format::check(&name, rules.formats)?;
                let length = bytes.len() as u64;
                Stored { name, length, place: Place::Bytes(bytes) }.unless_empty().map(Self::Stored)
            }
            Audio::Stream { name, stream } => {
                format::check(&name, rules.formats)?;
                Ok(Self::Once(Once::new(name, stream)))
            }
            _ => Err(Error::unsupported("this kind of audio is newer than the transcriber")),
        };
        opened.map_err(|error| error.with_operation(rules.operation))
    }

    async fn file(path: PathBuf, rules: Rules<'_>) -> Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let looked_at = path.clone();
        let look = async {
            let look = tokio::task::spawn_blocking(move || fs::metadata(looked_at));
            look.await
                .map_err(io::Error::other)
                .and_then(|found| found)
                .map_err(|error| unreadable(&path, error))
        };
        let found = rules.deadline.run(rules.operation, Effect::NotApplied, look).await?;
        if found.is_dir() {
            return Err(Error::invalid("the recording is a folder: name a file in it")
                .with_context("file", path.display()));
        }
        format::check(&name, rules.formats)?;
        if found.is_file() {
            let place = Place::File { path, spooled: None };
            return Stored { name, length: found.len(), place }.unless_empty().map(Self::Stored);
        }
        let stream = special(&path, &found, rules).await?;
        Ok(Self::Once(Once::new(name, stream)))
    }
}

impl Stored {
    /// All of it.
    pub(crate) fn whole(&self) -> Clip {
        Clip { header: Bytes::new(), from: 0, length: self.length }
    }

    pub(crate) fn spooled(name: String, length: u64, path: TempPath) -> Result<Self> {
        let kept = Arc::new(path);
        let place = Place::File { path: kept.to_path_buf(), spooled: Some(kept) };
        Self { name, length, place }.unless_empty()
    }

    /// Whether it was read from a stream.
    pub(crate) fn has_arrived(&self) -> bool {
        matches!(self.place, Place::File { spooled: Some(_), .. })
    }

    /// How it is called in errors.
    pub(crate) fn title(&self) -> String {
        match &self.place {
            Place::File { path, spooled: None } => path.display().to_string(),
            _ => self.name.escape_debug().to_string(),
        }
    }

    /// A reader of all of it, for code that may block.
    pub(crate) fn reader(&self) -> io::Result<Box<dyn SeekableRead>> {
        Ok(match &self.place {
            Place::File { path, .. } => Box::new(io::BufReader::new(fs::File::open(path)?)),
            Place::Bytes(bytes) => Box::new(io::Cursor::new(bytes.clone())),
        })
    }

    fn unless_empty(self) -> Result<Self> {
        match self.length {
            0 => Err(empty(&self.title())),
            _ => Ok(self),
        }
    }
}

impl Clip {
    /// Its length with its header.
    pub(crate) fn size(&self) -> u64 {
        self.header.len() as u64 + self.length
    }
}

impl Once {
    pub(crate) fn new(name: String, stream: ByteStream) -> Self {
        Self { name, stream: Mutex::new(Some(stream)) }
    }
}

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Once").field("name", &self.name).finish_non_exhaustive()
    }
}

pub(crate) fn empty(name: &str) -> Error {
    Error::invalid("the recording is empty: there is nothing to transcribe").with_context("file", name)
}

pub(super) fn unreadable(path: &Path, error: io::Error) -> Error {
    let error = match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, "there is no such recording: look at the path").with_source(error)
        }
        _ => Error::new(ErrorKind::Io, "the recording cannot be read: look at the file and its permissions")
            .with_source(error),
    };
    error.with_context("file", path.display())
}

/// A pipe, a device.
async fn special(path: &Path, found: &fs::Metadata, rules: Rules<'_>) -> Result<ByteStream> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if found.file_type().is_fifo() {
            return super::pipe::open(path).map_err(|error| unreadable(path, error));
        }
    }
    #[cfg(not(unix))]
    let _ = found;
    let place = path.to_owned();
    let open = async {
        let open = tokio::task::spawn_blocking(move || fs::File::open(place));
        open.await.map_err(io::Error::other).and_then(|file| file).map_err(|error| unreadable(path, error))
    };
    let file = rules.deadline.run(rules.operation, Effect::NotApplied, open).await?;
    match Audio::reader("device", file) {
        Audio::Stream { stream, .. } => Ok(stream),
        _ => Err(Error::internal("a reader is no stream")),
    }
}
