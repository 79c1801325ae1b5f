//! Transcripts as subtitles.

use std::{fmt::Write as _, time::Duration};

use super::{Segment, Transcript};
use crate::{Error, Result};

impl Transcript {
    /// The segments as SubRip (SRT).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when there are words and no segments.
    pub fn to_srt(&self) -> Result<String> {
        let mut out = String::new();
        for (number, segment) in (1..).zip(self.timed()?) {
            let (start, end) = (clock(segment.start, ','), clock(segment.end, ','));
            let _infallible = writeln!(out, "{number}\n{start} --> {end}\n{}\n", lines(&segment.text));
        }
        Ok(out)
    }

    /// The segments as WebVTT.
    ///
    /// # Errors
    ///
    /// As [`Transcript::to_srt`].
    pub fn to_vtt(&self) -> Result<String> {
        let mut out = "WEBVTT\n\n".to_owned();
        for segment in self.timed()? {
            let (start, end) = (clock(segment.start, '.'), clock(segment.end, '.'));
            // The three characters that WebVTT gives a meaning; `-->` among them.
            let text = lines(&segment.text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let _infallible = writeln!(out, "{start} --> {end}\n{text}\n");
        }
        Ok(out)
    }

    fn timed(&self) -> Result<&[Segment]> {
        if self.segments.is_empty() && !self.text.is_empty() {
            return Err(Error::unsupported(
                "the transcript has no times: ask for Timestamps::Segments, of a model that tells them",
            ));
        }
        Ok(&self.segments)
    }
}

/// A blank line would end the caption.
fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn clock(time: Duration, point: char) -> String {
    let (seconds, millis) = (time.as_secs(), time.subsec_millis());
    format!("{:02}:{:02}:{:02}{point}{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn transcript() -> Transcript {
        let segment = |start, end, text: &str| Segment {
            start: Duration::from_millis(start),
            end: Duration::from_millis(end),
            text: text.to_owned(),
            speaker: None,
        };
        let mut transcript = Transcript::new("Is a < b? Yes.");
        transcript.segments =
            vec![segment(0, 1_234, " Is a < b?"), segment(3_661_007, 3_662_000, "Yes.\n\n2\n--> no")];
        transcript
    }

    #[test]
    fn srt() {
        assert_eq!(
            transcript().to_srt().unwrap(),
            "1\n00:00:00,000 --> 00:00:01,234\nIs a < b?\n\n2\n01:01:01,007 --> 01:01:02,000\nYes.\n2\n--> no\n\n"
        );
    }

    #[test]
    fn vtt() {
        assert_eq!(
            transcript().to_vtt().unwrap(),
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.234\nIs a &lt; b?\n\n01:01:01.007 --> 01:01:02.000\nYes.\n2\n--&gt; no\n\n"
        );
    }

    #[test]
    fn words_without_times_are_no_subtitles_and_silence_is() {
        assert_eq!(Transcript::new("Hello").to_srt().unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(Transcript::new("").to_srt().unwrap(), "");
    }
}
