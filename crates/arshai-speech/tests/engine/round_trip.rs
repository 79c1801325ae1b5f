//! Text to speech to text.

use arshai_core::speech::{
    Audio, AudioFormat, SpeakOptions, Synthesizer as _, SynthesizerExt as _, Timestamps, TranscribeOptions,
    Transcriber as _, TranscriptEvent,
};
use arshai_speech::{SynthesizerConfig, TranscriberConfig};
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::{SENTENCES, synthesizer, transcriber, words};

#[tokio::test]
async fn ten_sentences_are_spoken_and_heard_again() {
    let (speaks, hears) =
        (synthesizer(SynthesizerConfig::default()), transcriber(TranscriberConfig::faster_whisper_server()));
    let options = TranscribeOptions::default().with_language("en");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sentence.wav");
    let (mut wrong, mut all) = (0, 0);
    for sentence in SENTENCES {
        speaks.synthesize_to_file(sentence, &SpeakOptions::default(), &path).await.unwrap();
        let heard = hears.transcribe(Audio::file(&path), &options).await.unwrap();
        let (errors, words) = words::errors(sentence, &heard.text);
        println!("{errors} of {words}: {}", heard.text);
        (wrong, all) = (wrong + errors, all + words);
    }
    println!("word error rate: {wrong} of {all}");
    assert!(wrong * 10 <= all, "{wrong} of {all} words are wrong");
}

#[tokio::test]
async fn a_text_in_parts_sounds_like_the_whole() {
    let text = SENTENCES.get(..5).unwrap().join(" ");
    let hears = transcriber(TranscriberConfig::faster_whisper_server());
    let options = TranscribeOptions::default().with_language("en");
    let whole =
        synthesizer(SynthesizerConfig::default()).synthesize(&text, &SpeakOptions::default()).await.unwrap();
    let parted = synthesizer(SynthesizerConfig::default().with_max_chars(60));
    let streamed = parted.stream(&text, &SpeakOptions::default()).await.unwrap();
    let streamed = streamed.audio.try_collect::<Vec<_>>().await.unwrap().concat();
    let length = streamed.len().abs_diff(whole.audio.len());
    assert!(length * 4 < whole.audio.len(), "{} and {} bytes", streamed.len(), whole.audio.len());
    let heard = hears.transcribe(Audio::bytes("parts.wav", streamed), &options).await.unwrap();
    let rate = words::error_rate(&text, &heard.text);
    assert!(rate <= 0.1, "{rate}: {}", heard.text);
    let pcm = SpeakOptions::default().with_format(AudioFormat::Pcm);
    let pcm = parted.synthesize(&text, &pcm).await.unwrap();
    assert!(!pcm.audio.starts_with(b"RIFF") && pcm.audio.len() % 2 == 0);
}

#[tokio::test]
async fn times_of_segments_and_words_are_told_and_become_subtitles() {
    let text = SENTENCES.get(..2).unwrap().join(" ");
    let spoken =
        synthesizer(SynthesizerConfig::default()).synthesize(&text, &SpeakOptions::default()).await.unwrap();
    let hears = transcriber(TranscriberConfig::faster_whisper_server());
    let options = TranscribeOptions::default().with_language("en").with_timestamps(Timestamps::Words);
    let heard = hears.transcribe(Audio::bytes("a.wav", spoken.audio.clone()), &options).await.unwrap();
    println!("{heard:?}");
    assert!(!heard.segments.is_empty() && heard.duration.is_some());
    assert!(heard.segments.iter().all(|segment| segment.start < segment.end));
    assert!(heard.words.windows(2).all(|pair| pair.first().unwrap().start <= pair.last().unwrap().start));
    assert!(
        heard.to_srt().unwrap().starts_with("1\n00:00:0")
            && heard.to_vtt().unwrap().starts_with("WEBVTT\n\n00:")
    );
    let mut config = TranscriberConfig::faster_whisper_server();
    config.streaming = true;
    let stream = transcriber(config).stream(Audio::bytes("a.wav", spoken.audio), &options).await.unwrap();
    let events: Vec<_> = stream.map(Result::unwrap).collect().await;
    let Some(TranscriptEvent::Done(done)) = events.last() else { panic!("no end: {events:?}") };
    assert!(words::error_rate(&text, &done.text) <= 0.1, "{}", done.text);
}
