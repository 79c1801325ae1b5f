//! A TCP connection whose every wait is finite.

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use anyhow::{Context as _, Result};

/// Connects to `host:port`; connecting, reading and writing each take `patience` at most.
pub(crate) fn dial(address: &str, patience: Duration) -> Result<TcpStream> {
    let socket = address.to_socket_addrs().ok().and_then(|mut all| all.next());
    let socket = socket.with_context(|| format!("{address} is not an address that resolves"))?;
    let stream =
        TcpStream::connect_timeout(&socket, patience).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(patience)).context("setting a time limit")?;
    stream.set_write_timeout(Some(patience)).context("setting a time limit")?;
    Ok(stream)
}
