//! Speech to text.

use std::{fmt, sync::Arc};

use arshai_core::{
    Deadline, Error, Result,
    speech::{Audio, TranscribeOptions, Transcriber, Transcript},
};
use arshai_openai::{Call, Gate, Reply, Transport};
use async_trait::async_trait;
use reqwest::{
    Request,
    header::CONTENT_LENGTH,
    multipart::{Form, Part},
};
use serde_json::json;
use tracing::Instrument as _;

use super::{AzureHearing, AzureSpeechConfig, PROVIDER, hearing};
use crate::{
    audio::{Recording, Rules, Source, Why, mime, too_large},
    span,
    transcribe::{mended, patience},
};

const TRANSCRIBE: &str = "speech.transcribe";
const HEALTH: &str = "speech.transcribe.health";
const CLOSE: &str = "speech.transcribe.close";

const FAST: &str = "/speechtotext/transcriptions:transcribe";
const SHORT: &str = "/speech/recognition/conversation/cognitiveservices/v1";

/// Speech to text by Azure AI Speech.
///
/// Recordings are checked and sent as by [`OpenAiTranscriber`](crate::OpenAiTranscriber). The language is a locale such
/// as `en-US`. Names and terms go into a list of phrases (fast transcription of version 2025-10-15 or later); prompt and
/// temperature have no counterpart and are left out.
///
/// # Cancel safety
///
/// Dropping a call leaves the transcriber usable.
#[derive(Clone)]
pub struct AzureSpeechTranscriber {
    parts: Arc<Parts>,
}

struct Parts {
    transport: Transport,
    config: AzureSpeechConfig,
    gate: Gate,
}

impl AzureSpeechTranscriber {
    /// A transcriber with connections of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](arshai_core::ErrorKind::Config) naming the setting that is wrong.
    pub fn new(config: AzureSpeechConfig) -> Result<Self> {
        let host = match config.hearing {
            AzureHearing::Fast => "api.cognitive",
            AzureHearing::Short => "stt.speech",
        };
        let transport = config.transport(host)?;
        Ok(Self { parts: Arc::new(Parts { transport, config, gate: Gate::new() }) })
    }
}

#[async_trait]
impl Transcriber for AzureSpeechTranscriber {
    fn id(&self) -> &str {
        self.parts.id()
    }

    async fn transcribe(&self, audio: Audio, options: &TranscribeOptions) -> Result<Transcript> {
        let parts = &self.parts;
        let deadline = Deadline::current_or(parts.transport.config().total_timeout);
        let _pass = parts.gate.enter(TRANSCRIBE, deadline).await?;
        let span = span::call("transcribe", "text", PROVIDER, &parts.transport, parts.id());
        let hearing = Box::pin(deadline.scope(parts.hear(audio, options, deadline)));
        let heard = hearing.instrument(span.clone()).await.map_err(|error| error.with_operation(TRANSCRIBE));
        heard.inspect_err(|error| span::failed(&span, error))
    }

    async fn health(&self) -> Result<()> {
        let deadline = Deadline::current_or(self.parts.transport.config().request_timeout);
        let _pass = self.parts.gate.enter(HEALTH, deadline).await?;
        self.parts.transport.answers(HEALTH).await
    }

    async fn close(&self) -> Result<()> {
        let deadline = Deadline::current_or(self.parts.transport.config().total_timeout);
        self.parts.gate.close(CLOSE, deadline).await
    }
}

impl Parts {
    fn id(&self) -> &'static str {
        match self.config.hearing {
            AzureHearing::Fast => "azure-speech:fast",
            AzureHearing::Short => "azure-speech:short",
        }
    }

    async fn hear(
        self: &Arc<Self>,
        audio: Audio,
        options: &TranscribeOptions,
        deadline: Deadline,
    ) -> Result<Transcript> {
        let config = &self.config;
        let rules = Rules { operation: TRANSCRIBE, formats: &config.formats, deadline };
        let source = match Recording::open(audio, rules).await? {
            Recording::Stored(stored) if stored.length > config.max_upload_bytes => {
                return Err(too_large(&stored.title(), Some(stored.length), config.max_upload_bytes));
            }
            Recording::Stored(stored) => {
                let whole = stored.whole();
                Source::Stored(Arc::new(stored), whole)
            }
            Recording::Once(once) => Source::Once(Arc::new(once)),
        };
        let why = Why::default();
        let (this, told, sent, asked) = (Arc::clone(self), why.clone(), source.clone(), options.clone());
        let build = move || {
            let built = match told.is_told() {
                true => Err(Error::internal("the recording cannot be read")),
                false => this.request(&sent, &asked, told.clone()),
            };
            std::future::ready(built)
        };
        let (transport, wanted, interface) = (self.transport.clone(), options.timestamps, config.hearing);
        let decode = move |reply: Reply| match interface {
            AzureHearing::Fast => hearing::fast(&reply, wanted, &transport),
            AzureHearing::Short => hearing::short(&reply, wanted, &transport),
        };
        let mut call = Call::new(TRANSCRIBE, self.id());
        call.timeout = Some(patience(&self.transport, None, &source));
        call.attempts = (!source.can_be_sent_again()).then_some(1);
        call.hidden = Some(options.hints.join("\n"));
        let heard = Box::pin(self.transport.send(call, decode, build)).await;
        heard.map_err(|error| mended(error, &why, self.id(), config.max_upload_bytes))
    }

    fn request(&self, source: &Source, options: &TranscribeOptions, why: Why) -> Result<Request> {
        let config = &self.config;
        let language = options.language.as_deref().unwrap_or(&config.language);
        let limit = config.max_upload_bytes;
        let request = match config.hearing {
            AzureHearing::Fast => {
                let definition = match options.hints.is_empty() {
                    true => json!({ "locales": [language] }),
                    false => json!({ "locales": [language], "phraseList": { "phrases": options.hints } }),
                };
                let form = Form::new()
                    .part("definition", Part::text(definition.to_string()))
                    .part("audio", source.part(limit, why)?);
                self.transport.post(FAST).query(&[("api-version", &config.api_version)]).multipart(form)
            }
            AzureHearing::Short => {
                let kind = match mime(source.name()) {
                    "audio/wav" => "audio/wav; codecs=audio/pcm; samplerate=16000",
                    "audio/ogg" => "audio/ogg; codecs=opus",
                    _ => {
                        return Err(Error::unsupported(
                            "short audio is WAV (PCM) or Ogg (Opus): convert the recording, or use fast transcription",
                        ));
                    }
                };
                let query = [("language", language), ("format", "detailed"), ("wordLevelTimestamps", "true")];
                let request = self.transport.post(SHORT).query(&query).header("content-type", kind);
                let request = request.header("accept", "application/json");
                let request = match source.size() {
                    Some(size) => request.header(CONTENT_LENGTH, size),
                    None => request,
                };
                request.body(source.body(limit, why)?)
            }
        };
        request.build().map_err(|error| {
            Error::invalid("the request cannot be put together: look at the language")
                .with_source(error.without_url())
        })
    }
}

impl fmt::Debug for AzureSpeechTranscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureSpeechTranscriber").field("config", &self.parts.config).finish_non_exhaustive()
    }
}
