//! The form that is sent.

use arshai_core::{
    Error, Result,
    speech::{Timestamps, TranscribeOptions},
};
use arshai_openai::Transport;
use reqwest::{Request, multipart::Form};

use super::{
    Parts,
    config::{Hints, TranscriberConfig},
    quirks::Lessons,
};
use crate::audio::{Source, Why};

/// The fields beside the recording; they are the same for every part of it.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) plain: Vec<(String, String)>,
    /// What of them must not be repeated in errors: the prompt as it is sent, and each text in it.
    pub(super) hidden: Vec<String>,
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
        let texts = options.prompt.as_deref().into_iter().chain(hints);
        let hidden = std::iter::once(prompt).chain(texts).map(str::to_owned).collect();
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

/// From the most that a server can tell to the least that is of use; the last is whatever the server gives by itself.
const TIMED: [Option<&str>; 3] = [Some("verbose_json"), Some("json"), None];
const PLAIN: [Option<&str>; 2] = [Some("json"), None];

impl Shape {
    pub(super) fn new(
        config: &TranscriberConfig,
        lessons: Lessons,
        wanted: Timestamps,
        streamed: bool,
    ) -> Self {
        let format = match (&config.response_format, wanted) {
            (Some(format), _) => Some(format.as_str()),
            (None, Timestamps::None) => PLAIN.get(lessons.plain).copied().flatten(),
            (None, _) => TIMED.get(lessons.timed).copied().flatten(),
        };
        let granularities: &[&str] = match wanted {
            Timestamps::None => &[],
            _ if format != Some("verbose_json") || lessons.no_granularities => &[],
            Timestamps::Segments => &["segment"],
            _ => &["segment", "word"],
        };
        let streamed = streamed && !lessons.no_stream;
        Self { format: format.map(str::to_owned), granularities, streamed }
    }

    /// What is to be asked for when the server refused this shape; `None` when it refused something else.
    pub(super) fn lesson(
        &self,
        error: &Error,
        config: &TranscriberConfig,
        lessons: Lessons,
        wanted: Timestamps,
    ) -> Option<Lessons> {
        if !self.granularities.is_empty() && Transport::is_about(error, "timestamp_granularities") {
            return Some(Lessons { no_granularities: true, ..lessons });
        }
        if config.response_format.is_none() && Transport::is_about(error, "response_format") {
            let (tried, most) = match wanted {
                Timestamps::None => (lessons.plain, PLAIN.len()),
                _ => (lessons.timed, TIMED.len()),
            };
            let next = tried + 1;
            return match wanted {
                _ if next >= most => None,
                Timestamps::None => Some(Lessons { plain: next, ..lessons }),
                _ => Some(Lessons { timed: next, ..lessons }),
            };
        }
        (self.streamed && Transport::is_about(error, "stream"))
            .then_some(Lessons { no_stream: true, ..lessons })
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
