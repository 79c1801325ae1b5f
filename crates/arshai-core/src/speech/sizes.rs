//! The sizes in the header of a WAV file (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0").

use std::io::{self, Read, Seek, SeekFrom, Write};

/// A file with more chunks before its sound is left as it is.
const MOST_CHUNKS: usize = 64;

/// Writes the sizes that a file has over those that were written before they were known. What is no WAV file, has sound
/// of the size it says, or is longer than a header can say, stays as it is.
pub(super) fn mend(file: &mut (impl Read + Write + Seek)) -> io::Result<()> {
    let end = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut riff = [0; 12];
    if end < riff.len() as u64 {
        return Ok(());
    }
    file.read_exact(&mut riff)?;
    if !riff.starts_with(b"RIFF") || !riff.ends_with(b"WAVE") {
        return Ok(());
    }
    let mut at = riff.len() as u64;
    for _ in 0..MOST_CHUNKS {
        let sound = at.saturating_add(8);
        if sound > end {
            return Ok(());
        }
        file.seek(SeekFrom::Start(at))?;
        let mut chunk = [0; 8];
        file.read_exact(&mut chunk)?;
        let [name @ .., a, b, c, d] = chunk;
        let said = u64::from(u32::from_le_bytes([a, b, c, d]));
        if &name != b"data" {
            at = sound.saturating_add(said).saturating_add(said % 2);
            continue;
        }
        if said > 0 && sound.saturating_add(said) <= end {
            return Ok(());
        }
        let (Ok(length), Ok(all)) = (u32::try_from(end - sound), u32::try_from(end - 8)) else {
            return Ok(());
        };
        file.seek(SeekFrom::Start(at + 4))?;
        file.write_all(&length.to_le_bytes())?;
        file.seek(SeekFrom::Start(4))?;
        return file.write_all(&all.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn wav(riff: u32, data: u32, sound: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF".to_vec();
        file.extend(riff.to_le_bytes());
        file.extend(b"WAVEfmt \x04\0\0\0....LIST\x03\0\0\0abc\0data");
        file.extend(data.to_le_bytes());
        file.extend(sound);
        file
    }

    fn mended(file: Vec<u8>) -> Vec<u8> {
        let mut file = Cursor::new(file);
        mend(&mut file).unwrap();
        file.into_inner()
    }

    #[test]
    fn sizes_that_were_not_known_are_written() {
        for said in [0, u32::MAX, 0x7fff_f000, 7] {
            assert_eq!(mended(wav(said, said, b"sounds")), wav(42, 6, b"sounds"), "{said}");
        }
    }

    #[test]
    fn what_is_right_or_no_wav_file_stays() {
        let many = [b"RIFF\0\0\0\0WAVE".as_slice(), &b"junk\0\0\0\0".repeat(1_000), b"data\xff\xff\xff\xffx"]
            .concat();
        for file in
            [wav(42, 6, b"sounds"), wav(48, 6, b"soundsLIST"), b"ID3 sound".to_vec(), b"RIFF".to_vec(), many]
        {
            assert_eq!(mended(file.clone()), file);
        }
    }
}
