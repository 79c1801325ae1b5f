//! Rules about source files: their length and what must not be left in them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::workspace::{files, shown};

const MAX_LINES: usize = 800;

/// What is left behind, and why it may not be. Written in two halves, so that this file does not break its own rules.
const LEFT_BEHIND: [(&str, &str, &str); 4] = [
    ("to", "do!(", "unfinished code is not committed"),
    ("unimple", "mented!(", "unfinished code is not committed"),
    ("db", "g!(", "debugging is not committed"),
    ("#[ig", "nore", "every test runs, everywhere"),
];

/// The broken rules of all Rust and Python sources.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for path in files(root, &[".rs", ".py"])? {
        let name = shown(root, &path);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
        broken.extend(check_source(&text).into_iter().map(|(line, rule)| format!("{name}:{line}: {rule}")));
    }
    Ok(broken)
}

fn check_source(text: &str) -> Vec<(usize, String)> {
    let generated = text.lines().take(5).any(|line| line.contains("@generated"));
    let mut broken = Vec::new();
    let count = text.lines().count();
    if count > MAX_LINES && !generated {
        broken.push((count, format!("the file has {count} lines, more than {MAX_LINES}; split it")));
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (first, second, why) in LEFT_BEHIND {
            let word = format!("{first}{second}");
            if code.contains(&word) {
                broken.push((number + 1, format!("`{word}`: {why}")));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_found_with_its_line() {
        for (first, second, _) in LEFT_BEHIND {
            let broken = check_source(&format!("fn a() {{}}\n    {first}{second}\n"));
            assert_eq!(broken.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2], "{first}{second}");
            assert_eq!(check_source(&format!("// {first}{second}\n")), []);
        }
    }

    #[test]
    fn long_files_are_found_unless_generated() {
        let long = "x\n".repeat(MAX_LINES + 1);
        assert_eq!(check_source(&long).len(), 1);
        assert_eq!(check_source(&format!("// @generated\n{long}")), []);
        assert_eq!(check_source(&"x\n".repeat(MAX_LINES)), []);
    }
}
