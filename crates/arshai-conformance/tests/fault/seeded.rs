//! Faults at random repeat.

use std::time::Duration;

use arshai_conformance::fault::{Event, Fault, Plan};

use crate::server::{connect, exchange, healthy, setting, was_cut};

/// Twenty connections, one after the other, with up to forty requests each.
async fn run_seeded(seed: u64) -> (Vec<Event>, Vec<bool>, u64) {
    let faults =
        [Fault::reset(), Fault::lose_reply(), Fault::delay(Duration::from_millis(1)), Fault::close()];
    let (server, proxy) = setting(Plan::seeded(seed).probability(0.1, faults)).await;
    let mut answered = Vec::new();
    for _ in 0..20 {
        let mut client = connect(&proxy).await;
        for _ in 0..40 {
            let reply = exchange(&mut client).await;
            answered.push(reply.is_ok());
            if let Err(error) = reply {
                assert!(was_cut(&error), "{error}");
                break;
            }
        }
    }
    (proxy.events(), answered, server.executed())
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
    let first = run_seeded(11).await;
    assert_eq!(first, run_seeded(11).await);
    assert_ne!(first.0, run_seeded(12).await.0);
    let names: std::collections::BTreeSet<_> = first.0.iter().map(|event| event.fault).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["close", "delay", "lose_reply", "reset"]);
}

#[tokio::test]
async fn a_seeded_plan_reaches_connections_that_are_open_already() {
    let (_server, proxy) = setting(Plan::new()).await;
    let mut client = connect(&proxy).await;
    healthy(&mut client).await;
    proxy.plan(Plan::seeded(1).probability(1.0, [Fault::reset()]));
    assert!(was_cut(&exchange(&mut client).await.unwrap_err()));
    let events = proxy.events();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].connection, events[0].request, events[0].fault), (0, Some(1), "reset"));
}
