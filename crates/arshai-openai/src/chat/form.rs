//! Whether a streamed reply is events at all.

/// The fields of an event; a comment is a field without a name.
const FIELDS: [&[u8]; 5] = [b"", b"data", b"event", b"id", b"retry"];
/// The longest of their names.
const LONGEST: usize = 5;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
    let text = trimmed(beginning);
    if BYTE_ORDER_MARK.starts_with(text) {
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

/// Without byte order marks and space before it, however often they follow one another: what is trimmed piece by piece
/// is the same as what is trimmed at once.
pub(super) fn trimmed(mut body: &[u8]) -> &[u8] {
    loop {
        let text = body.trim_ascii_start();
        match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => body = rest,
            None => return text,
        }
    }
}

/// Forgets what is before the text, so that a body that begins with much space is neither kept nor looked through again
/// with every piece of it. A byte order mark of which only a part has come is kept.
pub(super) fn trim(body: &mut Vec<u8>) {
    let before = body.len() - trimmed(body).len();
    body.drain(..before);
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

    #[test]
    fn space_before_the_text_is_not_kept() {
        let mut kept = Vec::new();
        for chunk in "\u{feff}".as_bytes().chunks(2).chain([b" \r\n".repeat(1 << 16).as_slice(); 50]) {
            kept.extend_from_slice(chunk);
            trim(&mut kept);
            assert_eq!(of(&kept, false), None);
            assert!(kept.len() <= 2, "{}", kept.len());
        }
        kept.extend_from_slice(b"\n data: {}");
        trim(&mut kept);
        assert_eq!(kept, b"data: {}");
    }

    #[test]
    fn the_text_begins_at_the_same_place_wherever_the_bytes_are_cut() {
        for body in ["\u{feff}\r\n data: 1 ", " \u{feff}data: 1 ", "\u{feff}\u{feff}\n\u{feff}data: 1 "] {
            for size in 1..=body.len() {
                let mut kept = Vec::new();
                for chunk in body.as_bytes().chunks(size) {
                    kept.extend_from_slice(chunk);
                    trim(&mut kept);
                }
                assert_eq!(kept, b"data: 1 ", "{body:?} in chunks of {size}");
            }
        }
    }
}
