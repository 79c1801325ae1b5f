//! The form that is sent.

use std::sync::atomic::{AtomicUsize, Ordering};

use arshai_core::{
    Error, Result,
    speech::{Timestamps, TranscribeOptions},
};
use arshai_openai::Transport;
use reqwest::{Request, multipart::Form};

use super::{Parts, config::Hints};
use crate::audio::{Source, Why};

/// The fields beside the recording; they are the same for every part of it.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) plain: Vec<(String, String)>,
    /// What of them must not be repeated in errors.
    pub(super) hidden: String,
}

impl Fields {
    pub(super) fn new(parts: &Parts, options: &TranscribeOptions) -> Result<Self> {
        let config = &parts.config;
        let mut plain = Vec::new();
        let mut add = |name: &str, value: String| plain.push((name.to_owned(), value));
        if !config.model_field.is_empty() {
            add(&config.model_field, parts.model.clone());
        }
        if let Some(language) = &options.language {
            add("language", language.clone());
        }
        if let Some(temperature) = options.temperature {
            if !(0.0..=1.0).contains(&temperature) {
                return Err(Error::invalid("the temperature of a transcription is from 0 to 1")
                    .with_context("temperature", temperature));
            }
            add("temperature", temperature.to_string());
        }
        let hints: Vec<&str> =
            options.hints.iter().map(|hint| hint.trim()).filter(|hint| !hint.is_empty()).collect();
        let field = match &config.hints {
            Hints::Auto => parts.model.starts_with("gpt-transcribe").then_some("keywords[]"),
            Hints::Prompt => None,
            Hints::Field(field) => Some(field.as_str()),
        };
        let mut prompt = options.prompt.clone().unwrap_or_default();
        match field {
            Some(field) => hints.iter().for_each(|hint| add(field, (*hint).to_owned())),
            // What was said last must stand last: it is what the model goes on from.
            None if !hints.is_empty() => prompt = format!("{}. {prompt}", hints.join(", ")),
            None => {}
        }
        let prompt = prompt.trim();
        if !prompt.is_empty() {
            add("prompt", prompt.to_owned());
        }
        let hidden = format!("{prompt}\n{}", hints.join("\n"));
        plain.extend(config.fields.iter().cloned());
        Ok(Self { plain, hidden })
    }
}

/// How the reply is to look.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) format: Option<String>,
    granularities: &'static [&'static str],
    pub(super) streamed: bool,
}

/// What this server turned out not to give.
#[derive(Debug, Default)]
pub(super) struct Quirks {
    timed: AtomicUsize,
    plain: AtomicUsize,
    no_granularities: AtomicUsize,
}

/// From the most that a server can tell to the least that is of use; the last is whatever the server gives by itself.
const TIMED: [Option<&str>; 3] = [Some("verbose_json"), Some("json"), None];
const PLAIN: [Option<&str>; 2] = [Some("json"), None];

impl Shape {
    pub(super) fn new(parts: &Parts, wanted: Timestamps, streamed: bool) -> Self {
        let quirks = &parts.quirks;
        let format = match (&parts.config.response_format, wanted) {
            (Some(format), _) => Some(format.as_str()),
            (None, Timestamps::None) => quirks.get(&quirks.plain, &PLAIN),
            (None, _) => quirks.get(&quirks.timed, &TIMED),
        };
        let granularities: &[&str] = match wanted {
            Timestamps::None => &[],
            _ if format != Some("verbose_json") || quirks.no_granularities.load(Ordering::Relaxed) > 0 => &[],
            Timestamps::Segments => &["segment"],
            _ => &["segment", "word"],
        };
        Self { format: format.map(str::to_owned), granularities, streamed }
    }

    /// Whether the server refused this shape, and another is to be tried, now and from then on.
    pub(super) fn is_refused(&self, error: &Error, parts: &Parts, wanted: Timestamps) -> bool {
        let quirks = &parts.quirks;
        if !self.granularities.is_empty() && Transport::is_about(error, "timestamp_granularities") {
            quirks.no_granularities.store(1, Ordering::Relaxed);
            return true;
        }
        if parts.config.response_format.is_some() || !Transport::is_about(error, "response_format") {
            return false;
        }
        let (at, all): (_, &[Option<&str>]) = match wanted {
            Timestamps::None => (&quirks.plain, &PLAIN),
            _ => (&quirks.timed, &TIMED),
        };
        let tried = all.iter().position(|format| *format == self.format.as_deref());
        match tried.map(|tried| tried + 1).filter(|next| *next < all.len()) {
            Some(next) => {
                at.fetch_max(next, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }
}

impl Quirks {
    fn get<'a>(&self, at: &AtomicUsize, all: &[Option<&'a str>]) -> Option<&'a str> {
        all.get(at.load(Ordering::Relaxed)).copied().flatten()
    }
}

/// The request.
pub(super) fn request(
    parts: &Parts,
    source: &Source,
    fields: &Fields,
    shape: &Shape,
    why: Why,
) -> Result<Request> {
    let config = &parts.config;
    let mut form = Form::new();
    for (name, value) in &fields.plain {
        form = form.text(name.clone(), value.clone());
    }
    if let Some(format) = &shape.format {
        form = form.text("response_format", format.clone());
    }
    for granularity in shape.granularities {
        form = form.text("timestamp_granularities[]", *granularity);
    }
    if shape.streamed {
        form = form.text("stream", "true");
    }
    // Last, so that a server knows what to do with it when it arrives.
    let form = form.part(config.file_field.clone(), source.part(config.max_upload_bytes, why)?);
    let request = parts.transport.post(&config.path).multipart(form).build();
    request.map_err(|error| {
        Error::invalid("the request cannot be put together: look at the path and the fields")
            .with_source(error.without_url())
    })
}
