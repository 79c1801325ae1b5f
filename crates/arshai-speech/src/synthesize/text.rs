//! Long texts in parts that can be spoken one after the other.

use unicode_segmentation::UnicodeSegmentation as _;

/// Parts of at most `most` Unicode scalar values, cut at the ends of sentences, else between words, else anywhere.
pub(crate) fn parts(text: &str, most: usize) -> Vec<String> {
    let mut parts = Packing { parts: Vec::new(), last: String::new(), length: 0, most: most.max(1) };
    for sentence in text.split_sentence_bounds() {
        if length(sentence) <= parts.most {
            parts.add(sentence);
            continue;
        }
        for word in sentence.split_word_bounds() {
            if length(word) <= parts.most {
                parts.add(word);
                continue;
            }
            for grapheme in word.graphemes(true) {
                parts.add(grapheme);
            }
        }
    }
    parts.finish()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

struct Packing {
    parts: Vec<String>,
    last: String,
    length: usize,
    most: usize,
}

impl Packing {
    fn add(&mut self, piece: &str) {
        let length = length(piece);
        // Blanks at the end of a part are not spoken.
        if self.length + self::length(piece.trim_end()) > self.most {
            self.close();
        }
        self.last.push_str(piece);
        self.length += length;
        while self.length > self.most && self.last.trim_end().chars().count() > self.most {
            // A single grapheme longer than a part.
            let cut = self.last.char_indices().nth(self.most).map_or(self.last.len(), |(at, _)| at);
            let rest = self.last.split_off(cut);
            self.close();
            self.length = self::length(&rest);
            self.last = rest;
        }
    }

    fn close(&mut self) {
        let part = std::mem::take(&mut self.last);
        self.length = 0;
        let part = part.trim();
        if !part.is_empty() {
            self.parts.push(part.to_owned());
        }
    }

    fn finish(mut self) -> Vec<String> {
        self.close();
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_the_ends_of_sentences() {
        let text = "One two. Three four? Five! Mr. Smith went. ";
        assert_eq!(parts(text, 21), ["One two. Three four?", "Five! Mr. Smith went."]);
        assert_eq!(parts(text, 1000), [text.trim()]);
        assert!(parts(" \n ", 10).is_empty());
    }

    #[test]
    fn a_sentence_longer_than_a_part_is_cut_between_words() {
        assert_eq!(parts("alpha beta gamma delta", 11), ["alpha beta", "gamma delta"]);
    }

    #[test]
    fn nothing_is_lost_and_no_part_is_too_long() {
        let text = "Ein Satz. 東京都に住む。 naïve café! 👩‍👩‍👧‍👦👩‍👩‍👧‍👦 Donaudampfschifffahrtsgesellschaft. x";
        let whole: String = text.split_whitespace().collect();
        for most in 1..60 {
            let parts = parts(text, most);
            assert!(parts.iter().all(|part| (1..=most).contains(&length(part))), "{most}: {parts:?}");
            let joined: String = parts.concat().split_whitespace().collect();
            assert_eq!(joined, whole, "{most}");
        }
    }
}
