//! Servers that do as told, and what they were sent.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

/// A part of a form.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) parts: Vec<Part>,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    fn of(request: &Request) -> Self {
        let header = |(name, value): (&wiremock::http::HeaderName, &wiremock::http::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self {
            path: request.url.path().to_owned(),
            query: request.url.query().unwrap_or_default().to_owned(),
            headers: request.headers.iter().map(header).collect(),
            parts: parts(request),
            body: request.body.clone(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The fields beside the recording, in order.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let plain = self.parts.iter().filter(|part| !part.head.contains("filename"));
        plain.map(|part| (part.name.clone(), String::from_utf8(part.body.clone()).unwrap())).collect()
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.fields().into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    pub(crate) fn recording(&self) -> &Part {
        self.parts.iter().find(|part| part.head.contains("filename")).expect("a recording")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

fn parts(request: &Request) -> Vec<Part> {
    let kind = request.headers.get("content-type").map(|kind| kind.to_str().unwrap()).unwrap_or_default();
    let Some((_, boundary)) = kind.split_once("boundary=") else { return Vec::new() };
    let separator = format!("--{boundary}");
    let mut places: Vec<usize> = Vec::new();
    let body = request.body.as_slice();
    let mut from = 0;
    while let Some(at) = find(&body[from..], separator.as_bytes()) {
        places.push(from + at);
        from += at + separator.len();
    }
    let part = |pair: &[usize]| {
        // Without the line breaks around it.
        let part = &body[pair[0] + separator.len() + 2..pair[1] - 2];
        let end = find(part, b"\r\n\r\n").expect("a part with headers");
        let head = String::from_utf8(part[..end].to_vec()).unwrap();
        let name = head.split_once("name=\"").unwrap().1.split('"').next().unwrap().to_owned();
        Part { name, head, body: part[end + 4..].to_vec() }
    };
    places.windows(2).map(part).collect()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A server that answers by number and content of the request.
pub(crate) struct Fake<F> {
    answer: F,
    number: AtomicUsize,
    sent: Arc<Mutex<Vec<Sent>>>,
}

/// A running one.
pub(crate) struct Running {
    pub(crate) server: MockServer,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Running {
    pub(crate) fn url(&self) -> String {
        self.server.uri()
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }
}

/// Starts a server.
pub(crate) async fn serve<F>(answer: F) -> Running
where
    F: Fn(usize, &Sent) -> ResponseTemplate + Send + Sync + 'static,
{
    let server = MockServer::start().await;
    let sent = Arc::default();
    let fake = Fake { answer, number: AtomicUsize::new(0), sent: Arc::clone(&sent) };
    Mock::given(any()).respond_with(fake).mount(&server).await;
    Running { server, sent }
}

impl<F: Fn(usize, &Sent) -> ResponseTemplate + Send + Sync> Respond for Fake<F> {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let sent = Sent::of(request);
        self.sent.lock().unwrap().push(sent.clone());
        (self.answer)(self.number.fetch_add(1, Ordering::SeqCst), &sent)
    }
}

/// A server that hears always the same.
pub(crate) async fn hears(text: &'static str) -> Running {
    serve(move |_, _| said(text)).await
}

pub(crate) fn said(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "text": text }))
}

pub(crate) fn sound(kind: &str, bytes: impl Into<Vec<u8>>) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(bytes, kind)
}

/// A WAV file of 16 bits and one channel.
pub(crate) fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let length = u32::try_from(samples.len() * 2).unwrap();
    let mut file = b"RIFF".to_vec();
    file.extend_from_slice(&(36 + length).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(rate * 2).to_le_bytes());
    file.extend_from_slice(b"\x02\0\x10\0data");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}
