//! Several files of sound as one.

use std::io::Cursor;

use arshai_core::{Effect, Error, ErrorKind, Result};
use bytes::Bytes;

use super::Wav;

/// Takes files in order and gives back their sound; the header comes last, when the length is known.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    first: Option<Wav>,
    length: u64,
}

impl Joiner {
    /// The sound of the next file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when it is no WAV file, or one of other samples than the first; [`ErrorKind::Truncated`]
    /// when it is shorter than it says.
    pub(crate) fn sound(&mut self, file: &Bytes) -> Result<Bytes> {
        let wav = read(file).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, "a part of the speech is no WAV file: ask for another format")
        })?;
        if wav.missing > 0 {
            return Err(cut(wav.missing));
        }
        if self.first.as_ref().is_some_and(|first| !first.sounds_like(&wav)) {
            return Err(Error::new(
                ErrorKind::Protocol,
                "the parts of the speech have different rates or channels and cannot be joined: send less text at once",
            ));
        }
        let sound = sound(file, &wav);
        self.length = self.length.saturating_add(sound.len() as u64);
        self.first.get_or_insert(wav);
        Ok(sound)
    }

    /// The header of all of them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] when the sound is longer than a header can say.
    pub(crate) fn header(&self) -> Result<Bytes> {
        let header = self.first.as_ref().and_then(|first| first.header(self.length));
        header.map(Bytes::from).ok_or_else(|| {
            Error::unsupported("the speech is longer than a WAV file can be (4 GiB): ask for pcm or mp3")
        })
    }
}

/// Whether sound that arrives is as long as its header says. A connection that ends where the server pleases does not
/// tell whether that was the end.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    beginning: Vec<u8>,
    missing: Option<u64>,
}

impl Awaited {
    /// A header is not longer.
    const LONGEST: usize = 64 << 10;

    /// The next bytes.
    pub(crate) fn take(&mut self, block: &Bytes) {
        match &mut self.missing {
            Some(missing) => *missing = missing.saturating_sub(block.len() as u64),
            None => {
                self.beginning.extend_from_slice(block);
                // Reading memory does not fail.
                let wav = Wav::read(&mut Cursor::new(&self.beginning)).ok().flatten();
                self.missing = match wav {
                    Some(wav) => Some(wav.missing),
                    None => (self.beginning.len() > Self::LONGEST).then_some(0),
                };
                if self.missing.is_some() {
                    self.beginning = Vec::new();
                }
            }
        }
    }

    /// # Errors
    ///
    /// [`ErrorKind::Truncated`] when the end came too early.
    pub(crate) fn end(&self) -> Result<()> {
        match self.missing {
            Some(missing @ 1..) => Err(cut(missing)),
            None if is_cut_in_its_header(&self.beginning) => Err(early(
                "the sound ended within its header: ask again, or look at the server and its proxy",
            )),
            _ => Ok(()),
        }
    }
}

/// Whether this is the beginning of a WAV file without a word of where its sound begins. A file of samples that are not
/// known has that too.
fn is_cut_in_its_header(beginning: &[u8]) -> bool {
    let Some((riff, mut chunks)) = beginning.split_at_checked(12) else {
        return !beginning.is_empty() && b"RIFF".starts_with(beginning.get(..4).unwrap_or(beginning));
    };
    if !riff.starts_with(b"RIFF") || !riff.ends_with(b"WAVE") {
        return false;
    }
    while let Some(([name @ .., a, b, c, d], after)) = chunks.split_first_chunk::<8>() {
        if name == b"data" {
            return false;
        }
        let size = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
        let next = usize::try_from(size + size % 2).ok().and_then(|size| after.get(size..));
        chunks = next.unwrap_or_default();
    }
    true
}

fn cut(missing: u64) -> Error {
    early("the sound ended before the length that its header says: ask again, or look at the server and its proxy")
        .with_context("missing_bytes", missing)
}

fn early(message: &'static str) -> Error {
    Error::new(ErrorKind::Truncated, message).with_effect(Effect::Unknown).with_retryable(true)
}

/// The same file with the sizes it has, where a server wrote its header before it knew them.
pub(crate) fn with_true_sizes(file: Bytes) -> Bytes {
    let Some(wav) = read(&file) else { return file };
    let sound = sound(&file, &wav);
    match wav.header(sound.len() as u64) {
        Some(header) if !file.starts_with(&header) || file.len() != header.len() + sound.len() => {
            [header.as_slice(), &sound].concat().into()
        }
        _ => file,
    }
}

fn read(file: &Bytes) -> Option<Wav> {
    // Reading memory does not fail.
    Wav::read(&mut Cursor::new(file)).ok().flatten()
}

fn sound(file: &Bytes, wav: &Wav) -> Bytes {
    let from = usize::try_from(wav.from).unwrap_or(usize::MAX).min(file.len());
    let length = usize::try_from(wav.length).unwrap_or(usize::MAX).min(file.len() - from);
    file.slice(from..from + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wav::header::tests::wav;

    #[test]
    fn parts_have_one_header_with_the_size_of_all() {
        let mut unsized_header = wav(8_000, &[3, 4]);
        unsized_header[4..8].copy_from_slice(&[255; 4]);
        unsized_header[40..44].copy_from_slice(&[255; 4]);
        let mut joiner = Joiner::default();
        let mut all = Vec::new();
        for part in [wav(8_000, &[1, 2]), unsized_header, wav(8_000, &[5])] {
            all.extend_from_slice(&joiner.sound(&part.into()).unwrap());
        }
        assert_eq!([&joiner.header().unwrap(), all.as_slice()].concat(), wav(8_000, &[1, 2, 3, 4, 5]));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let mut joiner = Joiner::default();
        joiner.sound(&wav(8_000, &[1]).into()).unwrap();
        for part in [wav(16_000, &[1]), b"ID3 and so on".to_vec()] {
            assert_eq!(joiner.sound(&part.into()).unwrap_err().kind(), ErrorKind::Protocol);
        }
    }

    #[test]
    fn an_end_that_comes_too_early_is_noticed_however_the_sound_arrives() {
        let whole = wav(8_000, &[7; 200]);
        for size in [1, 7, 50, 1_000] {
            for (length, is_whole) in [(whole.len(), true), (whole.len() - 1, false), (50, false)] {
                let mut awaited = Awaited::default();
                whole[..length].chunks(size).for_each(|block| awaited.take(&Bytes::copy_from_slice(block)));
                assert_eq!(awaited.end().is_ok(), is_whole, "{length} bytes in blocks of {size}");
            }
        }
        // A LIST before the sound, and samples that are not known.
        let list = [&whole[..36], b"LIST\x03\0\0\0abc\0", &whole[36..]].concat();
        let mut strange = whole.clone();
        strange[20] = 6;
        for (file, needed) in [(&whole, whole.len()), (&list, list.len()), (&strange, 44)] {
            for length in 1..needed {
                let mut awaited = Awaited::default();
                awaited.take(&Bytes::copy_from_slice(&file[..length]));
                let error = awaited.end().unwrap_err();
                assert_eq!(
                    (error.kind(), error.is_retryable()),
                    (ErrorKind::Truncated, true),
                    "{length} bytes"
                );
            }
        }
        for other in [strange.as_slice(), b"ID3", b""] {
            let mut awaited = Awaited::default();
            awaited.take(&Bytes::copy_from_slice(other));
            awaited.end().unwrap();
        }
        let mut joiner = Joiner::default();
        let error = joiner.sound(&whole[..100].to_vec().into()).unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Truncated, true));
    }

    #[test]
    fn sizes_that_were_not_known_are_mended() {
        let true_sizes = wav(8_000, &[3, 4, 5]);
        let mut file = true_sizes.clone();
        file[4..8].copy_from_slice(&[255; 4]);
        file[40..44].copy_from_slice(&[255; 4]);
        assert_eq!(with_true_sizes(file.into()), true_sizes);
        for other in [true_sizes, b"ID3".to_vec()] {
            assert_eq!(with_true_sizes(other.clone().into()), other);
        }
    }
}
