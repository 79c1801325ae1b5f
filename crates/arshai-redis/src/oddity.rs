//! What Python's `json` writes that is not JSON, so that an error can name it.

/// The first such thing in a stored value.
pub(crate) fn named(stored: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(stored);
    let mut rest = text.as_ref();
    while let Some(start) = rest.find('"') {
        let (outside, string) = rest.split_at(start);
        if let Some(number) = number(outside) {
            return Some(number);
        }
        let string = string.get(1..).unwrap_or_default();
        let end = end_of_string(string);
        if has_lone_surrogate(string.get(..end).unwrap_or_default()) {
            return Some("it holds half a character (a lone surrogate), which JSON of other programs cannot");
        }
        rest = string.get(end + 1..).unwrap_or_default();
    }
    number(rest)
}

fn number(outside_strings: &str) -> Option<&'static str> {
    let any = ["NaN", "Infinity"].iter().any(|number| outside_strings.contains(number));
    any.then_some("it holds NaN or Infinity, which is not JSON")
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return at,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

fn has_lone_surrogate(string: &str) -> bool {
    let mut high = false;
    let mut rest = string;
    while let Some(at) = rest.find('\\') {
        if high && at > 0 {
            return true;
        }
        let escape = rest.get(at..).unwrap_or_default();
        let unit = escape.strip_prefix("\\u").and_then(|hex| u16::from_str_radix(hex.get(..4)?, 16).ok());
        match (high, unit) {
            (false, Some(0xD800..=0xDBFF)) => high = true,
            (true, Some(0xDC00..=0xDFFF)) => high = false,
            (true, _) | (_, Some(0xDC00..=0xDFFF)) => return true,
            _ => {}
        }
        rest = escape.get(if unit.is_some() { 6 } else { 2 }..).unwrap_or_default();
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_json_is_named_and_json_is_not() {
        for (text, named_as) in [
            (r#"{"a": NaN}"#, Some("NaN")),
            (r#"{"a": [1, -Infinity], "b": "x"}"#, Some("NaN")),
            (r#"{"a": "\ud83d"}"#, Some("surrogate")),
            (r#"{"a": "\ud83d x"}"#, Some("surrogate")),
            (r#"{"a": "\ud83d\n"}"#, Some("surrogate")),
            (r#"{"\udc00": 1}"#, Some("surrogate")),
            (r#"{"a": "\ud83d\ude00 \\ud83d \" NaN \\"}"#, None),
            (r#"{"a": "#, None),
            (r#"{"a": "\u12"#, None),
            (r#"{"a": "\"#, None),
            ("\"\u{fffd}é\\", None),
        ] {
            let found = named(text.as_bytes());
            assert_eq!(found.is_some(), named_as.is_some(), "{text}: {found:?}");
            assert!(named_as.is_none_or(|word| found.is_some_and(|found| found.contains(word))), "{text}");
        }
        assert_eq!(named(b"\xff\"\xff\\"), None);
    }
}
