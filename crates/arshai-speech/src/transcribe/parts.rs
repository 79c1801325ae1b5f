//! Recordings over the server's limit: cut where it is quiet, transcribed several at once, put together again.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use arshai_core::{
    Deadline, Effect, Error, ErrorKind, Result,
    speech::{Segment, TranscribeOptions, Transcript, TranscriptEvent, TranscriptStream, Word},
};
use arshai_openai::{Pass, Transport};
use futures_core::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tracing::{Instrument as _, Span};

use super::{
    Parts, STREAM, TRANSCRIBE,
    config::{Split, TranscriberConfig},
    events,
    form::Fields,
};
use crate::{
    audio::{Clip, Limits, Source, Stored, too_large},
    span,
    task::Task,
    wav::{self, Wav},
};

type Events = Pin<Box<dyn Stream<Item = Result<TranscriptEvent>> + Send>>;

/// How a recording is sent.
#[derive(Debug)]
pub(super) enum Heard {
    Whole(Source),
    Parts(Vec<Part>),
}

/// A part, and when it begins and how long it is.
#[derive(Debug)]
pub(super) struct Part {
    source: Source,
    start: Duration,
    length: Duration,
}

/// The largest recordings that are of use.
pub(super) fn limits(config: &TranscriberConfig) -> Limits {
    let any = config.max_upload_bytes;
    Limits { any, wav: config.split.map_or(any, |split| split.max_recording_bytes.max(any)) }
}

fn is_wav(name: &str) -> bool {
    crate::audio::mime(name) == "audio/wav"
}

/// Decides whether a recording is sent whole, and where it is cut otherwise.
pub(super) async fn cut(
    stored: Arc<Stored>,
    config: &TranscriberConfig,
    deadline: Deadline,
    operation: &'static str,
) -> Result<Heard> {
    let limit = config.max_upload_bytes;
    let too_large = |limit| too_large(&stored.title(), Some(stored.length), limit);
    // What is too large is looked at whatever it is called.
    let split = config.split.filter(|_| is_wav(&stored.name) || stored.length > limit);
    let Some(split) = split else {
        return match stored.length > limit {
            true => Err(too_large(limit)),
            false => Ok(Heard::Whole(Source::Stored(Arc::clone(&stored), stored.whole()))),
        };
    };
    let most = limits(config).wav;
    let looked_at = Arc::clone(&stored);
    let look = async {
        let look = tokio::task::spawn_blocking(move || look(&looked_at, split, limit));
        look.await.map_err(io::Error::other).and_then(|found| found).map_err(|error| {
            Error::new(ErrorKind::Io, "the recording cannot be read: look at the file")
                .with_context("file", stored.title())
                .with_source(error)
        })
    };
    let parts = deadline.run(operation, Effect::NotApplied, look).await?;
    match parts {
        Some(_) if stored.length > most => Err(too_large(most)),
        Some(parts) => {
            Span::current().record("arshai.speech.parts", parts.len());
            let parts = parts.into_iter().map(|(clip, start, length)| Part {
                source: Source::Stored(Arc::clone(&stored), clip),
                start,
                length,
            });
            Ok(Heard::Parts(parts.collect()))
        }
        None if stored.length > limit => Err(too_large(limit)),
        None => Ok(Heard::Whole(Source::Stored(Arc::clone(&stored), stored.whole()))),
    }
}

type Found = Vec<(Clip, Duration, Duration)>;

/// Where to cut; `None` for what need not or cannot be cut.
fn look(stored: &Stored, split: Split, limit: u64) -> io::Result<Option<Found>> {
    let mut file = stored.reader()?;
    let Some(wav) = Wav::read(&mut file)? else { return Ok(None) };
    let header = wav.header(0).map_or(u64::MAX, |header| header.len() as u64);
    let longest = (split.longest.as_secs_f64() * wav.bytes_per_second() as f64) as u64;
    if stored.length <= limit && wav.length <= longest {
        return Ok(None);
    }
    let most = longest.min(limit.saturating_sub(header));
    if most < wav.bytes_per_second() {
        return Ok(None);
    }
    let cuts = wav::cuts(&mut file, &wav, most, split.search)?;
    let clips = cuts.into_iter().filter_map(|cut| {
        let header = wav.header(cut.length)?.into();
        let clip = Clip { header, from: wav.from + cut.from, length: cut.length };
        Some((clip, wav.time_of(cut.from), wav.time_of(cut.length)))
    });
    Ok(Some(clips.collect()))
}

/// All parts, put together.
pub(super) async fn transcribe(
    shared: &Arc<Parts>,
    parts: Vec<Part>,
    fields: &Fields,
    options: &TranscribeOptions,
) -> Result<Transcript> {
    let asked = parts.into_iter().map(|part| async move {
        let heard = shared.ask(TRANSCRIBE, &part.source, fields, options).await;
        heard.map_err(|error| located(error, &part)).map(|transcript| (part, transcript))
    });
    let whole = stream::iter(asked).buffered(shared.config.concurrency).try_fold(
        Transcript::default(),
        |mut whole, (part, transcript)| {
            add(&mut whole, &part, transcript);
            std::future::ready(Ok(whole))
        },
    );
    Box::pin(whole).await
}

/// Opens the transcript as it is made.
pub(super) async fn open(
    shared: &Arc<Parts>,
    audio: arshai_core::speech::Audio,
    options: &TranscribeOptions,
    deadline: Deadline,
    span: Span,
) -> Result<Opened> {
    let fields = Fields::new(shared, options)?;
    let events = match shared.prepare(audio, STREAM, deadline).await? {
        Heard::Whole(source) if shared.config.streaming => {
            let body = shared.ask_for_stream(&source, &fields, options).await?;
            events::read(body, shared.transport.clone())
        }
        Heard::Whole(source) => {
            let transcript = shared.ask(STREAM, &source, &fields, options).await?;
            events::of(transcript)
        }
        Heard::Parts(parts) => {
            in_order(Arc::clone(shared), parts, fields, options.clone(), deadline, span.clone())
        }
    };
    Ok(Opened { events, span, transport: shared.transport.clone() })
}

/// A stream that began well.
pub(super) struct Opened {
    events: Events,
    span: Span,
    transport: Transport,
}

impl Opened {
    /// The stream, which counts as under way until its end, or until it is dropped.
    pub(super) fn holding(self, pass: Pass) -> TranscriptStream {
        let under_way = stream::unfold(Some((self, pass)), |under_way| async move {
            let (mut opened, pass) = under_way?;
            let event = opened.events.next().await?;
            let is_last = match &event {
                Ok(TranscriptEvent::Done(transcript)) => {
                    span::told(&opened.span, &opened.transport, transcript);
                    true
                }
                Ok(_) => false,
                Err(error) => {
                    span::failed(&opened.span, error);
                    true
                }
            };
            Some((event, (!is_last).then_some((opened, pass))))
        });
        under_way.fuse().boxed()
    }
}

/// Each part as soon as it and those before it are there. As many as allowed are heard at once, and no more are kept.
fn in_order(
    shared: Arc<Parts>,
    parts: Vec<Part>,
    fields: Fields,
    options: TranscribeOptions,
    deadline: Deadline,
    span: Span,
) -> Events {
    let concurrency = shared.config.concurrency;
    let (fields, options) = (Arc::new(fields), Arc::new(options));
    let heard = stream::iter(parts).map(move |part| {
        let (shared, fields, options) = (Arc::clone(&shared), Arc::clone(&fields), Arc::clone(&options));
        let heard = async move {
            let heard = shared.ask(STREAM, &part.source, &fields, &options).await;
            heard.map_err(|error| located(error, &part)).map(|transcript| (part, transcript))
        };
        // The stream is polled outside of the call that opened it, and by whom takes as long as the words are read.
        Task::start(Box::pin(deadline.scope(heard)).instrument(span.clone()))
    });
    let state = Some((heard.buffered(concurrency).boxed(), Transcript::default()));
    let events = stream::unfold(state, |state| async move {
        let (mut heard, mut whole) = state?;
        match heard.next().await {
            Some(Ok((part, transcript))) => {
                let (text, segments) = (whole.text.len(), whole.segments.len());
                add(&mut whole, &part, transcript);
                let text = whole.text.get(text..).unwrap_or_default().to_owned();
                let mut events = Vec::new();
                if !text.is_empty() {
                    events.push(Ok(TranscriptEvent::Text(text)));
                }
                let new = whole.segments.iter().skip(segments).cloned();
                events.extend(new.map(|segment| Ok(TranscriptEvent::Segment(segment))));
                Some((events, Some((heard, whole))))
            }
            Some(Err(error)) => Some((vec![Err(error)], None)),
            None => Some((vec![Ok(TranscriptEvent::Done(whole))], None)),
        }
    });
    events.flat_map(stream::iter).boxed()
}

/// Puts a part behind those before it. A model tells times past the end of what it heard; they must not pass those of
/// the next part.
fn add(whole: &mut Transcript, part: &Part, heard: Transcript) {
    let end = part.start.saturating_add(part.length);
    // A model may tell any time.
    let place = |time: Duration| part.start.saturating_add(time).min(end);
    if !heard.text.is_empty() {
        if !whole.text.is_empty() {
            whole.text.push(' ');
        }
        whole.text.push_str(&heard.text);
    }
    whole.language = whole.language.take().or(heard.language);
    whole.duration = Some(end);
    whole.segments.extend(heard.segments.into_iter().map(|segment| Segment {
        start: place(segment.start),
        end: place(segment.end),
        ..segment
    }));
    whole.words.extend(heard.words.into_iter().map(|word| Word {
        start: place(word.start),
        end: place(word.end),
        ..word
    }));
}

fn located(error: Error, part: &Part) -> Error {
    error.with_context("part_from_seconds", format!("{:.1}", part.start.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_part_count_from_the_beginning_of_the_whole() {
        let seconds = Duration::from_secs;
        let mut whole = Transcript::default();
        let stored = Arc::new(Stored {
            name: "a.wav".to_owned(),
            length: 1,
            place: crate::audio::Place::Bytes(bytes::Bytes::from_static(b"x")),
        });
        for start in [0, 10, 20] {
            let mut heard = Transcript::new(if start == 10 { "" } else { "Hello." });
            let segment = |start, end| Segment {
                start: seconds(start),
                end: seconds(end),
                text: "Hello.".to_owned(),
                speaker: None,
            };
            heard.segments = vec![segment(1, 4), segment(9, u64::MAX)];
            heard.words = vec![Word { start: seconds(2), end: seconds(12), text: "Hello.".to_owned() }];
            let source = Source::Stored(Arc::clone(&stored), stored.whole());
            add(&mut whole, &Part { source, start: seconds(start), length: seconds(10) }, heard);
        }
        assert_eq!(whole.text, "Hello. Hello.");
        assert_eq!(whole.duration, Some(seconds(30)));
        let times: Vec<_> = whole.segments.iter().map(|s| (s.start.as_secs(), s.end.as_secs())).collect();
        assert_eq!(times, [(1, 4), (9, 10), (11, 14), (19, 20), (21, 24), (29, 30)]);
        assert_eq!(whole.words.last().map(|word| (word.start, word.end)), Some((seconds(22), seconds(30))));
    }
}
