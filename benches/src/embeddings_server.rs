//! A server in OpenAI's protocol that answers after a fixed time, so that a benchmark measures the client and nothing
//! else. It runs in a process of its own.
//!
//! `POST …/embeddings` with `input` as one text or many, and `encoding_format` `float` (the default) or `base64`, which is
//! refused below `/float`. The vectors are computed and encoded before the first request; which one a text gets follows
//! from the text. A reply is put together while its time is waited for, which begins with the last byte of the request.
//!
//! `POST …/chat/completions` is answered with one [`canned`] stream, whatever was asked.

pub(crate) mod canned;

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Buf;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

/// As many different vectors are answered.
const VECTORS: usize = 16;
/// Larger requests are refused.
const MOST: usize = 64 << 20;
/// tokio's timer is late by up to this much; the last of a wait is left to the system's.
const TIMER: Duration = Duration::from_millis(2);

/// The server, bound to a port of loopback.
#[derive(Debug)]
pub(crate) struct EmbeddingsServer {
    listener: TcpListener,
    address: SocketAddr,
    answers: Arc<Answers>,
}

/// What is answered, and when.
#[derive(Debug)]
struct Answers {
    latency: Duration,
    /// As JSON: arrays of numbers.
    float: Vec<String>,
    /// As JSON: strings of base64 over little-endian numbers of four bytes.
    base64: Vec<String>,
    /// A streamed reply, in chunks.
    chat: Vec<Vec<u8>>,
}

impl EmbeddingsServer {
    pub(crate) async fn bind(latency: Duration, dimension: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding to loopback")?;
        let address = listener.local_addr()?;
        let vectors: Vec<Vec<f32>> = (0..VECTORS).map(|seed| vector(seed, dimension)).collect();
        let float = vectors.iter().map(|vector| json!(vector).to_string()).collect();
        let bytes =
            |vector: &Vec<f32>| vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let base64 = vectors.iter().map(|vector| format!("\"{}\"", STANDARD.encode(bytes(vector)))).collect();
        let chat = canned::chunks(&canned::events());
        Ok(Self { listener, address, answers: Arc::new(Answers { latency, float, base64, chat }) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(self) -> Result<()> {
        loop {
            let (stream, _) = self.listener.accept().await.context("accepting")?;
            let answers = Arc::clone(&self.answers);
            tokio::spawn(async move {
                if let Err(error) = answers.talk(stream).await {
                    eprintln!("a connection ended: {error:#}");
                }
            });
        }
    }
}

impl Answers {
    /// One connection: requests in turn, until the client closes it.
    async fn talk(&self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::with_capacity(64 << 10, stream);
        // Kept from reply to reply: new memory of this size costs as much as what is written into it.
        let mut body = String::new();
        while let Some(request) = Request::read(&mut stream).await? {
            let due = Instant::now() + self.latency;
            if request.line.starts_with("POST ") && request.line.contains("/chat/completions ") {
                wait_until(due).await?;
                self.chat(&mut stream).await?;
                continue;
            }
            body.clear();
            let status = match self.answer(&request, &mut body) {
                Ok(()) => "200 OK",
                Err(error) => {
                    body = json!({"error": {"message": format!("{error:#}")}}).to_string();
                    "400 Bad Request"
                }
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            wait_until(due).await?;
            stream.write_all_buf(&mut Buf::chain(head.as_bytes(), body.as_bytes())).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    /// The canned stream, piece by piece.
    async fn chat(&self, stream: &mut BufReader<TcpStream>) -> Result<()> {
        const HEAD: &[u8] =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let started = Instant::now();
        stream.write_all(HEAD).await?;
        for (number, chunk) in self.chat.iter().enumerate() {
            canned::due(started, number).await;
            stream.write_all(chunk).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    fn answer(&self, request: &Request, body: &mut String) -> Result<()> {
        if !request.line.starts_with("POST ") || !request.line.contains("/embeddings ") {
            bail!("only POST …/embeddings is served, not {:?}", request.line);
        }
        let asked: Value = serde_json::from_slice(&request.body).context("reading the request")?;
        let inputs: Vec<&str> = match asked.get("input") {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(texts)) => {
                texts.iter().map(Value::as_str).collect::<Option<_>>().context("an input is not a text")?
            }
            _ => bail!("there is no input"),
        };
        let vectors = match asked.get("encoding_format").and_then(Value::as_str) {
            Some("base64") if request.line.contains("/float/") => {
                bail!("encoding_format base64 is not known")
            }
            Some("base64") => &self.base64,
            _ => &self.float,
        };
        let size: usize = vectors.first().map_or(0, String::len) + 64;
        body.reserve(inputs.len() * size + 128);
        body.push_str(r#"{"object":"list","model":"fixed","data":["#);
        for (index, text) in inputs.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            body.push_str(&format!(r#"{separator}{{"object":"embedding","index":{index},"embedding":"#));
            body.push_str(&vectors[vector_of(text)]);
            body.push('}');
        }
        let tokens = inputs.iter().map(|text| text.len() / 4 + 1).sum::<usize>();
        body.push_str(&format!(r#"],"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#));
        Ok(())
    }
}

/// Waits until then to a tenth of a millisecond or so: what comes too late here would be the client's loss.
async fn wait_until(due: Instant) -> Result<()> {
    if let Some(early) = due.checked_sub(TIMER) {
        sleep_until(early).await;
    }
    let left = due.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        spawn_blocking(move || thread::sleep(left)).await.context("waiting")?;
    }
    Ok(())
}

/// As much of an HTTP/1.1 request as is needed (RFC 9112).
struct Request {
    line: String,
    body: Vec<u8>,
}

impl Request {
    /// The next request; none when the client has closed the connection.
    async fn read(stream: &mut BufReader<TcpStream>) -> Result<Option<Self>> {
        use tokio::io::AsyncBufReadExt as _;
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let mut length = 0;
        let mut header = String::new();
        loop {
            header.clear();
            if stream.read_line(&mut header).await? == 0 {
                bail!("the request ends within its headers");
            }
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().context("reading the length")?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                bail!("a body in chunks is not read here");
            }
        }
        if length > MOST {
            bail!("a request of {length} bytes is too large");
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        Ok(Some(Self { line, body }))
    }
}

/// A vector of length 1.
fn vector(seed: usize, dimension: usize) -> Vec<f32> {
    let mut rng = fastrand::Rng::with_seed(seed as u64);
    let raw: Vec<f32> = (0..dimension).map(|_| rng.f32() - 0.5).collect();
    let norm = raw.iter().map(|value| value * value).sum::<f32>().sqrt();
    raw.iter().map(|value| value / norm).collect()
}

/// Which of the vectors a text gets: FNV-1a, which never changes its mind.
fn vector_of(text: &str) -> usize {
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % VECTORS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status line and the body of one request.
    async fn ask(stream: &mut BufReader<TcpStream>, path: &str, asked: &Value) -> (String, Value) {
        let body = asked.to_string();
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let reply = Request::read(stream).await.unwrap().unwrap();
        (reply.line, serde_json::from_slice(&reply.body).unwrap())
    }

    async fn connected(latency: Duration, dimension: usize) -> BufReader<TcpStream> {
        let server = EmbeddingsServer::bind(latency, dimension).await.unwrap();
        let address = server.address();
        tokio::spawn(server.serve());
        BufReader::new(TcpStream::connect(address).await.unwrap())
    }

    #[tokio::test]
    async fn both_encodings_hold_the_same_vectors_in_the_order_of_the_texts() {
        let mut stream = connected(Duration::ZERO, 8).await;
        let texts: Vec<String> = (0..40).map(|number| format!("text {number}")).collect();
        let asked = json!({"model": "m", "input": texts});
        let (status, float) = ask(&mut stream, "/v1/embeddings", &asked).await;
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        let asked = json!({"model": "m", "input": texts, "encoding_format": "base64"});
        let (_, base64) = ask(&mut stream, "/v1/embeddings", &asked).await;
        for (index, text) in texts.iter().enumerate() {
            let expected = vector(vector_of(text), 8);
            assert_eq!(float["data"][index]["embedding"], json!(expected));
            let bytes = STANDARD.decode(base64["data"][index]["embedding"].as_str().unwrap()).unwrap();
            let (numbers, _) = bytes.as_chunks::<4>();
            assert_eq!(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>(), expected);
        }
    }

    #[tokio::test]
    async fn one_text_is_answered_and_what_is_no_request_for_embeddings_is_refused() {
        let mut stream = connected(Duration::ZERO, 2).await;
        let (_, one) = ask(&mut stream, "/v1/embeddings", &json!({"input": "one"})).await;
        assert_eq!(one["data"].as_array().unwrap().len(), 1);
        for (path, asked) in [("/v1/models", json!({"input": "one"})), ("/v1/embeddings", json!({}))] {
            let (status, _) = ask(&mut stream, path, &asked).await;
            assert!(status.starts_with("HTTP/1.1 400"), "{status}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_whole_and_its_pieces_do_not_end_where_events_end() {
        let events = canned::events();
        let chunks = canned::chunks(&events);
        let within = chunks.iter().filter(|chunk| !chunk.ends_with(b"\n\n\r\n")).count();
        assert!(within > chunks.len() / 2, "{within} of {}", chunks.len());
        let mut stream = connected(Duration::ZERO, 2).await;
        stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"\r\n0\r\n\r\n") {
            assert!(stream.read_buf(&mut received).await.unwrap() > 0, "closed within the stream");
        }
        assert!(received.ends_with(&chunks.concat()));
        let told: Vec<Value> = events
            .split("\n\n")
            .filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok())
            .collect();
        let said: String =
            told.iter().filter_map(|event| event.pointer("/choices/0/delta/content")?.as_str()).collect();
        assert_eq!(said, canned::answer());
    }

    #[tokio::test]
    async fn no_answer_comes_before_its_time() {
        let latency = Duration::from_millis(30);
        let mut stream = connected(latency, 2).await;
        let started = std::time::Instant::now();
        ask(&mut stream, "/v1/embeddings", &json!({"input": "one"})).await;
        assert!(started.elapsed() >= latency);
    }
}
