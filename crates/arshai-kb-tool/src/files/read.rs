//! Reading one file.

use std::{
    fs::File,
    io::{self, Read as _},
};

use arshai_core::{Error, Result};

use super::{
    Reading,
    walk::{Found, unreadable},
};
use crate::{Document, Format, SkipReason, ingest::FILE, metadata};

/// How much of a file tells whether it is text.
const SNIFFED: u64 = 8 * 1024;

/// First bytes of formats that are not text but may begin without a NUL.
const BINARY_MAGIC: [&[u8]; 8] =
    [b"%PDF-", b"PK\x03\x04", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x7fELF", b"7z\xbc\xaf"];

/// Reads a file as a document.
pub(super) fn read(found: &Found, max_bytes: u64) -> Result<Reading> {
    let cannot = |error: io::Error| unreadable("the file cannot be read", error);
    let mut file = File::open(&found.path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() {
        return Ok(Err(SkipReason::Unsupported));
    }
    let format = match Format::of_path(&found.path) {
        Some(format) => format,
        None if found.named => Format::Text,
        None => return Ok(Err(unsupported(&mut file).map_err(cannot)?)),
    };
    let mut bytes = Vec::new();
    (&mut file).take(SNIFFED).read_to_end(&mut bytes).map_err(cannot)?;
    if is_binary(&bytes) {
        return Ok(Err(SkipReason::Binary));
    }
    if about.len() > max_bytes {
        return Err(too_large(max_bytes));
    }
    // A file may grow while it is read.
    let left = max_bytes.saturating_sub(bytes.len() as u64).saturating_add(1);
    bytes.reserve_exact(usize::try_from(about.len()).unwrap_or(0).saturating_sub(bytes.len()));
    file.take(left).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > max_bytes {
        return Err(too_large(max_bytes));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        Error::invalid("the file is not UTF-8 text; convert it to UTF-8")
            .with_context("first_bad_byte", error.utf8_error().valid_up_to())
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    if text.trim().is_empty() {
        return Ok(Err(SkipReason::Empty));
    }
    let mut document = Document::new(&found.source, text).with_format(format);
    document.metadata.insert(metadata::ORIGIN.to_owned(), FILE.into());
    Ok(Ok(document))
}

/// Why a file of unknown extension in a folder is left out.
fn unsupported(file: &mut File) -> io::Result<SkipReason> {
    let mut start = Vec::new();
    file.take(SNIFFED).read_to_end(&mut start)?;
    Ok(if is_binary(&start) { SkipReason::Binary } else { SkipReason::Unsupported })
}

fn is_binary(start: &[u8]) -> bool {
    start.contains(&0) || BINARY_MAGIC.iter().any(|magic| start.starts_with(magic))
}

fn too_large(max_bytes: u64) -> Error {
    let message = match max_bytes >> 20 {
        0 => format!("the file is larger than {max_bytes} bytes; split it"),
        mebibytes => format!("the file is larger than {mebibytes} MiB; split it"),
    };
    Error::invalid(message)
}
