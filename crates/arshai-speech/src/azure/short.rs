//! What short audio may be
//! (<https://learn.microsoft.com/azure/ai-services/speech-service/rest-speech-to-text-short>).

use std::{
    io::{self, Read, Seek, SeekFrom},
    time::Duration,
};

use arshai_core::{Deadline, Effect, Error, ErrorKind, Result};

use crate::{
    audio::{SeekableRead, Stored, mime},
    wav::{Samples, Wav},
};

const LONGEST: Duration = Duration::from_secs(60);
const RATE: u32 = 16_000;
/// Opus counts in samples of this rate, whatever the recording's (RFC 7845).
const OPUS_RATE: u64 = 48_000;
/// The longest page of Ogg is shorter (RFC 3533: 65,307 bytes).
const LAST_PAGE: u64 = 64 << 10;

/// The type of a recording, by its name.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] for what the interface does not take.
pub(super) fn content_type(name: &str) -> Result<&'static str> {
    match mime(name) {
        "audio/wav" => Ok("audio/wav; codecs=audio/pcm; samplerate=16000"),
        "audio/ogg" => Ok("audio/ogg; codecs=opus"),
        _ => Err(Error::unsupported(
            "short audio is WAV (PCM) or Ogg (Opus): convert the recording, or use fast transcription",
        )
        .with_context("file", name.escape_debug())),
    }
}

/// # Errors
///
/// [`ErrorKind::InvalidInput`] for what the service would hear only a part of, or hear wrongly, saying what it is.
pub(super) async fn check(stored: &Stored, deadline: Deadline, operation: &'static str) -> Result<()> {
    let looked_at = stored.clone();
    let look = async {
        let look = tokio::task::spawn_blocking(move || {
            let mut reader = looked_at.reader()?;
            match mime(&looked_at.name) {
                "audio/wav" => wav(&mut reader),
                _ => ogg(&mut reader),
            }
        });
        look.await.map_err(io::Error::other).and_then(|found| found).map_err(|error| {
            Error::new(ErrorKind::Io, "the recording cannot be read: look at the file").with_source(error)
        })
    };
    let found = deadline.run(operation, Effect::NotApplied, look).await;
    let error = match found {
        Ok(Found::Fits) => return Ok(()),
        Ok(Found::Longer(length)) => Error::invalid(
            "short audio is a minute at most: cut the recording, or use fast transcription",
        )
        .with_context("seconds", format!("{:.1}", length.as_secs_f64())),
        Ok(Found::Other(what)) => Error::invalid(
            "short audio is WAV (PCM, 16 bits, 16 kHz, one channel) or Ogg (Opus): convert the recording, or use fast \
             transcription",
        )
        .with_context("found", what),
        Err(error) => error,
    };
    Err(error.with_context("file", stored.title()))
}

#[derive(Debug, PartialEq)]
enum Found {
    Fits,
    Longer(Duration),
    Other(String),
}

impl Found {
    fn lasting(length: Duration) -> Self {
        if length > LONGEST { Self::Longer(length) } else { Self::Fits }
    }
}

fn wav(reader: &mut Box<dyn SeekableRead>) -> io::Result<Found> {
    let Some(wav) = Wav::read(reader)? else {
        return Ok(Found::Other("no WAV file of PCM samples".to_owned()));
    };
    Ok(match (wav.samples, wav.rate, wav.channels) {
        (Samples::I16, RATE, 1) => Found::lasting(wav.time_of(wav.length)),
        (samples, rate, channels) => {
            Found::Other(format!("{} bits, {rate} Hz, {channels} channels", samples.bytes() * 8))
        }
    })
}

/// The time of the last page is that of the whole, but for what is played before it begins.
fn ogg(reader: &mut Box<dyn SeekableRead>) -> io::Result<Found> {
    let mut beginning = Vec::new();
    reader.take(512).read_to_end(&mut beginning)?;
    let opus = beginning.windows(8).position(|name| name == b"OpusHead");
    let (true, Some(head)) = (beginning.starts_with(b"OggS"), opus) else {
        return Ok(Found::Other("no Ogg file of Opus".to_owned()));
    };
    let skipped = match beginning.get(head + 10..head + 12) {
        Some([low, high]) => u64::from(u16::from_le_bytes([*low, *high])),
        _ => 0,
    };
    let end = reader.seek(SeekFrom::End(0))?;
    reader.seek(SeekFrom::Start(end.saturating_sub(LAST_PAGE + LAST_PAGE)))?;
    let mut last = Vec::new();
    reader.take(LAST_PAGE + LAST_PAGE).read_to_end(&mut last)?;
    let page = last.windows(5).rposition(|name| name == b"OggS\0").and_then(|at| last.get(at + 6..at + 14));
    let samples = match page.and_then(|place| <[u8; 8]>::try_from(place).ok()).map(u64::from_le_bytes) {
        // No time: a page on which nothing ends.
        None | Some(u64::MAX) => 0,
        Some(samples) => samples.saturating_sub(skipped),
    };
    Ok(Found::lasting(Duration::from_millis(samples.saturating_mul(1000) / OPUS_RATE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opus(seconds: u64) -> Box<dyn SeekableRead> {
        let page = |place: u64, content: &[u8]| {
            [b"OggS\0\0".as_slice(), &place.to_le_bytes(), &[0; 12], &[1, content.len() as u8], content]
                .concat()
        };
        let head = page(0, b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0");
        let place = seconds * OPUS_RATE + 0x138;
        Box::new(io::Cursor::new([head, page(9, b"sound"), page(place, b"last")].concat()))
    }

    #[test]
    fn ogg_files_tell_how_long_they_are() {
        assert_eq!(ogg(&mut opus(60)).unwrap(), Found::Fits);
        assert_eq!(ogg(&mut opus(61)).unwrap(), Found::Longer(Duration::from_secs(61)));
        for other in [b"OggS\0 vorbis".as_slice(), b"RIFF", b""] {
            let mut other: Box<dyn SeekableRead> = Box::new(io::Cursor::new(other.to_vec()));
            assert!(matches!(ogg(&mut other).unwrap(), Found::Other(_)));
        }
    }
}
