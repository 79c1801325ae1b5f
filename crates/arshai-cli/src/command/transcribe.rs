//! `arshai transcribe`

use arshai::speech::{Audio, Timestamps, TranscribeOptions, Transcript};
use arshai_core::Error;
use serde_json::{Value, json};

use crate::{
    args::{self, TranscriptFormat},
    backends::{Backends, wrong_setting_or},
    failure::Outcome,
    output::Printer,
};

pub(crate) async fn transcribe(args: &args::Transcribe, backends: &Backends, printer: Printer) -> Outcome {
    let transcriber = backends.config.transcriber().await.map_err(wrong_setting_or)?;
    let mut options = TranscribeOptions::default().with_hints(&args.hint);
    options.language.clone_from(&args.language);
    if args.format != TranscriptFormat::Text {
        options.timestamps = Timestamps::Segments;
    }
    let transcript = transcriber.transcribe(Audio::file(&args.file), &options).await;
    let closed = transcriber.close().await;
    let transcript = transcript?;
    closed?;
    let (value, text) = rendered(&transcript, args.format)?;
    printer.result(&value, || text.trim_end().to_owned())
}

/// For programs and for people.
fn rendered(transcript: &Transcript, format: TranscriptFormat) -> Outcome<(Value, String)> {
    let value = serde_json::to_value(transcript)
        .map_err(|error| Error::internal("the transcript cannot be put into JSON").with_source(error))?;
    Ok(match format {
        TranscriptFormat::Text => (value, transcript.text.clone()),
        TranscriptFormat::Json => {
            let text = format!("{value:#}");
            (value, text)
        }
        TranscriptFormat::Srt => subtitles("srt", transcript.to_srt()?),
        TranscriptFormat::Vtt => subtitles("vtt", transcript.to_vtt()?),
    })
}

fn subtitles(format: &str, text: String) -> (Value, String) {
    (json!({ "format": format, "subtitles": text }), text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arshai::speech::Segment;

    use super::*;

    #[test]
    fn formats_are_told_apart() {
        let mut transcript = Transcript::new("Hello.");
        let error = rendered(&transcript, TranscriptFormat::Srt).unwrap_err().to_text().unwrap();
        assert!(error.contains("no times"), "{error}");
        let (start, end) = (Duration::ZERO, Duration::from_secs(1));
        transcript.segments.push(Segment { start, end, text: "Hello.".to_owned(), speaker: None });
        for (format, beginning) in [
            (TranscriptFormat::Text, "Hello."),
            (TranscriptFormat::Srt, "1\n00:00:00,000 --> "),
            (TranscriptFormat::Vtt, "WEBVTT\n\n00:00:00.000"),
            (TranscriptFormat::Json, "{\n"),
        ] {
            let (value, text) = rendered(&transcript, format).unwrap();
            assert!(text.starts_with(beginning) && value.is_object(), "{text}");
        }
    }
}
