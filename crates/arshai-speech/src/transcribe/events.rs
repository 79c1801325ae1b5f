//! Transcripts as they are made.

use std::{collections::VecDeque, pin::Pin};

use arshai_core::{
    Effect, Error, ErrorKind, Result,
    speech::{Segment, Transcript, TranscriptEvent},
};
use arshai_openai::{Body, Events, Reply, Transport, opening};
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use super::{
    STREAM,
    beginning::{self, Form},
    reply,
};

const MOST_OF_AN_EVENT: usize = 16 << 20;
const EVENT_STREAM: &str = "text/event-stream";

type Told = Pin<Box<dyn Stream<Item = Result<TranscriptEvent>> + Send>>;

/// A transcript that came in one piece.
pub(super) fn of(transcript: Transcript) -> Told {
    let mut events = Vec::new();
    if !transcript.text.is_empty() {
        events.push(Ok(TranscriptEvent::Text(transcript.text.clone())));
    }
    events.extend(transcript.segments.iter().cloned().map(|segment| Ok(TranscriptEvent::Segment(segment))));
    events.push(Ok(TranscriptEvent::Done(transcript)));
    stream::iter(events).boxed()
}

/// A reply as it arrives, or in one piece from a server that does not stream.
pub(super) fn read(body: Body, transport: Transport) -> Told {
    let told = async move {
        let told = begun(body, transport).await;
        told.unwrap_or_else(|error| stream::iter([Err(error.with_operation(STREAM))]).boxed())
    };
    stream::once(told).flatten().boxed()
}

/// Reads until it is clear what the server sends.
async fn begun(mut body: Body, transport: Transport) -> Result<Told> {
    let kind = body.content_type().unwrap_or_default().to_ascii_lowercase();
    let is_called_events = kind.starts_with(EVENT_STREAM);
    let mut bytes = Vec::new();
    let form = loop {
        let Some(chunk) = body.chunk().await? else {
            // Nothing at all is what the server calls it: a stream without its end, or a text without words.
            break if is_called_events && bytes.is_empty() { Form::Events } else { Form::Whole };
        };
        bytes.extend_from_slice(&chunk);
        opening::trim(&mut bytes);
        if let Some(form) = beginning::of(&bytes, is_called_events) {
            break form;
        }
    };
    if form == Form::Whole {
        return Ok(of(whole(body, bytes, &kind).await?));
    }
    let mut events = Events::new(MOST_OF_AN_EVENT);
    events.push(&bytes)?;
    let reader = Reader {
        body: Some(body),
        events,
        transport,
        ready: VecDeque::new(),
        whole: Transcript::default(),
        told: 0,
        kind: Kind::Unknown,
    };
    let told = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((event.map_err(|error| error.with_operation(STREAM)), reader))
    });
    Ok(told.boxed())
}

async fn whole(mut body: Body, mut bytes: Vec<u8>, kind: &str) -> Result<Transcript> {
    while let Some(chunk) = body.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    let mut headers = reqwest::header::HeaderMap::new();
    if let Ok(kind) = kind.parse() {
        headers.insert("content-type", kind);
    }
    reply::decode(&Reply { headers, body: bytes }, |error| body.reported(error))
}

struct Reader {
    body: Option<Body>,
    events: Events,
    transport: Transport,
    ready: VecDeque<TranscriptEvent>,
    whole: Transcript,
    /// Characters of text told since the last segment.
    told: usize,
    kind: Kind,
}

/// How the server ends its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    /// Events with a type, the last of which is `transcript.text.done`.
    Typed,
    /// Transcripts of one stretch after the other, until the end or `[DONE]`.
    Stretches,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<TranscriptEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            self.body.as_ref()?;
            if let Err(error) = self.advance().await {
                self.body = None;
                return Some(Err(error));
            }
        }
    }

    async fn advance(&mut self) -> Result<()> {
        while let Some(data) = self.events.next_event()? {
            self.take(&data)?;
            if !self.ready.is_empty() {
                return Ok(());
            }
        }
        let Some(body) = &mut self.body else { return Ok(()) };
        match body.chunk().await? {
            Some(chunk) => self.events.push(&chunk),
            None if self.kind == Kind::Stretches && !self.events.is_in_the_middle() => {
                self.done();
                Ok(())
            }
            None => Err(Error::new(
                ErrorKind::Truncated,
                "the transcript ended before its end: ask again, or do not stream",
            )
            .with_effect(Effect::Unknown)),
        }
    }

    fn take(&mut self, data: &str) -> Result<()> {
        let data = data.trim();
        if data.is_empty() {
            return Ok(());
        }
        if data == "[DONE]" {
            if self.kind == Kind::Typed {
                return Ok(());
            }
            self.done();
            return Ok(());
        }
        let value = match serde_json::from_str::<Value>(data) {
            // Nobody said that: it keeps the connection alive.
            Ok(Value::Null) => return Ok(()),
            // A server that was asked for text streams text, and a number is what somebody said.
            Err(_) | Ok(Value::Number(_) | Value::Bool(_)) => {
                self.kind = Kind::Stretches;
                self.text(data);
                return Ok(());
            }
            Ok(value) => value,
        };
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match value.get("type").and_then(Value::as_str) {
            Some("transcript.text.delta") => {
                self.kind = Kind::Typed;
                self.delta(text("delta"));
            }
            Some("transcript.text.segment") => {
                self.kind = Kind::Typed;
                if let Some(segment) = reply::segment(&value) {
                    self.segment(segment);
                }
            }
            Some("transcript.text.done") => {
                let told = self.whole.text.trim().to_owned();
                let said = reply::from_json(&value, |error| self.reported(error)).unwrap_or_default();
                if told.is_empty() && !said.text.is_empty() {
                    self.ready.push_back(TranscriptEvent::Text(said.text.clone()));
                }
                self.whole.text = if said.text.is_empty() { told } else { said.text };
                self.whole.language = said.language;
                self.whole.duration = said.duration;
                self.whole.words = said.words;
                if self.whole.segments.is_empty() {
                    said.segments.into_iter().for_each(|segment| self.already_said(segment));
                }
                self.done();
            }
            Some("error") => return Err(self.reported(&value)),
            // Of a later version of the protocol.
            Some(kind) if kind.starts_with("transcript.") => {}
            _ => {
                let stretch = reply::from_json(&value, |error| self.reported(error))?;
                self.kind = Kind::Stretches;
                self.text(&stretch.text);
                self.whole.language = self.whole.language.take().or(stretch.language);
                self.whole.words.extend(stretch.words);
                stretch.segments.into_iter().for_each(|segment| self.already_said(segment));
            }
        }
        Ok(())
    }

    /// The error that an event reports. The body knows what it answers, and what of the server's words may be shown.
    fn reported(&self, error: &Value) -> Error {
        let body = self.body.as_ref();
        body.map_or_else(|| self.transport.reported(error), |body| body.reported(error))
    }

    fn delta(&mut self, text: String) {
        if !text.is_empty() {
            self.told += text.len();
            self.whole.text.push_str(&text);
            self.ready.push_back(TranscriptEvent::Text(text));
        }
    }

    /// A stretch of text, parted from the one before.
    fn text(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        match self.whole.text.is_empty() {
            true => self.delta(text.to_owned()),
            false => self.delta(format!(" {text}")),
        }
    }

    fn segment(&mut self, segment: Segment) {
        if self.told == 0 {
            self.text(&segment.text);
        }
        self.told = 0;
        self.whole.segments.push(segment.clone());
        self.ready.push_back(TranscriptEvent::Segment(segment));
    }

    /// A segment whose words were told already.
    fn already_said(&mut self, segment: Segment) {
        self.whole.segments.push(segment.clone());
        self.ready.push_back(TranscriptEvent::Segment(segment));
    }

    fn done(&mut self) {
        let mut whole = std::mem::take(&mut self.whole);
        whole.text = whole.text.trim().to_owned();
        self.ready.push_back(TranscriptEvent::Done(whole));
        self.body = None;
    }
}
