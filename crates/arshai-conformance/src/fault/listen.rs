//! The port, and the task that owns every socket of the proxy.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arshai_core::{Error, ErrorKind, Result};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Upstream, connection,
    script::Script,
    shared::{Open, Shared},
};

const BACKLOG: u32 = 1024;
/// After a failed accept (no file descriptor left), for the loop not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// Connections end at once; this only bounds the wait.
const ENDING_TIMEOUT: Duration = Duration::from_secs(5);

/// What the handle asks of the task.
pub(super) enum Command {
    /// Listen or not, as the control says by now; with `ends_all`, answer once open connections have ended.
    Follow { ends_all: bool, done: oneshot::Sender<Result<()>> },
    /// End everything, then answer.
    Stop { done: oneshot::Sender<Result<()>> },
}

/// A loopback port that stays ours while nothing listens on it.
pub(super) struct Port {
    address: SocketAddr,
    /// Bound, never listening: keeps the kernel from giving the port to somebody else while the listener is closed.
    /// None where the system lets only one socket be bound to a port.
    _held: Option<TcpSocket>,
    listener: Option<TcpListener>,
}

impl Port {
    pub(super) fn open() -> io::Result<Self> {
        let held = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = held.local_addr()?;
        match listening(address) {
            Ok(listener) => Ok(Self { address, _held: Some(held), listener: Some(listener) }),
            Err(_) => {
                let listener = held.listen(BACKLOG)?;
                Ok(Self { address, _held: None, listener: Some(listener) })
            }
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    fn listen(&mut self, wanted: bool) -> Result<()> {
        if !wanted {
            self.listener = None;
        } else if self.listener.is_none() {
            let listener = listening(self.address).map_err(|error| {
                Error::new(ErrorKind::Unavailable, "cannot listen on the port again; start another proxy")
                    .with_operation("fault_proxy.heal")
                    .with_context("address", self.address)
                    .with_source(error)
            })?;
            self.listener = Some(listener);
        }
        Ok(())
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        match &self.listener {
            Some(listener) => listener.accept().await.map(|(stream, _)| stream),
            None => std::future::pending().await,
        }
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Elsewhere the option lets a stranger share the port.
    if cfg!(unix) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

fn listening(address: SocketAddr) -> io::Result<TcpListener> {
    bound(address)?.listen(BACKLOG)
}

/// Accepts and carries connections until the handle is gone or asks to stop. Everything it owns ends with it.
pub(super) async fn run(
    mut port: Port,
    upstream: Upstream,
    shared: Arc<Shared>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let upstream = Arc::new(upstream);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                None => return,
                Some(Command::Follow { ends_all, done }) => {
                    let followed = follow(&mut port, &shared, ends_all).await;
                    // A caller that stopped waiting still has its fault.
                    let _unheard = done.send(followed);
                }
                Some(Command::Stop { done }) => {
                    drop(port);
                    connections.shutdown().await;
                    let _unheard = done.send(Ok(()));
                    return;
                }
            },
            accepted = port.accept() => match accepted {
                Ok(client) => {
                    let number = shared.stats.borrow().accepted;
                    let script = Script::new(Arc::clone(&shared), number);
                    let open = Open::new(Arc::clone(&shared));
                    shared.count(|stats| stats.accepted += 1);
                    let (upstream, shared) = (Arc::clone(&upstream), Arc::clone(&shared));
                    connections.spawn(connection::serve(open, client, upstream, shared, script));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn follow(port: &mut Port, shared: &Shared, ends_all: bool) -> Result<()> {
    let refuses = shared.control.borrow().live.as_deref().is_some_and(super::Fault::refuses);
    port.listen(!refuses)?;
    if ends_all {
        let mut stats = shared.stats.subscribe();
        let none_open = stats.wait_for(|stats| stats.open == 0);
        if timeout(ENDING_TIMEOUT, none_open).await.is_err() {
            return Err(Error::new(ErrorKind::Timeout, "connections did not end; is the runtime blocked?")
                .with_operation("fault_proxy.set"));
        }
    }
    Ok(())
}
