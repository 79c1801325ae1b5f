//! Which of plan, live fault and next request counts, and from where.

use arshai_conformance::fault::{Direction, Fault, Plan};
use tokio::io::AsyncWriteExt;

use crate::server::{connect, exchange, healthy, read_to_end, setting, was_cut};

#[tokio::test]
async fn a_live_fault_stands_in_for_the_plan() {
    let (_server, proxy) = setting(Plan::new().every_connection([Fault::reset().at_request(0)])).await;
    proxy.set(Fault::bandwidth(1_000_000)).await.unwrap();
    healthy(&mut connect(&proxy).await).await;
}

#[tokio::test]
async fn heal_ends_the_plan_for_open_connections_too() {
    let plan = Plan::new().every_connection([Fault::reset().at_request(1)]).probability(0.0, []);
    let (_server, proxy) = setting(plan).await;
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    proxy.heal().await.unwrap();
    healthy(&mut client).await;
    assert_eq!(proxy.events(), []);
}

#[tokio::test]
async fn heal_takes_back_a_fault_that_waits_for_its_request() {
    let (_server, proxy) = setting(Plan::new()).await;
    proxy.next_request(Fault::reset());
    proxy.heal().await.unwrap();
    healthy(&mut connect(&proxy).await).await;
}

#[tokio::test]
async fn a_new_plan_counts_connections_from_zero() {
    let (_server, proxy) = setting(Plan::new()).await;
    let mut first = connect(&proxy).await;
    let mut second = connect(&proxy).await;
    healthy(&mut first).await;
    healthy(&mut second).await;
    proxy.plan(Plan::new().connection(0, [Fault::reset()]));
    assert!(was_cut(&exchange(&mut connect(&proxy).await).await.unwrap_err()));
    healthy(&mut first).await;
    healthy(&mut connect(&proxy).await).await;
    assert_eq!(proxy.events()[0].connection, 2);
}

#[tokio::test]
async fn a_live_fault_counts_requests_and_bytes_from_when_it_was_set() {
    let (_server, proxy) = setting(Plan::new()).await;
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    healthy(&mut client).await;
    proxy.set(Fault::reset().at_request(1)).await.unwrap();
    healthy(&mut client).await;
    assert!(was_cut(&exchange(&mut client).await.unwrap_err()));

    proxy.heal().await.unwrap();
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    proxy.set(Fault::cut_after(Direction::ToClient, 3).by_close()).await.unwrap();
    client.write_all(b"another.").await.unwrap();
    assert_eq!(read_to_end(&mut client).await, (b"ANO".to_vec(), None));
}
