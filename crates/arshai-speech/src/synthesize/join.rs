//! Parts of a long text, spoken several at once, put together in order.

use std::{
    future::Future,
    io::{self, Seek as _, Write as _},
    pin::Pin,
};

use arshai_core::{
    Effect, Error, ErrorKind, Result,
    speech::{Audio, AudioFormat},
};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::sound::without_tag;
use crate::wav::Joiner;

pub(crate) type Sound = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// # Errors
///
/// [`ErrorKind::Unsupported`] for a format whose files cannot stand one behind the other.
pub(crate) fn check(format: AudioFormat, max_chars: usize) -> Result<()> {
    match format {
        AudioFormat::Wav | AudioFormat::Pcm | AudioFormat::Mp3 | AudioFormat::Aac => Ok(()),
        _ => Err(Error::unsupported(
            "a text this long is spoken in parts, and parts in this format cannot be joined: ask for wav, pcm, mp3 or \
             aac, or send less text at once",
        )
        .with_context("format", format)
        .with_context("max_chars", max_chars)),
    }
}

/// The sound of all parts. `concurrency` of them are spoken at once, and no more are kept.
pub(crate) fn join<F>(
    parts: impl Stream<Item = F> + Send + 'static,
    concurrency: usize,
    format: AudioFormat,
) -> Sound
where
    F: Future<Output = Result<Bytes>> + Send + 'static,
{
    let spoken = parts.buffered(concurrency);
    if format == AudioFormat::Wav {
        return stream::once(Box::pin(wav(spoken))).try_flatten().boxed();
    }
    let numbered = spoken.map(move |part| part.and_then(|part| in_samples(part, format))).enumerate().map(
        move |(number, part)| match (number, part) {
            (0, part) => part,
            (_, part) => part.map(|part| without_tag(part, format)),
        },
    );
    ends_at_an_error(numbered.boxed())
}

/// The header needs the length, so the sound waits in a temporary file until all of it is there.
async fn wav(spoken: impl Stream<Item = Result<Bytes>> + Send) -> Result<Sound> {
    let mut spoken = Box::pin(spoken);
    let mut joiner = Joiner::default();
    let mut file = blocking(tempfile::tempfile).await?;
    while let Some(part) = spoken.next().await {
        let sound = joiner.sound(&part?)?;
        file = blocking(move || file.write_all(&sound).map(|()| file)).await?;
    }
    let header = joiner.header()?;
    let file = blocking(move || file.rewind().map(|()| file)).await?;
    let sound = match Audio::reader("speech.wav", file) {
        Audio::Stream { stream, .. } => stream.map_err(kept).boxed(),
        _ => stream::empty().boxed(),
    };
    Ok(ends_at_an_error(stream::iter([Ok(header)]).chain(sound).boxed()))
}

/// Half a sample at the end of a part would make noise of all that follow.
fn in_samples(part: Bytes, format: AudioFormat) -> Result<Bytes> {
    if format != AudioFormat::Pcm || part.len() % 2 == 0 {
        return Ok(part);
    }
    Err(Error::new(
        ErrorKind::Truncated,
        "a part of the speech ends in the middle of a sample of 16 bits: ask again, or for another format",
    )
    .with_effect(Effect::Unknown))
}

fn ends_at_an_error(sound: Sound) -> Sound {
    stream::unfold(Some(sound), |sound| async move {
        let mut sound = sound?;
        let next = sound.next().await?;
        let left = next.is_ok().then_some(sound);
        Some((next, left))
    })
    .boxed()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done).map_err(kept)
}

fn kept(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, "the speech cannot be kept in a temporary file: look at the space there")
        .with_context("folder", std::env::temp_dir().display())
        .with_source(error)
}
