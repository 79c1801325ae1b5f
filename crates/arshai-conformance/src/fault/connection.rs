//! One connection: bytes from one socket to the other, as its script says.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Direction, Upstream,
    action::Ending,
    script::{Script, Step},
    shared::{Control, Open, Shared},
    upstream::{Connected, Reader, Writer, reset},
};

const CHUNK: usize = 16 * 1024;
/// How long the proxy still takes a client's bytes after an orderly end. Closing a socket with bytes unread makes the
/// kernel send a reset, which would take what the client has not yet been sent with it.
const LINGER: Duration = Duration::from_secs(5);
/// A limited connection is served in pieces of a fiftieth of a second.
const PIECES_PER_SECOND: u64 = 50;

/// Why a connection is over.
enum Over {
    /// A fault ended it.
    Cut(Ending),
    /// It was accepted only to be reset.
    Refused,
    /// The upstream does not answer.
    Unreachable,
    /// One side failed.
    Broken,
    /// Nothing more will be read from a client whose bytes vanish anyway.
    Gone,
}

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Carries a client's connection until it ends. `open` comes first to be dropped last, after the sockets.
pub(super) async fn serve(
    open: Open,
    mut client: TcpStream,
    upstream: Arc<Upstream>,
    shared: Arc<Shared>,
    script: Script,
) {
    let script = Mutex::new(script);
    let line = Line { script: &script, shared: &shared };
    let mut server = None;
    let Err(over) = line.run(&mut client, &mut server, &upstream).await else {
        // Both sides have said their end, in order.
        return;
    };
    match over {
        Over::Gone => {}
        Over::Broken => end(client, server, Ending::Reset, open).await,
        Over::Unreachable => {
            shared.count(|stats| stats.unreachable += 1);
            end(client, server, Ending::Reset, open).await;
        }
        Over::Refused => {
            shared.count(|stats| stats.refused += 1);
            end(client, server, Ending::Reset, open).await;
        }
        Over::Cut(ending) => {
            shared.count(|stats| stats.cut += 1);
            end(client, server, ending, open).await;
        }
    }
}

async fn end(mut client: TcpStream, server: Option<Connected>, ending: Ending, open: Open) {
    if ending == Ending::Reset {
        if let Some(server) = server {
            server.reset();
        }
        reset(client);
        return;
    }
    drop(server);
    if client.shutdown().await.is_err() {
        return;
    }
    drop(open);
    let mut unheard = vec![0; CHUNK];
    let drained =
        timeout(LINGER, async { while matches!(client.read(&mut unheard).await, Ok(1..)) {} }).await;
    // Past the time, the client has had its chance.
    drop(drained);
}

#[derive(Clone, Copy)]
struct Line<'a> {
    script: &'a Mutex<Script>,
    shared: &'a Shared,
}

impl Line<'_> {
    async fn run(
        self,
        client: &mut TcpStream,
        server: &mut Option<Connected>,
        upstream: &Upstream,
    ) -> Result<(), Over> {
        client.set_nodelay(true)?;
        let mut control = self.shared.control.subscribe();
        let mut connecting = std::pin::pin!(upstream.connect());
        let server = loop {
            if let Some((ending, refused)) = self.script().at_connect() {
                return Err(if refused { Over::Refused } else { Over::Cut(ending) });
            }
            tokio::select! {
                biased;
                () = changed(&mut control) => {}
                connected = &mut connecting => break server.insert(connected.map_err(|_| Over::Unreachable)?),
            }
        };
        let (client_reader, client_writer) = client.split();
        let (server_reader, server_writer) = server.split();
        let requests = self.carry(Direction::ToServer, Box::new(client_reader), server_writer);
        let replies = self.carry(Direction::ToClient, server_reader, Box::new(client_writer));
        tokio::try_join!(requests, replies).map(|_| ())
    }

    /// Carries one direction until its end of stream, which it hands on.
    async fn carry(self, direction: Direction, mut from: Reader<'_>, mut to: Writer<'_>) -> Result<(), Over> {
        let mut control = self.shared.control.subscribe();
        let mut buffer = vec![0; CHUNK];
        loop {
            control.mark_unchanged();
            let step = self.script().before_reading(direction);
            match step {
                Some(Step::End(ending)) => return Err(Over::Cut(ending)),
                Some(_) => {
                    changed(&mut control).await;
                    continue;
                }
                None => {}
            }
            let read = tokio::select! {
                biased;
                () = changed(&mut control) => continue,
                read = from.read(&mut buffer) => read?,
            };
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                if self.script().is_holed(direction) {
                    return Err(Over::Gone);
                }
                to.shutdown().await?;
                return Ok(());
            }
            self.hand_on(direction, bytes, &mut to, &mut control).await?;
        }
    }

    async fn hand_on(
        self,
        direction: Direction,
        mut bytes: &[u8],
        to: &mut Writer<'_>,
        control: &mut watch::Receiver<Control>,
    ) -> Result<(), Over> {
        while !bytes.is_empty() {
            control.mark_unchanged();
            let step = self.script().next(direction, bytes);
            match step {
                Step::End(ending) => return Err(Over::Cut(ending)),
                Step::Hold => changed(control).await,
                Step::Wait(time) => tokio::select! {
                    biased;
                    () = changed(control) => {}
                    () = sleep(time) => self.script().waited(direction),
                },
                Step::Discard(count) => {
                    let (gone, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
                    self.script().passed(direction, gone, true);
                    bytes = rest;
                }
                Step::Write { most, rate } => {
                    let piece = rate.map_or(most, |rate| most.min(a_piece_at(rate)));
                    let written = tokio::select! {
                        biased;
                        () = changed(control) => continue,
                        written = to.write(bytes.get(..piece).unwrap_or(bytes)) => written?,
                    };
                    if written == 0 {
                        return Err(Over::Broken);
                    }
                    let (done, rest) = bytes.split_at_checked(written).unwrap_or((bytes, &[]));
                    self.script().passed(direction, done, false);
                    bytes = rest;
                    if let Some(rate) = rate {
                        pause(written, rate, control).await;
                    }
                }
            }
        }
        Ok(())
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn a_piece_at(rate: u64) -> usize {
    usize::try_from(rate / PIECES_PER_SECOND).unwrap_or(usize::MAX).max(1)
}

/// Waits as long as so many bytes take, or until something is set live.
async fn pause(bytes: usize, rate: u64, control: &mut watch::Receiver<Control>) {
    let nanos = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000_000) / rate.max(1);
    tokio::select! {
        biased;
        () = changed(control) => {}
        () = sleep(Duration::from_nanos(nanos)) => {}
    }
}

/// Waits for the next change; its sender lives as long as the proxy does.
async fn changed(control: &mut watch::Receiver<Control>) {
    if control.changed().await.is_err() {
        std::future::pending().await
    }
}
