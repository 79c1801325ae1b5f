//! What passes unharmed, and what a healthy proxy counts.

use std::{
    io::ErrorKind as IoKind,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arshai_conformance::fault::{Fault, FaultProxy, Plan, Upstream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use crate::server::{PATIENCE, REQUEST, answer, connect, exchange, healthy, read_to_end, setting, was_cut};

#[tokio::test]
async fn a_healthy_proxy_carries_large_data_unchanged_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap()).await.unwrap();
    let echo = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let (mut reader, mut writer) = connect(&proxy).await.into_split();
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut received)).await.unwrap().unwrap();
    assert!(received == expected, "{} bytes came back, or they differ", received.len());
    writing.await.unwrap();
    echo.await.unwrap();
    let stats = proxy.until(|stats| stats.open == 0).await.unwrap();
    assert_eq!((stats.bytes_to_server, stats.bytes_to_client, stats.cut), (3_000_000, 3_000_000, 0));
}

#[tokio::test]
async fn half_close_is_forwarded_and_the_answer_still_arrives() {
    let (_server, proxy) = setting(Plan::new()).await;
    let mut client = connect(&proxy).await;
    client.write_all(REQUEST).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut client).await, (b"REQUEST.bye".to_vec(), None));
    proxy.until(|stats| stats.open == 0).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_can_be_the_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let executed = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&executed);
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream, Arc::clone(&counter)).await;
        }
    });
    let proxy = FaultProxy::start(Upstream::unix(&path)).await.unwrap();
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    proxy.next_request(Fault::lose_reply());
    assert!(was_cut(&exchange(&mut client).await.unwrap_err()));
    assert_eq!(executed.load(Ordering::SeqCst), 2);
    server.abort();
}

#[tokio::test]
async fn a_server_that_is_not_there_resets_the_client_and_is_counted() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let proxy = FaultProxy::start(nobody.to_string()).await.unwrap();
    let mut client = connect(&proxy).await;
    assert_eq!(read_to_end(&mut client).await, (Vec::new(), Some(IoKind::ConnectionReset)));
    assert_eq!(proxy.until(|stats| stats.open == 0).await.unwrap().unreachable, 1);
}
