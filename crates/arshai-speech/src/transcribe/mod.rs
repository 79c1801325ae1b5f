//! Speech to text.

mod beginning;
mod config;
mod cues;
mod events;
mod form;
mod parts;
mod quirks;
mod reply;

use std::{fmt, sync::Arc, time::Duration};

use arshai_core::{
    Deadline, Error, ErrorKind, Result,
    speech::{Audio, Timestamps, TranscribeOptions, Transcriber, Transcript, TranscriptStream},
};
use arshai_openai::{Body, Call, Gate, Transport};
use async_trait::async_trait;
use tracing::Instrument as _;

pub use config::{Hints, Split, TranscriberConfig};

use crate::{
    audio::{Recording, Rules, Source, Why, found_too_large, spool},
    config::{bad, warn_of_retirement},
    span,
};
use form::{Fields, Shape};
use quirks::{Lessons, Quirks};

const TRANSCRIBE: &str = "speech.transcribe";
const STREAM: &str = "speech.transcribe.stream";
const HEALTH: &str = "speech.transcribe.health";
const CLOSE: &str = "speech.transcribe.close";

/// Upload so slow is still waited for.
const SLOWEST_BYTES_PER_SECOND: u64 = 100_000;

/// Speech to text by any server that speaks OpenAI's protocol, or nearly.
///
/// Files and bytes are checked before a connection opens, read while they are sent, and sent again when an attempt
/// fails. Readers, named pipes and devices are sent as they arrive, once. WAV recordings over the server's limit are
/// cut where it is quiet, and the times of the parts are counted from the beginning of the whole.
///
/// A server is asked for what gives the times that are wanted (`verbose_json`); one that refuses is asked for less, and
/// what it then took is remembered for ten minutes. Replies are understood in any of the shapes that servers use, text and subtitles among them.
///
/// # Cancel safety
///
/// Dropping a call leaves the transcriber usable; the server may bill what it has heard.
///
/// # Examples
///
/// ```no_run
/// use arshai_core::speech::{Audio, Timestamps, TranscribeOptions, Transcriber as _};
/// use arshai_openai::{OpenAiConfig, Transport};
/// use arshai_speech::OpenAiTranscriber;
///
/// # async fn example() -> arshai_core::Result<()> {
/// let transport = Transport::new(OpenAiConfig::new("http://127.0.0.1:8000/v1"))?;
/// let transcriber = OpenAiTranscriber::new(transport, "whisper-1")?;
/// let options = TranscribeOptions::default().with_language("en").with_timestamps(Timestamps::Segments);
/// let transcript = transcriber.transcribe(Audio::file("meeting.wav"), &options).await?;
/// println!("{}", transcript.to_srt()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OpenAiTranscriber {
    parts: Arc<Parts>,
}

/// What all calls share.
struct Parts {
    transport: Transport,
    model: String,
    id: String,
    config: TranscriberConfig,
    gate: Gate,
    quirks: Quirks,
}

impl OpenAiTranscriber {
    /// A transcriber by this model, with the limits of OpenAI's own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for an empty model.
    pub fn new(transport: Transport, model: impl Into<String>) -> Result<Self> {
        Self::with_config(transport, model, TranscriberConfig::default())
    }

    /// A transcriber by this model with other settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] naming the setting that is wrong.
    pub fn with_config(
        transport: Transport,
        model: impl Into<String>,
        config: TranscriberConfig,
    ) -> Result<Self> {
        let model = model.into();
        if model.trim().is_empty() && !config.model_field.is_empty() {
            return Err(bad("model", "the model must have a name"));
        }
        config.validate()?;
        warn_of_retirement(&transport, &model);
        let id = format!("openai:{model}");
        let parts = Parts { transport, model, id, config, gate: Gate::new(), quirks: Quirks::default() };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The transport it sends through.
    pub fn transport(&self) -> &Transport {
        &self.parts.transport
    }

    /// The settings it was made with.
    pub fn config(&self) -> &TranscriberConfig {
        &self.parts.config
    }
}

#[async_trait]
impl Transcriber for OpenAiTranscriber {
    fn id(&self) -> &str {
        &self.parts.id
    }

    async fn transcribe(&self, audio: Audio, options: &TranscribeOptions) -> Result<Transcript> {
        let parts = &self.parts;
        let deadline = Deadline::current_or(parts.transport.config().total_timeout);
        let _pass = parts.gate.enter(TRANSCRIBE, deadline).await?;
        let span = parts.span();
        let hearing = Box::pin(deadline.scope(parts.hear(audio, options, deadline)));
        let outcome =
            hearing.instrument(span.clone()).await.map_err(|error| error.with_operation(TRANSCRIBE));
        match &outcome {
            Ok(transcript) => span::told(&span, &parts.transport, transcript),
            Err(error) => span::failed(&span, error),
        }
        outcome
    }

    async fn stream(&self, audio: Audio, options: &TranscribeOptions) -> Result<TranscriptStream> {
        let parts = &self.parts;
        let deadline = Deadline::current_or(parts.transport.config().stream_timeout);
        let pass = parts.gate.enter(STREAM, deadline).await?;
        let span = parts.span();
        let opening = Box::pin(deadline.scope(parts::open(parts, audio, options, deadline, span.clone())));
        let opened = opening.instrument(span.clone()).await.map_err(|error| error.with_operation(STREAM));
        let stream = opened.inspect_err(|error| span::failed(&span, error))?;
        Ok(stream.holding(pass))
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
    async fn hear(
        self: &Arc<Self>,
        audio: Audio,
        options: &TranscribeOptions,
        deadline: Deadline,
    ) -> Result<Transcript> {
        let fields = Fields::new(self, options)?;
        let heard = self.prepare(audio, TRANSCRIBE, deadline).await?;
        match heard {
            parts::Heard::Whole(source) => self.ask(TRANSCRIBE, &source, &fields, options).await,
            parts::Heard::Parts(cut) => parts::transcribe(self, cut, &fields, options).await,
        }
    }

    /// Checks a recording, and says in which parts it is sent.
    async fn prepare(
        &self,
        audio: Audio,
        operation: &'static str,
        deadline: Deadline,
    ) -> Result<parts::Heard> {
        let config = &self.config;
        let rules = Rules { operation, formats: &config.formats, deadline };
        let stored = match Recording::open(audio, rules).await? {
            Recording::Stored(stored) => stored,
            Recording::Once(once) if config.spool => {
                spool(once, parts::limits(config), deadline, operation).await?
            }
            Recording::Once(once) => return Ok(parts::Heard::Whole(Source::Once(Arc::new(once)))),
        };
        parts::cut(Arc::new(stored), config, deadline, operation).await
    }

    /// Asks for a transcript that is read whole.
    async fn ask(
        self: &Arc<Self>,
        operation: &'static str,
        source: &Source,
        fields: &Fields,
        options: &TranscribeOptions,
    ) -> Result<Transcript> {
        let wanted = options.timestamps;
        let (known, mut lessons) = self.quirks.lessons();
        loop {
            let shape = Shape::new(&self.config, lessons, wanted, false);
            let why = Why::default();
            let transport = self.transport.clone();
            let decode = move |reply| reply::decode(&reply, |error| transport.reported(error));
            let build = self.build(source, fields, &shape, &why);
            let call = self.call(operation, source, fields);
            let sent = Box::pin(self.transport.send(call, decode, build)).await;
            match sent {
                Ok(transcript) => {
                    self.quirks.learn(known, lessons);
                    return Ok(transcript);
                }
                Err(error) => lessons = self.lesson(error, &why, source, &shape, lessons, wanted)?,
            }
        }
    }

    /// Asks for a transcript that is read as it is made.
    async fn ask_for_stream(
        self: &Arc<Self>,
        source: &Source,
        fields: &Fields,
        options: &TranscribeOptions,
    ) -> Result<Body> {
        let wanted = options.timestamps;
        let (known, mut lessons) = self.quirks.lessons();
        loop {
            let shape = Shape::new(&self.config, lessons, wanted, true);
            let why = Why::default();
            let build = self.build(source, fields, &shape, &why);
            let sent = Box::pin(self.transport.send_open(self.call(STREAM, source, fields), build)).await;
            match sent {
                Ok(body) => {
                    self.quirks.learn(known, lessons);
                    return Ok(body);
                }
                Err(error) => lessons = self.lesson(error, &why, source, &shape, lessons, wanted)?,
            }
        }
    }

    /// What a refusal teaches for another try; the error when it teaches nothing, or the recording is gone.
    fn lesson(
        &self,
        error: Error,
        why: &Why,
        source: &Source,
        shape: &Shape,
        lessons: Lessons,
        wanted: Timestamps,
    ) -> Result<Lessons> {
        let error = mended(error, why, source);
        match shape.lesson(&error, &self.config, lessons, wanted) {
            Some(lessons) if source.can_be_sent_again() => Ok(lessons),
            // The next recording is not to suffer the same; nobody knows better before it.
            Some(lessons) => {
                self.quirks.suspect(lessons);
                Err(error)
            }
            None => Err(error),
        }
    }

    fn build(
        self: &Arc<Self>,
        source: &Source,
        fields: &Fields,
        shape: &Shape,
        why: &Why,
    ) -> impl Fn() -> std::future::Ready<Result<reqwest::Request>> + Send + Sync + 'static {
        let (this, source) = (Arc::clone(self), source.clone());
        let (fields, shape, why) = (fields.clone(), shape.clone(), why.clone());
        move || {
            // What cannot be read will not be readable a moment later.
            let built = match why.is_told() {
                true => Err(Error::internal("the recording cannot be read")),
                false => form::request(&this, &source, &fields, &shape, why.clone()),
            };
            std::future::ready(built)
        }
    }

    fn call(&self, operation: &'static str, source: &Source, fields: &Fields) -> Call {
        let mut call = Call::new(operation, &self.model);
        call.timeout = Some(patience(&self.transport, self.config.timeout, source));
        call.attempts = (!source.can_be_sent_again()).then_some(1);
        call.hidden = Some(fields.hidden.clone());
        call
    }

    fn span(&self) -> tracing::Span {
        let provider = span::provider(&self.transport);
        span::call("transcribe", "text", provider, &self.transport, &self.model)
    }
}

/// Time for one attempt.
pub(crate) fn patience(transport: &Transport, configured: Option<Duration>, source: &Source) -> Duration {
    let config = transport.config();
    configured.unwrap_or_else(|| match source.size() {
        Some(size) => {
            config.request_timeout.saturating_add(Duration::from_secs(size / SLOWEST_BYTES_PER_SECOND))
        }
        // What arrives at its own pace has the time that the operation has.
        None => config.total_timeout,
    })
}

/// The error of the recording rather than the one it caused, and words that fit.
pub(crate) fn mended(error: Error, why: &Why, source: &Source) -> Error {
    if let Some(why) = why.take() {
        return why.with_attempts(error.attempts());
    }
    let status = error.context().find(|(name, _)| *name == "status").map(|(_, value)| value.to_owned());
    if error.kind() != ErrorKind::InvalidInput || status.as_deref() != Some("413") {
        return error;
    }
    found_too_large(source, error)
}

impl fmt::Debug for OpenAiTranscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiTranscriber")
            .field("id", &self.parts.id)
            .field("transport", &self.parts.transport)
            .field("config", &self.parts.config)
            .finish_non_exhaustive()
    }
}
