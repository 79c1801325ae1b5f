//! Where to cut a long recording: in the quietest third of a second before a part becomes too long.

use std::{
    io::{self, Read, Seek, SeekFrom},
    time::Duration,
};

use super::Wav;

/// The stretch whose loudness is told in one number.
const STEPS_PER_SECOND: u64 = 50;
/// So many of them are what must be quiet.
const QUIET_STEPS: usize = 15;

/// A part of the sound, in bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) from: u64,
    pub(crate) length: u64,
}

/// Cuts the sound into parts of at most `most` bytes. The last `search` of each part is looked through for silence.
pub(crate) fn cuts(
    file: &mut (impl Read + Seek),
    wav: &Wav,
    most: u64,
    search: Duration,
) -> io::Result<Vec<Cut>> {
    // Two samples, so that a part of single bytes has no odd length.
    let grain = u64::from(wav.frame) * 2;
    let most = (most / grain).max(1) * grain;
    let window = (search.as_secs_f64() * wav.bytes_per_second() as f64) as u64;
    let window = window.min(most / 3) / grain * grain;
    let mut cuts = Vec::new();
    let mut from = 0;
    while wav.length - from > most {
        let left = wav.length - from;
        // Two halves, rather than a long part and a splinter.
        let aim = if left < most.saturating_mul(2) { (left / 2 + window / 2).min(most) } else { most };
        let aim = aim / grain * grain;
        let quiet = quietest(file, wav, from + aim.saturating_sub(window), window.min(aim))?;
        let end = quiet.map_or(from + aim, |at| at / grain * grain).max(from + grain);
        cuts.push(Cut { from, length: end - from });
        from = end;
    }
    cuts.push(Cut { from, length: wav.length - from });
    Ok(cuts)
}

/// The middle of the quietest place between `from` and `length` bytes later; of several equal ones, the last.
fn quietest(file: &mut (impl Read + Seek), wav: &Wav, from: u64, length: u64) -> io::Result<Option<u64>> {
    let step = (u64::from(wav.rate) / STEPS_PER_SECOND).max(1) * u64::from(wav.frame);
    file.seek(SeekFrom::Start(wav.from + from))?;
    let mut bytes = vec![0; usize::try_from(step).unwrap_or(usize::MAX)];
    let mut loudness = Vec::new();
    for _ in 0..length / step {
        file.read_exact(&mut bytes)?;
        let samples = bytes.chunks_exact(wav.samples.bytes());
        let count = samples.len().max(1);
        loudness.push(samples.map(|sample| wav.samples.loudness(sample)).sum::<f32>() / count as f32);
    }
    let stretch = QUIET_STEPS.min(loudness.len());
    if stretch == 0 {
        return Ok(None);
    }
    let mut best: Option<(usize, f32)> = None;
    for (at, steps) in loudness.windows(stretch).enumerate() {
        let sum: f32 = steps.iter().sum();
        if best.is_none_or(|(_, least)| sum <= least) {
            best = Some((at, sum));
        }
    }
    Ok(best.map(|(at, _)| from + (at + stretch / 2) as u64 * step))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::wav::header::tests::wav;

    /// Loud but for half a second around each of these seconds.
    fn speech(seconds: u32, pauses: &[f32]) -> Vec<i16> {
        let rate = 1_000;
        (0..seconds * rate)
            .map(|at| {
                let time = at as f32 / rate as f32;
                let is_quiet = pauses.iter().any(|pause| (time - pause).abs() < 0.25);
                if is_quiet { (at % 3) as i16 } else { if at % 2 == 0 { 9_000 } else { -9_000 } }
            })
            .collect()
    }

    fn cut(file: &[u8], seconds: u64) -> Vec<f64> {
        let mut file = Cursor::new(file);
        let wav = Wav::read(&mut file).unwrap().unwrap();
        let cuts = cuts(&mut file, &wav, seconds * 2_000, Duration::from_secs(3)).unwrap();
        let mut expected = 0;
        for cut in &cuts {
            assert_eq!(cut.from, expected, "no gap and no overlap");
            assert!(cut.length > 0 && cut.length <= seconds * 2_000);
            assert_eq!(cut.length % 4, 0);
            expected += cut.length;
        }
        assert_eq!(expected, wav.length);
        cuts.iter().skip(1).map(|cut| wav.time_of(cut.from).as_secs_f64()).collect()
    }

    #[test]
    fn words_are_not_cut_in_two() {
        let file = wav(1_000, &speech(40, &[8.0, 9.0, 17.5, 27.0, 33.0]));
        let found = cut(&file, 10);
        assert_eq!(found.len(), 4, "{found:?}");
        for (found, pause) in found.iter().zip([9.0, 17.5, 27.0, 33.0]) {
            assert!((found - pause).abs() < 0.26, "{found} is not in the pause at {pause}");
        }
    }

    #[test]
    fn sound_without_a_pause_is_cut_all_the_same() {
        assert_eq!(cut(&wav(1_000, &speech(25, &[])), 10).len(), 2);
        assert_eq!(cut(&wav(1_000, &speech(10, &[])), 10).len(), 0);
        assert_eq!(cut(&wav(1_000, &[7; 100]), 10).len(), 0);
    }

    #[test]
    fn no_splinter_is_left() {
        let found = cut(&wav(1_000, &speech(11, &[])), 10);
        assert!((4.0..=7.5).contains(&found[0]), "{found:?}");
    }
}
