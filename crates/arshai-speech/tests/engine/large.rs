//! 200 MB, sent to a server that reads, decodes and hears them.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use arshai_core::speech::{Audio, SpeakOptions, Synthesizer as _, TranscribeOptions, Transcriber as _};
use arshai_speech::{SynthesizerConfig, TranscriberConfig, audio_from_reader};

use crate::{SENTENCES, growth::Growth, synthesizer, transcriber, words};

const LARGE: u64 = 200 * 1_000_000;
const ALLOWED: u64 = 20 * 1_000_000;
/// So often each sample is there, in each of so many channels: as large as a recording of hours, and as short to hear as
/// what was said.
const REPEATED: u32 = 8;
const CHANNELS: u16 = 8;

#[tokio::test]
async fn an_upload_of_200_mb_is_heard_and_takes_less_than_20_mb_of_memory() {
    let speaks = synthesizer(SynthesizerConfig::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.wav");
    let text = SENTENCES.join(" ");
    let spoken = speaks.synthesize(&text, &SpeakOptions::default()).await.unwrap();
    let seconds = large(&path, &spoken.audio);
    drop(spoken);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size > LARGE, "{size}");
    let config = TranscriberConfig::faster_whisper_server().with_max_upload_bytes(2 * LARGE);
    let hears = transcriber(config);
    let options = TranscribeOptions::default().with_language("en");
    // What is made once is not counted.
    let small = speaks.synthesize("Hello.", &SpeakOptions::default()).await.unwrap();
    hears.transcribe(Audio::bytes("small.wav", small.audio), &options).await.unwrap();

    let growth = Growth::watch();
    let heard = hears.transcribe(Audio::file(&path), &options).await.unwrap();
    let by_file = growth.stop();
    let rate = words::error_rate(&text, &heard.text);

    let growth = Growth::watch();
    let reader = tokio::fs::File::open(&path).await.unwrap();
    let again = hears.transcribe(audio_from_reader("large.wav", reader), &options).await.unwrap();
    let by_reader = growth.stop();

    println!(
        "{size} bytes, {seconds:.0} s: memory grew by {by_file} bytes for a file and by {by_reader} for a reader; \
         word error rate {rate:.3}"
    );
    assert_eq!(again.text, heard.text);
    assert!(rate <= 0.1, "{rate}: {}", heard.text);
    assert!(by_file < ALLOWED && by_reader < ALLOWED, "{by_file}, {by_reader}");
}

/// The same sound as 32 bits of floating point, at a higher rate and in more channels, again and again up to the size;
/// how many seconds it lasts.
fn large(path: &Path, spoken: &[u8]) -> f64 {
    let rate = u32::from_le_bytes(spoken.get(24..28).unwrap().try_into().unwrap()) * REPEATED;
    let frame = CHANNELS * 4;
    let samples = spoken.get(44..).unwrap().chunks_exact(2);
    let once = samples.len() as u64 * u64::from(REPEATED) * u64::from(frame);
    let silence = LARGE.saturating_sub(once) / u64::from(frame) + 1;
    let data = u32::try_from(once + silence * u64::from(frame)).unwrap();
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut write = |bytes: &[u8]| file.write_all(bytes).unwrap();
    write(b"RIFF");
    write(&(data + 36).to_le_bytes());
    write(b"WAVEfmt \x10\0\0\0\x03\0");
    write(&CHANNELS.to_le_bytes());
    write(&rate.to_le_bytes());
    write(&(rate * u32::from(frame)).to_le_bytes());
    write(&frame.to_le_bytes());
    write(b"\x20\0data");
    write(&data.to_le_bytes());
    for sample in samples {
        let sample = f32::from(i16::from_le_bytes(sample.try_into().unwrap())) / 32_768.0;
        let frames = sample.to_le_bytes().repeat(usize::from(CHANNELS) * REPEATED as usize);
        write(&frames);
    }
    let silent = vec![0; usize::from(frame)];
    (0..silence).for_each(|_| write(&silent));
    f64::from(data) / f64::from(rate) / f64::from(frame)
}
