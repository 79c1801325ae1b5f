//! A request-reply server, and clients that never wait for ever.

use std::{
    io::ErrorKind as IoKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arshai_conformance::fault::{FaultProxy, Plan};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// Long enough for a slow machine, short enough for a hang to be seen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const SHORT: Duration = Duration::from_millis(30);
pub(crate) const REQUEST: &[u8; 8] = b"request.";

/// Answers each 8 bytes with the same 8 bytes in capitals, and counts them.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    executed: Arc<AtomicU64>,
    pub(crate) tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let executed = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        let counter = Arc::clone(&executed);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, Arc::clone(&counter)));
            }
        });
        Self { address, executed, tasks }
    }

    pub(crate) fn executed(&self) -> u64 {
        self.executed.load(Ordering::SeqCst)
    }
}

pub(crate) async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, executed: Arc<AtomicU64>) {
    let mut request = [0; 8];
    while stream.read_exact(&mut request).await.is_ok() {
        executed.fetch_add(1, Ordering::SeqCst);
        if stream.write_all(&request.to_ascii_uppercase()).await.is_err() {
            return;
        }
    }
    // The client has said its end: a last word shows that the other direction is still open.
    let _gone = stream.write_all(b"bye").await;
}

/// Reads everything until the connection ends, and tells how it ended.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> (Vec<u8>, Option<IoKind>) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match timeout(PATIENCE, stream.read(&mut chunk)).await.expect("the connection hangs") {
            Ok(0) => return (bytes, None),
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) => return (bytes, Some(error.kind())),
        }
    }
}

pub(crate) async fn connect(proxy: &FaultProxy) -> TcpStream {
    timeout(PATIENCE, TcpStream::connect(proxy.address())).await.unwrap().unwrap()
}

pub(crate) async fn exchange(stream: &mut TcpStream) -> std::io::Result<[u8; 8]> {
    let mut reply = [0; 8];
    let talk = async {
        stream.write_all(REQUEST).await?;
        stream.read_exact(&mut reply).await
    };
    timeout(PATIENCE, talk).await.expect("the exchange hangs")?;
    Ok(reply)
}

pub(crate) async fn healthy(stream: &mut TcpStream) {
    assert_eq!(&exchange(stream).await.unwrap(), b"REQUEST.");
}

pub(crate) fn was_cut(error: &std::io::Error) -> bool {
    matches!(error.kind(), IoKind::ConnectionReset | IoKind::BrokenPipe | IoKind::UnexpectedEof)
}

pub(crate) async fn setting(plan: Plan) -> (Server, FaultProxy) {
    let server = Server::start().await;
    let proxy = FaultProxy::start(server.address).await.unwrap();
    proxy.plan(plan);
    (server, proxy)
}
