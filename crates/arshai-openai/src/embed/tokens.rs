//! Guessing tokens without a model's tokenizer, and cutting by them.

/// A token has hardly ever more characters.
const CHARACTERS: usize = 16;

/// About how many tokens a text has.
///
/// Words of up to six letters count one, longer ones one for each six letters begun; two digits, one punctuation mark,
/// one letter of a script without spaces and three letters of other scripts count one each. English prose is
/// overestimated by about a tenth; code, names and rare words may be underestimated by a third, which is why a cut text
/// that is refused is cut again.
pub(super) fn estimate(text: &str) -> usize {
    let mut tokens = 0;
    let mut run = Run::default();
    for character in text.chars() {
        let kind = Kind::of(character);
        if kind != run.kind {
            tokens += run.tokens();
            run = Run { kind, length: 0 };
        }
        run.length += 1;
    }
    tokens + run.tokens()
}

/// The longest beginning of `text` of about `most` tokens, at least one character, ending before a space when there
/// is one in its last eighth.
pub(super) fn beginning(text: &str, most: usize, count: impl Fn(&str) -> usize) -> &str {
    // Binary search over the borders of characters: the count only grows with the text.
    let borders: Vec<usize> = text.char_indices().skip(1).map(|(at, _)| at).chain([text.len()]).collect();
    let fitting = borders.partition_point(|end| text.get(..*end).is_some_and(|head| count(head) <= most));
    let end = borders.get(fitting.saturating_sub(1)).copied().unwrap_or(text.len());
    let head = text.get(..end).unwrap_or(text);
    if head.len() == text.len() {
        return head;
    }
    match head.rfind(char::is_whitespace) {
        Some(space) if space >= head.len() / 8 * 7 && space > 0 => head.get(..space).unwrap_or(head),
        _ => head,
    }
}

/// As [`beginning`], of a text however long: no more of it is looked at than could fit.
pub(super) fn beginning_of_long(text: &str, most: usize, count: impl Fn(&str) -> usize) -> &str {
    let mut characters = most.saturating_mul(CHARACTERS);
    loop {
        let window = text.char_indices().nth(characters).and_then(|(end, _)| text.get(..end));
        let Some(window) = window else { return beginning(text, most, count) };
        let head = beginning(window, most, &count);
        // All of it fits: space has no tokens, and some words have few.
        if head.len() < window.len() {
            return head;
        }
        characters = characters.saturating_mul(2);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Space,
    Letter,
    Digit,
    /// A letter of another alphabet.
    Other,
    /// A character that is a token by itself, or more.
    Single,
}

#[derive(Default)]
struct Run {
    kind: Kind,
    length: usize,
}

impl Kind {
    fn of(character: char) -> Self {
        match character {
            c if c.is_whitespace() => Self::Space,
            'a'..='z' | 'A'..='Z' => Self::Letter,
            '0'..='9' => Self::Digit,
            '\u{80}'..='\u{2fff}' if character.is_alphabetic() => Self::Other,
            _ => Self::Single,
        }
    }
}

impl Run {
    fn tokens(&self) -> usize {
        match self.kind {
            Kind::Space => 0,
            Kind::Letter => self.length.div_ceil(6),
            Kind::Digit => self.length.div_ceil(2),
            Kind::Other => self.length.div_ceil(3),
            Kind::Single => self.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_follows_the_script() {
        for (text, expected) in [
            ("", 0),
            ("word", 1),
            ("the embedding", 3),
            ("2024", 2),
            ("日本語", 3),
            ("привет", 2),
            ("a, b.", 4),
        ] {
            assert_eq!(estimate(text), expected, "{text}");
        }
    }

    #[test]
    fn a_cut_text_fits_and_is_cut_between_characters() {
        for text in ["one two three four five six seven eight nine ten", "日本語日本語日本語", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦", "x"]
        {
            for most in 1..12 {
                let head = beginning(text, most, estimate);
                assert!(text.starts_with(head) && !head.is_empty(), "{text} {most}");
                assert!(estimate(head) <= most || head.chars().count() == 1, "{text} {most}");
            }
        }
        assert_eq!(beginning("short", 100, estimate), "short");
    }

    #[test]
    fn a_window_of_a_long_text_gives_the_beginning_of_the_whole_and_looks_at_no_more() {
        let spaced = format!("one{}two three four", " ".repeat(5_000));
        let texts = [
            "one two three ".repeat(5_000),
            "日本語".repeat(5_000),
            "aé1, ".repeat(5_000),
            spaced,
            "x".into(),
        ];
        for text in &texts {
            for most in [1, 2, 7, 100, 512] {
                let expected = beginning(text, most, estimate);
                assert_eq!(beginning_of_long(text, most, estimate), expected, "{most}");
            }
        }
        let longest = std::cell::Cell::new(0);
        let counted = |text: &str| {
            longest.set(longest.get().max(text.len()));
            estimate(text)
        };
        let words = "word ".repeat(1_000_000);
        assert_eq!(beginning_of_long(&words, 100, counted).len(), 499);
        assert!(longest.get() <= 100 * CHARACTERS, "{}", longest.get());
    }
}
