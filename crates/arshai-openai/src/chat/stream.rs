//! A reply as it is written.

use std::collections::VecDeque;

use arshai_core::{
    Error, ErrorKind, Result,
    chat::{Finish, ToolCall, Usage},
};
use futures_util::stream;
use tracing::Span;

use super::{
    DetailedStream, STREAM,
    form::{self, Form},
    reply::{self, Choice, Message, Wire, finish, usage},
    sse::Events,
    tools::Assembler,
};
use crate::{
    span,
    transport::{Body, Pass, Transport, opening},
};

/// The longest event accepted, and the most of all tool calls' arguments together.
const MOST_EVENT: usize = 8 << 20;
const EVENT_STREAM: &str = "text/event-stream";

/// One piece of a streamed reply.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StreamPart {
    /// More of what the model thinks before it answers.
    Reasoning(String),
    /// More words.
    Text(String),
    /// More of why the model declines, in its own words.
    Refusal(String),
    /// A whole tool call.
    ToolCall(ToolCall),
    /// The end of a complete reply; nothing follows.
    Done {
        /// What it cost, where the model tells.
        usage: Option<Usage>,
        /// Why it stopped.
        finish: Finish,
        /// The same as the server named it.
        finish_reason: String,
    },
}

/// Reads a stream. Dropped with it: the connection, and the place among the calls under way.
pub(super) struct Reader {
    body: Option<Body>,
    transport: Transport,
    span: Span,
    pass: Option<Pass>,
    forbids_tools: bool,
    is_called_events: bool,
    /// `None` while too little has come to tell.
    form: Option<Form>,
    /// What has come of a body that is no events, or not known to be.
    whole: Vec<u8>,
    events: Events,
    ready: VecDeque<StreamPart>,
    /// The number of the choice that is read.
    choice: Option<u64>,
    calls: Assembler,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    written: String,
    is_over: bool,
}

impl Reader {
    pub(super) fn new(body: Body, transport: Transport, span: Span, pass: Pass, forbids_tools: bool) -> Self {
        let is_called_events = body.content_type().is_some_and(|kind| {
            kind.get(..EVENT_STREAM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(EVENT_STREAM))
        });
        Self {
            body: Some(body),
            transport,
            span,
            pass: Some(pass),
            forbids_tools,
            is_called_events,
            form: None,
            whole: Vec::new(),
            events: Events::new(MOST_EVENT),
            ready: VecDeque::new(),
            choice: None,
            calls: Assembler::default(),
            finish_reason: None,
            usage: None,
            written: String::new(),
            is_over: false,
        }
    }

    pub(super) fn into_stream(self) -> DetailedStream {
        Box::pin(stream::unfold(self, |mut reader| async move {
            let part = reader.part().await?;
            Some((part, reader))
        }))
    }

    async fn part(&mut self) -> Option<Result<StreamPart>> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Some(Ok(part));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.read().await {
                let error = error.with_operation(STREAM);
                span::failed(&self.span, &error);
                self.end();
                return Some(Err(error));
            }
        }
    }

    /// Reads until there is something to tell, or the end.
    async fn read(&mut self) -> Result<()> {
        while let Some(event) = self.events.next_event()? {
            if event.trim() == "[DONE]" {
                if let Some(body) = self.body.take() {
                    body.finish().await;
                }
                self.done();
                return Ok(());
            }
            self.take(&event)?;
            if !self.ready.is_empty() {
                return Ok(());
            }
        }
        let chunk = match &mut self.body {
            Some(body) => body.chunk().await?,
            None => None,
        };
        match chunk {
            Some(bytes) => self.push(&bytes),
            None if self.form != Some(Form::Events) && !opening::text(&self.whole).is_empty() => {
                self.understand()
            }
            // Some servers have no end marker of their own; the reason why they stopped is one.
            None if self.finish_reason.is_some() && !self.events.is_in_the_middle() => {
                self.done();
                Ok(())
            }
            None => Err(Error::new(
                ErrorKind::Truncated,
                "the reply ended before its end; what came is incomplete, ask again",
            )),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.form == Some(Form::Events) {
            return self.events.push(bytes);
        }
        self.whole.extend_from_slice(bytes);
        if self.form.is_none() {
            opening::trim(&mut self.whole);
            self.form = form::of(&self.whole, self.is_called_events);
        }
        match self.form {
            Some(Form::Events) => self.events.push(&std::mem::take(&mut self.whole)),
            // A page need not be read to its end.
            Some(Form::Whole) if self.whole.starts_with(b"<") => self.understand(),
            _ => Ok(()),
        }
    }

    /// Understands a body that is no events: the reply of a server that does not stream, an error, or something else.
    fn understand(&mut self) -> Result<()> {
        let whole = std::mem::take(&mut self.whole);
        let whole = opening::text(&whole);
        let wire: Wire = serde_json::from_slice(whole).map_err(|error| reply::unreadable(whole, &error))?;
        let has_answer = wire.choices.as_ref().is_some_and(|choices| !choices.is_empty());
        self.add(wire, Choice::whole)?;
        if !has_answer {
            return Err(reply::no_answer());
        }
        self.done();
        Ok(())
    }

    fn take(&mut self, event: &str) -> Result<()> {
        if event.trim().is_empty() {
            return Ok(());
        }
        let wire =
            serde_json::from_str(event).map_err(|error| reply::unreadable(event.as_bytes(), &error))?;
        self.add(wire, Choice::piece)
    }

    fn add(&mut self, wire: Wire, message: fn(&mut Choice) -> Option<Message>) -> Result<()> {
        if let Some(error) = wire.error.as_ref().filter(|error| !error.is_null()) {
            return Err(match &self.body {
                Some(body) => body.reported(error),
                None => self.transport.reported(error),
            });
        }
        if wire.id.is_some() || wire.model.is_some() {
            span::replied(&self.span, wire.id.as_deref(), wire.model.as_deref(), None, None);
        }
        if let Some(usage) = usage(wire.usage.as_ref()) {
            self.usage = Some(usage);
        }
        for mut choice in wire.choices.into_iter().flatten() {
            // One of them is read: the first that came, which need not have the number 0.
            let index = choice.index.unwrap_or(0);
            if *self.choice.get_or_insert(index) != index {
                continue;
            }
            if let Some(message) = message(&mut choice) {
                let (reasoning, text) = (message.reasoning(), message.text());
                if !reasoning.is_empty() {
                    self.ready.push_back(StreamPart::Reasoning(reasoning));
                }
                if !text.is_empty() {
                    if self.transport.config().capture_content {
                        self.written.push_str(&text);
                    }
                    self.ready.push_back(StreamPart::Text(text));
                }
                if let Some(refusal) = message.refusal.filter(|refusal| !refusal.is_empty()) {
                    self.ready.push_back(StreamPart::Refusal(refusal));
                }
                if !self.forbids_tools {
                    message.tool_calls.into_iter().flatten().for_each(|call| self.calls.add(call));
                }
            }
            if choice.finish_reason.is_some() {
                self.finish_reason = choice.finish_reason;
            }
        }
        if self.calls.received() > MOST_EVENT {
            return Err(Error::new(
                ErrorKind::Protocol,
                "the arguments of the tool calls are longer than allowed",
            )
            .with_context("bytes", MOST_EVENT));
        }
        Ok(())
    }

    fn done(&mut self) {
        let calls = std::mem::take(&mut self.calls).finish();
        let finish_reason = self.finish_reason.take().unwrap_or_default();
        let finish = finish(&finish_reason, !calls.is_empty());
        span::replied(&self.span, None, None, Some(&finish_reason), self.usage);
        if self.transport.config().capture_content {
            self.span.record("gen_ai.output.messages", self.written.as_str());
        }
        self.ready.extend(calls.into_iter().map(StreamPart::ToolCall));
        self.ready.push_back(StreamPart::Done { usage: self.usage, finish, finish_reason });
        self.end();
    }

    fn end(&mut self) {
        self.is_over = true;
        self.body = None;
        self.pass = None;
    }
}
