//! A large file is read while it is sent.

use std::fs::File;

use arshai_core::speech::{Audio, TranscribeOptions, Transcriber as _};
use arshai_speech::{TranscriberConfig, audio_from_reader};
use tokio::io::AsyncReadExt as _;

use crate::{ALONE, canned::Canned, growth::Growth, transcriber};

const LARGE: u64 = 200 * 1_000_000;
const ALLOWED: u64 = 20 * 1_000_000;

#[tokio::test]
async fn an_upload_of_200_mb_takes_less_than_20_mb_of_memory() {
    let _alone = ALONE.lock().await;
    let server = Canned::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.mp3");
    File::create(&path).unwrap().set_len(LARGE).unwrap();
    let config = TranscriberConfig::default().with_max_upload_bytes(LARGE);
    let transcriber = transcriber(&server.url(), config);
    let options = TranscribeOptions::default();
    // What is made once is not counted.
    transcriber.transcribe(Audio::bytes("small.mp3", vec![0; 1_000_000]), &options).await.unwrap();
    let before = server.received();

    let growth = Growth::watch();
    transcriber.transcribe(Audio::file(&path), &options).await.unwrap();
    let file = growth.stop();
    assert!(server.received() - before > LARGE);

    let growth = Growth::watch();
    let reader = tokio::io::repeat(7).take(LARGE);
    transcriber.transcribe(audio_from_reader("large.mp3", reader), &options).await.unwrap();
    let reader = growth.stop();
    assert!(server.received() - before > 2 * LARGE);

    println!(
        "memory grew by {file} bytes for a file and by {reader} bytes for a reader, of {LARGE} bytes sent"
    );
    assert!(file < ALLOWED && reader < ALLOWED, "{file}, {reader}");
}
