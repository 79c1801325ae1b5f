//! Speaks a sentence into a file and writes down what is heard in it, without async. `OPENAI_BASE_URL` and
//! `OPENAI_API_KEY` say where the server is; `OPENAI_SPEECH_BASE_URL`, `OPENAI_TRANSCRIPTION_BASE_URL`,
//! `OPENAI_SPEECH_MODEL` and `OPENAI_TRANSCRIPTION_MODEL` name another one for either, and the models.
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use std::sync::Arc;

use arshai::{
    blocking::{Blocking, Runtime, Synthesizer as _, Transcriber as _},
    speech::{Audio, AudioFormat, SpeakOptions, SpeechConfig, Synthesizer, TranscribeOptions, Transcriber},
};

pub(crate) fn main() -> arshai::Result<()> {
    let (config, runtime) = (SpeechConfig::from_env()?, Runtime::new()?);
    let synthesizer: Arc<dyn Synthesizer> = Arc::new(config.synthesizer()?);
    let synthesizer = Blocking::new(synthesizer, runtime.clone());
    let file = std::env::temp_dir().join(format!("arshai-example-{}.wav", std::process::id()));
    let wav = SpeakOptions::default().with_format(AudioFormat::Wav);
    // The file is there when it is whole.
    let bytes = synthesizer.synthesize_to_file("The moon orbits the earth.", &wav, &file)?;
    println!("{bytes} bytes of speech");

    let transcriber: Arc<dyn Transcriber> = Arc::new(config.transcriber()?);
    let transcriber = Blocking::new(transcriber, runtime);
    let heard = transcriber.transcribe(Audio::file(&file), &TranscribeOptions::default())?;
    println!("heard: {}", heard.text);
    std::fs::remove_file(&file)?;
    Ok(())
}
