//! One text, spoken: whole or as it is spoken, in one part or in several.

use std::sync::Arc;

use arshai_core::{
    Deadline, Error, Result,
    speech::{AudioFormat, SpeakOptions, Speech, SpeechStream},
};
use arshai_openai::{Call, Gate, Pass, Transport};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::Request;
use tracing::{Instrument as _, Span};

use super::{
    join::{self, Sound},
    reply, text,
};
use crate::{span, task::Task, wav};

const SPEAK: &str = "speech.synthesize";
const STREAM: &str = "speech.synthesize.stream";
const HEALTH: &str = "speech.synthesize.health";
const CLOSE: &str = "speech.synthesize.close";

/// What is different from service to service.
pub(crate) trait Service: Send + Sync + 'static {
    fn transport(&self) -> &Transport;
    /// How the provider is called in spans.
    fn provider(&self) -> &'static str;
    /// Who speaks: the model, or the voice.
    fn model<'a>(&'a self, options: &'a SpeakOptions) -> &'a str;
    /// The longest text of one request, and how many requests of one text may be under way.
    fn limits(&self) -> (usize, usize);
    /// What can be refused before anything is sent.
    fn check(&self, options: &SpeakOptions) -> Result<()>;
    fn call(&self, operation: &'static str, text: &str, options: &SpeakOptions) -> Call;
    fn request(&self, text: &str, options: &SpeakOptions) -> Result<Request>;
}

/// A service that can be closed.
pub(crate) struct Speaker<S> {
    pub(crate) service: S,
    gate: Gate,
}

impl<S: Service> Speaker<S> {
    pub(crate) fn new(service: S) -> Arc<Self> {
        Arc::new(Self { service, gate: Gate::new() })
    }

    pub(crate) async fn stream(self: &Arc<Self>, text: &str, options: &SpeakOptions) -> Result<SpeechStream> {
        let deadline = Deadline::current_or(self.service.transport().config().stream_timeout);
        let pass = self.gate.enter(STREAM, deadline).await?;
        let span = self.span(text, options);
        let opening = Box::pin(deadline.scope(self.open(text, options, deadline, &span)));
        let opened = opening.instrument(span.clone()).await.map_err(|error| error.with_operation(STREAM));
        let sound = opened.inspect_err(|error| span::failed(&span, error))?;
        // It counts as under way until its end, or until it is dropped.
        let watched = stream::unfold(Some((sound, pass, span)), |under_way| async move {
            let (mut sound, pass, span) = under_way?;
            match sound.next().await? {
                Ok(block) => Some((Ok(block), Some((sound, pass, span)))),
                Err(error) => {
                    span::failed(&span, &error);
                    Some((Err(error.with_operation(STREAM)), None))
                }
            }
        });
        Ok(SpeechStream::new(options.format, watched.fuse()))
    }

    pub(crate) async fn synthesize(self: &Arc<Self>, text: &str, options: &SpeakOptions) -> Result<Speech> {
        let (_pass, deadline) = self.enter(SPEAK).await?;
        let span = self.span(text, options);
        let speaking = Box::pin(deadline.scope(self.speak(text, options, deadline, &span)));
        let spoken = speaking.instrument(span.clone()).await.map_err(|error| error.with_operation(SPEAK));
        spoken.inspect_err(|error| span::failed(&span, error))
    }

    pub(crate) async fn health(&self) -> Result<()> {
        let deadline = Deadline::current_or(self.service.transport().config().request_timeout);
        let _pass = self.gate.enter(HEALTH, deadline).await?;
        self.service.transport().answers(HEALTH).await
    }

    pub(crate) async fn close(&self) -> Result<()> {
        let deadline = Deadline::current_or(self.service.transport().config().total_timeout);
        self.gate.close(CLOSE, deadline).await
    }

    async fn enter(&self, operation: &'static str) -> Result<(Pass, Deadline)> {
        let deadline = Deadline::current_or(self.service.transport().config().total_timeout);
        Ok((self.gate.enter(operation, deadline).await?, deadline))
    }

    async fn open(
        self: &Arc<Self>,
        text: &str,
        options: &SpeakOptions,
        deadline: Deadline,
        span: &Span,
    ) -> Result<Sound> {
        let texts = self.split(text, options, span)?;
        let [text] = texts.as_slice() else {
            return Ok(self.joined(texts, options, deadline, span, STREAM));
        };
        let transport = self.service.transport();
        let call = self.service.call(STREAM, text, options);
        let body = Box::pin(transport.send_open(call, self.build(text.clone(), options.clone()))).await?;
        let body = reply::heard(body).await?;
        Ok(reply::arriving(body, options.format))
    }

    async fn speak(
        self: &Arc<Self>,
        text: &str,
        options: &SpeakOptions,
        deadline: Deadline,
        span: &Span,
    ) -> Result<Speech> {
        let texts = self.split(text, options, span)?;
        if let [text] = texts.as_slice() {
            let spoken = Arc::clone(self).whole(SPEAK, text.clone(), options.clone()).await?;
            let spoken =
                if options.format == AudioFormat::Wav { wav::with_true_sizes(spoken) } else { spoken };
            return Ok(Speech::new(options.format, spoken));
        }
        let mut sound = self.joined(texts, options, deadline, span, SPEAK);
        let mut all = Vec::new();
        while let Some(block) = sound.next().await {
            all.extend_from_slice(&block?);
        }
        Ok(Speech::new(options.format, all))
    }

    /// The checks, and the parts of a text.
    fn split(&self, text: &str, options: &SpeakOptions, span: &Span) -> Result<Vec<String>> {
        if options.speed.is_some_and(|speed| !(0.1..=10.0).contains(&speed)) {
            return Err(Error::invalid("the speed of speech is from 0.1 to 10, where 1 is normal"));
        }
        self.service.check(options)?;
        let (max_chars, _) = self.service.limits();
        let texts = text::parts(text, max_chars);
        match texts.len() {
            0 => return Err(Error::invalid("the text is empty: there is nothing to speak")),
            1 => {}
            parts => {
                join::check(options.format, max_chars)?;
                span.record("arshai.speech.parts", parts);
            }
        }
        Ok(texts)
    }

    fn joined(
        self: &Arc<Self>,
        texts: Vec<String>,
        options: &SpeakOptions,
        deadline: Deadline,
        span: &Span,
        operation: &'static str,
    ) -> Sound {
        let (this, options, span) = (Arc::clone(self), options.clone(), span.clone());
        let (format, (_, concurrency)) = (options.format, self.service.limits());
        let spoken = stream::iter(texts).map(move |text| {
            let spoken = Arc::clone(&this).whole(operation, text, options.clone());
            // The stream is polled outside of the call that opened it, and by whom takes as long as the sound lasts.
            Task::start(Box::pin(deadline.scope(spoken)).instrument(span.clone()))
        });
        join::join(spoken, concurrency, format)
    }

    /// A text that is not too long, spoken to its end.
    async fn whole(
        self: Arc<Self>,
        operation: &'static str,
        text: String,
        options: SpeakOptions,
    ) -> Result<Bytes> {
        let transport = self.service.transport().clone();
        let (hearer, format) = (transport.clone(), options.format);
        let decode = move |reply| reply::decoded(reply, format, &hearer);
        let call = self.service.call(operation, &text, &options);
        Box::pin(transport.send(call, decode, self.build(text, options))).await
    }

    fn build(
        self: &Arc<Self>,
        text: String,
        options: SpeakOptions,
    ) -> impl Fn() -> std::future::Ready<Result<Request>> + Send + Sync + 'static {
        let this = Arc::clone(self);
        move || std::future::ready(this.service.request(&text, &options))
    }

    fn span(&self, text: &str, options: &SpeakOptions) -> Span {
        let service = &self.service;
        let span =
            span::call("speak", "speech", service.provider(), service.transport(), service.model(options));
        if service.transport().config().capture_content {
            span.record("gen_ai.input.messages", text);
        }
        span
    }
}
