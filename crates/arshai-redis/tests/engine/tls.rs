//! Encryption.

use std::time::Duration;

use arshai_core::{ErrorKind, memory::MemoryStore as _};
use arshai_redis::RedisServer;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    harness::{Test, tests},
    memory, settings,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_server_signed_by_somebody_unknown_is_refused_at_once,
        a_certificate_for_another_name_is_refused_at_once,
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

async fn a_certificate_for_another_name_is_refused_at_once() {
    let mut config = settings();
    // Another address of this machine, which the certificate does not name.
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let (port, address) = (listener.local_addr().unwrap().port(), config.address());
    let mut forwarding = JoinSet::new();
    forwarding.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let address = address.clone();
            connections.spawn(async move {
                let mut far = TcpStream::connect(address).await.unwrap();
                // It ends when either side goes.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    config.server = RedisServer::Single("127.0.0.2".to_owned(), port);
    let error = memory(config).health().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Config, 1), "{error}");
    assert!(format!("{error:?}").contains("NotValidForName"), "{error:?}");
}

async fn a_plain_address_of_a_tls_port_fails_within_its_time() {
    let mut config = settings();
    config.tls = false;
    config.retries = 0;
    config.connect_timeout = Duration::from_secs(1);
    memory(config).health().await.unwrap_err();
}
