//! Calls that are dropped wherever they wait.

use std::{path::Path, time::Duration};

use arshai_conformance::drop_harness;
use arshai_core::speech::{
    Audio, SpeakOptions, Synthesizer as _, SynthesizerExt as _, TranscribeOptions, Transcriber as _,
};
use arshai_speech::{SynthesizerConfig, TranscriberConfig};
use bytes::Bytes;
use futures_util::stream;

use crate::{
    fake::{hears, serve, sound, wav},
    synthesizer_with, transcriber_with,
};

#[tokio::test]
async fn a_dropped_transcription_leaves_the_transcriber_usable() {
    let server = hears("whole").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    std::fs::write(&path, wav(8_000, &[1; 30_000])).unwrap();
    for spool in [false, true] {
        let transcriber = transcriber_with(&server.url(), TranscriberConfig::default().with_spool(spool));
        let (hearing, options) = (&transcriber, &TranscribeOptions::default());
        let audio = || match spool {
            false => Audio::file(&path),
            true => Audio::stream("a.wav", stream::iter([Ok(Bytes::from(vec![7; 5_000]))])),
        };
        let polls = drop_harness(
            |_run| hearing.transcribe(audio(), options),
            |_run, dropped| async move {
                if let Some(Err(error)) = dropped.completed() {
                    return Err(error.to_string());
                }
                let heard = hearing.transcribe(Audio::bytes("b.wav", "x"), options).await;
                heard.map_err(|error| error.to_string()).map(|_| ())
            },
        )
        .await
        .unwrap();
        assert!(polls > 1, "{polls} polls");
        transcriber.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_speech_leaves_the_old_file_or_the_new_and_nothing_else() {
    let server = serve(|_, _| sound("audio/wav", wav(8_000, &[1; 3_000]))).await;
    let synthesizer = synthesizer_with(&server.url(), SynthesizerConfig::default().with_max_chars(12));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    for text in ["One is one.", "One is one. Two is two. Three is."] {
        std::fs::write(&path, "old").unwrap();
        let (path, options, speaking) = (&path, &SpeakOptions::default(), &synthesizer);
        drop_harness(
            |_run| speaking.synthesize_to_file(text, options, path),
            |_run, dropped| async move {
                if let Some(Err(error)) = dropped.completed() {
                    return Err(error.to_string());
                }
                alone(path).await?;
                let found = std::fs::read(path).unwrap();
                match found == b"old" || (found.starts_with(b"RIFF") && (found.len() - 44) % 6_000 == 0) {
                    true => Ok(()),
                    false => Err(format!("{} bytes", found.len())),
                }
            },
        )
        .await
        .unwrap();
        assert!(std::fs::read(path).unwrap().starts_with(b"RIFF"));
    }
    synthesizer.close().await.unwrap();
}

/// What is being written when its owner goes is removed by the thread that writes it.
async fn alone(path: &Path) -> Result<(), String> {
    for _ in 0..1_000 {
        let files = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        if files == 1 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err("a part of a file stays".to_owned())
}
