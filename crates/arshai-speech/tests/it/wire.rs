//! Servers that answer byte by byte, where wiremock answers at once or not at all.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// A running one, with a thread for each connection. It ends with the process.
pub(crate) struct Wire {
    address: SocketAddr,
}

impl Wire {
    /// Calls `answer` for each request, when all of it was read; the connection is closed afterwards.
    pub(crate) fn start(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::told(move |socket, _| answer(socket))
    }

    /// The same, with the body of the request.
    pub(crate) fn told(answer: impl Fn(&mut TcpStream, &[u8]) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (Ok(mut socket), answer) = (socket, Arc::clone(&answer)) else { return };
                thread::spawn(move || {
                    if let Some(body) = read(&socket) {
                        answer(&mut socket, &body);
                    }
                });
            }
        });
        Self { address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn read(socket: &TcpStream) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    let mut length: usize = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(said) = line.strip_prefix("content-length:") {
            length = said.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok().map(|()| body)
}

/// The head of a reply whose end is the end of the connection.
pub(crate) fn until_closed(socket: &mut TcpStream, kind: &str) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
}

/// A whole reply of JSON.
pub(crate) fn json(socket: &mut TcpStream, body: &str) {
    whole(socket, "application/json", body.as_bytes());
}

/// A whole reply.
pub(crate) fn whole(socket: &mut TcpStream, kind: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length:");
    // Whoever was dropped does not read it.
    let _ = socket
        .write_all(format!("{head} {}\r\n\r\n", body.len()).as_bytes())
        .and_then(|()| socket.write_all(body));
}
