//! What Azure AI Speech answers.

use std::time::Duration;

use arshai_core::{
    Effect, Error, ErrorKind, Result,
    speech::{Segment, Timestamps, Transcript, Word},
};
use arshai_openai::{Reply, Transport};
use serde_json::Value;

/// A reply of fast transcription.
pub(super) fn fast(reply: &Reply, wanted: Timestamps, transport: &Transport) -> Result<Transcript> {
    let value = json(reply, transport)?;
    let phrases: Vec<&Value> = list(&value, "phrases").collect();
    let texts: Vec<&str> = list(&value, "combinedPhrases").filter_map(text).collect();
    if value.get("combinedPhrases").is_none() && value.get("phrases").is_none() {
        return Err(strange());
    }
    let mut transcript = Transcript::new(match texts.is_empty() {
        false => texts.join(" "),
        true => phrases.iter().filter_map(|phrase| text(phrase)).collect::<Vec<_>>().join(" "),
    });
    transcript.duration = millis(&value, "durationMilliseconds");
    transcript.language = phrases.iter().find_map(|phrase| phrase.get("locale")?.as_str()).map(str::to_owned);
    if wanted > Timestamps::None {
        transcript.segments = phrases.iter().filter_map(|phrase| segment(phrase)).collect();
    }
    if wanted > Timestamps::Segments {
        transcript.words = phrases.iter().flat_map(|phrase| list(phrase, "words")).filter_map(word).collect();
    }
    Ok(transcript)
}

/// A reply about short audio. Times are in ticks of 100 ns.
pub(super) fn short(reply: &Reply, wanted: Timestamps, transport: &Transport) -> Result<Transcript> {
    let value = json(reply, transport)?;
    match value.get("RecognitionStatus").and_then(Value::as_str) {
        Some("Success") => {}
        Some("NoMatch" | "InitialSilenceTimeout" | "EndOfDictation") => return Ok(Transcript::default()),
        Some(status @ ("BabbleTimeout" | "Error")) => {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the recording could not be understood: it holds noise only, or the service failed; try again",
            )
            .with_effect(Effect::Unknown)
            .with_context("recognition_status", status));
        }
        _ => return Err(strange()),
    }
    let best = list(&value, "NBest").next();
    let said = best.and_then(|best| best.get("Display")).or_else(|| value.get("DisplayText"));
    let mut transcript = Transcript::new(said.and_then(Value::as_str).ok_or_else(strange)?);
    let (start, length) = (ticks(&value, "Offset"), ticks(&value, "Duration"));
    if let (Some(start), Some(length)) = (start, length) {
        transcript.duration = Some(start + length);
        if wanted > Timestamps::None && !transcript.text.is_empty() {
            let text = transcript.text.clone();
            transcript.segments.push(Segment { start, end: start + length, text, speaker: None });
        }
    }
    if wanted > Timestamps::Segments {
        let words = best.into_iter().flat_map(|best| list(best, "Words"));
        transcript.words = words
            .filter_map(|word| {
                let start = ticks(word, "Offset")?;
                let end = start + ticks(word, "Duration")?;
                Some(Word { start, end, text: word.get("Word")?.as_str()?.to_owned() })
            })
            .collect();
    }
    Ok(transcript)
}

fn json(reply: &Reply, transport: &Transport) -> Result<Value> {
    let value: Value = serde_json::from_slice(&reply.body).map_err(|_| strange())?;
    match value.get("error").is_some_and(|error| !error.is_null()) {
        true => Err(transport.reported(&value)),
        false => Ok(value),
    }
}

fn segment(phrase: &Value) -> Option<Segment> {
    let start = millis(phrase, "offsetMilliseconds")?;
    let end = start + millis(phrase, "durationMilliseconds")?;
    let speaker = phrase.get("speaker").map(|speaker| speaker.to_string().trim_matches('"').to_owned());
    Some(Segment { start, end, text: text(phrase)?.to_owned(), speaker })
}

fn word(word: &Value) -> Option<Word> {
    let start = millis(word, "offsetMilliseconds")?;
    let end = start + millis(word, "durationMilliseconds")?;
    Some(Word { start, end, text: text(word)?.to_owned() })
}

fn text(value: &Value) -> Option<&str> {
    value.get("text")?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

fn millis(value: &Value, name: &str) -> Option<Duration> {
    value.get(name)?.as_u64().map(Duration::from_millis)
}

fn ticks(value: &Value, name: &str) -> Option<Duration> {
    value.get(name)?.as_u64().map(|ticks| Duration::from_nanos(ticks.saturating_mul(100)))
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn strange() -> Error {
    Error::new(
        ErrorKind::Protocol,
        "the server's reply is no transcript of Azure AI Speech: look at the endpoint and the interface",
    )
    .with_effect(Effect::Unknown)
}
