//! Connections that end: at once, after so many bytes, at a reply.

use std::{io::ErrorKind as IoKind, sync::Arc};

use arshai_conformance::fault::{Direction, Fault, FaultProxy, Plan};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Barrier,
    task::JoinSet,
    time::timeout,
};

use crate::server::{PATIENCE, REQUEST, connect, exchange, healthy, read_to_end, setting, was_cut};

#[tokio::test]
async fn reset_now_is_seen_as_connection_reset_and_close_as_the_end() {
    for (fault, seen) in [(Fault::reset(), Some(IoKind::ConnectionReset)), (Fault::close(), None)] {
        let (_server, proxy) = setting(Plan::new()).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            let mut client = connect(&proxy).await;
            healthy(&mut client).await;
            clients.push(client);
        }
        proxy.set(fault.clone()).await.unwrap();
        let stats = proxy.stats();
        assert_eq!((stats.open, stats.cut), (0, 5), "{fault:?}");
        for mut client in clients {
            assert_eq!(read_to_end(&mut client).await, (Vec::new(), seen), "{fault:?}");
        }
        proxy.heal().await.unwrap();
        healthy(&mut connect(&proxy).await).await;
    }
}

#[tokio::test]
async fn a_connection_can_be_reset_or_closed_when_it_opens() {
    let plan = Plan::new().connection(0, [Fault::reset()]).connection(2, [Fault::close()]);
    let (server, proxy) = setting(plan).await;
    assert_eq!(read_to_end(&mut connect(&proxy).await).await, (Vec::new(), Some(IoKind::ConnectionReset)));
    healthy(&mut connect(&proxy).await).await;
    assert_eq!(read_to_end(&mut connect(&proxy).await).await, (Vec::new(), None));
    healthy(&mut connect(&proxy).await).await;
    assert_eq!((server.executed(), proxy.stats().cut, proxy.stats().accepted), (2, 2, 4));
}

#[tokio::test]
async fn cut_after_delivers_exactly_so_many_bytes_to_the_client() {
    for bytes in [0, 1, 7, 8, 11] {
        let fault = Fault::cut_after(Direction::ToClient, bytes).by_close();
        let (_server, proxy) = setting(Plan::new().connection(0, [fault])).await;
        let mut client = connect(&proxy).await;
        let _perhaps_cut = client.write_all(REQUEST).await;
        let _perhaps_cut = client.write_all(REQUEST).await;
        let (received, error) = read_to_end(&mut client).await;
        let expected = b"REQUEST.REQUEST.".get(..usize::try_from(bytes).unwrap()).unwrap();
        assert_eq!((received.as_slice(), error), (expected, None));
        assert_eq!(proxy.stats().bytes_to_client, bytes);
    }
}

#[tokio::test]
async fn cut_after_delivers_exactly_so_many_bytes_to_the_server() {
    for (bytes, executed) in [(1, 0), (7, 0), (8, 1), (11, 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = FaultProxy::start(listener.local_addr().unwrap()).await.unwrap();
        proxy.plan(Plan::new().every_connection([Fault::cut_after(Direction::ToServer, bytes).by_close()]));
        let mut client = connect(&proxy).await;
        client.write_all(b"request.request.").await.unwrap();
        let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let (received, _) = read_to_end(&mut stream).await;
        assert_eq!(received.len() as u64, bytes);
        assert_eq!(received.len() / 8, executed);
        assert_eq!(read_to_end(&mut client).await, (Vec::new(), None));
    }
}

#[tokio::test]
async fn cut_inside_a_chosen_request_is_counted_from_its_beginning() {
    let fault = Fault::reset().at_request(1).after_bytes(Direction::ToServer, 5);
    let (server, proxy) = setting(Plan::new().every_connection([fault])).await;
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    assert!(was_cut(&exchange(&mut client).await.unwrap_err()));
    assert_eq!((server.executed(), proxy.stats().bytes_to_server), (1, 13));
}

#[tokio::test]
async fn a_lost_reply_was_executed_and_nothing_of_it_arrives() {
    for (fault, seen) in [
        (Fault::lose_reply().at_request(1), Some(IoKind::ConnectionReset)),
        (Fault::lose_reply().at_request(1).by_close(), None),
    ] {
        let (server, proxy) = setting(Plan::new().every_connection([fault])).await;
        let mut client = connect(&proxy).await;
        healthy(&mut client).await;
        client.write_all(REQUEST).await.unwrap();
        assert_eq!(read_to_end(&mut client).await, (Vec::new(), seen));
        let stats = proxy.until(|stats| stats.open == 0).await.unwrap();
        assert_eq!((server.executed(), stats.bytes_to_client, stats.lost_replies, stats.cut), (2, 8, 1, 1));
    }
}

#[tokio::test]
async fn next_request_loses_one_reply_and_the_retry_succeeds() {
    let (server, proxy) = setting(Plan::new()).await;
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    proxy.next_request(Fault::lose_reply());
    assert!(was_cut(&exchange(&mut client).await.unwrap_err()));
    healthy(&mut connect(&proxy).await).await;
    assert_eq!((server.executed(), proxy.stats().lost_replies), (3, 1));
}

#[tokio::test]
async fn a_live_lost_reply_spares_what_was_answered_already() {
    let (server, proxy) = setting(Plan::new()).await;
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    proxy.set(Fault::lose_reply()).await.unwrap();
    assert_eq!(proxy.stats().open, 1);
    assert!(was_cut(&exchange(&mut client).await.unwrap_err()));
    assert_eq!(server.executed(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connections_at_once_are_all_served_and_all_cut() {
    const MANY: usize = 200;
    let (server, proxy) = setting(Plan::new()).await;
    let all_open = Arc::new(Barrier::new(MANY + 1));
    let address = proxy.address();
    let mut clients = JoinSet::new();
    for _ in 0..MANY {
        let all_open = Arc::clone(&all_open);
        clients.spawn(async move {
            let mut client = TcpStream::connect(address).await.unwrap();
            healthy(&mut client).await;
            all_open.wait().await;
            read_to_end(&mut client).await
        });
    }
    timeout(PATIENCE, all_open.wait()).await.unwrap();
    assert_eq!((proxy.stats().open, server.executed()), (200, 200));
    proxy.set(Fault::reset()).await.unwrap();
    assert_eq!((proxy.stats().open, proxy.stats().cut), (0, 200));
    while let Some(end) = clients.join_next().await {
        assert_eq!(end.unwrap(), (Vec::new(), Some(IoKind::ConnectionReset)));
    }
}

#[tokio::test]
async fn a_client_that_writes_after_a_close_still_reads_all_that_was_delivered() {
    const DELIVERED: u64 = 3_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap()).await.unwrap();
    proxy.plan(Plan::new().every_connection([Fault::cut_after(Direction::ToClient, DELIVERED).by_close()]));
    let mut client = connect(&proxy).await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // More than is delivered, so that the server is cut off while it writes.
        stream.write_all(&vec![7; 8_000_000]).await
    });
    let mut received = 0;
    let mut chunk = [0; 4096];
    loop {
        client.write_all(b"are you there?").await.unwrap();
        match timeout(PATIENCE, client.read(&mut chunk)).await.unwrap().unwrap() {
            0 => break,
            read => received += read as u64,
        }
    }
    assert_eq!(received, DELIVERED);
    assert!(timeout(PATIENCE, server).await.unwrap().unwrap().is_err());
}
