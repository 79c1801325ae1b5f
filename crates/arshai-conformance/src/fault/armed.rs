//! When a fault is in force: its triggers against the position of a connection.

use super::{Direction, Fault};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Position {
    pub(super) passed: PerDirection<u64>,
    pub(super) requests: u64,
    /// What had passed when the present request began.
    pub(super) request_base: PerDirection<u64>,
}

/// One value for each way bytes travel.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PerDirection<T> {
    pub(super) to_server: T,
    pub(super) to_client: T,
}

impl<T: Copy> PerDirection<T> {
    pub(super) fn of(&self, direction: Direction) -> T {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }

    pub(super) fn of_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

/// A fault, and from where its bytes and requests are counted.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) fault: Fault,
    bytes_from: PerDirection<u64>,
    requests_from: u64,
    /// An [`Event`](super::Event) told of it.
    pub(super) told: bool,
}

impl Armed {
    pub(super) fn new(fault: Fault, at: &Position) -> Self {
        Self { fault, bytes_from: at.passed, requests_from: at.requests, told: false }
    }

    pub(super) fn is_at_its_request(&self, at: &Position) -> bool {
        self.fault
            .request
            .is_none_or(|number| at.requests.checked_sub(self.requests_from) == Some(number + 1))
    }

    /// Bytes that may still pass before it is in force, and in which direction.
    pub(super) fn grace(&self, at: &Position) -> Option<(Direction, u64)> {
        let (direction, bytes) = self.fault.after?;
        let base = if self.fault.request.is_some() { at.request_base } else { self.bytes_from };
        let passed = at.passed.of(direction).saturating_sub(base.of(direction));
        let left = bytes.saturating_sub(passed);
        (left > 0).then_some((direction, left))
    }

    pub(super) fn is_in_force(&self, at: &Position) -> bool {
        self.is_at_its_request(at) && self.grace(at).is_none()
    }
}
