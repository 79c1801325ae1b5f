//! What happened so far.

use super::Direction;

/// Counts of one proxy since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections accepted, those that were refused or reset at once among them.
    pub accepted: u64,
    /// Connections accepted and reset at once by [`Fault::refuse`](super::Fault::refuse) or
    /// [`Fault::down`](super::Fault::down) in a plan. What the kernel refused while the listener was closed is not
    /// known to anybody.
    pub refused: u64,
    /// Connections ended by a fault, lost replies included, refused ones not.
    pub cut: u64,
    /// Connections ended by [`Fault::lose_reply`](super::Fault::lose_reply).
    pub lost_replies: u64,
    /// Connections reset because the upstream could not be reached.
    pub unreachable: u64,
    /// Connections open now.
    pub open: u64,
    /// Requests that began.
    pub requests: u64,
    /// Bytes handed to the server.
    pub bytes_to_server: u64,
    /// Bytes handed to clients.
    pub bytes_to_client: u64,
    /// Bytes thrown away by [`Fault::black_hole`](super::Fault::black_hole).
    pub bytes_swallowed: u64,
}

impl Stats {
    pub(super) fn carried(&mut self, direction: Direction, bytes: u64) {
        match direction {
            Direction::ToServer => self.bytes_to_server += bytes,
            Direction::ToClient => self.bytes_to_client += bytes,
        }
    }
}

/// One fault that took effect.
///
/// A fault that lasts is told once for its connection (and request, when it concerns one). Events of one connection are
/// in order; those of several come as they happened, so compare them sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Event {
    /// The number of the connection, from 0, since the proxy started.
    pub connection: u64,
    /// The number of the request on the connection, from 0; none before the first.
    pub request: Option<u64>,
    /// [`Fault::name`](super::Fault::name).
    pub fault: &'static str,
}
