//! Ten minutes.

use std::time::Duration;

use arshai_core::speech::{
    Audio, AudioFormat, SpeakOptions, Synthesizer as _, Timestamps, TranscribeOptions, Transcriber as _,
};
use arshai_speech::{Split, SynthesizerConfig, TranscriberConfig};

use crate::{SENTENCES, synthesizer, transcriber, words};

const TEN_MINUTES: u64 = 600;

#[tokio::test]
async fn ten_minutes_are_heard_with_times_in_order() {
    let speaks = synthesizer(SynthesizerConfig::default());
    let pcm = SpeakOptions::default().with_format(AudioFormat::Pcm);
    let first = speaks.synthesize(SENTENCES.first().unwrap(), &SpeakOptions::default()).await.unwrap();
    let header = first.audio.get(..44).unwrap().to_vec();
    let rate = u32::from_le_bytes(header.get(24..28).unwrap().try_into().unwrap());
    let bytes_per_second = u64::from(rate) * 2;
    let pause = vec![0; usize::try_from(bytes_per_second).unwrap() * 3 / 5 / 2 * 2];
    let mut sentences = Vec::new();
    for sentence in SENTENCES {
        sentences.push((sentence, speaks.synthesize(sentence, &pcm).await.unwrap().audio));
    }
    let (mut sound, mut said) = (Vec::new(), Vec::new());
    for (sentence, spoken) in sentences.iter().cycle() {
        if sound.len() as u64 >= TEN_MINUTES * bytes_per_second {
            break;
        }
        sound.extend_from_slice(spoken);
        sound.extend_from_slice(&pause);
        said.push(*sentence);
    }
    let seconds = sound.len() as u64 / bytes_per_second;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ten-minutes.wav");
    std::fs::write(&path, file(header, &sound)).unwrap();

    let split = Split::default().with_longest(Duration::from_secs(90));
    let config = TranscriberConfig::faster_whisper_server().with_split(Some(split)).with_concurrency(2);
    let options = TranscribeOptions::default().with_language("en").with_timestamps(Timestamps::Segments);
    let heard = transcriber(config).transcribe(Audio::file(&path), &options).await.unwrap();

    assert_eq!(heard.duration.map(|duration| duration.as_secs()), Some(seconds));
    let starts: Vec<Duration> = heard.segments.iter().map(|segment| segment.start).collect();
    assert!(starts.is_sorted() && heard.segments.iter().all(|segment| segment.start <= segment.end));
    let last = heard.segments.last().unwrap();
    assert!(last.start.as_secs() + 30 > seconds && last.end.as_secs() <= seconds, "{last:?} of {seconds} s");
    let rate = words::error_rate(&said.join(" "), &heard.text);
    println!("{seconds} s, {} segments, word error rate {rate:.3}", heard.segments.len());
    assert!(rate <= 0.1, "{rate}");
}

fn file(mut header: Vec<u8>, sound: &[u8]) -> Vec<u8> {
    let length = u32::try_from(sound.len()).unwrap();
    header.splice(4..8, (length + 36).to_le_bytes());
    header.splice(40..44, length.to_le_bytes());
    header.extend_from_slice(sound);
    header
}
