//! Cutting a document into chunks along its structure.
//!
//! Every chunk is a slice of the text. Sections and paragraphs stay whole where they fit; a paragraph that is too
//! long is cut at sentences, a sentence at words, a word at graphemes. The same text and settings give the same
//! chunks.

mod blocks;
mod overlap;
mod pieces;

use std::{ops::Range, sync::Arc};

use blocks::{Block, Kind};

use crate::Format;

/// How long chunks are. Lengths count Unicode scalar values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChunkSettings {
    /// No chunk is longer. Default: 1200. At least 1.
    pub max_chars: usize,
    /// A chunk that continues a section begins with up to this many of the last characters of the chunk before it.
    /// Default: 150. At most half of `max_chars` is used.
    pub overlap_chars: usize,
}

impl Default for ChunkSettings {
    fn default() -> Self {
        Self { max_chars: 1200, overlap_chars: 150 }
    }
}

impl ChunkSettings {
    /// Chunks of at most `max_chars` with `overlap_chars` in common.
    pub fn new(max_chars: usize, overlap_chars: usize) -> Self {
        Self { max_chars, overlap_chars }
    }

    fn max(&self) -> usize {
        self.max_chars.max(1)
    }

    fn overlap(&self) -> usize {
        self.overlap_chars.min(self.max() / 2)
    }
}

/// One chunk of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
    /// The headings above it, outermost first, joined by ` > `.
    pub heading: Option<Arc<str>>,
}

impl Chunk {
    /// Its text.
    pub fn text<'a>(&self, whole: &'a str) -> &'a str {
        whole.get(self.range.clone()).unwrap_or_default()
    }
}

/// Cuts `text` into chunks. HTML must have been turned into text before; its headings are written as Markdown's.
///
/// # Examples
///
/// ```
/// use arshai_kb_tool::{ChunkSettings, Format, chunk::chunk};
///
/// let text = "# Tea\n\nSteep it.\n\n## Green\n\nTwo minutes.";
/// let chunks = chunk(text, Format::Markdown, &ChunkSettings::new(24, 0));
/// let texts: Vec<_> = chunks.iter().map(|chunk| chunk.text(text)).collect();
/// assert_eq!(texts, ["# Tea\n\nSteep it.", "## Green\n\nTwo minutes."]);
/// assert_eq!(chunks[1].heading.as_deref(), Some("Tea > Green"));
/// ```
pub fn chunk(text: &str, format: Format, settings: &ChunkSettings) -> Vec<Chunk> {
    let mut packer = Packer { text, settings: *settings, open: None, chunks: Vec::new() };
    let mut blocks = blocks::blocks(text, format).into_iter().peekable();
    while let Some(block) = blocks.next() {
        // A heading belongs to what follows it: it does not stay behind at the end of a full chunk.
        let follower = match (block.kind, blocks.peek()) {
            (Kind::Heading, Some(next)) => next.chars(text).min(settings.max()),
            _ => 0,
        };
        packer.add(block, follower);
    }
    packer.finish()
}

/// A chunk that is being filled.
struct Open {
    range: Range<usize>,
    chars: usize,
    heading: Option<Arc<str>>,
    has_body: bool,
}

struct Packer<'a> {
    text: &'a str,
    settings: ChunkSettings,
    open: Option<Open>,
    chunks: Vec<Chunk>,
}

impl Packer<'_> {
    fn add(&mut self, block: Block, follower: usize) {
        let max = self.settings.max();
        let is_heading = block.kind == Kind::Heading;
        if is_heading && self.section_is_long_enough() {
            self.close();
        }
        let chars = block.chars(self.text);
        let fits = self.fits(&block.range, chars.saturating_add(follower));
        let below_heading = self.open.as_ref().is_some_and(|open| !open.has_body);
        if chars <= max && (fits || !below_heading) {
            if is_heading && !fits {
                self.close();
            }
            return self.put(block.range, chars, block.heading, is_heading);
        }
        // Too long, or it would leave a heading alone: cut it so that the first piece fits.
        let used =
            self.open.as_ref().filter(|_| below_heading).map_or(0, |open| open.chars.saturating_add(2));
        let limit = max.saturating_sub(self.settings.overlap().max(used)).max(max / 2).max(1);
        for piece in pieces::pieces(self.text, &block, limit) {
            let chars = count(self.text, &piece);
            self.put(piece, chars, block.heading.clone(), is_heading);
        }
    }

    /// Adds a piece of at most the maximal length, to the open chunk where it fits, else to a new one.
    fn put(&mut self, range: Range<usize>, chars: usize, heading: Option<Arc<str>>, is_heading: bool) {
        let fits = self.fits(&range, chars);
        if let Some(open) = self.open.as_mut().filter(|_| fits) {
            let gap = open.range.end..range.start;
            open.chars += count(self.text, &gap) + chars;
            open.range.end = range.end;
            if !open.has_body {
                open.heading = heading;
                open.has_body = !is_heading;
            }
            return;
        }
        let before = self.close();
        let mut range = range;
        let mut length = chars;
        if let Some(before) = before.filter(|before| !is_heading && before.heading == heading) {
            let room = self.settings.max().saturating_sub(chars);
            let budget = self.settings.overlap().min(room);
            let gap = count(self.text, &(before.range.end..range.start));
            if let Some(start) = overlap::start(self.text, &before.range, budget.saturating_sub(gap)) {
                length += count(self.text, &(start..range.start));
                range.start = start;
            }
        }
        self.open = Some(Open { range, chars: length, heading, has_body: !is_heading });
    }

    fn fits(&self, range: &Range<usize>, chars: usize) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let gap = count(self.text, &(open.range.end..range.start));
            open.chars.saturating_add(gap).saturating_add(chars) <= self.settings.max()
        })
    }

    /// Short sections share a chunk; from a quarter of the maximum on, a section ends its chunk.
    fn section_is_long_enough(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.has_body && open.chars >= self.settings.max() / 4)
    }

    fn close(&mut self) -> Option<Chunk> {
        let open = self.open.take()?;
        let chunk = Chunk { range: open.range, heading: open.heading };
        self.chunks.push(chunk.clone());
        Some(chunk)
    }

    fn finish(mut self) -> Vec<Chunk> {
        self.close();
        self.chunks
    }
}

fn count(text: &str, range: &Range<usize>) -> usize {
    text.get(range.clone()).map_or(0, |slice| slice.chars().count())
}

#[cfg(test)]
mod tests;
