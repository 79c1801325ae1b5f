//! Encryption.

use std::time::Duration;

use arshai_core::{ErrorKind, memory::MemoryStore as _};

use crate::{
    harness::{Test, tests},
    memory, settings,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_server_signed_by_somebody_unknown_is_refused_at_once,
        a_plain_address_of_a_tls_port_fails_within_its_time,
    ]
}

async fn a_server_signed_by_somebody_unknown_is_refused_at_once() {
    let trusted = settings();
    let mut config = trusted.clone();
    config.ca_file = None;
    let error = memory(config).health().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1), "{error}");
    memory(trusted).health().await.unwrap();
}

async fn a_plain_address_of_a_tls_port_fails_within_its_time() {
    let mut config = settings();
    config.tls = false;
    config.retries = 0;
    config.connect_timeout = Duration::from_secs(1);
    memory(config).health().await.unwrap_err();
}
