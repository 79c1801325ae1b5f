//! The one place that prints.
//!
//! Text that came from documents, models or users may hold terminal escape sequences; people's output never does.
//! JSON keeps the data exact: there such characters are escaped as JSON escapes them.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};

/// Prints results on standard output and remarks on standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    pub(crate) json: bool,
    pub(crate) verbose: bool,
}

impl Printer {
    /// Prints a result: `text` for people, `value` for programs.
    pub(crate) fn result(self, value: &Value, text: impl FnOnce() -> String) -> Outcome {
        if self.json { print_line(&json_text(value)) } else { print_line(&clean(&text())) }
    }

    /// A remark on standard error: a line for people, `{"note": …}` for programs.
    pub(crate) fn remark(self, text: &str) {
        if self.json {
            eprint_line(&json_text(&json!({ "note": text })));
        } else {
            eprint_line(&clean(text));
        }
    }

    /// A remark for those who asked for more.
    pub(crate) fn detail(self, text: &str) {
        if self.verbose {
            self.remark(text);
        }
    }

    /// Whether a progress bar may be drawn.
    pub(crate) fn shows_progress(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            if let Some(value) = failure.to_json() {
                eprint_line(&json_text(&value));
            }
        } else if let Some(text) = failure.to_text() {
            eprint_line(&clean(&text));
        }
    }
}

/// JSON on one line in which every control character is escaped, the C1 controls and DEL too.
fn json_text(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        if c.is_control() {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// [`clean`] on one line: a name with a line break in it must not look like two.
pub(crate) fn clean_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

/// Text without escape sequences and control characters; line breaks stay, tabs become spaces.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaner = Cleaner::new();
    cleaner.push(text);
    cleaner.take()
}

/// [`clean`] for text that arrives in pieces: an escape sequence may be cut in two.
pub(crate) struct Cleaner {
    stripped: strip_ansi_escapes::Writer<Passed>,
    passed: Passed,
}

/// What the stripper let through and nobody took yet.
#[derive(Clone, Default)]
struct Passed(Arc<Mutex<Vec<u8>>>);

impl Write for Passed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Cleaner {
    pub(crate) fn new() -> Self {
        let passed = Passed::default();
        Self { stripped: strip_ansi_escapes::Writer::new(passed.clone()), passed }
    }

    pub(crate) fn push(&mut self, text: &str) {
        // U+009B and its kind are escape introducers too; the stripper would read their bytes as text.
        let seven_bit: String = text.chars().filter(|c| !matches!(u32::from(*c), 0x80..=0x9f)).collect();
        // The stripper drops tabs; four spaces look the same.
        let seven_bit = seven_bit.replace('\t', "    ");
        let _infallible = self.stripped.write_all(seven_bit.as_bytes()).and_then(|()| self.stripped.flush());
    }

    /// What is clean by now and was not taken yet.
    pub(crate) fn take(&mut self) -> String {
        let bytes = std::mem::take(&mut *self.passed.0.lock().unwrap_or_else(PoisonError::into_inner));
        let text = String::from_utf8_lossy(&bytes);
        text.chars().filter(|c| !c.is_control() || *c == '\n').collect()
    }
}

fn print_line(text: &str) -> Outcome {
    print_piece(&format!("{text}\n"))
}

/// Prints without a line break, for prompts and for what comes in pieces.
pub(crate) fn print_piece(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        // The reader has gone (`| head`): nobody is left to tell, and nothing failed.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn eprint_line(text: &str) {
    // When even standard error is gone there is nowhere to say so.
    let _ignored = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_output_holds_no_escape() {
        for hostile in [
            "a\u{1b}[31mb",
            "a\u{1b}]0;title\u{7}b",
            "a\u{9b}31mb",
            "a\u{8}\u{7f}b\r",
            "a\u{1b}Pdcs\u{1b}\\b",
        ] {
            let cleaned = clean(hostile);
            assert!(!cleaned.chars().any(char::is_control), "{cleaned:?}");
            assert!(cleaned.starts_with('a') && cleaned.ends_with('b'), "{cleaned:?}");
        }
        assert_eq!(clean("é\n\tб 東"), "é\n    б 東");
    }

    #[test]
    fn an_escape_sequence_cut_in_two_is_still_stripped() {
        let mut cleaner = Cleaner::new();
        cleaner.push("a\u{1b}");
        assert_eq!(cleaner.take(), "a");
        cleaner.push("[31mb");
        assert_eq!(cleaner.take(), "b");
    }

    #[test]
    fn json_holds_no_raw_control_character_and_parses_back() {
        let value = Value::from("\u{1b}[31m\u{9b}\u{7f}\n");
        let text = json_text(&value);
        assert!(!text.chars().any(char::is_control));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
