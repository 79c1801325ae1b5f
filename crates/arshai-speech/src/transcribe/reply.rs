//! What servers answer: JSON in several shapes, plain text, subtitles.

use std::time::Duration;

use arshai_core::{
    Effect, Error, ErrorKind, Result,
    speech::{Segment, Transcript, Word},
};
use arshai_openai::Reply;
use serde_json::Value;

use super::{beginning, cues};

/// A reply that was read whole. `reported` makes the error of one that the server tells in it.
pub(super) fn decode(reply: &Reply, reported: impl Fn(&Value) -> Error) -> Result<Transcript> {
    let kind = reply.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = &kind.to_ascii_lowercase();
    let is_called_events = kind.starts_with("text/event-stream");
    let is_text = kind.starts_with("text/") && !kind.starts_with("text/html") && !is_called_events;
    let Ok(text) = std::str::from_utf8(&reply.body) else { return Err(strange(kind, "it is not UTF-8")) };
    let text = text.trim_start_matches('\u{feff}').trim();
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        // A number is what somebody said, when the server says it is text.
        return match (&value, is_text) {
            (Value::Object(_) | Value::String(_), _) => from_json(&value, reported),
            (_, true) => Ok(Transcript::new(text)),
            (_, false) => Err(strange(kind, "it is JSON without a text")),
        };
    }
    if text.starts_with('<') && !text.starts_with("<|") {
        return Err(strange(kind, "it is an HTML page"));
    }
    let is_half_an_object = is_called_events && text.starts_with('{');
    if beginning::is_of_events(text) || (is_called_events && !is_half_an_object) {
        return Err(strange(kind, "it is a stream of events, which was not asked for"));
    }
    if kind.contains("json") || is_half_an_object || (text.is_empty() && !is_text) {
        return Err(strange(kind, "it is no whole JSON").with_retryable(true));
    }
    Ok(cues::read(text).unwrap_or_else(|| Transcript::new(text)))
}

/// A transcript as JSON.
pub(super) fn from_json(value: &Value, reported: impl Fn(&Value) -> Error) -> Result<Transcript> {
    if let Value::String(text) = value {
        return Ok(Transcript::new(text));
    }
    let segments: Vec<Segment> = list(value, "segments").filter_map(segment).collect();
    let text = match value.get("text").and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None if value.get("error").is_some_and(|error| !error.is_null()) => {
            return Err(reported(value));
        }
        None if value.get("segments").is_some_and(Value::is_array) => {
            segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" ")
        }
        None => return Err(strange("application/json", "it is JSON without a text")),
    };
    let mut transcript = Transcript::new(text);
    transcript.language = value.get("language").and_then(Value::as_str).map(str::to_owned);
    transcript.duration = value.get("duration").and_then(seconds);
    transcript.words = list(value, "words").filter_map(word).collect();
    if transcript.words.is_empty() {
        // Some servers keep the words inside the segments.
        transcript.words =
            list(value, "segments").flat_map(|segment| list(segment, "words")).filter_map(word).collect();
    }
    transcript.segments = segments;
    Ok(transcript)
}

/// A segment, unless it has no text or no times.
pub(super) fn segment(value: &Value) -> Option<Segment> {
    let text = value.get("text")?.as_str()?.trim();
    let start = seconds(value.get("start")?)?;
    let end = seconds(value.get("end")?)?.max(start);
    let speaker = value.get("speaker").and_then(Value::as_str).map(str::to_owned);
    (!text.is_empty()).then(|| Segment { start, end, text: text.to_owned(), speaker })
}

fn word(value: &Value) -> Option<Word> {
    let text = value.get("word").or_else(|| value.get("text"))?.as_str()?.trim();
    let start = seconds(value.get("start")?)?;
    let end = seconds(value.get("end")?)?.max(start);
    (!text.is_empty()).then(|| Word { start, end, text: text.to_owned() })
}

/// Seconds as a number or, as some servers write them, as a text. A time before the beginning is the beginning.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn strange(kind: &str, what: &'static str) -> Error {
    let kind: String = kind.chars().filter(|c| !c.is_control()).take(100).collect();
    Error::new(
        ErrorKind::Protocol,
        "the server's reply is no transcript: look at the base URL and the path, a proxy may have answered",
    )
    .with_effect(Effect::Unknown)
    .with_context("reply", what)
    .with_context("content_type", kind)
}

#[cfg(test)]
mod tests {
    use arshai_openai::{OpenAiConfig, Transport};

    use super::*;

    fn read(kind: &'static str, body: &str) -> Result<Transcript> {
        let transport = Transport::new(OpenAiConfig::new("http://127.0.0.1:1/v1")).unwrap();
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("content-type", reqwest::header::HeaderValue::from_static(kind));
        decode(&Reply { headers, body: body.into() }, |error| transport.reported(error))
    }

    #[test]
    fn every_shape_of_a_transcript_is_understood() {
        for (kind, body) in [
            ("application/json", r#"{"text":" Hello there. "}"#),
            ("application/json", r#"{"text":"Hello there.","usage":null,"segments":null,"words":null}"#),
            ("application/json", r#""Hello there.""#),
            ("text/plain", r#"{"text":"Hello there."}"#),
            ("text/event-stream", r#"{"text":"Hello there."}"#),
            ("text/plain; charset=utf-8", "Hello there.\n"),
            ("Text/Plain", "Hello there.\n"),
            ("", "Hello there."),
            (
                "application/json",
                r#"{"segments":[{"start":0,"end":1,"text":"Hello"},{"start":1,"end":2,"text":" there."}]}"#,
            ),
            ("text/plain", "WEBVTT\n\n00:00.000 --> 00:01.000\nHello there.\n"),
            ("text/plain", "1\n00:00:00,000 --> 00:00:01,000\nHello there.\n\n"),
        ] {
            assert_eq!(read(kind, body).unwrap().text, "Hello there.", "{body}");
        }
        for said in ["42", "data: it is the new oil.", "id: 7"] {
            assert_eq!(read("text/plain", said).unwrap().text, said);
        }
        assert_eq!(read("text/plain", "").unwrap(), Transcript::default());
    }

    #[test]
    fn times_are_read_wherever_they_are() {
        let body = r#"{"text":"a b","language":"en","duration":"2.5","segments":[
            {"id":0,"start":-0.1,"end":1.5,"text":" a ","words":[{"word":" a","start":0.25,"end":0.5,"probability":1}]},
            {"start":2,"end":1,"text":"b","speaker":"A","words":[{"text":"b","start":2,"end":2.25}]},
            {"start":3,"end":4,"text":"  "}]}"#;
        let transcript = read("application/json", body).unwrap();
        assert_eq!(
            (transcript.language.as_deref(), transcript.duration),
            (Some("en"), Some(Duration::from_millis(2500)))
        );
        let times: Vec<_> =
            transcript.segments.iter().map(|s| (s.start.as_millis(), s.end.as_millis())).collect();
        assert_eq!(times, [(0, 1500), (2000, 2000)]);
        let words: Vec<_> = transcript.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(words, ["a", "b"]);
        assert_eq!(transcript.segments[1].speaker.as_deref(), Some("A"));
    }

    #[test]
    fn what_is_no_transcript_is_an_error() {
        for (kind, body) in [
            ("text/html", "<!doctype html><p>Log in"),
            ("application/json", "<html>"),
            ("Application/JSON", "half a word"),
            ("text/event-stream", "data: Hello.\n\n"),
            ("text/event-stream", "Hello."),
            ("text/event-stream", "[{\"text\":\"Hello.\"}]"),
            ("text/event-stream", ""),
            ("application/json", r#"{"text":"Hel"#),
            ("application/json", r#"{"status":"ok"}"#),
            ("application/json", "[]"),
            ("application/json", ""),
            ("", ""),
        ] {
            assert_eq!(read(kind, body).unwrap_err().kind(), ErrorKind::Protocol, "{body}");
        }
        for kind in ["text/event-stream", "text/plain", "application/json", "application/octet-stream", ""] {
            for body in [
                "data: {\"text\":\"Hel\"}\n\ndata: {\"text\":\"lo.\"}\n\n",
                "data:{\"type\":\"transcript.text.delta\",\"delta\":\"Hel\"}",
                "\u{feff}\r\nevent: transcript.text.delta\ndata: {}\n\n",
                ": ping\n\nid: 1\ndata: {}\n\n",
                "data: [DONE]",
            ] {
                let error = read(kind, body).unwrap_err();
                assert_eq!(
                    (error.kind(), error.is_retryable()),
                    (ErrorKind::Protocol, false),
                    "{kind}: {body}"
                );
                assert!(error.to_string().contains("events"), "{error}");
            }
        }
        assert!(read("text/event-stream", r#"{"text":"Hel"#).unwrap_err().is_retryable());
        let error = read("application/json", r#"{"error":{"message":"no model","code":404}}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}
