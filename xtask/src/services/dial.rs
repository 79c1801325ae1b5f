//! A TCP connection whose every wait is finite.

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use anyhow::{Context as _, Result};

/// Connects to `host:port`, at the first of the name's addresses that answers; connecting to each, reading and writing
/// take `patience` at most.
pub(crate) fn dial(address: &str, patience: Duration) -> Result<TcpStream> {
    let mut outcome = None;
    for socket in address.to_socket_addrs().into_iter().flatten() {
        outcome = Some(TcpStream::connect_timeout(&socket, patience));
        if matches!(outcome, Some(Ok(_))) {
            break;
        }
    }
    let outcome = outcome.with_context(|| format!("{address} is not an address that resolves"))?;
    let stream = outcome.with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(patience)).context("setting a time limit")?;
    stream.set_write_timeout(Some(patience)).context("setting a time limit")?;
    Ok(stream)
}
