//! The header (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0": RIFF, `fmt `, `data`).

use std::io::{self, Read, Seek, SeekFrom};

/// A `fmt ` chunk is 16, 18 or 40 bytes; longer ones are of formats that are not ours.
const LONGEST_FORMAT: u32 = 1024;
/// A file with more chunks before its sound is none of ours: a walk over empty ones has no end to speak of.
const MOST_CHUNKS: usize = 1_000;
/// From this size on it is what writers say that do not know it yet: 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF.
const UNKNOWN: u64 = 0x7fff_0000;
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wav {
    /// The `fmt ` chunk as it is.
    format: Vec<u8>,
    pub(crate) rate: u32,
    pub(crate) channels: u16,
    /// Bytes of one sample of all channels.
    pub(crate) frame: u16,
    pub(crate) samples: Samples,
    /// Where the sound begins, and how long it is.
    pub(crate) from: u64,
    pub(crate) length: u64,
    /// How much less that is than the header says.
    pub(crate) missing: u64,
}

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Samples {
    U8,
    I16,
    I24,
    I32,
    F32,
}

impl Samples {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
        }
    }

    /// How far from silence a sample is, 0 to 1.
    pub(crate) fn loudness(self, sample: &[u8]) -> f32 {
        let value = match (self, sample) {
            (Self::U8, [a]) => (f32::from(*a) - 128.0) / 128.0,
            (Self::I16, [a, b]) => f32::from(i16::from_le_bytes([*a, *b])) / 32_768.0,
            (Self::I24, [a, b, c]) => (i32::from_le_bytes([0, *a, *b, *c]) >> 8) as f32 / 8_388_608.0,
            (Self::I32, [a, b, c, d]) => i32::from_le_bytes([*a, *b, *c, *d]) as f32 / 2_147_483_648.0,
            (Self::F32, [a, b, c, d]) => f32::from_le_bytes([*a, *b, *c, *d]),
            _ => 0.0,
        };
        if value.is_finite() { value.abs() } else { 1.0 }
    }
}

impl Wav {
    /// Reads a header; `None` when it is none, or of samples that are not known.
    ///
    /// The length said by a header that was written before its end was known (0, 0xFFFFFFFF) is not believed. Of a file
    /// that is shorter than its header says, what is there is taken, and what is missing told.
    pub(crate) fn read(file: &mut (impl Read + Seek + ?Sized)) -> io::Result<Option<Self>> {
        let end = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let mut riff = [0; 12];
        if end < 12 {
            return Ok(None);
        }
        file.read_exact(&mut riff)?;
        if !riff.starts_with(b"RIFF") || !riff.ends_with(b"WAVE") {
            return Ok(None);
        }
        let mut format = None;
        for _ in 0..MOST_CHUNKS {
            let mut chunk = [0; 8];
            match file.read_exact(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read?,
            }
            let [a, b, c, d, size @ ..] = chunk;
            let size = u32::from_le_bytes(size);
            match &[a, b, c, d] {
                b"fmt " if size <= LONGEST_FORMAT => {
                    let mut bytes = vec![0; size as usize];
                    match file.read_exact(&mut bytes) {
                        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                        read => read?,
                    }
                    format = Some(bytes);
                    file.seek(SeekFrom::Current(i64::from(size % 2)))?;
                }
                b"data" => {
                    let from = file.stream_position()?;
                    let there = end.saturating_sub(from);
                    let (length, missing) = match u64::from(size) {
                        0 | 0xffff_ffff => (there, 0),
                        said @ UNKNOWN.. => (said.min(there), 0),
                        said => (said.min(there), said.saturating_sub(there)),
                    };
                    let wav = format.and_then(|format| Self::of(format, from, length));
                    return Ok(wav.map(|wav| Self { missing, ..wav }));
                }
                _ => {
                    file.seek(SeekFrom::Current(i64::from(size) + i64::from(size % 2)))?;
                }
            }
        }
        Ok(None)
    }

    fn of(format: Vec<u8>, from: u64, length: u64) -> Option<Self> {
        let word = |at: usize| Some(u16::from_le_bytes([*format.get(at)?, *format.get(at + 1)?]));
        let tag = match word(0)? {
            // The first two bytes of the GUID are the format proper.
            EXTENSIBLE => word(24)?,
            tag => tag,
        };
        let (channels, frame, bits) = (word(2)?, word(12)?, word(14)?);
        let rate = u32::from(word(4)?) | u32::from(word(6)?) << 16;
        let samples = match (tag, bits) {
            (PCM, 8) => Samples::U8,
            (PCM, 16) => Samples::I16,
            (PCM, 24) => Samples::I24,
            (PCM, 32) => Samples::I32,
            (FLOAT, 32) => Samples::F32,
            _ => return None,
        };
        let is_sane =
            channels > 0 && rate > 0 && usize::from(frame) == samples.bytes() * usize::from(channels);
        let length = length - length.checked_rem(u64::from(frame))?;
        is_sane.then_some(Self { format, rate, channels, frame, samples, from, length, missing: 0 })
    }

    pub(crate) fn bytes_per_second(&self) -> u64 {
        u64::from(self.rate) * u64::from(self.frame)
    }

    /// How long so many bytes of sound last.
    pub(crate) fn time_of(&self, bytes: u64) -> std::time::Duration {
        let seconds = bytes as f64 / self.bytes_per_second() as f64;
        std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// Whether sound of both can stand behind one header.
    pub(crate) fn sounds_like(&self, other: &Self) -> bool {
        (self.rate, self.channels, self.samples) == (other.rate, other.channels, other.samples)
    }

    /// A header for so much sound and nothing behind it; `None` when it is more than a header can say.
    pub(crate) fn header(&self, length: u64) -> Option<Vec<u8>> {
        let format = u32::try_from(self.format.len()).ok()?;
        let padded = format.checked_add(format % 2)?;
        let data = u32::try_from(length).ok()?;
        // The byte that an odd chunk is padded with is not counted where it is not written: at the end of a file most
        // programs leave it out.
        let riff = 20_u32.checked_add(padded)?.checked_add(data)?;
        let mut header = Vec::with_capacity(28 + self.format.len());
        header.extend_from_slice(b"RIFF");
        header.extend_from_slice(&riff.to_le_bytes());
        header.extend_from_slice(b"WAVEfmt ");
        header.extend_from_slice(&format.to_le_bytes());
        header.extend_from_slice(&self.format);
        if format % 2 == 1 {
            header.push(0);
        }
        header.extend_from_slice(b"data");
        header.extend_from_slice(&data.to_le_bytes());
        Some(header)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use super::*;

    /// A file of 16 bits and one channel.
    pub(crate) fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
        let mut format = Vec::new();
        format.extend_from_slice(&[1, 0, 1, 0]);
        format.extend_from_slice(&rate.to_le_bytes());
        format.extend_from_slice(&(rate * 2).to_le_bytes());
        format.extend_from_slice(&[2, 0, 16, 0]);
        let mut file = Wav::of(format, 44, 0).unwrap().header(samples.len() as u64 * 2).unwrap();
        file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        file
    }

    #[test]
    fn a_header_is_written_as_it_is_read() {
        let file = wav(16_000, &[1, -2, 3]);
        assert_eq!(file.len(), 50);
        let read = Wav::read(&mut Cursor::new(&file)).unwrap().unwrap();
        assert_eq!((read.rate, read.frame, read.from, read.length), (16_000, 2, 44, 6));
        assert_eq!(read.header(6).unwrap(), file[..44]);
        assert_eq!(u32::from_le_bytes(file[4..8].try_into().unwrap()), 42);
        assert_eq!(read.header(u64::from(u32::MAX)), None);
    }

    #[test]
    fn the_size_of_the_whole_is_that_of_the_file_however_odd_its_sound() {
        let format = [1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 8, 0];
        let bytes = Wav::of(format.to_vec(), 44, 0).unwrap();
        for length in [0, 1, 2, 7] {
            let file = [bytes.header(length).unwrap(), vec![128; length as usize]].concat();
            let said = u32::from_le_bytes(file[4..8].try_into().unwrap());
            assert_eq!(said as usize, file.len() - 8, "{length} bytes of sound");
        }
    }

    #[test]
    fn a_length_that_was_not_known_when_it_was_written_is_counted() {
        for said in [0_u32, u32::MAX, 1_000_000] {
            let mut file = wav(8_000, &[5; 100]);
            file[40..44].copy_from_slice(&said.to_le_bytes());
            assert_eq!(Wav::read(&mut Cursor::new(&file)).unwrap().unwrap().length, 200, "{said}");
        }
    }

    #[test]
    fn other_chunks_are_passed_over_and_what_is_no_wav_is_none() {
        let plain = wav(8_000, &[5; 4]);
        let mut with_list = plain[..36].to_vec();
        with_list.extend_from_slice(b"LIST\x03\0\0\0abc\0");
        with_list.extend_from_slice(&plain[36..]);
        let read = Wav::read(&mut Cursor::new(&with_list)).unwrap().unwrap();
        assert_eq!((read.from, read.length), (56, 8));
        let cut: Vec<&[u8]> = (0..44).map(|end| &plain[..end]).collect();
        for bytes in cut.into_iter().chain([b"not a wav file at all".as_slice()]) {
            assert_eq!(Wav::read(&mut Cursor::new(bytes)).unwrap(), None, "{} bytes", bytes.len());
        }
        let mut compressed = plain.clone();
        compressed[20] = 2;
        assert_eq!(Wav::read(&mut Cursor::new(&compressed)).unwrap(), None);
    }

    #[test]
    fn a_file_shorter_than_its_header_says_is_told_unless_the_size_was_not_known() {
        for (said, missing) in [(0, 0), (100, 0), (200, 0), (300, 100), (0x7fff_f000, 0), (u32::MAX, 0)] {
            let mut file = wav(8_000, &[5; 100]);
            file[40..44].copy_from_slice(&said.to_le_bytes());
            assert_eq!(Wav::read(&mut Cursor::new(&file)).unwrap().unwrap().missing, missing, "{said}");
        }
    }

    #[test]
    fn a_file_of_empty_chunks_is_not_walked_through_to_its_end() {
        struct Counted(Cursor<Vec<u8>>, usize);
        impl Read for Counted {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                self.1 += 1;
                self.0.read(room)
            }
        }
        impl Seek for Counted {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                self.0.seek(to)
            }
        }
        let plain = wav(8_000, &[5; 4]);
        let file = [&plain[..36], &b"junk\0\0\0\0".repeat(100_000), &plain[36..]].concat();
        let mut file = Counted(Cursor::new(file), 0);
        assert_eq!(Wav::read(&mut file).unwrap(), None);
        assert!(file.1 < 2_000, "{} reads", file.1);
    }

    #[test]
    fn loudness_is_the_same_in_every_kind_of_sample() {
        for (samples, half) in [
            (Samples::U8, [192].as_slice()),
            (Samples::I16, &[0, 0x40]),
            (Samples::I24, &[0, 0, 0xc0]),
            (Samples::I32, &[0, 0, 0, 0x40]),
            (Samples::F32, &[0, 0, 0, 0xbf]),
        ] {
            assert_eq!(samples.bytes(), half.len());
            assert_eq!(samples.loudness(half), 0.5, "{samples:?}");
        }
    }
}
