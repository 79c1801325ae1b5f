//! Connections that never open.

use std::io::ErrorKind as IoKind;

use arshai_conformance::fault::{Fault, Plan};
use tokio::net::TcpStream;

use crate::server::{connect, healthy, read_to_end, setting};

#[tokio::test]
async fn refuse_then_heal_keeps_the_port_and_open_connections() {
    let (_server, proxy) = setting(Plan::new()).await;
    let mut open = connect(&proxy).await;
    healthy(&mut open).await;
    for _ in 0..3 {
        proxy.set(Fault::refuse()).await.unwrap();
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), IoKind::ConnectionRefused);
        healthy(&mut open).await;
        proxy.heal().await.unwrap();
        healthy(&mut connect(&proxy).await).await;
    }
}

#[tokio::test]
async fn down_resets_what_is_open_and_refuses_what_comes() {
    let (_server, proxy) = setting(Plan::new()).await;
    let mut open = connect(&proxy).await;
    healthy(&mut open).await;
    proxy.set(Fault::down()).await.unwrap();
    assert_eq!(read_to_end(&mut open).await, (Vec::new(), Some(IoKind::ConnectionReset)));
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), IoKind::ConnectionRefused);
    proxy.heal().await.unwrap();
    healthy(&mut connect(&proxy).await).await;
}

#[tokio::test]
async fn a_planned_refusal_concerns_its_connection_only() {
    let (_server, proxy) = setting(Plan::new().connection(1, [Fault::refuse()])).await;
    let mut first = connect(&proxy).await;
    healthy(&mut first).await;
    let (_, seen) = read_to_end(&mut connect(&proxy).await).await;
    assert_eq!(seen, Some(IoKind::ConnectionReset));
    healthy(&mut connect(&proxy).await).await;
    healthy(&mut first).await;
    assert_eq!((proxy.stats().refused, proxy.stats().cut), (1, 0));
}
