//! Whether a streamed reply is events at all.

use crate::transport::opening;

/// The fields of an event; a comment is a field without a name.
const FIELDS: [&[u8]; 5] = [b"", b"data", b"event", b"id", b"retry"];
/// The longest of their names.
const LONGEST: usize = 5;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Server-sent events.
    Events,
    /// A page or a JSON value, to be understood whole.
    Whole,
}

/// Goes by the beginning of a body rather than by what the server calls it: some send events without a content type or
/// with another one, others send an error or a whole reply as if it were events. `None` until enough has come.
pub(super) fn of(beginning: &[u8], is_called_events: bool) -> Option<Form> {
    let text = opening::text(beginning);
    if opening::is_blank(text) {
        return None;
    }
    let first = text.first()?;
    if matches!(first, b'<' | b'{' | b'[') {
        return Some(Form::Whole);
    }
    if is_called_events {
        return Some(Form::Events);
    }
    match text.iter().position(|byte| matches!(byte, b':' | b'\n' | b'\r')) {
        Some(end) if text.get(..end).is_some_and(|name| FIELDS.contains(&name)) => Some(Form::Events),
        None if text.len() <= LONGEST => None,
        _ => Some(Form::Whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str, is_called_events: bool) -> Option<Form> {
        (0..=body.len()).find_map(|end| of(body.as_bytes().get(..end).unwrap(), is_called_events))
    }

    #[test]
    fn events_are_known_without_a_content_type() {
        for body in [
            "data: {}",
            "data:{}",
            "data\n",
            ": ping",
            ":\n",
            "event: error",
            "id: 1",
            "retry: 5",
            "\r\n\ndata: 1",
        ] {
            for body in [body.to_owned(), format!("\u{feff}{body}")] {
                assert_eq!(told(&body, false), Some(Form::Events), "{body:?}");
                assert_eq!(told(&body, true), Some(Form::Events), "{body:?}");
            }
        }
        assert_eq!(told("unknown: field", true), Some(Form::Events));
    }

    #[test]
    fn what_is_no_event_is_known_whatever_it_is_called() {
        for body in ["<html>", "\n  {\"error\": 1}", "[{}]", "\u{feff}{}"] {
            assert_eq!(told(body, false), Some(Form::Whole), "{body:?}");
            assert_eq!(told(body, true), Some(Form::Whole), "{body:?}");
        }
        for body in ["database: no", "Bad Gateway", "\"refused\"", "ok\n", "null\n"] {
            assert_eq!(told(body, false), Some(Form::Whole), "{body:?}");
        }
    }

    #[test]
    fn too_little_is_nothing_yet() {
        for body in ["", " \n", "\u{feff}", " \u{feff} \n", "dat", "data", "retry", "\"no\""] {
            assert_eq!(told(body, false), None, "{body:?}");
        }
    }
}
