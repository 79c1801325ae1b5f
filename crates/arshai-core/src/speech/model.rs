//! The contracts of the models.

use std::{fmt, path::Path, pin::Pin};

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};

use super::{
    Audio, Segment, SpeakOptions, Speech, SpeechStream, TranscribeOptions, Transcript, output::Output,
};
use crate::{Error, ErrorKind, Result};

/// One piece of a transcript.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TranscriptEvent {
    /// More words.
    Text(String),
    /// A whole segment, whose words were told before or are told by this alone.
    Segment(Segment),
    /// The end, with all of it; nothing follows.
    Done(Transcript),
}

/// A transcript as it is made. It ends well only with [`TranscriptEvent::Done`].
pub type TranscriptStream = Pin<Box<dyn Stream<Item = Result<TranscriptEvent>> + Send>>;

/// A model that writes down what is said.
///
/// # Cancel safety
///
/// Dropping any of these futures or streams leaves the transcriber usable. What was read of a stream of audio is gone.
#[async_trait]
pub trait Transcriber: Send + Sync + fmt::Debug {
    /// Identifies the model.
    fn id(&self) -> &str;

    /// Writes down a recording.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a file that is not there and [`ErrorKind::InvalidInput`] for one that is empty, too
    /// large or of an unknown format, naming it, before anything is sent.
    async fn transcribe(&self, audio: Audio, options: &TranscribeOptions) -> Result<Transcript>;

    /// The transcript as it is made. A model that cannot stream sends it in one piece, which is the default.
    ///
    /// # Errors
    ///
    /// What kept it from beginning; later failures are items of the stream.
    async fn stream(&self, audio: Audio, options: &TranscribeOptions) -> Result<TranscriptStream> {
        let transcript = self.transcribe(audio, options).await?;
        let text = TranscriptEvent::Text(transcript.text.clone());
        Ok(Box::pin(stream::iter([Ok(text), Ok(TranscriptEvent::Done(transcript))])))
    }

    /// Whether the model answers, for a readiness probe.
    async fn health(&self) -> Result<()>;

    /// Waits for what is in flight and releases connections. Closing twice is fine.
    async fn close(&self) -> Result<()>;
}

/// A model that speaks.
///
/// # Cancel safety
///
/// Dropping any of these futures or streams leaves the synthesizer usable.
#[async_trait]
pub trait Synthesizer: Send + Sync + fmt::Debug {
    /// Identifies the model.
    fn id(&self) -> &str;

    /// A text as it is spoken.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for an empty text, before anything is sent; else what kept it from beginning. Later
    /// failures are items of the stream.
    async fn stream(&self, text: &str, options: &SpeakOptions) -> Result<SpeechStream>;

    /// A text spoken. By default, the collected stream.
    ///
    /// # Errors
    ///
    /// As [`Synthesizer::stream`], and [`ErrorKind::Truncated`] when it broke off or there was no sound at all.
    async fn synthesize(&self, text: &str, options: &SpeakOptions) -> Result<Speech> {
        let SpeechStream { format, mut audio } = self.stream(text, options).await?;
        let mut all = Vec::new();
        while let Some(block) = audio.next().await {
            all.extend_from_slice(&block?);
        }
        if all.is_empty() {
            return Err(silent());
        }
        Ok(Speech::new(format, all))
    }

    /// Whether the model answers, for a readiness probe.
    async fn health(&self) -> Result<()>;

    /// Waits for what is in flight and releases connections. Closing twice is fine.
    async fn close(&self) -> Result<()>;
}

/// Sugar on top of [`Synthesizer`]; implemented for every one, trait objects included.
#[async_trait]
pub trait SynthesizerExt: Synthesizer {
    /// Speaks a text into a file; how many bytes it has. The file is written beside its place and moved there when it
    /// is whole, so that there is never a part of it in its place, and what was there stays until then. An error leaves
    /// nothing; a crash may leave the file beside it, whose name begins with a dot and ends in `.part`.
    ///
    /// The header of a WAV file gets the sizes that the sound has. A link stays, and what it leads to is written. A
    /// device or a pipe is written to as the sound arrives, and not replaced. Whoever reads a pipe is waited for until
    /// the deadline; without one, for a minute at a time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] naming the file, before anything is asked of the model when it cannot be written;
    /// [`ErrorKind::Timeout`] when it cannot be written in time; else as [`Synthesizer::synthesize`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves what was there before.
    async fn synthesize_to_file(&self, text: &str, options: &SpeakOptions, path: &Path) -> Result<u64> {
        let mut file = Output::open(path).await?;
        let SpeechStream { format, mut audio } = self.stream(text, options).await?;
        let mut length = 0;
        while let Some(block) = audio.next().await {
            let block = block?;
            length += block.len() as u64;
            file = file.write(block).await?;
        }
        if length == 0 {
            return Err(silent());
        }
        file.finish(format).await?;
        Ok(length)
    }
}

impl<S: Synthesizer + ?Sized> SynthesizerExt for S {}

fn silent() -> Error {
    Error::new(ErrorKind::Truncated, "the model sent no sound").with_operation("speech.synthesize")
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::time::Duration;
    use std::{
        fs,
        path::PathBuf,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use bytes::Bytes;

    use super::*;
    use crate::speech::AudioFormat;
    #[cfg(unix)]
    use crate::{Deadline, Effect};

    /// Says these pieces.
    #[derive(Debug)]
    struct Parrot(Vec<std::result::Result<&'static str, ErrorKind>>, AtomicUsize);

    fn parrot(pieces: Vec<std::result::Result<&'static str, ErrorKind>>) -> Parrot {
        Parrot(pieces, AtomicUsize::new(0))
    }

    #[async_trait]
    impl Synthesizer for Parrot {
        fn id(&self) -> &str {
            "parrot"
        }

        async fn stream(&self, _text: &str, options: &SpeakOptions) -> Result<SpeechStream> {
            self.1.fetch_add(1, Ordering::SeqCst);
            let pieces = self.0.clone().into_iter().map(|piece| match piece {
                Ok(sound) => Ok(Bytes::from_static(sound.as_bytes())),
                Err(kind) => Err(Error::new(kind, "the bird is dead")),
            });
            Ok(SpeechStream::new(options.format, stream::iter(pieces.collect::<Vec<_>>())))
        }

        async fn health(&self) -> Result<()> {
            Ok(())
        }

        async fn close(&self) -> Result<()> {
            Ok(())
        }
    }

    fn folder() -> PathBuf {
        let path = std::env::temp_dir().join(format!("arshai-speech-{:016x}", fastrand::u64(..)));
        fs::create_dir(&path).unwrap();
        path
    }

    #[tokio::test]
    async fn a_whole_speech_takes_the_place_of_what_was_there() {
        let folder = folder();
        let path = folder.join("said.wav");
        fs::write(&path, "old").unwrap();
        let parrot = parrot(vec![Ok("po"), Ok("lly")]);
        let length = parrot.synthesize_to_file("x", &SpeakOptions::default(), &path).await.unwrap();
        assert_eq!((length, fs::read_to_string(&path).unwrap().as_str()), (5, "polly"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        let speech = parrot.synthesize("x", &SpeakOptions::default()).await.unwrap();
        assert_eq!(speech, Speech::new(AudioFormat::Wav, "polly"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_speech_that_breaks_off_or_is_silent_leaves_no_file() {
        let folder = folder();
        let path = folder.join("said.wav");
        for (pieces, kind) in [
            (vec![Ok("po"), Err(ErrorKind::Truncated)], ErrorKind::Truncated),
            (vec![], ErrorKind::Truncated),
        ] {
            let parrot = parrot(pieces);
            let error = parrot.synthesize_to_file("x", &SpeakOptions::default(), &path).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert_eq!(parrot.synthesize("x", &SpeakOptions::default()).await.unwrap_err().kind(), kind);
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn nothing_is_asked_of_the_model_for_a_file_that_cannot_be_written() {
        let folder = folder();
        let parrot = parrot(vec![Ok("po")]);
        let nowhere = folder.join("no/said.wav");
        let error = parrot.synthesize_to_file("x", &SpeakOptions::default(), &nowhere).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Io && error.to_string().contains("said.wav"), "{error}");
        assert_eq!(parrot.1.load(Ordering::SeqCst), 0);
        fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_pipe_that_nobody_reads_is_not_waited_for_without_end() {
        let folder = folder();
        let path = folder.join("pipe.wav");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (parrot, options) = (parrot(vec![Ok("po")]), SpeakOptions::default());
        let speaking = parrot.synthesize_to_file("x", &options, &path);
        let error = Deadline::after(Duration::from_millis(50)).scope(speaking).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        // A thread that still waited would keep this test from ending.
        fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_pipe_whose_reader_sleeps_is_not_waited_for_without_end() {
        let folder = folder();
        let path = folder.join("pipe.wav");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let (parrot, options) = (parrot(vec![Ok(long()), Ok(long())]), SpeakOptions::default());
        let speaking = parrot.synthesize_to_file("x", &options, &path);
        let error = Deadline::after(Duration::from_millis(200)).scope(speaking).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
        drop(reader);
        fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_pipe_whose_reader_comes_late_and_is_slow_loses_nothing() {
        use std::io::Read as _;
        let folder = folder();
        let path = folder.join("pipe.wav");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let from = path.clone();
        let reading = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let mut pipe = fs::File::open(from).unwrap();
            let (mut heard, mut some) = (String::new(), [0; 30_000]);
            loop {
                let read = pipe.read(&mut some).unwrap();
                if read == 0 {
                    break heard;
                }
                heard.push_str(std::str::from_utf8(&some[..read]).unwrap());
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let parrot = parrot(vec![Ok("RIFF"), Ok(long()), Ok("end")]);
        let length = parrot.synthesize_to_file("x", &SpeakOptions::default(), &path).await.unwrap();
        let heard = reading.join().unwrap();
        assert_eq!(length, heard.len() as u64);
        assert!(heard == format!("RIFF{}end", long()), "{} bytes, but others", heard.len());
        fs::remove_dir_all(folder).unwrap();
    }

    /// More than any pipe holds.
    #[cfg(unix)]
    fn long() -> &'static str {
        static LONG: std::sync::LazyLock<String> =
            std::sync::LazyLock::new(|| (0..200_000).map(|number| format!("{number:07}")).collect());
        &LONG
    }

    #[tokio::test]
    async fn the_header_of_a_file_has_the_sizes_that_were_not_known_when_it_was_spoken() {
        let folder = folder();
        let path = folder.join("said.wav");
        let parrot = parrot(vec![Ok("RIFF\0\0\0\0WAVEda"), Ok("ta\0\0\0\0sound!")]);
        parrot.synthesize_to_file("x", &SpeakOptions::default(), &path).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"RIFF\x12\0\0\0WAVEdata\x06\0\0\0sound!");
        fs::remove_dir_all(folder).unwrap();
    }
}
