//! Programs without async.

use std::sync::Arc;

use arshai_core::{
    ErrorKind,
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

#[test]
fn speech_goes_into_a_file_without_async_and_a_failure_leaves_what_was_there() {
    let servers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let whole = wav(8_000, &[1; 3_000]);
    let body = whole.clone();
    let server = servers.block_on(serve(move |_, sent| match sent.json()["input"].as_str().unwrap() {
        "Hello." => sound("audio/wav", body.clone()),
        // It ends long before the length that its header says.
        "Half." => sound("audio/wav", body[..1_000].to_vec()),
        _ => sound("text/html", "<html>Log in</html>"),
    }));
    let speaks: Arc<dyn Synthesizer> = Arc::new(synthesizer(&server.url()));
    let speaks = Blocking::new(speaks, Runtime::new().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    let speak =
        |text| blocking::Synthesizer::synthesize_to_file(&speaks, text, &SpeakOptions::default(), &path);
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    let failures = [("Half.", ErrorKind::Truncated), ("A page.", ErrorKind::Protocol)];
    for (text, kind) in failures {
        assert_eq!(speak(text).unwrap_err().kind(), kind, "{text}");
        assert_eq!(files(), 0, "{text}");
    }
    assert_eq!(speak("Hello.").unwrap(), whole.len() as u64);
    assert_eq!((std::fs::read(&path).unwrap(), files()), (whole.clone(), 1));
    for (text, kind) in failures {
        assert_eq!(speak(text).unwrap_err().kind(), kind, "{text}");
        assert_eq!((std::fs::read(&path).unwrap(), files()), (whole.clone(), 1), "{text}");
    }
}
