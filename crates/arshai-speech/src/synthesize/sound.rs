//! Whether what arrived is sound, and of the format that was asked for.

use arshai_core::{Effect, Error, ErrorKind, Result, speech::AudioFormat};
use bytes::{Bytes, BytesMut};
use serde_json::Value;

/// So many bytes tell every format.
const TELLING: usize = 4;
/// So many are kept back at most: blanks before a text may go on for ever.
const MOST_BLANKS: usize = 1024;

/// Whether the server says that it sends sound, or says nothing.
pub(crate) fn is_said(content_type: Option<&str>) -> bool {
    let Some(kind) = content_type else { return true };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["audio/", "video/", "application/octet-stream", "binary/octet-stream", "application/ogg"]
        .iter()
        .any(|sound| kind.starts_with(sound))
}

/// What was sent instead of sound: an error as JSON, a page of a proxy.
pub(crate) fn no_sound(
    content_type: Option<&str>,
    beginning: &[u8],
    reported: impl Fn(&Value) -> Error,
) -> Error {
    if let Ok(value) = serde_json::from_slice::<Value>(beginning) {
        if ["error", "detail", "message"]
            .iter()
            .any(|name| value.get(name).is_some_and(|said| !said.is_null()))
        {
            return reported(&value);
        }
    }
    let kind: String = content_type.unwrap_or("none").chars().filter(|c| !c.is_control()).take(100).collect();
    Error::new(
        ErrorKind::Protocol,
        "the server's reply is no sound: look at the base URL and the path, a proxy may have answered",
    )
    .with_effect(Effect::Unknown)
    .with_context("content_type", kind)
}

/// # Errors
///
/// [`ErrorKind::Protocol`] when the beginning of the sound is that of another format, or of a text.
pub(crate) fn check(beginning: &[u8], wanted: AudioFormat) -> Result<()> {
    // Samples may look like anything.
    if wanted == AudioFormat::Pcm {
        return Ok(());
    }
    let found = match beginning {
        [b'R', b'I', b'F', b'F' | b'X', ..] | [b'R', b'F', b'6', b'4', ..] => "wav",
        [b'I', b'D', b'3', ..] => "mp3",
        [b'O', b'g', b'g', b'S', ..] => "opus",
        [b'f', b'L', b'a', b'C', ..] => "flac",
        // Both begin with eleven ones; in AAC the layer, the next but two, is 0.
        [0xff, second, ..] if second & 0xf6 == 0xf0 => "aac",
        [0xff, second, ..] if second & 0xe0 == 0xe0 => "mp3",
        _ if matches!(said(beginning), [b'<' | b'{' | b'[', ..]) => "text",
        // MP3 and AAC may begin with almost anything; these begin with their names.
        _ if matches!(wanted, AudioFormat::Wav | AudioFormat::Opus | AudioFormat::Flac) => "unknown",
        _ => return Ok(()),
    };
    if found == wanted.name() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Protocol,
        "the server sends another format than was asked for: ask for the one it sends",
    )
    .with_effect(Effect::Unknown)
    .with_context("asked", wanted)
    .with_context("sent", found))
}

/// A text without the mark and the blanks that may stand before it.
fn said(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start()
}

/// The sound of a later part without the tag that only the beginning of a file may have.
pub(crate) fn without_tag(part: Bytes, format: AudioFormat) -> Bytes {
    if format != AudioFormat::Mp3 {
        return part;
    }
    match part.get(..10) {
        // ID3v2: four times seven bits.
        Some([b'I', b'D', b'3', _, _, _, a, b, c, d]) => {
            let size = [a, b, c, d].iter().fold(0_usize, |size, byte| size << 7 | usize::from(**byte & 0x7f));
            let end = size.saturating_add(10).min(part.len());
            part.slice(end..)
        }
        _ => part,
    }
}

/// Keeps the beginning back until it tells the format.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    bytes: BytesMut,
    is_known: bool,
}

impl Beginning {
    /// The next bytes, once it is known that they are sound.
    ///
    /// # Errors
    ///
    /// As [`check`].
    pub(crate) fn take(&mut self, chunk: Bytes, wanted: AudioFormat) -> Result<Option<Bytes>> {
        if self.is_known {
            return Ok(Some(chunk));
        }
        self.bytes.extend_from_slice(&chunk);
        if said(&self.bytes).len() < TELLING && self.bytes.len() < MOST_BLANKS {
            return Ok(None);
        }
        check(&self.bytes, wanted)?;
        self.is_known = true;
        Ok(Some(std::mem::take(&mut self.bytes).freeze()))
    }

    /// What is left of a sound that ended before it told its format.
    ///
    /// # Errors
    ///
    /// As [`check`].
    pub(crate) fn rest(&mut self, wanted: AudioFormat) -> Result<Option<Bytes>> {
        let rest = std::mem::take(&mut self.bytes).freeze();
        if rest.is_empty() {
            return Ok(None);
        }
        check(&rest, wanted).map(|()| Some(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart_by_their_beginnings() {
        let beginnings: [(&[u8], AudioFormat); 7] = [
            (b"RIFF\xff\xff\xff\xffWAVE", AudioFormat::Wav),
            (b"ID3\x04", AudioFormat::Mp3),
            (b"\xff\xfb\x90\x64", AudioFormat::Mp3),
            (b"\xff\xf3\x40\xc0", AudioFormat::Mp3),
            (b"\xff\xf1\x50\x80", AudioFormat::Aac),
            (b"OggS\0", AudioFormat::Opus),
            (b"fLaC\0", AudioFormat::Flac),
        ];
        for (beginning, format) in beginnings {
            check(beginning, format).unwrap();
            check(beginning, AudioFormat::Pcm).unwrap();
            let other = if format == AudioFormat::Flac { AudioFormat::Wav } else { AudioFormat::Flac };
            let error = check(beginning, other).unwrap_err();
            assert!(error.to_string().contains(format.name()), "{error}");
        }
        assert!(check(b"<html>", AudioFormat::Mp3).is_err());
    }

    #[test]
    fn a_beginning_in_crumbs_is_put_together() {
        let mut beginning = Beginning::default();
        for crumb in [b"R", b"I", b"F"] {
            assert_eq!(beginning.take(Bytes::from_static(crumb), AudioFormat::Wav).unwrap(), None);
        }
        let all = beginning.take(Bytes::from_static(b"F1"), AudioFormat::Wav).unwrap();
        assert_eq!(all.as_deref(), Some(b"RIFF1".as_slice()));
        assert_eq!(beginning.rest(AudioFormat::Wav).unwrap(), None);
    }

    #[test]
    fn what_is_no_sound_does_not_pass_for_some_behind_blanks_or_because_it_is_short() {
        for text in
            ["<html>", "\u{feff}<html>", "\r\n  \t {\"error\": 1}", "\n[1]", "\u{feff}\n\n\n\n\n\n<p>"]
        {
            for format in [AudioFormat::Wav, AudioFormat::Mp3, AudioFormat::Aac, AudioFormat::Flac] {
                assert_eq!(check(text.as_bytes(), format).unwrap_err().kind(), ErrorKind::Protocol, "{text}");
                let mut beginning = Beginning::default();
                let mut crumbs = text.bytes().map(|byte| beginning.take(Bytes::from(vec![byte]), format));
                let taken = crumbs.find_map(Result::err);
                assert!(taken.is_some() || beginning.rest(format).is_err(), "{text} as {format}");
            }
        }
        for (sound, format) in
            [("not a wav file", AudioFormat::Wav), ("x", AudioFormat::Wav), ("RIF", AudioFormat::Flac)]
        {
            let error = check(sound.as_bytes(), format).unwrap_err();
            assert!(error.to_string().contains("unknown"), "{error}");
            let mut beginning = Beginning::default();
            let taken = beginning.take(Bytes::from(sound), format);
            assert!(taken.is_err() || beginning.rest(format).is_err(), "{sound}");
        }
        let mut blanks = Beginning::default();
        assert!(blanks.take(Bytes::from(vec![b' '; 2_000]), AudioFormat::Mp3).unwrap().is_some());
    }

    #[test]
    fn a_tag_in_the_middle_is_left_out() {
        let part = Bytes::from_static(b"ID3\x04\0\0\0\0\0\x03abc\xff\xfbsound");
        assert_eq!(without_tag(part.clone(), AudioFormat::Mp3).as_ref(), b"\xff\xfbsound");
        assert_eq!(without_tag(part.clone(), AudioFormat::Aac), part);
    }
}
