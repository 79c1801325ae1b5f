//! A server that dies, freezes and returns.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use arshai_core::memory::MemoryKey;
use arshai_redis::RedisMemory;
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::{
    appends::{Appender, settle},
    harness::{Test, alone, tests},
    key, memory,
    own::OwnServer,
};

/// By when a memory works again after its server does.
pub(crate) const RECOVERY: Duration = Duration::from_secs(5);
const ROUNDS: usize = 5;
const WRITERS: usize = 4;
/// What each call is given: less than the server is away for.
const DEADLINE: Duration = Duration::from_millis(400);

/// Alone: they measure how soon it works again.
pub(crate) fn tests() -> Vec<Test> {
    alone(tests![
        a_server_killed_again_and_again_loses_and_doubles_nothing,
        a_server_frozen_again_and_again_loses_and_doubles_nothing,
        a_server_restarted_while_nobody_calls_is_found_at_the_next_call,
    ])
}

/// Writers that go on until told to stop.
pub(crate) struct Crowd {
    tasks: JoinSet<Appender>,
    stop: std::sync::Arc<AtomicBool>,
}

impl Crowd {
    pub(crate) fn start(stores: Vec<RedisMemory>, key: &MemoryKey, deadline: Duration) -> Self {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for (number, store) in stores.into_iter().enumerate() {
            let (stop, key) = (std::sync::Arc::clone(&stop), key.clone());
            let name = char::from(b's' + u8::try_from(number).unwrap());
            tasks.spawn(async move {
                let mut appender = Appender::new(name, deadline);
                while !stop.load(Ordering::Relaxed) {
                    appender.append(&store, &key).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                appender
            });
        }
        Self { tasks, stop }
    }

    pub(crate) async fn stop(self) -> Vec<Appender> {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await
    }
}

/// How long it takes until a write succeeds, each try being given little time.
pub(crate) async fn recovered(store: &RedisMemory, key: &MemoryKey) -> Duration {
    let began = Instant::now();
    let mut probe = Appender::new("probe", Duration::from_secs(1));
    while !probe.append(store, key).await {
        assert!(began.elapsed() < RECOVERY * 6, "it does not recover: {:?}", probe.errors);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

pub(crate) fn stores(config: &arshai_redis::RedisConfig) -> Vec<RedisMemory> {
    (0..WRITERS).map(|_| memory(config.clone())).collect()
}

async fn a_server_killed_again_and_again_loses_and_doubles_nothing() {
    let mut server = OwnServer::durable().await;
    let (store, key, probed) = (memory(server.config()), key("killed"), key("probe"));
    let crowd = Crowd::start(stores(&server.config()), &key, DEADLINE);
    for round in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.kill();
        tokio::time::sleep(2 * DEADLINE).await;
        server.launch_again(&[]);
        server.answers().await;
        let took = recovered(&store, &probed).await;
        println!("kill {round}: works {took:?} after the server");
        assert!(took < RECOVERY, "{took:?}");
    }
    let writers = crowd.stop().await;
    assert!(
        writers.iter().any(|writer| !writer.errors.is_empty()),
        "nobody noticed that the server was away"
    );
    let kept = settle("server killed", &writers, &store, &key).await;
    assert!(kept > 0);
}

async fn a_server_frozen_again_and_again_loses_and_doubles_nothing() {
    let server = OwnServer::start(&[]).await;
    let (store, key, probed) = (memory(server.config()), key("frozen"), key("probe"));
    let crowd = Crowd::start(stores(&server.config()), &key, DEADLINE);
    for round in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.signal(Signal::STOP);
        // Every call within returns at its deadline: the writers assert it.
        tokio::time::sleep(3 * DEADLINE).await;
        server.signal(Signal::CONT);
        let took = recovered(&store, &probed).await;
        println!("freeze {round}: works {took:?} after the server");
        assert!(took < RECOVERY, "{took:?}");
    }
    let writers = crowd.stop().await;
    assert!(
        writers.iter().any(|writer| !writer.errors.is_empty()),
        "nobody noticed that the server was frozen"
    );
    let kept = settle("server frozen", &writers, &store, &key).await;
    assert!(kept > 0);
}

async fn a_server_restarted_while_nobody_calls_is_found_at_the_next_call() {
    let mut server = OwnServer::durable().await;
    let (store, key) = (memory(server.config()), key("idle"));
    let mut appender = Appender::new("n", Duration::from_secs(15));
    for round in 0..ROUNDS {
        assert!(appender.append(&store, &key).await, "round {round}: {:?}", appender.errors);
        server.kill();
        server.launch_again(&[]);
        server.answers().await;
    }
    assert_eq!(settle("restarts while idle", &[appender], &store, &key).await, ROUNDS);
}
