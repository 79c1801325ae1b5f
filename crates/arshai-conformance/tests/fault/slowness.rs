//! Delay, bandwidth, stall and black hole.

use std::time::{Duration, Instant};

use arshai_conformance::fault::{Direction, Fault, Plan};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::server::{PATIENCE, REQUEST, SHORT, connect, healthy, setting};

#[tokio::test]
async fn delay_holds_each_request_and_reply_in_its_direction() {
    for (fault, least) in [
        (Fault::delay(SHORT).only(Direction::ToServer), SHORT * 2),
        (Fault::delay(SHORT).only(Direction::ToClient), SHORT * 2),
        (Fault::delay(SHORT), SHORT * 4),
    ] {
        let (_server, proxy) = setting(Plan::new().every_connection([fault.clone()])).await;
        let mut client = connect(&proxy).await;
        let begun = Instant::now();
        healthy(&mut client).await;
        healthy(&mut client).await;
        assert!(begun.elapsed() >= least, "{fault:?} took only {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn delay_toward_the_server_comes_before_it_executes() {
    let (server, proxy) = setting(Plan::new()).await;
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    proxy.set(Fault::delay(Duration::from_secs(3600)).only(Direction::ToServer)).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    proxy.until(|stats| stats.requests == 2).await.unwrap();
    assert_eq!(server.executed(), 1);
    // A delay that runs already ends when the proxy is healed.
    proxy.heal().await.unwrap();
    let mut reply = [0; 8];
    timeout(PATIENCE, client.read_exact(&mut reply)).await.unwrap().unwrap();
    assert_eq!(server.executed(), 2);
}

#[tokio::test]
async fn bandwidth_limits_bytes_per_second() {
    let slow = Fault::bandwidth(800).only(Direction::ToServer);
    let (server, proxy) = setting(Plan::new().every_connection([slow])).await;
    let mut client = connect(&proxy).await;
    let begun = Instant::now();
    for _ in 0..10 {
        client.write_all(REQUEST).await.unwrap();
    }
    let mut replies = [0; 80];
    timeout(PATIENCE, client.read_exact(&mut replies)).await.unwrap().unwrap();
    // The pause after the last of the pieces (16 bytes) is not waited for.
    assert!(begun.elapsed() >= Duration::from_millis(80), "80 bytes at 800/s took {:?}", begun.elapsed());
    assert_eq!(server.executed(), 10);
}

#[tokio::test]
async fn stall_holds_bytes_and_delivers_them_after_heal() {
    for (direction, executed_meanwhile) in [(Direction::ToServer, 1), (Direction::ToClient, 2)] {
        let (server, proxy) = setting(Plan::new()).await;
        let mut client = connect(&proxy).await;
        healthy(&mut client).await;
        proxy.set(Fault::stall().only(direction)).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        if executed_meanwhile == 2 {
            let server = &server;
            let executed = async {
                while server.executed() < 2 {
                    tokio::task::yield_now().await;
                }
            };
            timeout(PATIENCE, executed).await.unwrap();
        }
        let mut reply = [0; 8];
        let silence = timeout(SHORT, client.read_exact(&mut reply)).await;
        assert!(silence.is_err(), "{direction:?}: a reply arrived through a stall");
        assert_eq!(server.executed(), executed_meanwhile);
        // New connections are accepted meanwhile.
        let mut second = connect(&proxy).await;
        proxy.heal().await.unwrap();
        timeout(PATIENCE, client.read_exact(&mut reply)).await.unwrap().unwrap();
        assert_eq!(&reply, b"REQUEST.");
        healthy(&mut second).await;
    }
}

#[tokio::test]
async fn a_stall_at_a_request_leaves_the_ones_before_alone() {
    let (server, proxy) = setting(Plan::new().connection(0, [Fault::stall().at_request(2)])).await;
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    healthy(&mut client).await;
    client.write_all(REQUEST).await.unwrap();
    proxy.until(|stats| stats.requests == 3).await.unwrap();
    let silence = timeout(SHORT, client.read_u8()).await;
    assert!(silence.is_err());
    assert_eq!(server.executed(), 2);
    assert_eq!(proxy.stats().bytes_to_server, 16);
}

#[tokio::test]
async fn a_black_hole_never_delivers_not_even_after_heal() {
    let (server, proxy) = setting(Plan::new()).await;
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    proxy.set(Fault::black_hole()).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    proxy.until(|stats| stats.bytes_swallowed == 8).await.unwrap();
    proxy.heal().await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    proxy.until(|stats| stats.bytes_swallowed == 16).await.unwrap();
    assert_eq!(server.executed(), 1);
    healthy(&mut connect(&proxy).await).await;
    drop(client);
    proxy.until(|stats| stats.open == 0).await.unwrap();
}

#[tokio::test]
async fn a_black_hole_toward_the_client_lets_the_server_execute() {
    let (server, proxy) =
        setting(Plan::new().every_connection([Fault::black_hole().only(Direction::ToClient)])).await;
    let mut client = connect(&proxy).await;
    client.write_all(REQUEST).await.unwrap();
    proxy.until(|stats| stats.bytes_swallowed == 8).await.unwrap();
    assert_eq!((server.executed(), proxy.stats().bytes_to_client), (1, 0));
}
