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

use super::{AzureHearing, AzureSpeechConfig, PROVIDER, hearing, short};
use crate::{
    audio::{Limits, Recording, Rules, Source, Stored, Why, spool, too_large},
    span,
    transcribe::{mended, patience},
};

const TRANSCRIBE: &str = "speech.transcribe";
const HEALTH: &str = "speech.transcribe.health";
const CLOSE: &str = "speech.transcribe.close";

const FAST: &str = "/speechtotext/transcriptions:transcribe";
/// The first version of fast transcription with a list of phrases.
const PHRASES_SINCE: &str = "2025-10-15";

const SHORT: &str = "/speech/recognition/conversation/cognitiveservices/v1";

/// Speech to text by Azure AI Speech.
///
/// Recordings are checked and sent as by [`OpenAiTranscriber`](crate::OpenAiTranscriber), but never split. The language
/// is a locale such as `en-US`. Names and terms go into a list of phrases, which fast transcription of version 2025-10-15
/// or later takes; with an older version, or for short audio, they are refused. Prompt and temperature have no
/// counterpart and are left out.
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
        heard
            .inspect(|transcript| span::told(&span, &parts.transport, transcript))
            .inspect_err(|error| span::failed(&span, error))
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
        self.takes(options)?;
        let source = match Recording::open(audio, rules).await? {
            Recording::Stored(stored) => self.stored(stored, deadline).await?,
            Recording::Once(once) if config.spool || config.hearing == AzureHearing::Short => {
                if config.hearing == AzureHearing::Short {
                    short::content_type(&once.name)?;
                }
                let limits = Limits { any: config.max_upload_bytes, wav: config.max_upload_bytes };
                self.stored(spool(once, limits, deadline, TRANSCRIBE).await?, deadline).await?
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
        let sent = source.clone();
        let mut call = Call::new(TRANSCRIBE, self.id());
        call.timeout = Some(patience(&self.transport, None, &source));
        call.attempts = (!source.can_be_sent_again()).then_some(1);
        call.hidden = Some(options.hints.clone());
        let heard = Box::pin(self.transport.send(call, decode, build)).await;
        heard.map_err(|error| mended(error, &why, &sent))
    }

    /// Whether what is asked can be asked of this interface.
    fn takes(&self, options: &TranscribeOptions) -> Result<()> {
        let config = &self.config;
        if options.hints.is_empty() {
            return Ok(());
        }
        match config.hearing {
            // Versions are days, and those of previews have a word behind them.
            AzureHearing::Fast if config.api_version.as_str() >= PHRASES_SINCE => Ok(()),
            AzureHearing::Fast => Err(Error::unsupported(
                "this version of fast transcription takes no names and terms: set api_version to 2025-10-15 or later, \
                 or leave the hints out",
            )
            .with_context("api_version", config.api_version.escape_debug())),
            AzureHearing::Short => Err(Error::unsupported(
                "short audio takes no names and terms: use fast transcription, or leave the hints out",
            )),
        }
    }

    async fn stored(&self, stored: Stored, deadline: Deadline) -> Result<Source> {
        let limit = self.config.max_upload_bytes;
        if stored.length > limit {
            return Err(too_large(&stored.title(), Some(stored.length), limit));
        }
        if self.config.hearing == AzureHearing::Short {
            short::content_type(&stored.name)?;
            short::check(&stored, deadline, TRANSCRIBE).await?;
        }
        let whole = stored.whole();
        Ok(Source::Stored(Arc::new(stored), whole))
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
                let kind = short::content_type(source.name())?;
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
