//! A server in Milvus' protocol that computes nothing: its replies stand ready. So what is measured is the client, and
//! how many calls it has in flight is counted here. It runs in a process of its own.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::milvus_replies::Replies;

/// The command that makes this program the server.
pub(crate) const SERVE: &str = "serve-milvus";
/// How long the server may take to start, and to say what it counted.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves on a port of loopback and says which, until standard input ends; then says how many searches were in flight at
/// once.
pub(crate) async fn serve(latency: Duration) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("binding to loopback")?;
    println!("listening on {}", listener.local_addr()?);
    let server = Arc::new(Server { replies: Replies::new(), latency, ..Server::default() });
    let accepting = tokio::spawn({
        let server = Arc::clone(&server);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&server)));
            }
        }
    });
    tokio::io::stdin().read_to_end(&mut Vec::new()).await.context("waiting for the end")?;
    accepting.abort();
    println!("at once {}", server.most.load(Ordering::SeqCst));
    Ok(())
}

/// The server as a process; it ends with this value, and with this process.
#[derive(Debug)]
pub(crate) struct Canned {
    address: String,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Canned {
    /// Starts one that answers searches after this time.
    pub(crate) async fn start(latency: Duration) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([SERVE, "--latency-ms", &latency.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the canned server")?;
        let input = child.stdin.take().context("its input")?;
        let mut output = BufReader::new(child.stdout.take().context("its output")?).lines();
        let address = told(&mut output, "listening on ").await?;
        Ok(Self { address, child, input, output })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("milvus://{}", self.address)
    }

    /// Ends it; how many searches it had in flight at once.
    pub(crate) async fn end(self) -> Result<usize> {
        let Self { mut child, input, mut output, .. } = self;
        drop(input);
        let most = told(&mut output, "at once ").await?.parse().context("a number")?;
        timeout(PATIENCE, child.wait()).await.context("the canned server does not end")??;
        Ok(most)
    }
}

async fn told(output: &mut Lines<BufReader<ChildStdout>>, before: &str) -> Result<String> {
    let line = timeout(PATIENCE, output.next_line()).await.context("the canned server says nothing")??;
    let line = line.context("the canned server ended")?;
    match line.strip_prefix(before) {
        Some(told) => Ok(told.to_owned()),
        None => bail!("the canned server says {line:?}"),
    }
}

#[derive(Debug)]
struct Server {
    replies: Replies,
    latency: Duration,
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            replies: Replies::new(),
            latency: Duration::ZERO,
            inside: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }
    }
}

async fn connection(stream: TcpStream, server: Arc<Server>) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 24).initial_connection_window_size(1 << 26);
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            // A client that is gone is not told.
            let _gone = server.answer(request, respond).await;
        });
    }
}

impl Server {
    async fn answer(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let mut stream = request.into_body();
        let mut body = BytesMut::new();
        while let Some(chunk) = stream.data().await {
            let chunk = chunk?;
            stream.flow_control().release_capacity(chunk.len())?;
            body.extend_from_slice(&chunk);
        }
        let reply = self.replies.to(&method, body.get(5..).unwrap_or_default());
        let response = Response::builder().header("content-type", "application/grpc");
        let Some(reply) = reply else {
            let response = response.header("grpc-status", "12").body(()).unwrap_or_default();
            respond.send_response(response, true)?;
            return Ok(());
        };
        if method == "Search" {
            let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(inside, Ordering::SeqCst);
            if !self.latency.is_zero() {
                tokio::time::sleep(self.latency).await;
            }
            self.inside.fetch_sub(1, Ordering::SeqCst);
        }
        let mut stream = respond.send_response(response.body(()).unwrap_or_default(), false)?;
        let mut frame = BytesMut::with_capacity(reply.len() + 5);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(reply.len()).unwrap_or_default());
        frame.put(reply);
        stream.send_data(frame.freeze(), false)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        stream.send_trailers(trailers)
    }
}

#[cfg(test)]
mod tests {
    use arshai_core::vector::{CollectionSpec, IdKind, Query, Record, Search, VectorStore as _};
    use arshai_milvus::{MilvusConfig, MilvusStore};

    use super::*;
    use crate::milvus_replies::{DIMENSION, text};

    #[tokio::test]
    async fn the_client_takes_its_replies_for_those_of_a_server() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Arc::new(Server::default());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&server)));
            }
        });
        let store =
            MilvusStore::new(MilvusConfig::from_url(&format!("milvus://{address}")).unwrap()).unwrap();
        let spec = CollectionSpec::new("bench").with_dense(DIMENSION).with_id(IdKind::AutoInt);
        store.open(&spec).await.unwrap();
        let row = || Record::new("a text").with_dense(vec![0.5; DIMENSION]);
        let ids = store.insert("bench", vec![row(), row()]).await.unwrap().into_complete().unwrap();
        assert_eq!(ids.len(), 2);
        let search = Search::new(Query::dense(vec![0.5; DIMENSION])).limit(10);
        let hits = store.search("bench", &search).await.unwrap().remove(0);
        assert_eq!(hits.len(), 10);
        assert_eq!((hits[3].text.as_str(), hits[3].metadata.len()), (text(3).as_str(), 1));
    }
}
