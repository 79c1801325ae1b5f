//! A proxy leaves nothing behind, and its own waits end.

use std::io::ErrorKind as IoKind;

use arshai_conformance::fault::{Fault, Plan, Stats};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::server::{REQUEST, SHORT, connect, healthy, read_to_end, setting};

#[tokio::test]
async fn drop_ends_connections_listener_and_tasks() {
    let (mut server, proxy) = setting(Plan::new()).await;
    let mut idle = connect(&proxy).await;
    healthy(&mut idle).await;
    let mut stalled = connect(&proxy).await;
    proxy.set(Fault::stall()).await.unwrap();
    stalled.write_all(REQUEST).await.unwrap();
    proxy.until(|stats| stats.open == 2).await.unwrap();
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (observer, address) = (proxy.observer(), proxy.address());
    drop(proxy);
    observer.until(|stats| stats.open == 0).await.unwrap();
    read_to_end(&mut idle).await;
    read_to_end(&mut stalled).await;
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), IoKind::ConnectionRefused);
    // The two connections and the listener's task are gone; the server's own are not counted on.
    assert!(tokio::runtime::Handle::current().metrics().num_alive_tasks() <= before - 3);
    server.tasks.shutdown().await;
}

#[tokio::test]
async fn shutdown_returns_when_everything_has_ended() {
    let (_server, proxy) = setting(Plan::new()).await;
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    let address = proxy.address();
    let stats: Stats = proxy.shutdown().await.unwrap();
    assert_eq!((stats.open, stats.accepted), (0, 1));
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), IoKind::ConnectionRefused);
    read_to_end(&mut client).await;
}

#[tokio::test]
async fn a_wait_for_counts_that_never_come_ends_with_the_counts() {
    let (_server, proxy) = setting(Plan::new()).await;
    let deadline = arshai_core::Deadline::after(SHORT);
    let error = deadline.scope(proxy.until(|stats| stats.accepted == 1)).await.unwrap_err();
    assert_eq!(error.kind(), arshai_core::ErrorKind::Timeout);
    assert!(error.to_string().contains("accepted: 0"), "{error}");
}
