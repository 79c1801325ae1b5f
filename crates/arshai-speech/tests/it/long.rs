//! Recordings over the server's limit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arshai_core::{
    ErrorKind,
    speech::{Audio, Timestamps, TranscribeOptions, Transcriber as _, TranscriptEvent},
};
use arshai_speech::{Split, TranscriberConfig};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::{
    fake::{Running, Sent, serve, wav},
    transcriber_with,
    wire::{self, Wire},
};

const RATE: u32 = 1_000;

/// A beep of as many tenths of a second as its number, in each of so many stretches of five seconds.
fn beeps(stretches: usize) -> Vec<u8> {
    let stretch = |number: usize| {
        (0..5 * RATE as usize).map(move |at| if at < (number + 1) * 100 { 20_000_i16 } else { 0 })
    };
    wav(RATE, &(0..stretches).flat_map(stretch).collect::<Vec<_>>())
}

fn hear(sent: &Sent) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(heard(sent))
}

/// The beeps, and when they are.
fn heard(sent: &Sent) -> Value {
    let file = &sent.recording().body;
    assert_eq!(
        u32::from_le_bytes(file[40..44].try_into().unwrap()) as usize,
        file.len() - 44,
        "a header of its own"
    );
    let loud = |sample: &[u8]| i16::from_le_bytes(sample.try_into().unwrap()).abs() > 1_000;
    let loud: Vec<bool> = file[44..].chunks(2).map(loud).collect();
    let mut segments = Vec::new();
    let mut at = 0;
    while at < loud.len() {
        let length = loud[at..].iter().take_while(|loud| **loud).count();
        if length > 0 {
            let seconds = |at: usize| at as f64 / f64::from(RATE);
            let text = format!("beep {}", (length + 50) / 100 - 1);
            segments.push(json!({ "start": seconds(at), "end": seconds(at + length), "text": text }));
        }
        at += length.max(1);
    }
    // As whisper does, with an end that is past the recording's.
    if let Some(last) = segments.last_mut() {
        last["end"] = 1_000.into();
    }
    let text: Vec<&str> = segments.iter().map(|segment| segment["text"].as_str().unwrap()).collect();
    json!({ "text": text.join(" "), "segments": segments, "language": "en" })
}

async fn server() -> Running {
    // The first takes longest, so that an order that is not kept shows.
    serve(|number, sent| hear(sent).set_delay(Duration::from_millis(60 / (number as u64 + 1)))).await
}

fn config() -> TranscriberConfig {
    let split = Split::default().with_longest(Duration::from_secs(12));
    TranscriberConfig::default().with_split(Some(split)).with_concurrency(3)
}

fn timed() -> TranscribeOptions {
    TranscribeOptions::default().with_timestamps(Timestamps::Segments)
}

fn expected() -> String {
    (0..12).map(|number| format!("beep {number}")).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_long_recording_is_cut_in_its_pauses_and_times_count_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.wav");
    std::fs::write(&path, beeps(12)).unwrap();
    for audio in [Audio::file(&path), Audio::bytes("long.wav", beeps(12))] {
        let server = server().await;
        let heard = transcriber_with(&server.url(), config()).transcribe(audio, &timed()).await.unwrap();
        assert_eq!(heard.text, expected());
        assert_eq!((heard.duration, heard.language.as_deref()), (Some(Duration::from_secs(60)), Some("en")));
        for (number, segment) in heard.segments.iter().enumerate() {
            assert_eq!(segment.start, Duration::from_secs(5 * number as u64), "{segment:?}");
        }
        assert!(heard.segments.windows(2).all(|pair| pair[0].end <= pair[1].start));
        assert!((5..=8).contains(&server.sent().len()), "{} parts", server.sent().len());
    }
}

#[tokio::test]
async fn the_limit_of_the_server_holds_for_every_part() {
    let server = server().await;
    let config = TranscriberConfig::default().with_max_upload_bytes(25_000);
    let heard =
        transcriber_with(&server.url(), config).transcribe(Audio::bytes("a.wav", beeps(12)), &timed()).await;
    assert_eq!(heard.unwrap().text, expected());
    assert!(server.sent().iter().all(|sent| sent.recording().body.len() <= 25_000));
}

#[tokio::test]
async fn a_wav_file_by_another_name_is_split_all_the_same() {
    let server = server().await;
    let config = TranscriberConfig::default().with_max_upload_bytes(25_000);
    let heard = transcriber_with(&server.url(), config.clone())
        .transcribe(Audio::bytes("a.mp3", beeps(12)), &timed())
        .await;
    assert_eq!(heard.unwrap().text, expected());
    // What is sent is called what it is: a server that goes by the name would take it for MP3.
    let heads: Vec<String> = server.sent().iter().map(|sent| sent.recording().head.to_lowercase()).collect();
    assert!(heads.len() > 1);
    for head in heads {
        assert!(head.contains("filename=\"a.wav\"") && head.contains("content-type: audio/wav"), "{head}");
    }
    // The limit that was passed is the one that is told.
    let mut split = Split::default();
    split.max_recording_bytes = 50_000;
    let error = transcriber_with(&server.url(), config.with_split(Some(split)))
        .transcribe(Audio::bytes("a.wav", beeps(12)), &timed())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("limit_bytes: 50000"), "{error}");
}

#[tokio::test]
async fn a_part_that_fails_for_a_moment_is_sent_again_alone() {
    let failed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failed);
    let server = serve(move |_, sent| match count.fetch_add(1, Ordering::SeqCst) {
        2 => ResponseTemplate::new(500),
        _ => hear(sent),
    })
    .await;
    let heard = transcriber_with(&server.url(), config())
        .transcribe(Audio::bytes("a.wav", beeps(12)), &timed())
        .await;
    assert_eq!(heard.unwrap().text, expected());
}

#[tokio::test]
async fn a_part_that_fails_for_good_fails_the_whole_and_is_told() {
    let server = serve(|number, sent| match number {
        3 => ResponseTemplate::new(400).set_body_string("bad sound"),
        _ => hear(sent),
    })
    .await;
    let config = config().with_concurrency(1);
    let heard =
        transcriber_with(&server.url(), config).transcribe(Audio::bytes("a.wav", beeps(12)), &timed()).await;
    let error = heard.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("part_from_seconds"), "{error}");
    assert_eq!(server.sent().len(), 4);
}

#[tokio::test]
async fn a_long_recording_streams_part_by_part_in_order() {
    let server = server().await;
    let transcriber = transcriber_with(&server.url(), config());
    let mut stream = transcriber.stream(Audio::bytes("a.wav", beeps(12)), &timed()).await.unwrap();
    let (mut text, mut pieces, mut segments) = (String::new(), 0, Vec::new());
    let done = loop {
        match stream.next().await.unwrap().unwrap() {
            TranscriptEvent::Text(piece) => {
                text.push_str(&piece);
                pieces += 1;
            }
            TranscriptEvent::Segment(segment) => segments.push(segment),
            TranscriptEvent::Done(done) => break done,
            _ => panic!("an unknown event"),
        }
    };
    assert!(stream.next().await.is_none());
    assert_eq!((text, done.text), (expected(), expected()));
    assert!(pieces >= 5 && segments == done.segments);
    drop(stream);
    transcriber.close().await.unwrap();
}

/// Whoever reads captions takes as long as they last. The next parts are heard to their end meanwhile: else their time
/// would run out while nobody asks for them, and they would be sent again.
#[tokio::test]
async fn parts_are_heard_while_those_before_them_are_read() {
    const LONG: usize = 8_000_000;
    let server = serve(|_, sent| {
        let mut said = heard(sent);
        // The first is read before the next ones begin to arrive.
        let is_first = said["text"].as_str().unwrap().starts_with("beep 0");
        let delay = Duration::from_millis(if is_first { 0 } else { 300 });
        // More than the connection holds.
        said["padding"] = if is_first { Value::Null } else { "x".repeat(LONG).into() };
        ResponseTemplate::new(200).set_body_json(said).set_delay(delay)
    })
    .await;
    let mut config = config();
    config.timeout = Some(Duration::from_secs(2));
    let transcriber = transcriber_with(&server.url(), config);
    let mut stream = transcriber.stream(Audio::bytes("a.wav", beeps(12)), &timed()).await.unwrap();
    let (mut text, mut is_first) = (String::new(), true);
    while let Some(event) = stream.next().await {
        if let TranscriptEvent::Text(piece) = event.unwrap() {
            text.push_str(&piece);
        }
        if std::mem::take(&mut is_first) {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    }
    assert_eq!(text, expected());
    let mut sent: Vec<Vec<u8>> = server.sent().iter().map(|sent| sent.recording().body.clone()).collect();
    sent.sort();
    assert!(sent.len() >= 5 && sent.windows(2).all(|pair| pair[0] != pair[1]), "a part was sent twice");
}

#[tokio::test]
async fn parts_under_way_end_with_the_stream() {
    let (now, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, started) = (Arc::clone(&now), Arc::clone(&begun));
    let server = Wire::start(move |socket| {
        counted.fetch_add(1, Ordering::SeqCst);
        match started.fetch_add(1, Ordering::SeqCst) {
            // Until the other side goes away.
            0..3 => drop(std::io::copy(socket, &mut std::io::sink())),
            _ => wire::json(socket, "{}"),
        }
        counted.fetch_sub(1, Ordering::SeqCst);
    });
    let transcriber = transcriber_with(&server.url(), config());
    let mut stream = transcriber.stream(Audio::bytes("a.wav", beeps(12)), &timed()).await.unwrap();
    let is = |count: &Arc<AtomicUsize>, wanted: usize| {
        let count = Arc::clone(count);
        async move {
            while count.load(Ordering::SeqCst) != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let patience = Duration::from_secs(10);
    tokio::select! {
        event = stream.next() => panic!("{event:?} of parts that nobody heard"),
        all = tokio::time::timeout(patience, is(&now, 3)) => all.expect("three parts at once"),
    }
    drop(stream);
    tokio::time::timeout(patience, is(&now, 0)).await.expect("a dropped stream is still heard");
    assert_eq!(begun.load(Ordering::SeqCst), 3, "nothing more was sent");
    transcriber.close().await.unwrap();
}

#[tokio::test]
async fn who_does_not_want_to_split_gets_the_limit() {
    let server = server().await;
    let config = TranscriberConfig::default().with_split(None).with_max_upload_bytes(25_000);
    let error =
        transcriber_with(&server.url(), config).transcribe(Audio::bytes("a.wav", beeps(12)), &timed()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(server.sent().is_empty());
}
