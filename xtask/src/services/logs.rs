//! The end of a log, for error messages and `services logs`.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// More than this is not read, however long the lines are.
const MOST: u64 = 256 * 1024;

/// The last lines of a file; a note when there is no file.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    match end_of(path) {
        Ok(text) if text.trim().is_empty() => format!("({} is empty)", path.display()),
        Ok(text) => {
            let all: Vec<&str> = text.lines().collect();
            all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
        }
        Err(error) => format!("({}: {error})", path.display()),
    }
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(tail(&path, 2).starts_with('('));
        std::fs::write(&path, format!("{}\nlast but one\nlast", "x".repeat(1 << 20))).unwrap();
        assert_eq!(tail(&path, 2), "last but one\nlast");
    }
}
