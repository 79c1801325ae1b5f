//! What is to be transcribed.

use std::{fmt, io, path::PathBuf, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;

const BLOCK: usize = 64 * 1024;

/// Bytes as they arrive.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A recording.
#[non_exhaustive]
pub enum Audio {
    /// A file. It is read while it is sent, and again for another attempt.
    File(PathBuf),
    /// Bytes, and the file name whose ending tells their format.
    Bytes {
        /// Such as `question.wav`.
        name: String,
        /// The recording.
        bytes: Bytes,
    },
    /// Whatever arrives, and the file name whose ending tells its format. What has been read is gone, so it is sent
    /// once and never again.
    Stream {
        /// Such as `call.mp3`.
        name: String,
        /// The recording.
        stream: ByteStream,
    },
}

impl Audio {
    /// A file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }

    /// Bytes, and the file name whose ending tells their format.
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::Bytes { name: name.into(), bytes: bytes.into() }
    }

    /// Whatever a stream gives.
    pub fn stream(
        name: impl Into<String>,
        stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        Self::Stream { name: name.into(), stream: Box::pin(stream) }
    }

    /// Whatever a reader gives. It is read on tokio's threads for blocking work, so a slow one holds up no task.
    pub fn reader(name: impl Into<String>, reader: impl io::Read + Send + 'static) -> Self {
        let blocks = stream::try_unfold(reader, |mut reader| async move {
            let read = tokio::task::spawn_blocking(move || {
                let mut block = vec![0; BLOCK];
                let length = loop {
                    match reader.read(&mut block) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        read => break read?,
                    }
                };
                block.truncate(length);
                Ok::<_, io::Error>((block, reader))
            });
            let (block, reader) = read.await.map_err(io::Error::other)??;
            Ok((!block.is_empty()).then(|| (Bytes::from(block), reader)))
        });
        Self::stream(name, blocks)
    }
}

impl fmt::Debug for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Bytes { name, bytes } => {
                f.debug_struct("Bytes").field("name", name).field("length", &bytes.len()).finish()
            }
            Self::Stream { name, .. } => f.debug_struct("Stream").field("name", name).finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_reader_is_read_to_its_end() {
        let all: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let Audio::Stream { stream, .. } = Audio::reader("a.wav", io::Cursor::new(all.clone())) else {
            unreachable!()
        };
        let blocks: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert_eq!((blocks.len(), blocks.concat()), (4, all));
    }

    #[tokio::test]
    async fn a_reader_s_error_is_told() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _block: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the line is dead"))
            }
        }
        let Audio::Stream { stream, .. } = Audio::reader("a.wav", Broken) else { unreachable!() };
        let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(error.to_string(), "the line is dead");
    }
}
