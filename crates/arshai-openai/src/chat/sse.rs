//! Server-sent events, put together from bytes as they arrive
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use arshai_core::{Error, ErrorKind, Result};

/// Collects bytes and gives out the data of whole events.
#[doc(hidden)]
#[derive(Debug)]
pub struct Events {
    buffer: Vec<u8>,
    /// Bytes of the buffer that are known to hold no end of a line, and those already given out.
    searched: usize,
    start: usize,
    data: Option<Vec<u8>>,
    most: usize,
    is_first: bool,
}

impl Events {
    /// No event may be longer than `most` bytes.
    pub fn new(most: usize) -> Self {
        Self { buffer: Vec::new(), searched: 0, start: 0, data: None, most, is_first: true }
    }

    /// Adds bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when an event is longer than allowed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
        if self.is_first && self.buffer.len() >= 3 {
            self.is_first = false;
            if self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
        }
        if self.buffer.len() + self.data.as_ref().map_or(0, Vec::len) > self.most {
            return Err(Error::new(ErrorKind::Protocol, "an event of the stream is longer than allowed")
                .with_context("bytes", self.most));
        }
        Ok(())
    }

    /// The data of the next whole event.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when it is not UTF-8.
    pub fn next_event(&mut self) -> Result<Option<String>> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                let Some(data) = self.data.take() else { continue };
                let text = String::from_utf8(data)
                    .map_err(|_| Error::new(ErrorKind::Protocol, "an event of the stream is not UTF-8"))?;
                return Ok(Some(text));
            }
            let Some(value) = line.strip_prefix(b"data") else { continue };
            let value = match value {
                [] => value,
                [b':', b' ', value @ ..] | [b':', value @ ..] => value,
                // Another field whose name begins alike.
                _ => continue,
            };
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
        }
        Ok(None)
    }

    /// Whether bytes are left that are no whole event.
    pub fn is_in_the_middle(&self) -> bool {
        self.data.is_some() || self.buffer.get(self.start..).is_some_and(|rest| !rest.trim_ascii().is_empty())
    }

    /// The next whole line, ended by LF, CR or CR LF. A CR at the very end waits for what follows.
    fn line(&mut self) -> Option<Vec<u8>> {
        let rest = self.buffer.get(self.searched..)?;
        let Some(found) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + found;
        let after = match (self.buffer.get(end), self.buffer.get(end + 1)) {
            (Some(b'\r'), None) => {
                self.searched = end;
                return None;
            }
            (Some(b'\r'), Some(b'\n')) => end + 2,
            _ => end + 1,
        };
        let line = self.buffer.get(self.start..end)?.to_vec();
        self.start = after;
        self.searched = after;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(events: &mut Events) -> Vec<String> {
        std::iter::from_fn(|| events.next_event().unwrap()).collect()
    }

    const STREAM: &str = "\u{feff}: hello\r\ndata: one\r\n\r\nevent: x\nid: 7\ndata:two\ndata: lines\n\ndatabase: no\r\rdata\n\ndata: däta 👩‍👩‍👧‍👦\n\n";

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        let expected = ["one", "two\nlines", "", "däta 👩‍👩‍👧‍👦"];
        for size in 1..STREAM.len() {
            let mut events = Events::new(1 << 16);
            let mut found = Vec::new();
            for chunk in STREAM.as_bytes().chunks(size) {
                events.push(chunk).unwrap();
                found.extend(all(&mut events));
            }
            assert_eq!(found, expected, "in chunks of {size}");
            assert!(!events.is_in_the_middle());
        }
    }

    #[test]
    fn half_an_event_is_not_given_out() {
        let mut events = Events::new(1 << 16);
        events.push(b"data: {\"half\":\n").unwrap();
        assert_eq!(all(&mut events), Vec::<String>::new());
        assert!(events.is_in_the_middle());
    }

    #[test]
    fn an_endless_line_and_bad_utf8_are_errors() {
        let mut events = Events::new(100);
        assert_eq!(events.push(&[b'x'; 101]).unwrap_err().kind(), ErrorKind::Protocol);
        let mut events = Events::new(100);
        events.push(b"data: \xff\xfe\n\n").unwrap();
        assert_eq!(events.next_event().unwrap_err().kind(), ErrorKind::Protocol);
    }
}
