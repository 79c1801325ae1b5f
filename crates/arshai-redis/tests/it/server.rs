//! A plain conversation with a server, for what the memory itself does not do.

use arshai_redis::RedisConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Sends one command and returns the raw answer, which must fit into one packet.
pub(crate) async fn command(config: &RedisConfig, parts: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(config.address()).await.unwrap();
    let mut request = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        request.extend(format!("${}\r\n", part.len()).into_bytes());
        request.extend(*part);
        request.extend(b"\r\n");
    }
    stream.write_all(&request).await.unwrap();
    let mut answer = vec![0; 64 * 1024];
    let read = stream.read(&mut answer).await.unwrap();
    answer.truncate(read);
    answer
}
