//! Finding headings, paragraphs and code in a text.

use std::{iter::Peekable, ops::Range, sync::Arc};

use crate::Format;

/// Longer titles are cut in the path of headings, which every chunk repeats.
const MAX_TITLE_CHARS: usize = 120;

/// What a block is, as far as cutting it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Heading,
    /// Sentences; line breaks mean nothing.
    Prose,
    /// Code, lists, tables: every line stands for itself.
    Lines,
}

/// A part of the text that belongs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
    /// The headings above it, its own included.
    pub(super) heading: Option<Arc<str>>,
}

impl Block {
    pub(super) fn chars(&self, text: &str) -> usize {
        text.get(self.range.clone()).map_or(0, |slice| slice.chars().count())
    }
}

/// The blocks of a text, in order; only white space lies between them.
pub(super) fn blocks(text: &str, format: Format) -> Vec<Block> {
    let mut reader =
        Reader { text, format, out: Vec::new(), paragraph: Vec::new(), outline: Outline::default() };
    let mut lines = lines(text).peekable();
    if format == Format::Markdown {
        reader.front_matter(&mut lines);
    }
    while let Some(line) = lines.next() {
        if format == Format::Markdown && fence(line.text).is_some() {
            reader.fenced(&line, &mut lines);
        } else {
            reader.line(line);
        }
    }
    reader.end_paragraph();
    reader.out
}

/// A line without its break.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    start: usize,
    text: &'a str,
}

impl Line<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some(Line { start, text: line.trim_end_matches(['\n', '\r']) })
    })
}

struct Reader<'a> {
    text: &'a str,
    format: Format,
    out: Vec<Block>,
    paragraph: Vec<Line<'a>>,
    outline: Outline,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: Line<'a>) {
        let trimmed = line.text.trim();
        if trimmed.is_empty() {
            return self.end_paragraph();
        }
        match self.format {
            Format::Text => {}
            Format::Markdown | Format::Html => {
                if let Some((level, title)) = atx(line.text) {
                    self.end_paragraph();
                    return self.heading(line.start..line.end(), level, title);
                }
                if self.format == Format::Markdown && self.setext(&line, trimmed) {
                    return;
                }
            }
            Format::Rst => {
                if self.underlined(&line, trimmed) {
                    return;
                }
            }
        }
        self.paragraph.push(line);
    }

    /// Markdown: one line of text underlined with `=` or `-`.
    fn setext(&mut self, line: &Line<'_>, trimmed: &str) -> bool {
        let level = match only_character(trimmed) {
            Some('=') if trimmed.len() >= 2 => 1,
            Some('-') if trimmed.len() >= 3 => 2,
            _ => return false,
        };
        let [title] = self.paragraph.as_slice() else { return false };
        if is_structured(title.text) {
            return false;
        }
        let (range, title) = (title.start..line.end(), title.text);
        self.paragraph.clear();
        self.heading(range, level, title);
        true
    }

    /// reStructuredText: a title underlined, or over- and underlined, with one punctuation character. Its level is
    /// the order in which the styles appear.
    fn underlined(&mut self, line: &Line<'_>, trimmed: &str) -> bool {
        let Some(mark) = only_character(trimmed).filter(char::is_ascii_punctuation) else { return false };
        let (start, title, over) = match self.paragraph.as_slice() {
            [title] if only_character(title.text.trim()).is_none() => (title.start, title.text, false),
            [over, title] if only_character(over.text.trim()) == Some(mark) => (over.start, title.text, true),
            _ => return false,
        };
        if trimmed.chars().count() < title.trim().chars().count().min(4) {
            return false;
        }
        self.paragraph.clear();
        let level = self.outline.style(mark, over);
        self.heading(start..line.end(), level, title);
        true
    }

    fn fenced(&mut self, open: &Line<'a>, lines: &mut impl Iterator<Item = Line<'a>>) {
        self.end_paragraph();
        let Some((mark, length)) = fence(open.text) else { return };
        let mut end = open.end();
        for line in lines {
            if !line.text.trim().is_empty() {
                end = line.end();
            }
            let closes = fence(line.text).is_some_and(|(other, count)| other == mark && count >= length);
            if closes && only_character(line.text.trim()) == Some(mark) {
                break;
            }
        }
        self.block(open.start..end, Kind::Lines);
    }

    /// Metadata between two `---` at the very beginning of a Markdown file.
    fn front_matter(&mut self, lines: &mut Peekable<impl Iterator<Item = Line<'a>>>) {
        let opened = lines.next_if(|line| line.text.trim_end() == "---");
        let closes = |line: &str| matches!(line.trim_end(), "---" | "...");
        let Some(open) = opened else { return };
        let rest = self.text.get(open.end()..).unwrap_or_default();
        if !rest.lines().skip(1).take(200).any(closes) {
            return self.line(open);
        }
        for line in lines {
            if closes(line.text) {
                return self.block(open.start..line.end(), Kind::Lines);
            }
        }
    }

    fn heading(&mut self, range: Range<usize>, level: usize, title: &str) {
        self.outline.enter(level, title);
        self.block(range, Kind::Heading);
    }

    fn end_paragraph(&mut self) {
        let (Some(first), Some(last)) = (self.paragraph.first(), self.paragraph.last()) else { return };
        let range = first.start..last.end();
        let structured = self.paragraph.iter().filter(|line| is_structured(line.text)).count();
        let kind = if structured * 2 > self.paragraph.len() { Kind::Lines } else { Kind::Prose };
        self.paragraph.clear();
        self.block(range, kind);
    }

    fn block(&mut self, range: Range<usize>, kind: Kind) {
        let Some(slice) = self.text.get(range.clone()) else { return };
        let start = range.start + (slice.len() - slice.trim_start().len());
        let range = start..start + slice.trim().len();
        if !range.is_empty() {
            self.out.push(Block { range, kind, heading: self.outline.path.clone() });
        }
    }
}

/// The headings above the current line.
#[derive(Default)]
struct Outline {
    titles: Vec<(usize, String)>,
    path: Option<Arc<str>>,
    styles: Vec<(char, bool)>,
}

impl Outline {
    fn enter(&mut self, level: usize, title: &str) {
        self.titles.retain(|(other, _)| *other < level);
        self.titles.push((level, title.trim().chars().take(MAX_TITLE_CHARS).collect()));
        let titles: Vec<&str> =
            self.titles.iter().map(|(_, title)| title.as_str()).filter(|title| !title.is_empty()).collect();
        self.path = (!titles.is_empty()).then(|| titles.join(" > ").into());
    }

    fn style(&mut self, mark: char, over: bool) -> usize {
        let known = self.styles.iter().position(|style| *style == (mark, over));
        known.unwrap_or_else(|| {
            self.styles.push((mark, over));
            self.styles.len() - 1
        }) + 1
    }
}

/// `## Title ##` → (2, `Title`).
fn atx(line: &str) -> Option<(usize, &str)> {
    let line =
        line.strip_prefix("   ").or(line.strip_prefix("  ")).or(line.strip_prefix(' ')).unwrap_or(line);
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    if !(1..=6).contains(&level) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let title = rest.trim();
    let bare = title.trim_end_matches('#');
    Some((level, if bare.is_empty() || bare.ends_with(' ') { bare.trim() } else { title }))
}

/// The character and length of a code fence.
fn fence(line: &str) -> Option<(char, usize)> {
    let line = line.trim_start();
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = line.chars().take_while(|c| *c == mark).count();
    let after = line.get(length..).unwrap_or_default();
    (length >= 3 && !(mark == '`' && after.contains('`'))).then_some((mark, length))
}

/// The character of which the whole text consists.
fn only_character(text: &str) -> Option<char> {
    let first = text.chars().next()?;
    (text.len() > 1 && text.chars().all(|c| c == first)).then_some(first)
}

/// Whether a line stands for itself: an item of a list, a row of a table, a field, a directive.
fn is_structured(line: &str) -> bool {
    let line = line.trim_start();
    let numbered = || {
        let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
        digits.len() < line.len() && (digits.starts_with(". ") || digits.starts_with(") "))
    };
    ["- ", "* ", "+ ", "|", ":", ".. "].iter().any(|mark| line.starts_with(mark)) || numbered()
}
