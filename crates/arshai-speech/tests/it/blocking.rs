//! Programs without async.

use std::sync::Arc;

use arshai_core::{
    blocking::{self, Blocking, Runtime},
    speech::{Audio, SpeakOptions, Synthesizer, TranscribeOptions, Transcriber},
};

use crate::{
    fake::{serve, sound, wav},
    synthesizer, transcriber,
};

#[test]
fn speech_works_without_async() {
    let servers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = servers.block_on(serve(|_, sent| match sent.path.as_str() {
        "/v1/audio/speech" => sound("audio/wav", wav(8_000, &[1, 2])),
        _ => crate::fake::said("Hello."),
    }));
    let runtime = Runtime::new().unwrap();
    let hears: Arc<dyn Transcriber> = Arc::new(transcriber(&server.url()));
    let speaks: Arc<dyn Synthesizer> = Arc::new(synthesizer(&server.url()));
    let (hears, speaks) = (Blocking::new(hears, runtime.clone()), Blocking::new(speaks, runtime));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    let spoken = blocking::Synthesizer::synthesize(&speaks, "Hello.", &SpeakOptions::default()).unwrap();
    std::fs::write(&path, &spoken.audio).unwrap();
    let heard =
        blocking::Transcriber::transcribe(&hears, Audio::file(&path), &TranscribeOptions::default()).unwrap();
    assert_eq!(heard.text, "Hello.");
    assert_eq!(server.sent()[1].recording().body, spoken.audio);
}
