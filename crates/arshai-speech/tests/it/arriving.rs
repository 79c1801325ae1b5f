//! Recordings that arrive: readers, pipes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arshai_core::{
    Deadline, ErrorKind,
    speech::{Audio, TranscribeOptions, Transcriber as _},
};
use arshai_speech::{TranscriberConfig, audio_from_reader};
use bytes::Bytes;
use futures_util::stream;
use wiremock::ResponseTemplate;

use crate::{
    fake::{hears, serve, wav},
    transcriber, transcriber_with,
};

fn blocks(count: usize) -> Audio {
    Audio::stream("a.mp3", stream::iter((0..count).map(|n| Ok(Bytes::from(vec![n as u8; 1000])))))
}

#[tokio::test]
async fn what_arrives_is_sent_as_it_arrives_or_with_its_length() {
    let server = hears("x").await;
    for spool in [false, true] {
        let transcriber = transcriber_with(&server.url(), TranscriberConfig::default().with_spool(spool));
        transcriber.transcribe(blocks(5), &TranscribeOptions::default()).await.unwrap();
        let sent = server.sent().pop().unwrap();
        assert_eq!(sent.recording().body.len(), 5000);
        assert_eq!(sent.header("content-length").is_some(), spool);
        assert_eq!(sent.header("transfer-encoding"), (!spool).then_some("chunked"));
    }
}

#[tokio::test]
async fn what_arrives_is_cut_at_the_limit_with_the_error_of_files() {
    let server = hears("x").await;
    let config = TranscriberConfig::default().with_max_upload_bytes(3500);
    let known = transcriber_with(&server.url(), config.clone())
        .transcribe(Audio::bytes("a.mp3", vec![0; 3501]), &TranscribeOptions::default())
        .await
        .unwrap_err();
    for spool in [false, true] {
        let transcriber = transcriber_with(&server.url(), config.clone().with_spool(spool));
        let error = transcriber.transcribe(blocks(1000), &TranscribeOptions::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (known.kind(), known.message()), "{error}");
        assert!(
            error.to_string().contains("a.mp3") && error.to_string().contains("limit_bytes: 3500"),
            "{error}"
        );
        assert!(!error.is_retryable());
    }
    let empty =
        transcriber_with(&server.url(), config).transcribe(blocks(0), &TranscribeOptions::default()).await;
    assert!(empty.unwrap_err().to_string().contains("is empty"));
}

#[tokio::test]
async fn what_arrives_is_never_sent_twice() {
    for (status, spool) in [(500, false), (503, true), (429, false), (400, true)] {
        let server = serve(move |_, _| ResponseTemplate::new(status).set_body_string("no")).await;
        let transcriber = transcriber_with(&server.url(), TranscriberConfig::default().with_spool(spool));
        let error = transcriber.transcribe(blocks(2), &TranscribeOptions::default()).await.unwrap_err();
        assert_eq!((server.sent().len(), error.attempts()), (1, 1), "{status}: {error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_reader_that_breaks_off_is_told_and_not_transcribed() {
    let server = hears("x").await;
    for spool in [false, true] {
        let broken =
            stream::iter([Ok(Bytes::from_static(b"some")), Err(io::Error::other("the line is dead"))]);
        let transcriber = transcriber_with(&server.url(), TranscriberConfig::default().with_spool(spool));
        let audio = Audio::stream("a.mp3", broken);
        let error = transcriber.transcribe(audio, &TranscribeOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.to_string().contains("the line is dead"), "{error}");
    }
    assert!(server.sent().is_empty());
}

#[tokio::test]
async fn a_spooled_recording_may_be_split() {
    let parts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&parts);
    let server = serve(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        crate::fake::said("x")
    })
    .await;
    let config = TranscriberConfig::default().with_spool(true).with_max_upload_bytes(20_000);
    let audio = Audio::reader("a.wav", io::Cursor::new(wav(4_000, &[5; 20_000])));
    let heard = transcriber_with(&server.url(), config)
        .transcribe(audio, &TranscribeOptions::default())
        .await
        .unwrap();
    assert_eq!(heard.duration, Some(Duration::from_secs(5)));
    assert!(parts.load(Ordering::SeqCst) >= 3);
}

#[tokio::test]
async fn a_reader_that_falls_silent_does_not_wait_for_ever() {
    let server = hears("x").await;
    let (_writer, reader) = tokio::io::duplex(10);
    let transcriber = transcriber(&server.url());
    let options = TranscribeOptions::default();
    let hearing = transcriber.transcribe(audio_from_reader("a.mp3", reader), &options);
    let error = Deadline::after(Duration::from_millis(100)).scope(hearing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[cfg(unix)]
#[tokio::test]
async fn a_named_pipe_is_sent_when_somebody_writes_and_blocks_no_thread() {
    let server = hears("x").await;
    let folder = tempfile::tempdir().unwrap();
    let [silent, path] = ["silent.wav", "pipe.wav"].map(|name| folder.path().join(name));
    let made = std::process::Command::new("mkfifo").args([&silent, &path]).status().unwrap();
    assert!(made.success());
    let transcriber = transcriber(&server.url());
    let options = TranscribeOptions::default();

    // Nobody writes.
    let hearing = transcriber.transcribe(Audio::file(&silent), &options);
    let error = Deadline::after(Duration::from_millis(100)).scope(hearing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);

    let to = path.clone();
    let writing = tokio::task::spawn_blocking(move || std::fs::write(to, vec![7; 300_000]));
    transcriber.transcribe(Audio::file(&path), &options).await.unwrap();
    writing.await.unwrap().unwrap();
    let sent = server.sent().pop().unwrap();
    assert_eq!(sent.recording().body.len(), 300_000);
    assert!(sent.recording().head.contains("pipe.wav"));
}
