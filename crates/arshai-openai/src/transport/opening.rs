//! Where the text of a body begins, whatever blanks and byte order marks a server sends before it.

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Without byte order marks and space before it, however often they follow one another: what is trimmed piece by piece
/// is the same as what is trimmed at once.
pub fn text(mut body: &[u8]) -> &[u8] {
    loop {
        let text = body.trim_ascii_start();
        match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => body = rest,
            None => return text,
        }
    }
}

/// Whether nothing of the text has come yet. Half a byte order mark is nothing.
pub fn is_blank(text: &[u8]) -> bool {
    BYTE_ORDER_MARK.starts_with(text)
}

/// Forgets what is before the text, so that a body that begins with much space is neither kept nor looked through again
/// with every piece of it. A byte order mark of which only a part has come is kept.
pub fn trim(body: &mut Vec<u8>) {
    let before = body.len() - text(body).len();
    body.drain(..before);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_before_the_text_is_not_kept() {
        let mut kept = Vec::new();
        for chunk in "\u{feff}".as_bytes().chunks(2).chain([b" \r\n".repeat(1 << 16).as_slice(); 50]) {
            kept.extend_from_slice(chunk);
            trim(&mut kept);
            assert!(is_blank(text(&kept)));
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
