//! Text to speech.

use std::{fmt, sync::Arc};

use arshai_core::{
    Error, Result,
    speech::{AudioFormat, SpeakOptions, Speech, SpeechStream, Synthesizer},
};
use arshai_openai::{Call, Transport};
use async_trait::async_trait;
use reqwest::Request;

use super::{AzureSpeechConfig, PROVIDER, ssml};
use crate::synthesize::{Service, Speaker};

const PATH: &str = "/cognitiveservices/v1";

/// Text to speech by Azure AI Speech. The text is put into SSML as text: markup in it is read aloud, not obeyed.
///
/// WAV and PCM come with 24 kHz, 16 bits, one channel; MP3 and Opus can be asked for, AAC and FLAC cannot. Instructions
/// have no counterpart and are left out. Long texts and what arrives are treated as by
/// [`OpenAiSynthesizer`](crate::OpenAiSynthesizer).
///
/// # Cancel safety
///
/// Dropping a call or a stream leaves the synthesizer usable.
#[derive(Clone)]
pub struct AzureSpeechSynthesizer {
    speaker: Arc<Speaker<Server>>,
}

struct Server {
    transport: Transport,
    id: String,
    config: AzureSpeechConfig,
}

impl AzureSpeechSynthesizer {
    /// A synthesizer with connections of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](arshai_core::ErrorKind::Config) naming the setting that is wrong.
    pub fn new(config: AzureSpeechConfig) -> Result<Self> {
        let transport = config.transport("tts.speech")?;
        let id = format!("azure-speech:{}", config.voice);
        Ok(Self { speaker: Speaker::new(Server { transport, id, config }) })
    }
}

#[async_trait]
impl Synthesizer for AzureSpeechSynthesizer {
    fn id(&self) -> &str {
        &self.speaker.service.id
    }

    async fn stream(&self, text: &str, options: &SpeakOptions) -> Result<SpeechStream> {
        self.speaker.stream(text, options).await
    }

    async fn synthesize(&self, text: &str, options: &SpeakOptions) -> Result<Speech> {
        self.speaker.synthesize(text, options).await
    }

    async fn health(&self) -> Result<()> {
        self.speaker.health().await
    }

    async fn close(&self) -> Result<()> {
        self.speaker.close().await
    }
}

impl Service for Server {
    fn transport(&self) -> &Transport {
        &self.transport
    }

    fn provider(&self) -> &'static str {
        PROVIDER
    }

    fn model<'a>(&'a self, options: &'a SpeakOptions) -> &'a str {
        options.voice.as_deref().unwrap_or(&self.config.voice)
    }

    fn limits(&self) -> (usize, usize) {
        (self.config.max_chars, self.config.concurrency)
    }

    fn check(&self, options: &SpeakOptions) -> Result<()> {
        output_format(options.format).map(|_| ())
    }

    fn call(&self, operation: &'static str, text: &str, options: &SpeakOptions) -> Call {
        let mut call = Call::new(operation, self.model(options));
        // The body shows it escaped.
        call.hidden = Some(vec![text.to_owned()]);
        call
    }

    fn request(&self, text: &str, options: &SpeakOptions) -> Result<Request> {
        let voice = self.model(options);
        // A voice is named by its language first: en-US-JennyNeural.
        let end = voice.match_indices('-').nth(1).map(|(at, _)| at);
        let language = end.and_then(|end| voice.get(..end)).unwrap_or(&self.config.language);
        let request = self
            .transport
            .post(PATH)
            .header("content-type", "application/ssml+xml")
            .header("x-microsoft-outputformat", output_format(options.format)?)
            .body(ssml::document(text, voice, language, options.speed));
        request.build().map_err(|error| {
            Error::invalid("the request cannot be put together").with_source(error.without_url())
        })
    }
}

/// Azure's name of a format.
fn output_format(format: AudioFormat) -> Result<&'static str> {
    match format {
        AudioFormat::Wav => Ok("riff-24khz-16bit-mono-pcm"),
        AudioFormat::Pcm => Ok("raw-24khz-16bit-mono-pcm"),
        AudioFormat::Mp3 => Ok("audio-24khz-96kbitrate-mono-mp3"),
        AudioFormat::Opus => Ok("ogg-24khz-16bit-mono-opus"),
        _ => Err(Error::unsupported("Azure AI Speech gives wav, pcm, mp3 and opus: ask for one of these")
            .with_context("format", format)),
    }
}

impl fmt::Debug for AzureSpeechSynthesizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureSpeechSynthesizer")
            .field("config", &self.speaker.service.config)
            .finish_non_exhaustive()
    }
}
