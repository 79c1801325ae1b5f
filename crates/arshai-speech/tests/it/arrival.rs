//! What arrives piece by piece, and where it ends.

use std::{
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use arshai_core::{
    Deadline, ErrorKind,
    blocking::{self, Blocking, Runtime},
    speech::{
        Audio, AudioFormat, SpeakOptions, Synthesizer, SynthesizerExt as _, TranscribeOptions, Transcriber,
        TranscriptEvent,
    },
};
use arshai_speech::{Split, TranscriberConfig};
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::{
    fake::wav,
    synthesizer, transcriber, transcriber_with,
    wire::{self, Wire},
};

const PATIENCE: Duration = Duration::from_secs(10);
const DELTA: &[u8] = b"data: {\"type\":\"transcript.text.delta\",\"delta\":\"Hel\"}\n\n";
const DONE: &[u8] = b"data: {\"type\":\"transcript.text.done\",\"text\":\"Hello.\"}\n\n";

/// Sends the first piece, and the second when it is told to; whether it was told in time comes out at the end.
fn in_two(
    kind: &'static str,
    first: Vec<u8>,
    second: Vec<u8>,
) -> (Wire, mpsc::Sender<()>, mpsc::Receiver<bool>) {
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let channels = Mutex::new((told, end));
    let wire = Wire::start(move |socket| {
        let channels = channels.lock().unwrap();
        wire::until_closed(socket, kind);
        socket.write_all(&first).unwrap();
        let in_time = channels.0.recv_timeout(PATIENCE).is_ok();
        socket.write_all(&second).unwrap();
        channels.1.send(in_time).unwrap();
    });
    (wire, tell, ended)
}

#[tokio::test]
async fn words_are_told_while_the_server_still_listens() {
    let (server, tell, ended) = in_two("text/event-stream", DELTA.to_vec(), DONE.to_vec());
    let options = TranscribeOptions::default();
    let transcriber = transcriber(&server.url());
    let mut stream = transcriber.stream(Audio::bytes("a.wav", "x"), &options).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first, TranscriptEvent::Text("Hel".to_owned()));
    tell.send(()).unwrap();
    let done = stream.next().await.unwrap().unwrap();
    assert!(matches!(done, TranscriptEvent::Done(whole) if whole.text == "Hello."));
    assert!(ended.recv_timeout(PATIENCE).unwrap(), "the first word came with the last");
}

#[test]
fn words_and_sound_arrive_piece_by_piece_without_async_too() {
    let runtime = Runtime::new().unwrap();
    let (server, tell, ended) = in_two("text/event-stream", DELTA.to_vec(), DONE.to_vec());
    let hears: Arc<dyn Transcriber> = Arc::new(transcriber(&server.url()));
    let hears = Blocking::new(hears, runtime.clone());
    let audio = Audio::bytes("a.wav", "x");
    let mut events = blocking::Transcriber::stream(&hears, audio, &TranscribeOptions::default()).unwrap();
    assert_eq!(events.next().unwrap().unwrap(), TranscriptEvent::Text("Hel".to_owned()));
    tell.send(()).unwrap();
    assert!(matches!(events.next().unwrap().unwrap(), TranscriptEvent::Done(_)));
    assert!(events.next().is_none() && ended.recv_timeout(PATIENCE).unwrap());

    let sound = wav(8_000, &[7; 1_000]);
    let (server, tell, ended) = in_two("audio/wav", sound[..500].to_vec(), sound[500..].to_vec());
    let speaks: Arc<dyn Synthesizer> = Arc::new(synthesizer(&server.url()));
    let speaks = Blocking::new(speaks, runtime);
    let mut stream = blocking::Synthesizer::stream(&speaks, "Hello.", &SpeakOptions::default()).unwrap();
    let first = stream.next().unwrap().unwrap();
    tell.send(()).unwrap();
    let rest: Vec<u8> = stream.flat_map(|block| block.unwrap().to_vec()).collect();
    assert_eq!([first.to_vec(), rest].concat(), sound);
    assert!(ended.recv_timeout(PATIENCE).unwrap(), "the first sound came with the last");
}

#[tokio::test]
async fn sound_that_ends_with_the_connection_is_missed_when_its_header_says_more() {
    let whole = wav(8_000, &[7; 1_000]);
    let mut unknown = whole.clone();
    unknown[40..44].copy_from_slice(&[255; 4]);
    for (body, length, is_whole) in
        [(&whole, whole.len(), true), (&whole, 1_500, false), (&whole, 60, false), (&unknown, 1_500, true)]
    {
        let body = body[..length].to_vec();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = Wire::start(move |socket| {
            count.fetch_add(1, SeqCst);
            wire::until_closed(socket, "audio/wav");
            socket.write_all(&body).unwrap();
        });
        let (synthesizer, options) = (synthesizer(&server.url()), SpeakOptions::default());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wav");
        let written = synthesizer.synthesize_to_file("x", &options, &path).await;
        assert_eq!((written.is_ok(), path.exists()), (is_whole, is_whole), "{length} bytes: {written:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), usize::from(is_whole));
        let before = asked.load(SeqCst);
        let spoken = synthesizer.synthesize("x", &options).await;
        assert_eq!(spoken.is_ok(), is_whole, "{length} bytes");
        if let Err(error) = spoken {
            assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
            assert!(error.to_string().contains("missing_bytes"), "{error}");
            // What was given to nobody is asked for again.
            assert!(asked.load(SeqCst) - before > 1, "{}", asked.load(SeqCst) - before);
        }
    }
}

#[tokio::test]
async fn a_page_without_an_end_instead_of_sound_is_not_waited_for() {
    let server = Wire::start(|socket| {
        wire::until_closed(socket, "text/html");
        socket.write_all(b"<html>").unwrap();
        // Until the other side goes away.
        let _ = std::io::copy(socket, &mut std::io::sink());
    });
    let (synthesizer, options) = (synthesizer(&server.url()), SpeakOptions::default());
    let opening = synthesizer.stream("Hello.", &options);
    let begun = Instant::now();
    let error = Deadline::after(Duration::from_secs(20)).scope(opening).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert!(error.to_string().contains("text/html"), "{error}");
}

#[tokio::test]
async fn who_has_come_to_the_end_of_a_stream_is_not_under_way_any_more() {
    let at_once = || Deadline::after(Duration::from_secs(2));
    let (server, tell, _ended) = in_two("text/event-stream", DELTA.to_vec(), DONE.to_vec());
    tell.send(()).unwrap();
    let transcriber = transcriber(&server.url());
    let options = TranscribeOptions::default();
    let mut stream = transcriber.stream(Audio::bytes("a.wav", "x"), &options).await.unwrap();
    while let Some(event) = stream.next().await {
        event.unwrap();
    }
    // Neither has been dropped.
    at_once().scope(transcriber.close()).await.unwrap();
    assert!(stream.next().await.is_none());

    let sound = wav(8_000, &[7; 100]);
    let (server, tell, _ended) = in_two("audio/wav", sound[..99].to_vec(), sound[99..].to_vec());
    tell.send(()).unwrap();
    let synthesizer = synthesizer(&server.url());
    let mut speech = synthesizer.stream("Hello.", &SpeakOptions::default()).await.unwrap();
    let blocks: Vec<_> = speech.audio.by_ref().try_collect().await.unwrap();
    assert_eq!(blocks.concat(), sound);
    at_once().scope(synthesizer.close()).await.unwrap();
    assert!(speech.audio.next().await.is_none());
    assert_eq!(speech.format, AudioFormat::Wav);
}

#[tokio::test]
async fn no_more_parts_of_a_recording_are_under_way_than_allowed() {
    for allowed in [1, 3] {
        let (now, most, all) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, highest, asked) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&all));
        let server = Wire::start(move |socket| {
            asked.fetch_add(1, SeqCst);
            highest.fetch_max(counted.fetch_add(1, SeqCst) + 1, SeqCst);
            thread::sleep(Duration::from_millis(40));
            counted.fetch_sub(1, SeqCst);
            wire::json(socket, r#"{"text":"x"}"#);
        });
        let split = Split::default().with_longest(Duration::from_secs(2));
        let config = TranscriberConfig::default().with_split(Some(split)).with_concurrency(allowed);
        let transcriber = transcriber_with(&server.url(), config);
        let (audio, options) =
            (|| Audio::bytes("a.wav", wav(1_000, &[7; 20_000])), TranscribeOptions::default());
        transcriber.transcribe(audio(), &options).await.unwrap();
        assert!(all.load(SeqCst) >= 10, "{all:?} parts");
        assert_eq!(most.load(SeqCst), allowed);
        let events = transcriber.stream(audio(), &options).await.unwrap();
        events.try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(most.load(SeqCst), allowed, "in a stream");
    }
}
