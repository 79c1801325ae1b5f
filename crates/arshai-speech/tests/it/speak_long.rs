//! Texts longer than the server takes.

use std::time::Duration;

use arshai_core::{
    ErrorKind,
    speech::{AudioFormat, SpeakOptions, Synthesizer as _, SynthesizerExt as _},
};
use arshai_speech::SynthesizerConfig;
use futures_util::StreamExt as _;
use wiremock::ResponseTemplate;

use crate::{
    fake::{Running, Sent, serve, sound, wav},
    synthesizer_with,
};

const TEXT: &str = "One is one. Two is two. Three is three. Four is four. Five is five.";

/// Says each letter as one sample.
fn samples(text: &str) -> Vec<i16> {
    text.bytes().map(i16::from).collect()
}

fn speak(sent: &Sent) -> ResponseTemplate {
    let body = sent.json();
    let text = body["input"].as_str().unwrap();
    let pcm: Vec<u8> = samples(text).iter().flat_map(|sample| sample.to_le_bytes()).collect();
    match body["response_format"].as_str().unwrap() {
        "wav" => sound("audio/wav", wav(8_000, &samples(text))),
        "pcm" => sound("audio/pcm", pcm),
        "mp3" => {
            sound("audio/mpeg", [b"ID3\x04\0\0\0\0\0\x02xx\xff\xfb".as_slice(), text.as_bytes()].concat())
        }
        other => panic!("{other}"),
    }
}

async fn server() -> Running {
    // The first takes longest, so that an order that is not kept shows.
    serve(|number, sent| speak(sent).set_delay(Duration::from_millis(60 / (number as u64 + 1)))).await
}

fn config() -> SynthesizerConfig {
    SynthesizerConfig::default().with_max_chars(25).with_concurrency(2)
}

fn parts(server: &Running) -> Vec<String> {
    let mut parts: Vec<String> =
        server.sent().iter().map(|sent| sent.json()["input"].as_str().unwrap().to_owned()).collect();
    parts.sort_by_key(|part| TEXT.find(part.as_str()).expect("a part of the text"));
    parts
}

#[tokio::test]
async fn parts_are_sentences_and_joined_in_order() {
    for format in [AudioFormat::Wav, AudioFormat::Pcm, AudioFormat::Mp3] {
        let server = server().await;
        let synthesizer = synthesizer_with(&server.url(), config());
        let options = SpeakOptions::default().with_format(format);
        let spoken = synthesizer.synthesize(TEXT, &options).await.unwrap();
        let parts = parts(&server);
        assert!(
            parts.len() >= 3 && parts.iter().all(|part| part.ends_with('.') && part.len() <= 25),
            "{parts:?}"
        );
        let expected = match format {
            AudioFormat::Wav => wav(8_000, &samples(&parts.concat())),
            AudioFormat::Pcm => wav(8_000, &samples(&parts.concat()))[44..].to_vec(),
            _ => {
                let tag = b"ID3\x04\0\0\0\0\0\x02xx".as_slice();
                let frames = parts
                    .iter()
                    .flat_map(|part| [b"\xff\xfb".as_slice(), part.as_bytes()])
                    .collect::<Vec<_>>();
                [tag, &frames.concat()].concat()
            }
        };
        assert_eq!(spoken.audio, expected, "{format}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        synthesizer.synthesize_to_file(TEXT, &options, &path).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), expected, "{format}");
    }
}

#[tokio::test]
async fn formats_that_cannot_be_joined_are_refused_before_anything_is_sent() {
    let server = server().await;
    let synthesizer = synthesizer_with(&server.url(), config());
    for format in [AudioFormat::Opus, AudioFormat::Flac] {
        let error = synthesizer.stream(TEXT, &SpeakOptions::default().with_format(format)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("wav, pcm"), "{error}");
    }
    assert!(server.sent().is_empty());
}

#[tokio::test]
async fn a_part_that_fails_ends_the_stream_with_its_error() {
    for format in [AudioFormat::Wav, AudioFormat::Pcm] {
        let server = serve(|_, sent| match sent.json()["input"].as_str().unwrap().contains("Three") {
            true => ResponseTemplate::new(400).set_body_string("bad words"),
            false => speak(sent),
        })
        .await;
        let synthesizer = synthesizer_with(&server.url(), config());
        let options = SpeakOptions::default().with_format(format);
        let mut stream = synthesizer.stream(TEXT, &options).await.unwrap();
        let mut blocks = Vec::new();
        while let Some(block) = stream.audio.next().await {
            blocks.push(block.map_err(|error| error.kind()));
        }
        assert_eq!(blocks.pop(), Some(Err(ErrorKind::InvalidInput)));
        assert_eq!(blocks.is_empty(), format == AudioFormat::Wav, "no header without its sound");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        synthesizer.synthesize_to_file(TEXT, &options, &path).await.unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // The stream has been dropped by nobody, but it is at its end.
        drop(stream);
        synthesizer.close().await.unwrap();
    }
}

#[tokio::test]
async fn half_a_sample_at_the_end_of_a_part_is_no_noise_in_the_next() {
    let server = serve(|_, _| sound("audio/pcm", [1, 2, 3])).await;
    let synthesizer = synthesizer_with(&server.url(), config());
    let options = SpeakOptions::default().with_format(AudioFormat::Pcm);
    let error = synthesizer.synthesize(TEXT, &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
}

#[tokio::test]
async fn no_more_parts_are_under_way_than_allowed() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = serve(move |_, sent| {
        count.fetch_add(1, SeqCst);
        speak(sent)
    })
    .await;
    let synthesizer = synthesizer_with(&server.url(), config().with_concurrency(1));
    let options = SpeakOptions::default().with_format(AudioFormat::Pcm);
    let mut stream = synthesizer.stream(TEXT, &options).await.unwrap();
    for taken in 1..=3 {
        stream.audio.next().await.unwrap().unwrap();
        assert_eq!(asked.load(SeqCst), taken, "parts are spoken when they are wanted");
    }
}
