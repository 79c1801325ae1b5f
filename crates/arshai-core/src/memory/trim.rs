//! Keeping a memory short.

use unicode_segmentation::UnicodeSegmentation;

use super::{Memory, Turn};

/// When and how a memory's text is shortened.
///
/// Lengths count Unicode scalar values, as Python's `len` does. The cut falls on a grapheme border, and on a turn
/// border when one lies in the kept window, so that the kept text begins with a whole turn.
///
/// # Examples
///
/// ```
/// use arshai_core::memory::{Memory, TrimPolicy, Turn};
///
/// let mut memory = Memory::empty();
/// for n in 0..100 {
///     memory.push(Turn::user(format!("question {n}")));
///     memory.push(Turn::assistant(format!("answer {n}")));
/// }
/// TrimPolicy::default().apply(&mut memory);
/// assert!(memory.text.starts_with("...\nUser: question"));
/// assert!(memory.text.chars().count() <= 1503);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrimPolicy {
    /// Text longer than this many scalar values is trimmed. Default: 2000.
    pub max_chars: usize,
    /// At most this many of the last scalar values are kept, and never more than `max_chars`. Default: 1500.
    pub keep_chars: usize,
}

impl Default for TrimPolicy {
    fn default() -> Self {
        Self { max_chars: 2000, keep_chars: 1500 }
    }
}

const MARK: &str = "...";

impl TrimPolicy {
    /// Shortens `memory` when it is over the limit; the removed part is replaced by `...`.
    pub fn apply(&self, memory: &mut Memory) {
        // Bytes are never fewer than characters, so most memories are not even counted.
        if memory.text.len() <= self.max_chars || memory.text.chars().count() <= self.max_chars {
            return;
        }
        let window = window_start(&memory.text, self.keep_chars.min(self.max_chars));
        let turns = memory.turns.as_deref().unwrap_or_default();
        let (start, dropped) = match first_turn_border(&memory.text, turns, window) {
            Some(border) => border,
            None => (grapheme_border(&memory.text, window), turns.len()),
        };
        let kept = memory.text.get(start..).unwrap_or_default();
        memory.text = format!("{MARK}{kept}");
        if let Some(turns) = &mut memory.turns {
            turns.drain(..dropped.min(turns.len()));
        }
    }
}

/// The byte offset from which exactly `keep` scalar values follow.
fn window_start(text: &str, keep: usize) -> usize {
    match keep.checked_sub(1) {
        None => text.len(),
        Some(last) => text.char_indices().rev().nth(last).map_or(0, |(offset, _)| offset),
    }
}

/// The first turn that begins at or after `window`: its byte offset and how many turns come before it.
fn first_turn_border(text: &str, turns: &[Turn], window: usize) -> Option<(usize, usize)> {
    let mut best = None;
    let mut start = text.len();
    for (number, turn) in turns.iter().enumerate().rev() {
        start = start.checked_sub(turn.rendered().len())?;
        if start < window {
            break;
        }
        best = Some((start, number));
    }
    best
}

/// The first grapheme border at or after `window`.
fn grapheme_border(text: &str, window: usize) -> usize {
    // A border can be decided from the cluster around it alone; a few dozen scalar values before the window are
    // enough for every real cluster and keep this linear in the window.
    let context = text.get(..window).unwrap_or_default();
    let from = context.char_indices().rev().nth(63).map_or(0, |(offset, _)| offset);
    let tail = text.get(from..).unwrap_or_default();
    tail.grapheme_indices(true)
        .map(|(offset, _)| from + offset)
        .find(|offset| *offset >= window)
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_memory_is_left_alone() {
        let mut memory = Memory::new("é".repeat(2000));
        TrimPolicy::default().apply(&mut memory);
        assert_eq!(memory.text.chars().count(), 2000);
    }

    #[test]
    fn opaque_text_keeps_its_last_characters() {
        let mut memory = Memory::new("x".repeat(2001));
        TrimPolicy::default().apply(&mut memory);
        assert_eq!(memory.text, format!("...{}", "x".repeat(1500)));
    }

    #[test]
    fn a_family_is_not_split() {
        let family = "👨‍👩‍👧‍👦"; // one grapheme of 7 scalar values
        let mut memory = Memory::new(family.repeat(400));
        TrimPolicy::default().apply(&mut memory);
        assert_eq!(memory.text.trim_start_matches("...").graphemes(true).count(), 1500 / 7);
    }

    #[test]
    fn one_huge_turn_is_cut_inside_and_loses_its_structure() {
        let mut memory = Memory::empty();
        memory.push(Turn::user("y".repeat(5000)));
        TrimPolicy::default().apply(&mut memory);
        assert_eq!(memory.text.chars().count(), 1503);
        assert_eq!(memory.turns, Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn trimmed_memory_is_short_and_its_turns_match(
            prefix in "\\PC{0,1200}",
            turns in proptest::collection::vec(("(\\PC|\n){0,700}", any::<bool>()), 0..12),
        ) {
            let mut memory = Memory::new(prefix);
            for (text, user) in turns {
                memory.push(if user { Turn::user(text) } else { Turn::assistant(text) });
            }
            let before = memory.clone();
            TrimPolicy::default().apply(&mut memory);
            prop_assert!(memory.turns_match());
            if before.text.chars().count() > 2000 {
                prop_assert!(memory.text.chars().count() <= 1503);
                let kept = memory.text.strip_prefix("...").unwrap();
                prop_assert!(before.text.ends_with(kept));
                let kept_turns = memory.turns.clone().unwrap_or_default();
                prop_assert!(before.turns.unwrap_or_default().ends_with(&kept_turns));
            } else {
                prop_assert_eq!(before, memory);
            }
        }
    }
}
