//! A minimal HTTP/1.1 GET over loopback, and a look whether a port speaks HTTP/2, for health checks.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::dial::dial;

/// More of a reply is not read.
const MOST: u64 = 1 << 20;

/// The status and the body of `GET path`.
pub(crate) fn get(address: &str, path: &str, patience: Duration) -> Result<(u16, String)> {
    let mut stream = dial(address, patience)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nUser-Agent: xtask\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).context("sending a request")?;
    let mut reply = Vec::new();
    // A server may keep the connection open all the same; what came until the time limit is enough for the status.
    let ended = stream.take(MOST).read_to_end(&mut reply);
    let reply = String::from_utf8_lossy(&reply);
    match parse(&reply) {
        Some((status, body)) => Ok((status, body.to_owned())),
        None => {
            ended.with_context(|| format!("reading the reply of {address}"))?;
            bail!("{address} does not speak HTTP")
        }
    }
}

fn parse(reply: &str) -> Option<(u16, &str)> {
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    Some((status, body))
}

/// Whether the server at `address` greets with HTTP/2, as every gRPC server does (RFC 9113, section 3.4).
pub(crate) fn greets_with_http2(address: &str, patience: Duration) -> Result<()> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const SETTINGS: u8 = 4;
    let mut stream = dial(address, patience)?;
    stream.write_all(PREFACE).and_then(|()| stream.write_all(&EMPTY_SETTINGS)).context("sending")?;
    let mut header = [0; 9];
    stream.read_exact(&mut header).with_context(|| format!("reading the greeting of {address}"))?;
    ensure!(header.get(3) == Some(&SETTINGS), "{address} does not speak HTTP/2");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// A server that answers one connection with these bytes.
    fn answering(reply: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).unwrap();
            stream.write_all(reply).unwrap();
        });
        address
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn status_and_body_are_read() {
        let address = answering(b"HTTP/1.1 503 Busy\r\nA: b\r\n\r\nloading");
        assert_eq!(get(&address, "/health", PATIENCE).unwrap(), (503, "loading".to_owned()));
        let address = answering(b"+PONG\r\n");
        assert!(get(&address, "/health", PATIENCE).is_err());
    }

    #[test]
    fn a_server_of_http1_is_no_grpc_server() {
        assert!(greets_with_http2(&answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), PATIENCE).is_err());
        assert!(greets_with_http2(&answering(&[0, 0, 0, 4, 0, 0, 0, 0, 0]), PATIENCE).is_ok());
    }
}
