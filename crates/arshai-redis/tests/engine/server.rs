//! A plain conversation with a server, for what the memory itself does not do.

use std::time::Duration;

use arshai_redis::RedisConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longer than any command here takes; a stopped server must not hold a test up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends one command and returns the raw answer, which must fit into one packet.
pub(crate) async fn command(config: &RedisConfig, parts: &[&[u8]]) -> Vec<u8> {
    converse(&config.address(), parts).await.unwrap()
}

/// The same for a server of this machine; none when it does not answer.
pub(crate) async fn ask(port: u16, parts: &[&str]) -> Option<String> {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    let answer = converse(&format!("127.0.0.1:{port}"), &parts).await.ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// The same, of which only success will do.
pub(crate) async fn tell(port: u16, parts: &[&str]) -> String {
    let answer = ask(port, parts).await.unwrap_or_else(|| panic!("{port} does not answer {parts:?}"));
    assert!(!answer.starts_with('-'), "{parts:?}: {answer}");
    answer
}

async fn converse(address: &str, parts: &[&[u8]]) -> std::io::Result<Vec<u8>> {
    let mut request = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        request.extend(format!("${}\r\n", part.len()).into_bytes());
        request.extend(*part);
        request.extend(b"\r\n");
    }
    let answered = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&request).await?;
        let mut answer = vec![0; 64 * 1024];
        let read = stream.read(&mut answer).await?;
        answer.truncate(read);
        Ok(answer)
    };
    tokio::time::timeout(PATIENCE, answered).await?
}
