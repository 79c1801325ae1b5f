//! One fault: what happens, in which direction, and from when.

use std::time::Duration;

/// Which way bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server: requests.
    ToServer,
    /// From the server to the client: replies.
    ToClient,
}

impl Direction {
    pub(super) fn other(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// One thing that goes wrong.
///
/// Without a trigger it is in force from the first byte of the connection. [`Fault::at_request`] restricts it to one
/// request and its reply, [`Fault::after_bytes`] to what follows N bytes; with both, bytes are counted from the
/// beginning of that request.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use arshai_conformance::fault::{Direction, Fault};
///
/// let slow_replies = Fault::delay(Duration::from_millis(20)).only(Direction::ToClient);
/// let third_reply_lost = Fault::lose_reply().at_request(2);
/// let cut_inside_second_request = Fault::reset().at_request(1).after_bytes(Direction::ToServer, 5);
/// assert_eq!(slow_replies.name(), "delay");
/// assert_ne!(third_reply_lost, cut_inside_second_request);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub(super) action: Action,
    pub(super) direction: Option<Direction>,
    pub(super) ending: Ending,
    pub(super) request: Option<u64>,
    pub(super) after: Option<(Direction, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Delay(Duration),
    Bandwidth(u64),
    Stall,
    BlackHole,
    Cut,
    LoseReply,
    Refuse,
    Down,
}

/// How a connection that is cut ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Reset,
    Close,
}

impl Fault {
    /// Holds the first byte of each request and of each reply back for `time`. What follows in the same turn is not
    /// delayed again, so that the throughput of a long message stays what it is.
    pub fn delay(time: Duration) -> Self {
        Self::new(Action::Delay(time))
    }

    /// Lets at most `bytes_per_second` through, each direction for itself; 0 counts as 1.
    pub fn bandwidth(bytes_per_second: u64) -> Self {
        Self::new(Action::Bandwidth(bytes_per_second.max(1)))
    }

    /// Stops carrying bytes and ends of stream, until [`FaultProxy::heal`](super::FaultProxy::heal) or another fault
    /// set live; then everything arrives. Connections are still accepted.
    ///
    /// The proxy reads nothing meanwhile, so it does not see either that a client has gone: use
    /// [`Fault::black_hole`] where a test waits for that.
    pub fn stall() -> Self {
        Self::new(Action::Stall)
    }

    /// Reads bytes and throws them away. A direction that lost a byte stays so after
    /// [`FaultProxy::heal`](super::FaultProxy::heal), as a stream with a hole would be worse than silence; new
    /// connections are healthy. A client that closes ends the connection.
    pub fn black_hole() -> Self {
        Self::new(Action::BlackHole)
    }

    /// Resets the connection (RST) on both sides. What the kernel had not yet handed to the other side is lost.
    pub fn reset() -> Self {
        Self::new(Action::Cut)
    }

    /// Ends the connection (FIN) on both sides. The client reads everything delivered so far, then the end.
    pub fn close() -> Self {
        Self::new(Action::Cut).by_close()
    }

    /// Lets exactly `bytes` through in `direction`, then resets the connection: `reset().after_bytes(…)`.
    ///
    /// With [`Fault::by_close`] the client reads exactly that many bytes; a reset may overtake bytes on their way.
    pub fn cut_after(direction: Direction, bytes: u64) -> Self {
        Self::reset().after_bytes(direction, bytes)
    }

    /// Cuts the connection when the first byte of the server's reply arrives, and delivers nothing of it: the server
    /// has executed the request, the client never hears. Without [`Fault::at_request`] the next reply on each
    /// connection is meant.
    pub fn lose_reply() -> Self {
        Self::new(Action::LoseReply)
    }

    /// Refuses new connections and leaves open ones alone.
    ///
    /// Set live, the listener is closed, so that connecting fails with "connection refused", and
    /// [`FaultProxy::heal`](super::FaultProxy::heal) listens on the same port again. In a plan, where other
    /// connections must still be accepted, the connection is accepted and reset at once.
    pub fn refuse() -> Self {
        Self::new(Action::Refuse)
    }

    /// The server has died: open connections are reset, new ones refused as by [`Fault::refuse`].
    pub fn down() -> Self {
        Self::new(Action::Down)
    }

    /// Restricts a delay, bandwidth, stall or black hole to one direction. Other faults concern both.
    #[must_use]
    pub fn only(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// Restricts the fault to the request of this number on its connection, from 0, and to the reply to it. A fault
    /// set live counts the requests that begin from then on.
    #[must_use]
    pub fn at_request(mut self, number: u64) -> Self {
        self.request = Some(number);
        self
    }

    /// Lets `bytes` through in `direction` first. They are counted from the beginning of the connection, of the
    /// request given with [`Fault::at_request`] or drawn at random, or from the moment the fault was set live.
    #[must_use]
    pub fn after_bytes(mut self, direction: Direction, bytes: u64) -> Self {
        self.after = Some((direction, bytes));
        self
    }

    /// Makes a fault that cuts the connection do so with an orderly end (FIN) instead of a reset.
    #[must_use]
    pub fn by_close(mut self) -> Self {
        self.ending = Ending::Close;
        self
    }

    /// The name under which [`Event`](super::Event) tells of it.
    pub fn name(&self) -> &'static str {
        match (self.action, self.ending) {
            (Action::Delay(_), _) => "delay",
            (Action::Bandwidth(_), _) => "bandwidth",
            (Action::Stall, _) => "stall",
            (Action::BlackHole, _) => "black_hole",
            (Action::Cut, Ending::Reset) => "reset",
            (Action::Cut, Ending::Close) => "close",
            (Action::LoseReply, _) => "lose_reply",
            (Action::Refuse, _) => "refuse",
            (Action::Down, _) => "down",
        }
    }

    fn new(action: Action) -> Self {
        Self { action, direction: None, ending: Ending::Reset, request: None, after: None }
    }

    pub(super) fn concerns(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|own| own == direction)
    }

    /// Whether setting it live closes the listener.
    pub(super) fn refuses(&self) -> bool {
        matches!(self.action, Action::Refuse | Action::Down)
    }

    /// Whether setting it live ends every open connection at once.
    pub(super) fn ends_all(&self) -> bool {
        matches!(self.action, Action::Cut | Action::Down) && self.request.is_none() && self.after.is_none()
    }
}
