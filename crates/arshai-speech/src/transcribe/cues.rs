//! Subtitles that a server wrote, read back: SubRip and WebVTT.

use std::time::Duration;

use arshai_core::speech::{Segment, Transcript};

/// The transcript of subtitles; `None` for a text that is none.
pub(super) fn read(text: &str) -> Option<Transcript> {
    let is_vtt = text.starts_with("WEBVTT");
    let mut segments = Vec::new();
    let lines = text.replace("\r\n", "\n");
    for block in lines.split("\n\n") {
        let mut lines = block.lines().skip_while(|line| line.trim().is_empty());
        // Before the times there may be a number or a name.
        let Some(times) = lines.find(|line| line.contains("-->")) else { continue };
        let (start, rest) = times.split_once("-->")?;
        let end = rest.split_whitespace().next()?;
        let (start, end) = (clock(start.trim())?, clock(end)?);
        let text = lines.map(str::trim).collect::<Vec<_>>().join("\n");
        let text = if is_vtt { plain(&text) } else { text };
        if !text.trim().is_empty() {
            segments.push(Segment {
                start,
                end: end.max(start),
                text: text.trim().to_owned(),
                speaker: None,
            });
        }
    }
    if segments.is_empty() && !is_vtt {
        return None;
    }
    let all: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
    let mut transcript = Transcript::new(all.join(" "));
    transcript.segments = segments;
    Some(transcript)
}

/// `01:02:03,456`, `02:03.456`.
fn clock(text: &str) -> Option<Duration> {
    let (whole, millis) = text.split_once([',', '.'])?;
    let parts: Vec<u64> = whole.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours, minutes @ ..=59, seconds @ ..=59] => (*hours, *minutes, *seconds),
        [minutes @ ..=59, seconds @ ..=59] => (0, *minutes, *seconds),
        _ => return None,
    };
    let seconds = hours.checked_mul(3600)?.checked_add(minutes * 60 + seconds)?;
    let millis: u64 = millis.parse().ok().filter(|_| millis.len() == 3)?;
    Some(Duration::from_millis(seconds.checked_mul(1000)?.checked_add(millis)?))
}

/// Without tags, and with the characters that were escaped.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => inside = false,
            _ if !inside => out.push(c),
            _ => {}
        }
    }
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_core_writes_is_read_back() {
        let mut transcript = Transcript::new("Is a < b? Yes.");
        for (start, end, text) in [(0, 1_234, "Is a < b?"), (3_661_007, 3_662_000, "Yes.")] {
            let (start, end) = (Duration::from_millis(start), Duration::from_millis(end));
            transcript.segments.push(Segment { start, end, text: text.to_owned(), speaker: None });
        }
        assert_eq!(read(&transcript.to_srt().unwrap()).unwrap(), transcript);
        assert_eq!(read(&transcript.to_vtt().unwrap()).unwrap(), transcript);
    }

    #[test]
    fn a_text_with_an_arrow_is_a_text() {
        for text in [
            "a --> b",
            "Hello.\n\nGo --> there",
            "",
            "99:00 --> x",
            "1:2:3:4,000 --> 1:2:3:5,000",
            "00:75,000 --> 00:80,000\nx",
            "5,000 --> 6,000\nx",
            "0:75:00,000 --> 0:76:00,000\nx",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("WEBVTT").unwrap(), Transcript::default());
    }
}
