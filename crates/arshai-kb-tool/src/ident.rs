//! What identifies a chunk: its key, and the metadata from which the next run reads the state of ingestion.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{ChunkSettings, Format};

/// The metadata keys of a chunk that arshai writes itself.
pub mod metadata {
    /// The document's source.
    pub const SOURCE: &str = "source";
    /// SHA-256 of the document's text as it was given, in hexadecimal.
    pub const CONTENT_HASH: &str = "content_hash";
    /// Digest of format, chunk settings and document metadata, in hexadecimal.
    pub const SETTINGS_HASH: &str = "settings_hash";
    /// The chunk's number in its document, from 0.
    pub const CHUNK: &str = "chunk";
    /// How many chunks the document has.
    pub const CHUNKS: &str = "chunks";
    /// The path of headings above the chunk, joined by ` > `; absent when there is none.
    pub const HEADING: &str = "heading";
    /// Where the document came from: `file`, or absent when a program gave it.
    pub const ORIGIN: &str = "origin";
}

/// Changes when chunking or conversion changes, so that documents are written anew.
const RULES_VERSION: &str = "1";

/// Digest of a document's text.
pub(crate) fn content_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Digest of everything but the text that decides what is stored.
pub(crate) fn settings_hash(
    format: Format,
    settings: &ChunkSettings,
    metadata: &Map<String, Value>,
) -> String {
    let mut digest = Sha256::new();
    part(&mut digest, RULES_VERSION);
    part(&mut digest, format.name());
    part(&mut digest, &format!("{}/{}", settings.max_chars, settings.overlap_chars));
    part(&mut digest, &Value::from(metadata.clone()).to_string());
    let mut hash = hex(&digest.finalize());
    // 64 bits tell settings apart; the hash is repeated in every chunk.
    hash.truncate(16);
    hash
}

/// The key of a chunk: SHA-256 over source, number and text. The same chunk has the same key in every run.
pub(crate) fn chunk_id(source: &str, number: usize, text: &str) -> String {
    let mut digest = Sha256::new();
    part(&mut digest, source);
    digest.update((number as u64).to_le_bytes());
    digest.update(text.as_bytes());
    hex(&digest.finalize())
}

/// Length first, so that no two lists of parts give the same bytes.
fn part(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text.as_bytes());
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_source_number_and_text_and_are_stable() {
        let id = chunk_id("a.md", 0, "text");
        assert_eq!(id, chunk_id("a.md", 0, "text"));
        assert_eq!(id.len(), 64);
        for other in [chunk_id("b.md", 0, "text"), chunk_id("a.md", 1, "text"), chunk_id("a.md", 0, "texts")]
        {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn hex_is_lower_case_and_complete() {
        assert_eq!(hex(&[0x00, 0xAB, 0xFF]), "00abff");
    }
}
