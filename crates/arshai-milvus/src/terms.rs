//! The words of a text as a server's analyzer keeps them apart.
//!
//! Core decides what a word is, so that every engine finds the same. A server sees one token per term: terms of ASCII as
//! they are, and all others as codes of ASCII letters and digits, which no analyzer splits or changes.

use std::fmt::Write as _;

use arshai_core::text::{query_terms, terms};

/// The terms of a text to be stored, at most `most` bytes; `None` when they are more.
pub(crate) fn stored(text: &str, most: usize) -> Option<String> {
    let bigrams: Vec<String> = terms(text).collect();
    let mut out = String::with_capacity(text.len());
    for term in &bigrams {
        push(term, &mut out);
    }
    if out.len() > most {
        return None;
    }
    // A single character of Chinese, Japanese or Korean is found as such, where there is room.
    let mut single = String::new();
    for term in bigrams.iter().filter(|term| is_bigram(term)) {
        if let Some(first) = term.chars().next() {
            push(first.encode_utf8(&mut [0; 4]), &mut single);
        }
    }
    if !single.is_empty() && out.len() + single.len() < most {
        out.push(' ');
        out.push_str(&single);
    }
    Some(out)
}

/// What is asked of the stored terms; `None` when the query has no term that a text can hold.
pub(crate) fn query(text: &str, most: usize) -> Option<String> {
    let mut out = String::new();
    for term in query_terms(text).iter().filter(|term| term.len() <= most) {
        push(term, &mut out);
    }
    if out.is_empty() { None } else { Some(out) }
}

/// Core joins two characters only in scripts without spaces.
fn is_bigram(term: &str) -> bool {
    let mut characters = term.chars();
    let wide = |c: Option<char>| c.is_some_and(|c| u32::from(c) >= 0x1100);
    wide(characters.next()) && wide(characters.next()) && characters.next().is_none()
}

fn push(term: &str, out: &mut String) {
    if !out.is_empty() {
        out.push(' ');
    }
    if term.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        out.push_str(&term.to_ascii_lowercase());
        return;
    }
    // Base 35 per character, each ended by the letter that is no digit of it.
    out.push_str("0z");
    for c in term.chars() {
        let mut rest = u32::from(c);
        while rest > 0 {
            let digit = u8::try_from(rest % 35).unwrap_or(0);
            let digit = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            let _never_fails = out.write_char(char::from(digit));
            rest /= 35;
        }
        out.push('z');
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_term_is_one_token_of_letters_and_digits() {
        let stored = stored("Searching the Cafés: 東京都 שלום", 60_000).unwrap();
        assert!(
            stored.split(' ').all(|token| !token.is_empty()
                && token.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()))
        );
        for query_text in ["cafe", "東京", "東", "שלום", "SEARCH"] {
            let asked = query(query_text, 60_000).unwrap();
            let held: HashSet<&str> = stored.split(' ').collect();
            assert!(asked.split(' ').all(|token| held.contains(token)), "{query_text}: {asked} in {stored}");
        }
    }

    #[test]
    fn different_terms_have_different_codes() {
        let codes: HashSet<String> = ["東京", "京東", "東", "京", "é̂", "דג", "גד"]
            .iter()
            .map(|term| {
                let mut out = String::new();
                push(term, &mut out);
                out
            })
            .collect();
        assert_eq!(codes.len(), 7);
    }

    #[test]
    fn nothing_to_find_is_not_asked() {
        assert_eq!(query("?! \u{0}", 60_000), None);
        assert_eq!(query(&"x".repeat(100), 60), None);
        assert_eq!(stored("", 10).as_deref(), Some(""));
        assert_eq!(stored("many words of text", 10), None);
    }
}
