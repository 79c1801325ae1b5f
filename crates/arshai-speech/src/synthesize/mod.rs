//! Text to speech.

mod config;
mod join;
mod reply;
mod sound;
mod speaker;
mod text;

use std::{fmt, sync::Arc};

use arshai_core::{
    Error, Result,
    speech::{SpeakOptions, Speech, SpeechStream, Synthesizer},
};
use arshai_openai::{Call, Transport};
use async_trait::async_trait;
use reqwest::Request;
use serde_json::{Map, Value};

pub use config::SynthesizerConfig;
pub(crate) use speaker::{Service, Speaker};

use crate::{
    config::{bad, warn_of_retirement},
    span,
};

/// Text to speech by any server that speaks OpenAI's protocol.
///
/// What arrives is looked at before it is passed on: a page of a proxy, an error with status 200 or another format than
/// was asked for is an error, and never sound. A text longer than the server takes is split at the ends of sentences,
/// spoken several parts at once, and joined: WAV under one header with its true sizes, PCM, MP3 and AAC one behind the
/// other; other formats are refused before anything is sent.
///
/// A short text in [`Synthesizer::stream`] passes through as the server sends it, with the sizes in a WAV header as the
/// server wrote them before it knew them; [`Synthesizer::synthesize`] mends them.
///
/// # Cancel safety
///
/// Dropping a call or a stream leaves the synthesizer usable; the server may bill what it has spoken.
///
/// # Examples
///
/// ```no_run
/// use std::path::Path;
/// use arshai_core::speech::{SpeakOptions, SynthesizerExt as _};
/// use arshai_openai::{OpenAiConfig, Transport};
/// use arshai_speech::OpenAiSynthesizer;
///
/// # async fn example() -> arshai_core::Result<()> {
/// let transport = Transport::new(OpenAiConfig::new("http://127.0.0.1:8880/v1"))?;
/// let synthesizer = OpenAiSynthesizer::new(transport, "kokoro")?;
/// let options = SpeakOptions::default().with_voice("af_heart");
/// synthesizer.synthesize_to_file("Good morning.", &options, Path::new("morning.wav")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OpenAiSynthesizer {
    speaker: Arc<Speaker<Server>>,
}

struct Server {
    transport: Transport,
    model: String,
    id: String,
    config: SynthesizerConfig,
}

impl OpenAiSynthesizer {
    /// A synthesizer by this model, with the limits of OpenAI's own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](arshai_core::ErrorKind::Config) for an empty model.
    pub fn new(transport: Transport, model: impl Into<String>) -> Result<Self> {
        Self::with_config(transport, model, SynthesizerConfig::default())
    }

    /// A synthesizer by this model with other settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](arshai_core::ErrorKind::Config) naming the setting that is wrong.
    pub fn with_config(
        transport: Transport,
        model: impl Into<String>,
        config: SynthesizerConfig,
    ) -> Result<Self> {
        let model = model.into();
        if model.trim().is_empty() {
            return Err(bad("model", "the model must have a name"));
        }
        config.validate()?;
        warn_of_retirement(&transport, &model);
        let id = format!("openai:{model}");
        Ok(Self { speaker: Speaker::new(Server { transport, model, id, config }) })
    }

    /// The transport it sends through.
    pub fn transport(&self) -> &Transport {
        &self.speaker.service.transport
    }

    /// The settings it was made with.
    pub fn config(&self) -> &SynthesizerConfig {
        &self.speaker.service.config
    }
}

#[async_trait]
impl Synthesizer for OpenAiSynthesizer {
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
        span::provider(&self.transport)
    }

    fn model(&self, _options: &SpeakOptions) -> &str {
        &self.model
    }

    fn limits(&self) -> (usize, usize) {
        (self.config.max_chars, self.config.concurrency)
    }

    fn check(&self, _options: &SpeakOptions) -> Result<()> {
        Ok(())
    }

    fn call(&self, operation: &'static str, _text: &str, _options: &SpeakOptions) -> Call {
        let mut call = Call::new(operation, &self.model);
        call.timeout = self.config.timeout;
        call
    }

    fn request(&self, text: &str, options: &SpeakOptions) -> Result<Request> {
        let request = self.transport.post(&self.config.path).json(&self.body(text, options)).build();
        request.map_err(|error| {
            Error::invalid("the request cannot be put together: look at the path and the fields")
                .with_source(error.without_url())
        })
    }
}

impl Server {
    fn body(&self, text: &str, options: &SpeakOptions) -> Map<String, Value> {
        let mut body = Map::new();
        let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
        set("model", self.model.as_str().into());
        set("input", text.into());
        set("voice", options.voice.as_deref().unwrap_or(&self.config.voice).into());
        set("response_format", options.format.name().into());
        if let Some(speed) = options.speed {
            set("speed", shortest(speed));
        }
        if let Some(instructions) = &options.instructions {
            set("instructions", instructions.as_str().into());
        }
        body.extend(self.config.fields.clone());
        body
    }
}

/// 1.1 as 1.1, and not as the 64 bits nearest to the 32 bits nearest to it.
fn shortest(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

impl fmt::Debug for OpenAiSynthesizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiSynthesizer")
            .field("id", &self.speaker.service.id)
            .field("transport", &self.speaker.service.transport)
            .field("config", &self.speaker.service.config)
            .finish_non_exhaustive()
    }
}
