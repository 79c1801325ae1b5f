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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (Ok(mut socket), answer) = (socket, Arc::clone(&answer)) else { return };
                thread::spawn(move || {
                    if read(&socket).is_some() {
                        answer(&mut socket);
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

fn read(socket: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    let mut length = 0;
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
    std::io::copy(&mut reader.take(length), &mut std::io::sink())
        .ok()
        .filter(|read| *read == length)
        .map(|_| ())
}

/// The head of a reply whose end is the end of the connection.
pub(crate) fn until_closed(socket: &mut TcpStream, kind: &str) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
}

/// A whole reply of JSON.
pub(crate) fn json(socket: &mut TcpStream, body: &str) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
    // Whoever was dropped does not read it.
    let _ = socket.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes());
}
