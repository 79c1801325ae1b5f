//! Whether a reply is events at all.

use arshai_openai::opening;

/// How an event may begin.
const FIELDS: [&[u8]; 5] = [b":", b"data:", b"event:", b"id:", b"retry:"];
const LAST: &[u8] = b"[DONE]";
/// After so much that tells nothing it is no stream of events.
const MOST_UNDECIDED: usize = 16 << 10;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Server-sent events.
    Events,
    /// JSON, a page, a text or subtitles, to be understood whole.
    Whole,
}

/// What a line says of the body that it stands in.
enum Said {
    This(Form),
    /// It stands before events, and may stand before a text.
    Nothing,
    /// More of it has to come.
    Half,
}

/// Goes by the beginning of a body rather than by what the server calls it: some send events without a content type or
/// as plain text, others a whole reply as if it were events. `None` until enough has come.
///
/// A transcript may be plain text, and somebody may have said "data: it is the new oil". So what is not called events is
/// taken for them only when their data is JSON, or when they have a name.
pub(super) fn of(beginning: &[u8], is_called_events: bool) -> Option<Form> {
    let text = opening::text(beginning);
    if opening::is_blank(text) {
        return None;
    }
    if is_called_events {
        let is_whole = matches!(text.first(), Some(b'<' | b'{' | b'[' | b'"'));
        return Some(if is_whole { Form::Whole } else { Form::Events });
    }
    lines(text, false).or_else(|| (text.len() > MOST_UNDECIDED).then_some(Form::Whole))
}

/// Whether a body that was read to its end is events, though nobody calls it so.
pub(super) fn is_of_events(body: &str) -> bool {
    lines(opening::text(body.as_bytes()), true) == Some(Form::Events)
}

/// What the first line that says anything says.
fn lines(text: &[u8], is_all: bool) -> Option<Form> {
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let line = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
        match said(line, is_all || end.is_some()) {
            Said::This(form) => return Some(form),
            Said::Half => return None,
            Said::Nothing => rest = rest.get(line.len()..).unwrap_or_default().trim_ascii_start(),
        }
    }
    None
}

fn said(line: &[u8], is_at_its_end: bool) -> Said {
    if line.starts_with(b"event:") {
        return Said::This(Form::Events);
    }
    if let Some(data) = line.strip_prefix(b"data:") {
        let data = data.trim_ascii();
        return match (data.first(), is_at_its_end) {
            (Some(b'{'), _) => Said::This(Form::Events),
            (Some(_), true) if data == LAST => Said::This(Form::Events),
            (Some(_), false) if LAST.starts_with(data) => Said::Half,
            (Some(_), _) => Said::This(Form::Whole),
            (None, true) => Said::Nothing,
            (None, false) => Said::Half,
        };
    }
    if FIELDS.iter().any(|field| line.starts_with(field)) {
        return if is_at_its_end { Said::Nothing } else { Said::Half };
    }
    match !is_at_its_end && FIELDS.iter().any(|field| field.starts_with(line)) {
        true => Said::Half,
        false => Said::This(Form::Whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str, is_called_events: bool) -> Option<Form> {
        (0..=body.len()).find_map(|end| of(body.as_bytes().get(..end).unwrap(), is_called_events))
    }

    #[test]
    fn events_are_known_whatever_they_are_called() {
        for body in [
            "data: {\"type\"",
            "data:{",
            "data: [DONE]\n",
            "data:\r\ndata: {",
            "event: transcript.text.delta",
            ": ping\n\ndata: {",
            ":\r\nid: 1\rretry: 5\n\n\nevent: x",
            "\r\n\n data: {",
        ] {
            for body in [body.to_owned(), format!("\u{feff}{body}")] {
                for is_called_events in [false, true] {
                    assert_eq!(told(&body, is_called_events), Some(Form::Events), "{body:?}");
                    assert_eq!(of(body.as_bytes(), is_called_events), Some(Form::Events), "{body:?}");
                }
            }
        }
        // A stream of text has no JSON in it; what it is called is all there is to know it by.
        assert_eq!(told("data: Hello.\n\n", true), Some(Form::Events));
    }

    #[test]
    fn what_is_no_event_is_known_whatever_it_is_called() {
        for body in ["<html>", "\n  {\"text\": 1}", "[{}]", "\u{feff}{}", "\"Hello.\""] {
            assert_eq!(told(body, false), Some(Form::Whole), "{body:?}");
            assert_eq!(told(body, true), Some(Form::Whole), "{body:?}");
        }
    }

    #[test]
    fn what_somebody_said_is_no_event() {
        for body in [
            "Hello.",
            "data: it is the new oil",
            "data: [D",
            "data: [DONE] it said",
            "database",
            "Data: {",
            "dates\n",
            "identity: {",
            "<|en|> Hello.",
            "42\n",
            ": what?\nHello.",
            "id: 7\nretry: never\ndata is all.",
            "WEBVTT\n\ndata: {",
            "1\n00:00:00,000 --> 00:00:01,000\ndata: {",
        ] {
            let form = told(&format!("{body}\n"), false);
            assert_eq!(form, Some(Form::Whole), "{body:?}");
        }
    }

    #[test]
    fn too_little_is_nothing_yet() {
        for body in
            ["", " \n", "\u{feff}", "dat", "data: ", "data: [DO", ": ping", "id: 1\n", "retry: 5\n\nev"]
        {
            assert_eq!(told(body, false), None, "{body:?}");
        }
        assert_eq!(of(&b": ping\n\n".repeat(MOST_UNDECIDED), false), Some(Form::Whole), "not for ever");
    }
}
