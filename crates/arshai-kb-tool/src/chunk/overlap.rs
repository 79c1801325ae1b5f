//! Where the text that two chunks share begins.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::pieces::{is_border, without_breaks};

/// The start of the last whole sentences (or, when none begins there, words) in the last `budget` characters of
/// `before`; `None` when nothing whole fits.
pub(super) fn start(text: &str, before: &Range<usize>, budget: usize) -> Option<usize> {
    let last = budget.checked_sub(1)?;
    let slice = text.get(before.clone())?;
    let (offset, _) = slice.char_indices().rev().nth(last)?;
    // A chunk as short as the window would be repeated as a whole.
    if offset == 0 {
        return None;
    }
    let window = slice.get(offset..)?;
    let plain = without_breaks(window);
    let whole = |at: &usize| *at > 0 && is_border(slice, offset + at);
    let sentence = plain.split_sentence_bound_indices().map(|(at, _)| at).find(whole);
    let word = || {
        let space = window.find(char::is_whitespace)?;
        let rest = window.get(space..)?;
        Some(space + (rest.len() - rest.trim_start().len()))
    };
    let at = sentence.or_else(word).filter(|at| *at < window.len())?;
    Some(before.start + offset + at)
}
