//! How terms lie in the text index.
//!
//! The index holds the terms of [`arshai_core::text`], not SQLite's: each distinct term of a chunk is one token,
//! `term=count`. With `detail=none` an entry is then a document number and nothing else, which keeps the index small, and
//! the count is read from the token. Queries read entries by key range from an `fts5vocab` table and never become
//! an FTS5 expression, so nothing in a query can be an operator.

use std::collections::HashMap;

use arshai_core::text::{is_single_cjk, term_counts};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::collection::Stored;
use crate::{error::Outcome, memory::successor};

/// FTS5 cuts tokens at 32 KiB, and the count is at the end. Nobody searches for words this long.
const LONGEST_TERM: usize = 256;

/// A chunk that holds a term, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Posting {
    pub(super) doc: u32,
    pub(super) count: u32,
}

/// The text for the index and its length in terms.
pub(super) fn index_text(text: &str) -> (String, u32) {
    use std::fmt::Write as _;
    let (counts, length) = term_counts(text);
    let mut out = String::with_capacity(counts.len() * 10);
    for (term, count) in &counts {
        let _infallible = write!(out, "{}={count} ", token(term));
    }
    (out, length)
}

/// The chunks that hold `term`, by their numbers. Stops when `enough` says that so many are all it needs to know.
pub(super) fn read_postings(
    connection: &Connection,
    stored: &Stored,
    term: &str,
    enough: impl Fn(u64) -> bool,
) -> Outcome<Vec<Posting>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT doc, term FROM vocab_{} WHERE term >= ?1 AND term < ?2",
        stored.key
    ))?;
    let prefix = is_single_cjk(term);
    let (from, to) = if prefix {
        (term.to_owned(), successor(term))
    } else {
        let token = token(term);
        (format!("{token}="), Some(format!("{token}>")))
    };
    let mut rows = statement.query((from, to))?;
    let mut postings: Vec<Posting> = Vec::new();
    // Only a prefix finds a chunk more than once.
    let mut places: HashMap<u32, usize> = HashMap::new();
    while let Some(row) = rows.next()? {
        let doc: u32 = row.get(0)?;
        let count = count_of(row.get_ref(1)?.as_bytes().unwrap_or_default());
        if prefix {
            if let Some(posting) = places.get(&doc).and_then(|place| postings.get_mut(*place)) {
                posting.count = posting.count.saturating_add(count);
                continue;
            }
            places.insert(doc, postings.len());
        }
        postings.push(Posting { doc, count });
        if enough(postings.len() as u64) {
            break;
        }
    }
    // They come by count first.
    postings.sort_unstable_by_key(|posting| posting.doc);
    Ok(postings)
}

fn token(term: &str) -> String {
    if term.len() <= LONGEST_TERM {
        return term.to_owned();
    }
    // No term begins with `=`, so this is nobody else's token.
    format!("={:x}", Sha256::digest(term.as_bytes()))
}

fn count_of(token: &[u8]) -> u32 {
    let digits = token.rsplit(|byte| *byte == b'=').next().unwrap_or_default();
    digits.iter().fold(0_u32, |count, digit| {
        count.saturating_mul(10).saturating_add(u32::from(digit.saturating_sub(b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_count() {
        assert_eq!(index_text("cat cat cat").0, "cat=3 ");
        assert_eq!(count_of(b"cat=13"), 13);
        assert_eq!(index_text(""), (String::new(), 0));
    }

    #[test]
    fn an_endless_word_becomes_a_short_token() {
        let (tokens, length) = index_text(&"x".repeat(1_000_000));
        assert_eq!(length, 1);
        assert!(tokens.len() < 80 && tokens.starts_with('=') && tokens.ends_with("=1 "), "{tokens}");
    }
}
