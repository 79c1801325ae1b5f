//! Requests and replies of HTTP/2 are told apart by their frames.

use std::io::ErrorKind as IoKind;

use arshai_conformance::fault::{Fault, FaultProxy, Plan};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::server::{PATIENCE, connect, read_to_end};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    flagged(kind, 0, stream, payload)
}

/// The last frame of its stream.
fn last(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    flagged(kind, 1, stream, payload)
}

fn flagged(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend(payload);
    frame
}

/// A proxy, a client that has greeted, and the server's end of its connection.
async fn connected() -> (FaultProxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start_http2(listener.local_addr().unwrap()).await.unwrap();
    let mut client = connect(&proxy).await;
    let (server, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    client.write_all(GREETING).await.unwrap();
    (proxy, client, server)
}

/// Sends and waits until it has arrived.
async fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    let mut arrived = vec![0; bytes.len()];
    timeout(PATIENCE, to.read_exact(&mut arrived)).await.expect("it does not arrive").unwrap();
    assert_eq!(arrived, bytes);
}

#[tokio::test]
async fn on_http2_only_the_headers_of_the_stream_are_its_reply() {
    const SETTINGS: u8 = 4;
    const WINDOW_UPDATE: u8 = 8;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start_http2(listener.local_addr().unwrap()).await.unwrap();
    proxy.plan(Plan::new().connection(0, [Fault::lose_reply().at_request(1)]));
    let mut client = connect(&proxy).await;
    let (mut server, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();

    // Greetings, and two requests at once.
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(SETTINGS, 0, b""));
    sent.extend(frame(HEADERS, 1, b"one"));
    sent.extend(frame(HEADERS, 3, b"two"));
    client.write_all(&sent).await.unwrap();
    let mut arrived = vec![0; sent.len()];
    timeout(PATIENCE, server.read_exact(&mut arrived)).await.unwrap().unwrap();
    assert_eq!(arrived, sent);
    assert_eq!(proxy.stats().requests, 2);

    // What is not the second reply arrives, even when it comes later and in one piece with it.
    let mut expected = frame(SETTINGS, 0, b"");
    expected.extend(frame(WINDOW_UPDATE, 3, b"size"));
    expected.extend(frame(HEADERS, 1, b"reply one"));
    let mut replies = expected.clone();
    replies.extend(frame(HEADERS, 3, b"reply two"));
    server.write_all(&replies).await.unwrap();
    let mut received = vec![0; expected.len()];
    timeout(PATIENCE, client.read_exact(&mut received)).await.unwrap().unwrap();
    assert_eq!(received, expected);
    assert_eq!(read_to_end(&mut client).await, (Vec::new(), Some(IoKind::ConnectionReset)));
    let events = proxy.events();
    assert_eq!((events.len(), events[0].request, events[0].fault), (1, Some(1), "lose_reply"));
    assert_eq!(proxy.stats().lost_replies, 1);
}

#[tokio::test]
async fn on_http2_a_live_lost_reply_takes_the_first_reply_of_any_stream() {
    const PING: u8 = 6;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start_http2(listener.local_addr().unwrap()).await.unwrap();
    let mut client = connect(&proxy).await;
    let (mut server, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    client.write_all(&frame(HEADERS, 1, b"request")).await.unwrap();
    proxy.until(|stats| stats.bytes_to_server == 24 + 9 + 7).await.unwrap();
    proxy.set(Fault::lose_reply().by_close()).await.unwrap();
    let ping = frame(PING, 0, b"8 bytes.");
    server.write_all(&ping).await.unwrap();
    proxy.until(|stats| stats.bytes_to_client == 17).await.unwrap();
    server.write_all(&frame(HEADERS, 1, b"reply")).await.unwrap();
    assert_eq!(read_to_end(&mut client).await, (ping, None));
    assert_eq!((proxy.stats().requests, proxy.stats().lost_replies), (1, 1));
}

#[tokio::test]
async fn on_http2_a_lost_reply_ends_with_the_next_fault_that_is_set() {
    let (proxy, mut client, mut server) = connected().await;
    proxy.set(Fault::lose_reply()).await.unwrap();
    client.write_all(&frame(HEADERS, 1, b"request")).await.unwrap();
    proxy.until(|stats| stats.requests == 1).await.unwrap();
    // The reply was to be lost; now it is only to be slow.
    proxy.set(Fault::bandwidth(1_000_000)).await.unwrap();
    pass(&mut server, &mut client, &frame(HEADERS, 1, b"reply")).await;
    assert_eq!(proxy.stats().lost_replies, 0);
}

#[tokio::test]
async fn on_http2_a_reply_that_the_plan_would_lose_arrives_under_a_live_fault() {
    let (proxy, mut client, mut server) = connected().await;
    proxy.plan(Plan::new().every_connection([Fault::lose_reply()]));
    proxy.set(Fault::bandwidth(1_000_000)).await.unwrap();
    client.write_all(&frame(HEADERS, 1, b"request")).await.unwrap();
    proxy.until(|stats| stats.requests == 1).await.unwrap();
    pass(&mut server, &mut client, &frame(HEADERS, 1, b"reply")).await;
}

#[tokio::test]
async fn on_http2_a_fault_asked_for_the_next_request_holds_beside_a_live_one() {
    let (proxy, mut client, mut server) = connected().await;
    proxy.next_request(Fault::lose_reply().by_close());
    client.write_all(&frame(HEADERS, 1, b"request")).await.unwrap();
    proxy.until(|stats| stats.requests == 1).await.unwrap();
    proxy.set(Fault::bandwidth(1_000_000)).await.unwrap();
    server.write_all(&frame(HEADERS, 1, b"reply")).await.unwrap();
    assert_eq!(read_to_end(&mut client).await, (Vec::new(), None));
    assert_eq!(proxy.stats().lost_replies, 1);
}

#[tokio::test]
async fn on_http2_trailers_are_not_a_reply() {
    let (proxy, mut client, mut server) = connected().await;
    let requests = [frame(HEADERS, 1, b"one"), frame(HEADERS, 3, b"two")].concat();
    client.write_all(&requests).await.unwrap();
    proxy.until(|stats| stats.requests == 2).await.unwrap();
    pass(&mut server, &mut client, &frame(HEADERS, 1, b"reply")).await;
    proxy.set(Fault::lose_reply().by_close()).await.unwrap();
    // The rest of a reply that had begun arrives whole; the one that begins now is lost.
    let rest = [frame(DATA, 1, b"data"), last(HEADERS, 1, b"trailers")].concat();
    pass(&mut server, &mut client, &rest).await;
    server.write_all(&last(HEADERS, 3, b"reply and end")).await.unwrap();
    assert_eq!(read_to_end(&mut client).await, (Vec::new(), None));
    assert_eq!(proxy.stats().lost_replies, 1);
}
