//! tokio's readers as recordings.

use std::{future::poll_fn, io, pin::Pin};

use arshai_core::speech::Audio;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use tokio::io::{AsyncRead, ReadBuf};

const BLOCK: usize = 64 * 1024;

/// Whatever one of tokio's readers gives, and the file name whose ending tells its format.
///
/// A reader that blocks a thread belongs to [`Audio::reader`].
///
/// # Examples
///
/// ```
/// use arshai_speech::audio_from_reader;
///
/// let socket: &'static [u8] = b"RIFF";
/// let audio = audio_from_reader("call.wav", socket);
/// # let _ = audio;
/// ```
pub fn audio_from_reader(name: impl Into<String>, reader: impl AsyncRead + Send + 'static) -> Audio {
    Audio::stream(name, blocks(Box::pin(reader)))
}

/// What a reader gives, in blocks.
pub(super) fn blocks<R: AsyncRead + Send + ?Sized + 'static>(
    reader: Pin<Box<R>>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let room = vec![0_u8; BLOCK];
    stream::try_unfold((reader, room), |(mut reader, mut room)| async move {
        let read = poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut room);
            reader
                .as_mut()
                .poll_read(context, &mut buffer)
                .map_ok(|()| Bytes::copy_from_slice(buffer.filled()))
        });
        let block = read.await?;
        Ok((!block.is_empty()).then_some((block, (reader, room))))
    })
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_slow_reader_is_read_to_its_end() {
        let (mut writer, reader) = tokio::io::duplex(10);
        let all: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let sent = all.clone();
        let writing = tokio::spawn(async move { writer.write_all(&sent).await.unwrap() });
        let Audio::Stream { stream, .. } = audio_from_reader("a.wav", reader) else { unreachable!() };
        assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().concat(), all);
        writing.await.unwrap();
    }
}
