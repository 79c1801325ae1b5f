//! A server that reads what it is sent to its end, forgets it, and hears always the same. It has a thread of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

const REPLY: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"text\":\"Heard\"}";

pub(crate) struct Canned {
    address: SocketAddr,
    received: Arc<AtomicU64>,
}

impl Canned {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&received);
        // It ends with the process.
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (Ok(socket), count) = (socket, Arc::clone(&count)) else { return };
                thread::spawn(move || answer(socket, &count));
            }
        });
        Self { address, received }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Bytes of bodies, chunks' own lines not counted.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }
}

fn answer(socket: TcpStream, count: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    let (mut length, mut chunked) = (0, false);
    loop {
        let line = line(&mut reader)?;
        if line.is_empty() {
            break;
        }
        if let Some(said) = line.strip_prefix("content-length:") {
            length = said.trim().parse().ok()?;
        }
        chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
    }
    if chunked {
        loop {
            let size = u64::from_str_radix(&line(&mut reader)?, 16).ok()?;
            forget(&mut reader, size, count)?;
            line(&mut reader)?;
            if size == 0 {
                break;
            }
        }
    } else {
        forget(&mut reader, length, count)?;
    }
    (&socket).write_all(REPLY).ok()
}

fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    (reader.read_line(&mut line).ok()? > 0).then(|| line.trim().to_lowercase())
}

fn forget(reader: &mut BufReader<TcpStream>, length: u64, count: &AtomicU64) -> Option<()> {
    let copied = std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    count.fetch_add(copied, Ordering::SeqCst);
    (copied == length).then_some(())
}
