//! The blocking side, for which nothing runs between two calls but its own runtime.

use std::{sync::Arc, time::Instant};

use arshai_core::{
    ErrorKind,
    blocking::{Blocking, MemoryStore as _, Runtime},
    memory::{Memory, MemoryStore},
};

use crate::{
    harness::{Test, alone, block_on},
    key, memory,
    outage::RECOVERY,
    own::OwnServer,
};

pub(crate) fn tests() -> Vec<Test> {
    alone(vec![Test::new("blocking::a_restart_with_no_call_in_progress_is_survived", || {
        restart(false);
        restart(true);
    })])
}

/// Not async: the calls are made from a thread that no runtime knows.
fn restart(with_a_failed_call: bool) {
    let servers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut server = servers.block_on(OwnServer::durable());
    let mut config = server.config();
    config.retries = 1;
    let store: Arc<dyn MemoryStore> = Arc::new(memory(config));
    let store = Blocking::new(store, Runtime::new().unwrap());
    let key = key("blocking");
    for round in 0..3 {
        let append = |old: Option<&Memory>| {
            Ok(Memory::new(format!("{} {round}", old.map_or("", |memory| memory.text.as_str()))))
        };
        let began = Instant::now();
        store.update_with(&key, append).unwrap();
        assert!(began.elapsed() < RECOVERY, "{:?}", began.elapsed());
        server.kill();
        if with_a_failed_call {
            let error = store.get(&key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
        server.launch_again(&[]);
        servers.block_on(server.answers());
    }
    assert_eq!(store.retrieve(&key).unwrap().unwrap().text, " 0 1 2");
    store.close().unwrap();
    // From async code it says so instead of waiting.
    block_on(async move {
        assert_eq!(store.health().unwrap_err().kind(), ErrorKind::BlockingInAsync);
    });
}
