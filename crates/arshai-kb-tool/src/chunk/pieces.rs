//! Cutting one block that is too long: lines or sentences first, then words, graphemes, characters.

use std::{borrow::Cow, ops::Range};

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation as _};

use super::blocks::{Block, Kind};

/// Consecutive pieces of `block`, each at most `limit` scalar values long and without white space around it.
pub(super) fn pieces(text: &str, block: &Block, limit: usize) -> Vec<Range<usize>> {
    let Some(slice) = text.get(block.range.clone()) else { return Vec::new() };
    let mut cutter = Cutter { slice, base: block.range.start, limit, out: Vec::new() };
    match block.kind {
        Kind::Lines => cutter.cut(slice.split_inclusive('\n').map(str::len)),
        Kind::Prose | Kind::Heading => cutter.cut(sentence_lengths(&without_breaks(slice)).into_iter()),
    }
    cutter.out
}

/// The text with every line break as a space, byte for byte: a wrapped line does not end a sentence.
pub(super) fn without_breaks(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ").into() } else { text.into() }
}

/// Whether no character that people see as one is cut at `at`. Sentences and words may end inside one: their rules know
/// fewer marks.
pub(super) fn is_border(text: &str, at: usize) -> bool {
    GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0).unwrap_or(true)
}

/// The rules for the end of a sentence look ahead without bound, so that hostile text takes quadratic time; they see
/// this many bytes at once.
const SENTENCE_WINDOW: usize = 4_096;

/// The lengths in bytes of consecutive sentences. One longer than the window counts as several.
fn sentence_lengths(text: &str) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = (0..=SENTENCE_WINDOW.min(rest.len())).rev().find(|at| rest.is_char_boundary(*at));
        let window = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
        let mut sentences: Vec<usize> = window.split_sentence_bounds().map(str::len).collect();
        // The last one may go on behind the window.
        if window.len() < rest.len() && sentences.len() > 1 {
            sentences.pop();
        }
        rest = rest.get(sentences.iter().sum()..).unwrap_or_default();
        lengths.append(&mut sentences);
    }
    lengths
}

struct Cutter<'a> {
    slice: &'a str,
    base: usize,
    limit: usize,
    out: Vec<Range<usize>>,
}

impl Cutter<'_> {
    /// Takes the lengths of consecutive units in bytes; a unit that is too long is cut further.
    fn cut(&mut self, lengths: impl Iterator<Item = usize>) {
        let (mut at, mut end) = (0, 0);
        for length in lengths {
            end += length;
            if !is_border(self.slice, end) {
                continue;
            }
            let unit = at..end;
            at = end;
            if self.chars(&unit) <= self.limit {
                self.push(unit);
            } else {
                self.cut_words(unit);
            }
        }
    }

    fn cut_words(&mut self, unit: Range<usize>) {
        let Some(slice) = self.slice.get(unit.clone()) else { return };
        let mut group = Group::at(unit.start);
        let mut offset = 0;
        for (at, bounded) in slice.split_word_bound_indices() {
            let end = at + bounded.len();
            if !is_border(slice, end) {
                continue;
            }
            let word = slice.get(offset..end).unwrap_or_default();
            let start = unit.start + offset;
            offset = end;
            let chars = word.chars().count();
            if chars > self.limit {
                self.push(group.take());
                self.cut_graphemes(start, word);
                group = Group::at(group.range.end + word.len());
                continue;
            }
            if group.chars + chars > self.limit {
                self.push(group.take());
            }
            group.add(word.len(), chars);
        }
        self.push(group.take());
    }

    fn cut_graphemes(&mut self, start: usize, word: &str) {
        let mut group = Group::at(start);
        for grapheme in word.graphemes(true) {
            let chars = grapheme.chars().count();
            if group.chars + chars > self.limit {
                self.push(group.take());
            }
            if chars <= self.limit {
                group.add(grapheme.len(), chars);
                continue;
            }
            // A letter with more marks than a chunk is long can only be cut inside.
            for character in grapheme.chars() {
                if group.chars + 1 > self.limit {
                    self.push(group.take());
                }
                group.add(character.len_utf8(), 1);
            }
        }
        self.push(group.take());
    }

    /// Adds a piece, without the white space around it; nothing when nothing else is in it.
    fn push(&mut self, unit: Range<usize>) {
        let Some(piece) = self.slice.get(unit.clone()) else { return };
        let start = unit.start + (piece.len() - piece.trim_start().len());
        let length = piece.trim().len();
        if length > 0 {
            self.out.push(self.base + start..self.base + start + length);
        }
    }

    fn chars(&self, unit: &Range<usize>) -> usize {
        self.slice.get(unit.clone()).map_or(0, |slice| slice.chars().count())
    }
}

/// Neighbouring units that are taken together.
struct Group {
    range: Range<usize>,
    chars: usize,
}

impl Group {
    fn at(start: usize) -> Self {
        Self { range: start..start, chars: 0 }
    }

    fn add(&mut self, bytes: usize, chars: usize) {
        self.range.end += bytes;
        self.chars += chars;
    }

    fn take(&mut self) -> Range<usize> {
        let range = self.range.clone();
        *self = Self::at(range.end);
        range
    }
}
