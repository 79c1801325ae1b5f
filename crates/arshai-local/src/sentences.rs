//! The sentences of a passage, as far as its markup tells.

use unicode_segmentation::UnicodeSegmentation as _;

/// A sentence, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) text: String,
    pub(crate) is_heading: bool,
}

/// Splits a passage. Wrapped lines of a paragraph belong together; headings, items of lists, rows of tables and lines
/// of code stand for themselves.
pub(crate) fn sentences(text: &str) -> Vec<Sentence> {
    let mut splitter = Splitter { out: Vec::new(), paragraph: String::new() };
    let mut in_code = false;
    for line in text.lines() {
        let trimmed = line.trim();
        let fence = trimmed.starts_with("```") || trimmed.starts_with("~~~");
        if fence {
            in_code = !in_code;
        }
        if fence || trimmed.is_empty() {
            splitter.end_paragraph();
        } else if is_rule(trimmed) {
            splitter.end_underlined();
        } else if in_code {
            splitter.line(trimmed, false);
        } else if let Some(title) = heading(trimmed) {
            splitter.line(title, true);
        } else if trimmed.starts_with('|') {
            splitter.line(trimmed, false);
        } else {
            if is_item(trimmed) {
                splitter.end_paragraph();
            }
            splitter.wrapped(trimmed);
        }
    }
    splitter.end_paragraph();
    splitter.out
}

struct Splitter {
    out: Vec<Sentence>,
    paragraph: String,
}

impl Splitter {
    fn wrapped(&mut self, line: &str) {
        if !self.paragraph.is_empty() {
            self.paragraph.push(' ');
        }
        self.paragraph.push_str(line);
    }

    fn line(&mut self, line: &str, is_heading: bool) {
        self.end_paragraph();
        self.push(line, is_heading);
    }

    /// What stands above a line of `===` is a title.
    fn end_underlined(&mut self) {
        let title = std::mem::take(&mut self.paragraph);
        self.push(&title, true);
    }

    fn end_paragraph(&mut self) {
        let paragraph = std::mem::take(&mut self.paragraph);
        for sentence in paragraph.unicode_sentences() {
            self.push(sentence, false);
        }
    }

    fn push(&mut self, text: &str, is_heading: bool) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            self.out.push(Sentence { text, is_heading });
        }
    }
}

fn heading(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    ((1..=6).contains(&level) && rest.starts_with([' ', '\t'])).then(|| rest.trim())
}

fn is_item(line: &str) -> bool {
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = digits.len() < line.len() && (digits.starts_with(". ") || digits.starts_with(") "));
    numbered || ["- ", "* ", "+ "].iter().any(|mark| line.starts_with(mark))
}

/// A line of one punctuation character: an underline or a separator.
fn is_rule(line: &str) -> bool {
    let first = line.chars().next().filter(char::is_ascii_punctuation);
    line.len() >= 3 && first.is_some_and(|first| line.chars().all(|c| c == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        sentences(text).into_iter().map(|sentence| sentence.text).collect()
    }

    #[test]
    fn wrapped_lines_are_one_sentence_and_structure_is_kept_apart() {
        let text = "# Title\nOne sentence that\nis wrapped. Another.\n- item one\n- item two\n  goes on\n\n\
                    ```\nlet a = 1;\nlet b = 2;\n```\n| a | b |\n| c | d |";
        assert_eq!(
            texts(text),
            [
                "Title",
                "One sentence that is wrapped.",
                "Another.",
                "- item one",
                "- item two goes on",
                "let a = 1;",
                "let b = 2;",
                "| a | b |",
                "| c | d |"
            ]
        );
    }

    #[test]
    fn an_underlined_line_is_a_heading() {
        let all = sentences("Title\n=====\nBody here.");
        assert_eq!(all.iter().map(|s| s.is_heading).collect::<Vec<_>>(), [true, false]);
    }
}
