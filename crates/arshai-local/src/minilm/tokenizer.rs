//! Text to token ids, as the model was trained with: BERT's normalisation and WordPiece.
//!
//! Written here, and compared in the tests with the ids of the `tokenizers` package, because `rten-text` 0.27 panics
//! on some words of several pieces, does not part Chinese characters and keeps pieces before an unknown one.

use std::collections::HashMap;

use arshai_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use unicode_categories::UnicodeCategories as _;
use unicode_normalization::UnicodeNormalization as _;

/// Longer words are unknown to the model.
const LONGEST_WORD: usize = 100;

/// A vocabulary of word pieces.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    /// Pieces that begin a word.
    first: HashMap<String, i32>,
    /// Pieces that continue one, without their `##`.
    further: HashMap<String, i32>,
    unknown: i32,
    /// Begins every input.
    pub(crate) begin: i32,
    /// Ends every input.
    pub(crate) end: i32,
}

#[derive(Deserialize)]
struct File {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, i32>,
}

impl Tokenizer {
    /// Reads the text of a `tokenizer.json`.
    pub(crate) fn read(json: &[u8]) -> Result<Self> {
        let wrong = |problem: &'static str| Error::new(ErrorKind::Corrupt, problem);
        let file: File = serde_json::from_slice(json).map_err(|error| {
            wrong("tokenizer.json is not a WordPiece vocabulary; delete it and fetch the model again")
                .with_source(error)
        })?;
        let special = |name: &'static str| {
            file.model.vocab.get(name).copied().ok_or_else(|| {
                wrong("tokenizer.json lacks a special token; delete it and fetch the model again")
                    .with_context("token", name)
            })
        };
        let (unknown, begin, end) = (special("[UNK]")?, special("[CLS]")?, special("[SEP]")?);
        let (mut first, mut further) = (HashMap::new(), HashMap::new());
        for (piece, id) in file.model.vocab {
            match piece.strip_prefix("##") {
                Some(rest) if !rest.is_empty() => further.insert(rest.to_owned(), id),
                _ => first.insert(piece, id),
            };
        }
        Ok(Self { first, further, unknown, begin, end })
    }

    /// Stands for a word the vocabulary cannot spell.
    pub(crate) fn unknown(&self) -> i32 {
        self.unknown
    }

    /// The ids of a text, without begin and end. Names of special tokens in a text are ordinary text.
    pub(crate) fn ids(&self, text: &str) -> Vec<i32> {
        let normal = normalised(text);
        let mut ids = Vec::with_capacity(normal.len() / 4);
        for run in normal.split_whitespace() {
            let mut rest = run;
            while let Some((start, mark)) = rest.char_indices().find(|(_, c)| is_punctuation(*c)) {
                let (word, from_mark) = rest.split_at(start);
                self.push_word(word, &mut ids);
                let (mark, after) = from_mark.split_at(mark.len_utf8());
                self.push_word(mark, &mut ids);
                rest = after;
            }
            self.push_word(rest, &mut ids);
        }
        ids
    }

    /// The longest pieces from the left; a word that is not all pieces is one unknown token.
    fn push_word(&self, word: &str, ids: &mut Vec<i32>) {
        if word.is_empty() {
            return;
        }
        let before = ids.len();
        let mut rest = word;
        let mut pieces = &self.first;
        if word.chars().nth(LONGEST_WORD).is_some() {
            ids.push(self.unknown);
            return;
        }
        while !rest.is_empty() {
            let Some((id, after)) = longest(pieces, rest) else {
                ids.truncate(before);
                ids.push(self.unknown);
                return;
            };
            ids.push(id);
            rest = after;
            pieces = &self.further;
        }
    }
}

fn longest<'a>(pieces: &HashMap<String, i32>, text: &'a str) -> Option<(i32, &'a str)> {
    let ends = text.char_indices().rev().map(|(start, c)| start + c.len_utf8());
    ends.map(|end| text.split_at(end)).find_map(|(piece, rest)| Some((*pieces.get(piece)?, rest)))
}

/// Control characters gone, Chinese characters apart, accents gone, lower case; in this order, each on the whole text.
fn normalised(text: &str) -> String {
    let mut apart = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\r' => apart.push(' '),
            '\0' | '\u{fffd}' => {}
            c if c.is_other() => {}
            c if c.is_whitespace() => apart.push(' '),
            c if is_chinese(c) => apart.extend([' ', c, ' ']),
            c => apart.push(c),
        }
    }
    if apart.is_ascii() {
        apart.make_ascii_lowercase();
        return apart;
    }
    apart.nfd().filter(|c| !c.is_mark_nonspacing()).flat_map(char::to_lowercase).collect()
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || (!c.is_ascii() && c.is_punctuation())
}

/// The blocks of Chinese characters that BERT parts; kana and hangul are not among them.
fn is_chinese(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        let json = r####"{"model": {"vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "cat": 3, "##s": 4, "日": 5, "本": 6,
            "c": 7, "##a": 8, ".": 9, "[": 10, "]": 11, "sep": 12, "#": 13, "##": 14}}}"####;
        Tokenizer::read(json.as_bytes()).unwrap()
    }

    #[test]
    fn longest_pieces_win_and_accents_and_case_do_not_matter() {
        assert_eq!(tokenizer().ids("Cats. cÀ cat"), [3, 4, 9, 7, 8, 3]);
        assert_eq!(tokenizer().ids("日本"), [5, 6]);
    }

    #[test]
    fn a_word_that_is_not_all_pieces_is_one_unknown_token() {
        assert_eq!(tokenizer().ids("catz cat☃s"), [0, 0]);
        assert_eq!(tokenizer().ids(&"c".repeat(101)), [0]);
    }

    #[test]
    fn special_tokens_cannot_be_written_in_a_text() {
        assert_eq!(tokenizer().ids("[SEP]"), [10, 12, 11]);
    }

    #[test]
    fn nothing_but_space_and_control_characters_is_nothing() {
        assert!(tokenizer().ids(" \u{a0}\n\0\u{202e}\u{feff}\u{301}").is_empty());
    }

    #[test]
    fn a_broken_vocabulary_is_refused() {
        for json in ["", "{}", r#"{"model": {"vocab": {"[UNK]": 0}}}"#] {
            assert_eq!(Tokenizer::read(json.as_bytes()).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
