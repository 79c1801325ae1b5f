//! A TCP proxy that breaks connections on purpose, by plan and in the same way each time (feature `fault`).
//!
//! [`FaultProxy`] listens on a loopback port and carries every connection to one upstream address. What goes wrong
//! on the way is said in three ways, which can be mixed:
//!
//! * a [`Plan`]: the first connection is reset, the third stalls at its second request, every request fails with a
//!   probability and a seed;
//! * a live switch, [`FaultProxy::set`] and [`FaultProxy::heal`]: one fault for all connections, at once;
//! * [`FaultProxy::next_request`]: one fault for the next request, whichever connection carries it.
//!
//! | fault | what the client meets |
//! |---|---|
//! | [`Fault::delay`] | each request, each reply arrives later |
//! | [`Fault::bandwidth`] | bytes trickle |
//! | [`Fault::stall`] | silence; everything arrives after [`FaultProxy::heal`] |
//! | [`Fault::black_hole`] | silence for ever: what was sent is gone |
//! | [`Fault::reset`] | connection reset (RST), at once, at a request or after N bytes |
//! | [`Fault::close`] | end of stream (FIN), likewise |
//! | [`Fault::cut_after`] | exactly N bytes, then the connection ends: in the middle of a message |
//! | [`Fault::lose_reply`] | the server has executed the request, its reply never arrives |
//! | [`Fault::refuse`], [`Fault::down`] | connection refused |
//!
//! # What a request is
//!
//! [`FaultProxy::start`] knows no protocol: a request begins with the first byte a client sends after the connection
//! opened or after the server spoke, and its reply with the first byte the server sends after that. That is exact for
//! one request at a time (Redis without pipelining, HTTP/1.1); requests written together count as one.
//! [`FaultProxy::start_http2`] reads the frame headers of cleartext HTTP/2 (gRPC) instead: a request is a new stream,
//! its reply the first HEADERS frame on that stream, so that settings, pings and window updates, which a server
//! sends before it has executed anything, are not mistaken for a reply.
//!
//! A client's greetings count as requests too (Redis' `HELLO`, each flight of a TLS handshake). Where a test cannot
//! know how many there are, let the client connect first and use [`FaultProxy::next_request`].
//!
//! # What repeats
//!
//! A random plan draws from its seed, the number of the connection and the number of the request on it, never from
//! the clock or from the order in which tasks ran: the same requests on the same connections meet the same faults.
//! [`FaultProxy::events`] tells which. Every wait of the proxy's own methods is finite, and dropping it ends its tasks
//! and sockets. Sockets are real, so a paused clock of tokio does not go with it: keep delays short, and assert that
//! something took at least so long, never at most.
//!
//! # Examples
//!
//! ```
//! use arshai_conformance::fault::{Direction, Fault, FaultProxy, Plan};
//! # use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::{TcpListener, TcpStream}};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
//! # let server_address = listener.local_addr().unwrap();
//! # let server = tokio::spawn(async move {
//! #     loop {
//! #         let (mut stream, _) = listener.accept().await.unwrap();
//! #         tokio::spawn(async move { let (mut r, mut w) = stream.split(); tokio::io::copy(&mut r, &mut w).await });
//! #     }
//! # });
//! let proxy = FaultProxy::start(server_address).await?;
//!
//! // The first connection gets three bytes of its reply; the others are left alone.
//! proxy.plan(Plan::new().connection(0, [Fault::cut_after(Direction::ToClient, 3).by_close()]));
//! let mut client = TcpStream::connect(proxy.address()).await.unwrap();
//! client.write_all(b"hello").await.unwrap();
//! let mut reply = Vec::new();
//! client.read_to_end(&mut reply).await.unwrap();
//! assert_eq!(reply, b"hel");
//! assert_eq!(proxy.stats().cut, 1);
//!
//! // Nobody can connect until it is healed, on the same port.
//! proxy.set(Fault::refuse()).await?;
//! assert!(TcpStream::connect(proxy.address()).await.is_err());
//! proxy.heal().await?;
//! assert!(TcpStream::connect(proxy.address()).await.is_ok());
//! # server.abort();
//! # Ok::<(), arshai_core::Error>(())
//! # }).unwrap();
//! ```

mod action;
mod armed;
mod connection;
mod http2;
mod listen;
mod plan;
mod proxy;
mod script;
mod shared;
mod stats;
mod upstream;

pub use action::{Direction, Fault};
pub use plan::Plan;
pub use proxy::{FaultProxy, Observer};
pub use stats::{Event, Stats};
pub use upstream::Upstream;
