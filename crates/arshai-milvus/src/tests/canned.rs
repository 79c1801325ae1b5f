//! A server of gRPC that answers from a function, and remembers what it was asked.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};

use crate::{
    MilvusConfig, MilvusStore,
    engine::Engine,
    proto::{
        common::{LoadState, Status},
        milvus::{
            DescribeCollectionResponse, DescribeIndexResponse, GetLoadStateResponse, GetVersionResponse,
            IndexDescription,
        },
        pair,
        schema::CollectionSchema,
    },
    shape::creation,
};
use arshai_core::vector::CollectionSpec;

/// What is answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// A message, after a time.
    Message(Bytes, Duration),
    /// No message but a status of gRPC.
    Status(u32),
    /// The same with words.
    Said(u32, &'static str),
    /// The connection ends without an answer.
    HangUp,
    /// Nothing, for ever.
    Silence,
}

impl Answer {
    pub(super) fn of(message: &impl Message) -> Self {
        Self::Message(message.encode_to_vec().into(), Duration::ZERO)
    }

    pub(super) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Message(bytes.into(), Duration::ZERO)
    }

    /// A message is too large for the server, as gRPC in Go says it.
    pub(super) fn too_large() -> Self {
        Self::Said(8, "grpc: received message larger than max (70000000 vs. 67108864)")
    }

    /// A failure, as every reply has it that is more than a status.
    pub(super) fn code(code: i32) -> Self {
        let status = Status { code, reason: "on purpose".into(), ..Status::default() };
        Self::of(&GetVersionResponse { status: Some(status), ..GetVersionResponse::default() })
    }
}

type Handler = dyn Fn(&str, &Bytes, usize) -> Option<Answer> + Send + Sync;

/// The server.
pub(super) struct Canned {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    handler: Box<Handler>,
    /// Calls of one connection that are answered at once, if that is limited.
    streams: Option<u32>,
    calls: Mutex<Vec<(String, Bytes, HeaderMap)>>,
    inside: AtomicUsize,
    most: AtomicUsize,
    sent: AtomicUsize,
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Canned {
    /// Answers with what the handler says of a method, its request and how often that method was called before; else as
    /// a Milvus 2.3.5 with a collection `c` of two dimensions.
    pub(super) async fn start(
        handler: impl Fn(&str, &Bytes, usize) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::start_narrow(None, handler).await
    }

    /// The same, letting a client have so many calls at once in one connection.
    pub(super) async fn start_narrow(
        streams: Option<u32>,
        handler: impl Fn(&str, &Bytes, usize) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            streams,
            calls: Mutex::default(),
            inside: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
        });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(connection(stream, Arc::clone(&shared)));
                }
            }
        });
        Self { address, shared, task }
    }

    pub(super) fn config(&self) -> MilvusConfig {
        let mut config = MilvusConfig::from_url(&format!("milvus://{}", self.address)).unwrap();
        config.timeout = Duration::from_secs(20);
        config
    }

    pub(super) fn store(&self) -> MilvusStore {
        MilvusStore::new(self.config()).unwrap()
    }

    /// The requests of a method, in order.
    pub(super) fn requests<M: Message + Default>(&self, method: &str) -> Vec<M> {
        let calls = self.shared.calls.lock().unwrap();
        calls
            .iter()
            .filter(|(m, ..)| m == method)
            .map(|(_, body, _)| M::decode(body.clone()).unwrap())
            .collect()
    }

    /// The same as they came.
    pub(super) fn bodies(&self, method: &str) -> Vec<Bytes> {
        let calls = self.shared.calls.lock().unwrap();
        calls.iter().filter(|(m, ..)| m == method).map(|(_, body, _)| body.clone()).collect()
    }

    pub(super) fn headers(&self) -> HeaderMap {
        self.shared.calls.lock().unwrap().first().unwrap().2.clone()
    }

    /// How often a method was called.
    pub(super) fn calls(&self, method: &str) -> usize {
        self.shared.calls.lock().unwrap().iter().filter(|(m, ..)| m == method).count()
    }

    /// The methods that were called, in order.
    pub(super) fn all_calls(&self) -> Vec<String> {
        self.shared.calls.lock().unwrap().iter().map(|(m, ..)| m.clone()).collect()
    }

    /// How many calls are being answered.
    pub(super) fn under_way(&self) -> usize {
        self.shared.inside.load(Ordering::SeqCst)
    }

    /// How many bytes of replies were sent.
    pub(super) fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// How many calls were answered at the same time.
    pub(super) fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 22).initial_connection_window_size(1 << 24);
    if let Some(streams) = shared.streams {
        builder.max_concurrent_streams(streams);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let (hang_up, mut hung_up) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                tokio::spawn(call(request, respond, Arc::clone(&shared), hang_up.clone()));
            }
            _ = hung_up.recv() => return,
        }
    }
}

async fn call(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: Arc<Shared>,
    hang_up: tokio::sync::mpsc::Sender<()>,
) {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let headers = request.headers().clone();
    let mut stream = request.into_body();
    let mut body = BytesMut::new();
    while let Some(Ok(chunk)) = stream.data().await {
        let _no_window = stream.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk);
    }
    if body.len() < 5 {
        return;
    }
    let body = body.freeze().slice(5..);
    let before = {
        let mut calls = shared.calls.lock().unwrap();
        let before = calls.iter().filter(|(m, ..)| *m == method).count();
        calls.push((method.clone(), body.clone(), headers));
        before
    };
    let inside = shared.inside.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most.fetch_max(inside, Ordering::SeqCst);
    let answer = (shared.handler)(&method, &body, before).unwrap_or_else(|| standard(&method));
    match answer {
        Answer::Message(message, after) => {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            shared.inside.fetch_sub(1, Ordering::SeqCst);
            let _gone = send(&mut respond, message, &shared.sent).await;
            return;
        }
        Answer::Status(code) => refuse(&mut respond, code, ""),
        Answer::Said(code, words) => refuse(&mut respond, code, words),
        Answer::HangUp => drop(hang_up.send(()).await),
        Answer::Silence => std::future::pending::<()>().await,
    }
    shared.inside.fetch_sub(1, Ordering::SeqCst);
}

fn refuse(respond: &mut SendResponse<Bytes>, code: u32, words: &'static str) {
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", code.to_string())
        .header("grpc-message", words)
        .body(())
        .unwrap();
    let _gone = respond.send_response(response, true);
}

async fn send(
    respond: &mut SendResponse<Bytes>,
    message: Bytes,
    sent: &AtomicUsize,
) -> Result<(), h2::Error> {
    let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(response, false)?;
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put(message);
    let mut rest = frame.freeze();
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len().min(1 << 20));
        match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
            Some(Ok(capacity)) if capacity > 0 => {
                let next = rest.split_to(capacity.min(rest.len()));
                sent.fetch_add(next.len(), Ordering::SeqCst);
                stream.send_data(next, false)?;
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}

/// What a server of version 2.3.5 says of its collection `c`.
pub(super) fn standard(method: &str) -> Answer {
    let status = Some(Status::default());
    match method {
        "GetVersion" => Answer::of(&GetVersionResponse { status, version: "v2.3.5".into() }),
        "DescribeCollection" => Answer::of(&described(&spec(), "v2.3.5")),
        "DescribeIndex" => Answer::of(&DescribeIndexResponse {
            status,
            index_descriptions: vec![IndexDescription {
                field_name: "dense_vector".into(),
                params: vec![pair("index_type", "HNSW"), pair("metric_type", "COSINE")],
                ..IndexDescription::default()
            }],
        }),
        "GetLoadState" => Answer::of(&GetLoadStateResponse { status, state: LoadState::Loaded.into() }),
        "LoadCollection" | "CreateCollection" | "CreateIndex" | "AlterCollection" => {
            Answer::of(&Status::default())
        }
        _ => Answer::Status(12),
    }
}

pub(crate) fn spec() -> CollectionSpec {
    CollectionSpec::new("c").with_dense(2)
}

pub(crate) fn described(spec: &CollectionSpec, version: &str) -> DescribeCollectionResponse {
    let request = creation(spec, &Engine::of(version)).unwrap();
    DescribeCollectionResponse {
        status: Some(Status::default()),
        schema: Some(CollectionSchema::decode(request.schema).unwrap()),
        ..DescribeCollectionResponse::default()
    }
}
