//! Texts longer than the server takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use arshai_core::{
    ErrorKind,
    speech::{AudioFormat, SpeakOptions, Synthesizer as _, SynthesizerExt as _},
};
use arshai_speech::SynthesizerConfig;
use futures_util::{StreamExt as _, TryStreamExt as _};
use wiremock::ResponseTemplate;

use crate::{
    fake::{Running, Sent, serve, sound, wav},
    synthesizer_with,
    wire::{self, Wire},
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
async fn parts_are_spoken_when_they_are_wanted() {
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
        assert_eq!(asked.load(SeqCst), taken);
    }
}

/// The part of the text that a request of the wire asks for, as PCM.
fn part(body: &[u8]) -> (String, Vec<u8>) {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let text = body["input"].as_str().unwrap().to_owned();
    let pcm = samples(&text).iter().flat_map(|sample| sample.to_le_bytes()).collect();
    (text, pcm)
}

fn pcm(parts: &[&str]) -> Vec<u8> {
    parts.iter().flat_map(|part| samples(part)).flat_map(i16::to_le_bytes).collect()
}

const SENTENCES: [&str; 5] =
    ["One is one.", "Two is two.", "Three is three.", "Four is four.", "Five is five."];

#[tokio::test]
async fn as_many_parts_are_under_way_as_allowed_and_joined_in_order() {
    for allowed in [1, 3] {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
        let server = Wire::told(move |socket, body| {
            highest.fetch_max(counted.fetch_add(1, SeqCst) + 1, SeqCst);
            let (text, pcm) = part(body);
            // Nobody is answered before as many as are allowed have been there at once; then the first is answered
            // last of them, so that an order that is not kept shows.
            let patience = Instant::now() + Duration::from_secs(10);
            while highest.load(SeqCst) < allowed && Instant::now() < patience {
                thread::sleep(Duration::from_millis(2));
            }
            thread::sleep(Duration::from_millis(if text.starts_with("One") { 80 } else { 20 }));
            counted.fetch_sub(1, SeqCst);
            wire::whole(socket, "audio/pcm", &pcm);
        });
        let config = config().with_max_chars(16).with_concurrency(allowed);
        let synthesizer = synthesizer_with(&server.url(), config);
        let options = SpeakOptions::default().with_format(AudioFormat::Pcm);
        let spoken = synthesizer.synthesize(TEXT, &options).await.unwrap();
        assert_eq!(spoken.audio, pcm(&SENTENCES), "{allowed} at once");
        assert_eq!(most.load(SeqCst), allowed);
        most.store(0, SeqCst);
        let stream = synthesizer.stream(TEXT, &options).await.unwrap();
        let blocks: Vec<_> = stream.audio.try_collect().await.unwrap();
        assert_eq!(blocks.concat(), pcm(&SENTENCES), "a stream of {allowed} at once");
        assert_eq!(most.load(SeqCst), allowed, "in a stream");
    }
}

/// Whoever plays what is spoken takes as long as it lasts. The next parts are heard to their end meanwhile: else their
/// time would run out while nobody reads them, and they would be asked for again.
#[tokio::test]
async fn parts_arrive_while_those_before_them_are_played() {
    const LONG: usize = 4_000_000;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Wire::told(move |socket, body| {
        count.fetch_add(1, SeqCst);
        let (text, first) = part(body);
        // The first is played before the next ones begin to arrive.
        if !text.starts_with("One") {
            thread::sleep(Duration::from_millis(300));
        }
        // More than the connection holds.
        wire::whole(socket, "audio/pcm", &first[..2].repeat(LONG / 2));
    });
    let mut config = config().with_max_chars(16).with_concurrency(3);
    config.timeout = Some(Duration::from_secs(2));
    let synthesizer = synthesizer_with(&server.url(), config);
    let options = SpeakOptions::default().with_format(AudioFormat::Pcm);
    let mut stream = synthesizer.stream(TEXT, &options).await.unwrap();
    let mut heard = Vec::new();
    while let Some(block) = stream.audio.next().await {
        let block = block.unwrap();
        let is_first = heard.is_empty();
        heard.extend(block.chunks(LONG).map(|part| part[0]));
        if is_first {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    }
    assert_eq!(heard, SENTENCES.map(|sentence| sentence.as_bytes()[0]));
    assert_eq!(asked.load(SeqCst), SENTENCES.len(), "no part is asked for twice");
}

#[tokio::test]
async fn parts_under_way_end_with_the_stream() {
    let (now, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, started) = (Arc::clone(&now), Arc::clone(&begun));
    let server = Wire::told(move |socket, body| {
        started.fetch_add(1, SeqCst);
        counted.fetch_add(1, SeqCst);
        if part(body).0.starts_with("One") {
            wire::whole(socket, "audio/pcm", b"ab");
        } else {
            // Until the other side goes away.
            let _ = std::io::copy(socket, &mut std::io::sink());
        }
        counted.fetch_sub(1, SeqCst);
    });
    let synthesizer = synthesizer_with(&server.url(), config().with_max_chars(16).with_concurrency(3));
    let options = SpeakOptions::default().with_format(AudioFormat::Pcm);
    let until = |what: &'static str, is: Box<dyn Fn() -> bool>| async move {
        for _ in 0..1_000 {
            if is() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{what}");
    };
    let mut stream = synthesizer.stream(TEXT, &options).await.unwrap();
    stream.audio.next().await.unwrap().unwrap();
    let all = Arc::clone(&begun);
    until("the next parts were not asked for", Box::new(move || all.load(SeqCst) >= 3)).await;
    drop(stream);
    let left = Arc::clone(&now);
    until("a dropped stream is still spoken", Box::new(move || left.load(SeqCst) == 0)).await;
    assert_eq!(begun.load(SeqCst), 3, "nothing more was asked for");
    synthesizer.close().await.unwrap();
}
