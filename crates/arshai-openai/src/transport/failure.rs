//! What went wrong, as an error that says what to do and repeats neither key nor prompt.

use std::{borrow::Cow, error::Error as StdError, fmt, io, time::Duration};

use arshai_core::{Effect, Error, ErrorKind};
use jiff::Timestamp;
use reqwest::{Response, Url, header::HeaderMap};
use serde_json::Value;

use super::{
    Inner, body, headers,
    redact::{Sent, plain},
};

/// Bytes of an error's body that are read.
const MOST_READ: usize = 64 << 10;
/// Fields that some servers refuse, and without which they are asked again. `stream` is none of them: as a word of a
/// prompt it is too common.
const FIELDS: [&str; 5] =
    ["base64", "encoding_format", "response_format", "stream_options", "timestamp_granularities"];

/// What a server said when it refused; the source of the error made of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    kind: Option<String>,
    param: Option<String>,
    message: String,
    /// From what the server said itself: what is left out of a message afterwards must not matter.
    is_too_long: bool,
    is_quota: bool,
    /// Those of the known fields that it names; a prompt may name them too, and they would be left out with it.
    about: Vec<&'static str>,
    /// The status is made of other words.
    is_guessed: bool,
    should_retry: Option<bool>,
    retry_after: Option<Duration>,
}

/// A client's error with all its causes in one line; reqwest's own display stops at the first.
#[derive(Debug)]
struct Broken(reqwest::Error);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        causes(&self.0).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl StdError for Broken {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

fn is_about_certificates(error: &reqwest::Error) -> bool {
    causes(error).any(|mut cause| {
        // An I/O error that carries another error is not in the chain itself, and it may carry an I/O error.
        while let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            cause = inner;
        }
        matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
    })
}

/// What made a body break off.
pub(super) fn cause(error: reqwest::Error) -> impl StdError + Send + Sync + 'static {
    Broken(error.without_url())
}

/// A request that got no reply.
pub(super) fn broken(inner: &Inner, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let (kind, message, effect) = if is_about_certificates(&error) {
        (
            ErrorKind::Config,
            "the server's certificate is not trusted; look at the base URL, or set ca_file to its authority",
            Effect::NotApplied,
        )
    } else if error.is_connect() {
        (
            ErrorKind::Unavailable,
            "the server cannot be reached; look at the base URL and at the server",
            Effect::NotApplied,
        )
    } else if error.is_timeout() {
        (ErrorKind::Timeout, "the server took too long to answer; look at the server", Effect::Unknown)
    } else if error.is_builder() {
        (ErrorKind::InvalidInput, "the request cannot be put together", Effect::NotApplied)
    } else {
        (ErrorKind::Unavailable, "the connection broke before the reply; try again", Effect::Unknown)
    };
    Error::new(kind, message)
        .with_effect(effect)
        .with_context("host", inner.endpoint.host())
        .with_context("port", inner.endpoint.port())
        .with_source(Broken(error))
}

/// A reply that is not a success. `sent` is what was asked, so that no part of it is repeated. The body is waited for
/// no longer than `patience`: what the status says is not lost with it.
pub(super) async fn refused(inner: &Inner, response: Response, sent: &Sent, patience: Duration) -> Error {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let from = response.url().clone();
    let body = body::beginning(response, MOST_READ, patience).await;
    let error = if (300..400).contains(&status) {
        redirected(status, &headers, &from)
    } else {
        Refusal::read(status, &headers, &body).into_error(sent)
    };
    let error = error.with_context("host", inner.endpoint.host());
    match headers::request_id(&headers) {
        Some(id) => error.with_context("request_id", plain(id)),
        None => error,
    }
}

/// An error that arrived inside a reply that had begun well. `sent` is what was asked.
pub(crate) fn reported(body: &Value, sent: &Sent) -> Error {
    let mut refusal = Refusal::default();
    refusal.take(body);
    let told = refusal.code.as_deref().and_then(|code| code.parse().ok());
    match told.filter(|code| (400..600).contains(code)) {
        Some(status) => refusal.status = status,
        None => refusal.guess_status(),
    }
    refusal.judge();
    refusal.into_error(sent)
}

fn redirected(status: u16, headers: &HeaderMap, from: &Url) -> Error {
    let target = headers::text(headers, "location").and_then(|location| from.join(location).ok());
    let target = target.as_ref().and_then(Url::host_str).unwrap_or("unknown").to_owned();
    Error::new(
        ErrorKind::Config,
        "the server redirects; redirects are not followed, so that the key stays here: set base_url to the target if you trust it",
    )
    .with_context("status", status)
    .with_context("target", plain(&target))
}

impl Refusal {
    /// What the server said, when it is the source of this error.
    pub(crate) fn of(error: &Error) -> Option<&Self> {
        error.source()?.downcast_ref()
    }

    fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let mut this = Self {
            status,
            retry_after: headers::retry_after(headers, Timestamp::now()),
            should_retry: headers::text(headers, "x-should-retry").and_then(|value| value.parse().ok()),
            ..Self::default()
        };
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => this.take(&value),
            Err(_) => {
                let text = String::from_utf8_lossy(body);
                let text = text.trim();
                let is_page = text.starts_with('<');
                this.message = if is_page { "(an HTML page)".to_owned() } else { text.to_owned() };
            }
        }
        this.judge();
        this
    }

    /// The shapes that servers use: OpenAI's object, a plain text, FastAPI's `detail`, vLLM's flat object, lists of these.
    fn take(&mut self, body: &Value) {
        match body {
            Value::String(text) => self.message.clone_from(text),
            Value::Array(items) => {
                // FastAPI repeats the input beside each of these; only where and what is taken.
                let parts: Vec<String> = items.iter().filter_map(validation).collect();
                match (parts.is_empty(), items.first()) {
                    (true, Some(first)) => self.take(first),
                    _ => self.message = parts.join("; "),
                }
            }
            Value::Object(object) => {
                let inner = ["error", "detail", "errors"].iter().find_map(|name| object.get(*name));
                match inner {
                    Some(inner @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => self.take(inner),
                    _ => {
                        let text = |name: &str| object.get(name).and_then(scalar);
                        self.message = ["message", "msg", "error"]
                            .iter()
                            .find_map(|name| text(name))
                            .unwrap_or_default();
                    }
                }
                let text = |name: &str| object.get(name).and_then(scalar);
                self.code = self.code.take().or_else(|| text("code"));
                self.kind = self.kind.take().or_else(|| text("type").or_else(|| text("status")));
                self.param = self.param.take().or_else(|| text("param"));
            }
            _ => {}
        }
    }

    /// Whether the text is longer than the model, the server's batch or the request may be.
    pub(crate) fn is_too_long(&self) -> bool {
        self.is_too_long
    }

    fn judge(&mut self) {
        self.is_too_long = self.tells_too_long();
        self.is_quota = self.names(&["insufficient_quota", "billing"]);
        self.about = FIELDS.into_iter().filter(|field| self.is_naming(field)).collect();
    }

    /// The status that would go with what an error inside a good reply is called.
    fn guess_status(&mut self) {
        let known: [(u16, &[&str]); 6] = [
            (400, &["invalid_request", "bad_request", "context_length", "content_filter", "invalid_prompt"]),
            (401, &["authentication", "invalid_api_key", "unauthorized"]),
            (404, &["not_found"]),
            (429, &["rate_limit", "insufficient_quota", "too_many", "billing"]),
            (503, &["overloaded", "unavailable"]),
            (500, &["server_error", "internal", "api_error"]),
        ];
        let found = known.iter().find(|(_, names)| self.names(names));
        self.is_guessed = true;
        self.status = found.map_or(500, |(status, _)| *status);
        if found.is_none() {
            // Nothing says that it would go away.
            self.should_retry = Some(false);
        }
    }

    /// llama.cpp says that a text is too long with a status of its own failures.
    fn tells_too_long(&self) -> bool {
        let named = self.names(&["context_length", "context_size", "max_tokens_per_request", "too_large"]);
        let said = [
            "maximum context length",
            "context size",
            "context length",
            "too large to process",
            "too long",
            "too many tokens",
            "maximum input length",
            "max_model_len",
            "must have less than",
            "maximum allowed",
        ];
        self.status == 413 || named || self.says(&said)
    }

    /// Whether it is about this field of the request.
    pub(crate) fn is_about(&self, field: &str) -> bool {
        self.about.contains(&field) || self.is_naming(field)
    }

    fn is_naming(&self, field: &str) -> bool {
        self.param.as_deref().is_some_and(|param| param.contains(field)) || self.says(&[field])
    }

    fn names(&self, wanted: &[&str]) -> bool {
        let names = [self.code.as_deref(), self.kind.as_deref()];
        names.into_iter().flatten().any(|name| wanted.iter().any(|wanted| name.contains(wanted)))
    }

    fn says(&self, wanted: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        wanted.iter().any(|wanted| message.contains(wanted))
    }

    fn into_error(mut self, sent: &Sent) -> Error {
        let too_long = self.is_too_long;
        let is_size = too_long && self.says(&["too large", "context"]);
        let (kind, message): (_, &'static str) = match self.status {
            400 | 413 | 422 if too_long => {
                (ErrorKind::InvalidInput, "the text is too long for the model; shorten it, or let it be cut")
            }
            500 if is_size => {
                (ErrorKind::InvalidInput, "the text is too long for the server; shorten it, or let it be cut")
            }
            401 | 403 => {
                (ErrorKind::Unauthorized, "the server does not accept the key; look at it and its rights")
            }
            404 => (
                ErrorKind::NotFound,
                "the server knows no such model or path; look at the model and the base URL",
            ),
            408 => (ErrorKind::Timeout, "the server gave up waiting; try again"),
            429 if self.is_quota => {
                (ErrorKind::Exhausted, "the quota of the key is used up; look at the plan and its billing")
            }
            429 => (ErrorKind::Exhausted, "the server asks for fewer requests; wait, or set a budget"),
            501 => (ErrorKind::Unsupported, "the server cannot do this; use another server or model"),
            409 | 500..=599 => {
                (ErrorKind::Unavailable, "the server failed; try again, or look at the server")
            }
            _ => (ErrorKind::InvalidInput, "the server refused the request; mend what it names"),
        };
        let retryable = match (self.should_retry, kind) {
            (Some(said), _) => said,
            (None, ErrorKind::Exhausted) => !self.is_quota,
            (None, kind) => matches!(kind, ErrorKind::Timeout | ErrorKind::Unavailable),
        };
        // A server that failed may have done the work; one that refused has not.
        let failed = kind == ErrorKind::Unavailable || kind == ErrorKind::Timeout;
        let effect = if failed { Effect::Unknown } else { Effect::NotApplied };
        let mut error =
            Error::new(kind, Cow::Borrowed(message)).with_retryable(retryable).with_effect(effect);
        if !self.is_guessed {
            error = error.with_context("status", self.status);
        }
        sent.clean([
            &mut self.message,
            self.code.get_or_insert_default(),
            self.kind.get_or_insert_default(),
            self.param.get_or_insert_default(),
        ]);
        for name in [&mut self.code, &mut self.kind, &mut self.param] {
            *name = name.take().filter(|name| !name.is_empty());
        }
        if let Some(code) = self.code.as_deref().or(self.kind.as_deref()) {
            error = error.with_context("code", plain(code));
        }
        if let Some(wait) = self.retry_after {
            error = error.with_retry_after(wait);
        }
        error.with_source(self)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = if self.message.is_empty() { "(nothing)" } else { &self.message };
        write!(f, "the server said: {message}")?;
        match &self.param {
            Some(param) => write!(f, " (about {})", plain(param)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `body.input: field required`, of FastAPI's list.
fn validation(item: &Value) -> Option<String> {
    let what = item.get("msg")?.as_str()?;
    let place = item
        .get("loc")
        .and_then(Value::as_array)
        .map(|parts| parts.iter().filter_map(scalar).collect::<Vec<_>>().join("."));
    Some(place.map_or_else(|| what.to_owned(), |place| format!("{place}: {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Sent {
        let config = crate::OpenAiConfig::new("http://127.0.0.1:1/v1");
        Sent::nothing(&std::sync::Arc::new(crate::config::Endpoint::new(&config).unwrap()))
    }

    fn read(status: u16, body: &str) -> Refusal {
        Refusal::read(status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn every_shape_of_error_is_understood() {
        for (body, code, message) in [
            (r#"{"error":{"message":"no","type":"t","code":"c"}}"#, Some("c"), "no"),
            (
                r#"{"error":{"code":400,"message":"no","type":"exceed_context_size_error"}}"#,
                Some("400"),
                "no",
            ),
            (r#"{"error":"no"}"#, None, "no"),
            (r#"{"detail":"no"}"#, None, "no"),
            (
                r#"{"detail":[{"loc":["body","input",0],"msg":"no","input":"secret words"}]}"#,
                None,
                "body.input.0: no",
            ),
            (r#"{"detail":{"error":"no"}}"#, None, "no"),
            (r#"{"object":"error","message":"no","code":40303}"#, Some("40303"), "no"),
            (r#"[{"error":{"code":429,"message":"no"}}]"#, Some("429"), "no"),
            ("<html>Bad Gateway</html>", None, "(an HTML page)"),
            ("plain no", None, "plain no"),
            (r#"{"error":null}"#, None, ""),
            ("", None, ""),
            ("null", None, ""),
        ] {
            let refusal = read(400, body);
            assert_eq!((refusal.code.as_deref(), refusal.message.as_str()), (code, message), "{body}");
        }
        assert_eq!(Refusal::read(500, &HeaderMap::new(), b"\xff\xfe").message, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn what_a_prompt_says_does_not_hide_which_field_is_refused() {
        let config = crate::OpenAiConfig::new("http://127.0.0.1:1/v1");
        let endpoint = std::sync::Arc::new(crate::config::Endpoint::new(&config).unwrap());
        for field in FIELDS {
            let prompt = [format!("what does the field {field} mean?"), field.to_owned()];
            let sent = Sent::new(&endpoint, None, Some(&prompt));
            for body in [
                format!("Unknown parameter: {field}"),
                format!(r#"{{"error":{{"message":"no","param":"{field}"}}}}"#),
            ] {
                let error = read(400, &body).into_error(&sent);
                let refusal = Refusal::of(&error).unwrap();
                assert!(refusal.is_about(field), "{refusal:?}");
                assert!(!error.to_string().contains(field), "it is left out all the same: {error}");
            }
        }
    }

    #[test]
    fn kinds_follow_the_status_whatever_the_body() {
        for body in ["", "<html>", r#"{"detail":"x"}"#, r#"{"error":{"code":7}}"#] {
            for (status, kind, retryable) in [
                (400, ErrorKind::InvalidInput, false),
                (401, ErrorKind::Unauthorized, false),
                (403, ErrorKind::Unauthorized, false),
                (404, ErrorKind::NotFound, false),
                (408, ErrorKind::Timeout, true),
                (409, ErrorKind::Unavailable, true),
                (413, ErrorKind::InvalidInput, false),
                (422, ErrorKind::InvalidInput, false),
                (429, ErrorKind::Exhausted, true),
                (500, ErrorKind::Unavailable, true),
                (501, ErrorKind::Unsupported, false),
                (503, ErrorKind::Unavailable, true),
                (529, ErrorKind::Unavailable, true),
            ] {
                let error = read(status, body).into_error(&sent());
                assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{status} {body}");
            }
        }
    }

    #[test]
    fn a_used_up_quota_is_not_worth_waiting_for() {
        let error =
            read(429, r#"{"error":{"code":"insufficient_quota","message":"pay"}}"#).into_error(&sent());
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Exhausted, false));
    }

    #[test]
    fn an_error_inside_a_good_reply_is_tried_again_only_when_it_says_why() {
        for (error, kind, retryable) in [
            (r#"{"message":"x","code":503}"#, ErrorKind::Unavailable, true),
            (r#"{"message":"x","code":"429"}"#, ErrorKind::Exhausted, true),
            (r#"{"message":"x","type":"server_error"}"#, ErrorKind::Unavailable, true),
            (r#"{"message":"x","type":"overloaded_error"}"#, ErrorKind::Unavailable, true),
            (r#"{"message":"x","type":"invalid_request_error"}"#, ErrorKind::InvalidInput, false),
            (r#"{"message":"x","code":"invalid_api_key"}"#, ErrorKind::Unauthorized, false),
            (r#"{"message":"x","code":"insufficient_quota"}"#, ErrorKind::Exhausted, false),
            (r#"{"message":"x"}"#, ErrorKind::Unavailable, false),
            (r#""x""#, ErrorKind::Unavailable, false),
        ] {
            let error = reported(&serde_json::from_str(error).unwrap(), &sent());
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{error}");
        }
    }
}
