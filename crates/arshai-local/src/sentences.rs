//! The sentences of a passage, as far as its markup tells.

use unicode_segmentation::UnicodeSegmentation as _;

/// What a sentence is in its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A title, with its level from 1.
    Heading(usize),
    /// A sentence of a paragraph.
    Text,
    /// An item of a list, or a line of code.
    Item,
    /// A row of a table, but not its header.
    Row,
}

/// A sentence, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) text: String,
    pub(crate) kind: Kind,
    /// The header of a row's table, or the words `…:` above an item; else empty.
    pub(crate) lead: String,
}

/// Splits a passage. Wrapped lines of a paragraph belong together; headings, items of lists, rows of tables and lines
/// of code stand for themselves. The header of a table is only the lead of its rows.
pub(crate) fn sentences(text: &str) -> Vec<Sentence> {
    let mut splitter = Splitter::default();
    let mut in_code = false;
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let fence = line.starts_with("```") || line.starts_with("~~~");
        if fence {
            in_code = !in_code;
        }
        if !line.starts_with('|') {
            splitter.header.clear();
        }
        if fence || line.is_empty() {
            splitter.end_paragraph();
        } else if is_rule(line) {
            splitter.end_underlined(line);
        } else if in_code {
            splitter.line(line, Kind::Item);
        } else if let Some((level, title)) = heading(line) {
            splitter.line(title, Kind::Heading(level));
        } else if line.starts_with('|') {
            splitter.end_paragraph();
            if lines.next_if(|next| is_delimiter(next)).is_some() {
                splitter.header = line.to_owned();
            } else if !is_delimiter(line) {
                splitter.line(line, Kind::Row);
            }
        } else {
            if is_item(line) {
                splitter.end_paragraph();
            }
            splitter.wrapped(line);
        }
    }
    splitter.end_paragraph();
    splitter.out
}

#[derive(Default)]
struct Splitter {
    out: Vec<Sentence>,
    paragraph: String,
    /// The header of the table we are in.
    header: String,
    /// The sentence that announces what follows with a colon.
    intro: String,
}

impl Splitter {
    fn wrapped(&mut self, line: &str) {
        if !self.paragraph.is_empty() {
            self.paragraph.push(' ');
        }
        self.paragraph.push_str(line);
    }

    fn line(&mut self, line: &str, kind: Kind) {
        self.end_paragraph();
        self.push(line, kind);
    }

    /// What stands above a line of `===` is a title, unless it reads as a sentence.
    fn end_underlined(&mut self, rule: &str) {
        if is_item(&self.paragraph) || self.paragraph.ends_with(['.', '。']) {
            return self.end_paragraph();
        }
        let title = std::mem::take(&mut self.paragraph);
        self.push(&title, Kind::Heading(if rule.starts_with('=') { 1 } else { 2 }));
    }

    fn end_paragraph(&mut self) {
        let paragraph = std::mem::take(&mut self.paragraph);
        let kind = if is_item(&paragraph) { Kind::Item } else { Kind::Text };
        let mut sentence = String::new();
        for piece in paragraph.unicode_sentences() {
            if !sentence.is_empty() && !goes_on(&sentence, piece) {
                self.push(&sentence, kind);
                sentence.clear();
            }
            sentence.push_str(piece);
        }
        self.push(&sentence, kind);
    }

    fn push(&mut self, text: &str, kind: Kind) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return;
        }
        let lead = match kind {
            Kind::Row => self.header.clone(),
            Kind::Item => self.intro.clone(),
            Kind::Heading(_) | Kind::Text => {
                let announces = kind == Kind::Text && text.ends_with([':', '：']);
                self.intro = if announces { text.clone() } else { String::new() };
                String::new()
            }
        };
        self.out.push(Sentence { text, kind, lead });
    }
}

/// Whether `before` ends with an abbreviation rather than with its sentence, which `after` continues.
fn goes_on(before: &str, after: &str) -> bool {
    let last = before.split_whitespace().next_back().unwrap_or_default();
    let last = last.trim_start_matches(|c: char| !c.is_alphanumeric());
    let next = after.trim_start().chars().next();
    match last {
        "Dr." | "Mr." | "Mrs." | "Ms." | "Prof." | "St." => true,
        "No." | "no." | "Nos." | "nos." => next.is_some_and(char::is_numeric),
        "etc." => next.is_some_and(char::is_lowercase),
        _ => ["e.g.", "i.e.", "vs.", "a.m.", "p.m."].iter().any(|known| last.eq_ignore_ascii_case(known)),
    }
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    ((1..=6).contains(&level) && rest.starts_with([' ', '\t'])).then(|| (level, rest.trim()))
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

/// The line between the header of a table and its rows, such as `|---|:-:|`.
fn is_delimiter(line: &str) -> bool {
    let drawn = |c: char| matches!(c, '|' | '-' | ':') || c.is_whitespace();
    line.starts_with('|') && line.contains('-') && line.chars().all(drawn)
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
    fn an_underlined_line_is_a_heading_and_a_sentence_above_a_separator_is_not() {
        let kinds = |text| sentences(text).iter().map(|s| s.kind).collect::<Vec<_>>();
        assert_eq!(kinds("Title\n=====\nBody here."), [Kind::Heading(1), Kind::Text]);
        assert_eq!(kinds("Body here.\n-----\n- item\n---"), [Kind::Text, Kind::Item]);
    }

    #[test]
    fn a_table_s_header_and_an_announcement_lead_what_follows() {
        let all =
            sentences("These run:\n\n- one\n- two\n\nAfter.\n\n| a | b |\n|---|:-:|\n| c | d |\n\n| e |");
        let found: Vec<(&str, &str)> = all.iter().map(|s| (s.text.as_str(), s.lead.as_str())).collect();
        let lead = "These run:";
        assert_eq!(
            found,
            [
                (lead, ""),
                ("- one", lead),
                ("- two", lead),
                ("After.", ""),
                ("| c | d |", "| a | b |"),
                ("| e |", "")
            ]
        );
    }

    #[test]
    fn abbreviations_do_not_end_a_sentence() {
        for whole in [
            "Dr. Smith and Mrs. Jones met Prof. Ito in St. Ives.",
            "Use a database, e.g. SQLite, i.e. Files, vs. Servers.",
            "It opens at 9 a.m. Monday (p.m. Sunday).",
            "Apples, pears etc. are sold at No. 5.",
        ] {
            assert_eq!(texts(whole), [whole]);
        }
        assert_eq!(
            texts("Is it? No. It takes 5 ms. Apples etc. Then more."),
            ["Is it?", "No.", "It takes 5 ms.", "Apples etc.", "Then more."]
        );
    }
}
