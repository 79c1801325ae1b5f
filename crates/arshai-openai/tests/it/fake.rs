//! Servers that do as told.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::path};

/// A server of its own. The pooled ones of wiremock are used again by other tests, where a request that a dropped call
/// has left on the wire may still arrive.
pub(crate) async fn fresh() -> MockServer {
    MockServer::builder().start().await
}

/// The vector that stands for a text: what its first number says, and its length.
pub(crate) fn vector_of(text: &str) -> Vec<f32> {
    let digits: String = text.chars().filter(char::is_ascii_digit).take(6).collect();
    vec![digits.parse().unwrap_or(0.0), text.len() as f32, 1.0]
}

pub(crate) fn base64_of(vector: &[f32]) -> Value {
    STANDARD.encode(vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).into()
}

/// What an embeddings server answers to this request, last text first.
pub(crate) fn embeddings(request: &Value) -> Value {
    let base64 = request["encoding_format"] == "base64";
    let texts = request["input"].as_array().expect("a list of texts");
    let rows: Vec<Value> = texts
        .iter()
        .enumerate()
        .rev()
        .map(|(index, text)| {
            let vector = vector_of(text.as_str().unwrap());
            let embedding = if base64 { base64_of(&vector) } else { json!(vector) };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    json!({ "object": "list", "data": rows, "model": "m", "usage": { "prompt_tokens": texts.len() } })
}

/// Answers with `failure` as long as it gives something for the number and body of a request, otherwise well.
pub(crate) struct Embeddings<F>(F, AtomicUsize, Arc<Mutex<Vec<Value>>>);

impl<F: Fn(usize, &Value) -> Option<ResponseTemplate> + Send + Sync + 'static> Embeddings<F> {
    /// A server, and the bodies of the requests it got.
    pub(crate) async fn start(failure: F) -> (MockServer, Arc<Mutex<Vec<Value>>>) {
        let server = fresh().await;
        let requests = Arc::default();
        let this = Self(failure, AtomicUsize::new(0), Arc::clone(&requests));
        Mock::given(path("/v1/embeddings")).respond_with(this).mount(&server).await;
        (server, requests)
    }
}

impl<F: Fn(usize, &Value) -> Option<ResponseTemplate> + Send + Sync> Respond for Embeddings<F> {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let number = self.1.fetch_add(1, Ordering::SeqCst);
        let body: Value = request.body_json().expect("a body of JSON");
        self.2.lock().unwrap().push(body.clone());
        (self.0)(number, &body).unwrap_or_else(|| ResponseTemplate::new(200).set_body_json(embeddings(&body)))
    }
}

/// A server on a bare socket.
pub(crate) struct Raw {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Raw {
    /// `answer` gets the number of the request, its body, and the socket; it gives the socket back to be used again.
    pub(crate) async fn start<A, F>(answer: A) -> Self
    where
        A: Fn(usize, String, TcpStream) -> F + Send + Sync + 'static,
        F: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        let number = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answer, number) = (Arc::clone(&answer), Arc::clone(&number));
                tokio::spawn(async move {
                    let mut open = Some(socket);
                    while let Some(mut socket) = open.take() {
                        let Some(body) = request(&mut socket).await else { return };
                        open = answer(number.fetch_add(1, Ordering::SeqCst), body, socket).await;
                    }
                });
            }
        });
        Self { address, task }
    }

    /// Always the same bytes, then the end of the connection.
    pub(crate) async fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::start(move |_, _, mut socket| {
            let bytes = Arc::clone(&bytes);
            async move {
                // The client may have had enough.
                let _ = socket.write_all(&bytes).await;
                let _ = socket.shutdown().await;
                None
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The body of the next request; `None` when the client has gone.
async fn request(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    socket.read_exact(&mut body).await.ok()?;
    Some(String::from_utf8(body).unwrap())
}

/// A whole HTTP reply.
pub(crate) fn reply(content_type: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into()
}

/// A reply of events that the server ends by closing, after exactly these.
pub(crate) fn event_stream(events: &str) -> Vec<u8> {
    let chunk = format!("{:x}\r\n{events}\r\n", events.len());
    format!("{}{chunk}0\r\n\r\n", stream_head()).into()
}

pub(crate) fn stream_head() -> &'static str {
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
}

/// Events, one for each of these values.
pub(crate) fn events(values: &[Value]) -> String {
    values.iter().map(|value| format!("data: {value}\n\n")).collect()
}

/// A piece of a reply.
pub(crate) fn piece(delta: Value, finish: Option<&str>) -> Value {
    json!({ "id": "r1", "model": "m-1", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}
