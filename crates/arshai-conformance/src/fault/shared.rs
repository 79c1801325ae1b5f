//! What the proxy's handle, its listener and its connections share.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{Event, Fault, Plan, Stats};

/// More events than this are not kept: a proxy that runs for days must not grow.
const MOST_EVENTS: usize = 100_000;

/// What is to go wrong now. Connections look again whenever it changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Control {
    /// Grows with every change.
    pub(super) version: u64,
    /// Grows when the plan is replaced, which also ends what the former plan did to open connections.
    pub(super) plan_version: u64,
    pub(super) plan: Arc<Plan>,
    /// Connections accepted before the plan was given.
    pub(super) accepted_before: u64,
    pub(super) live: Option<Arc<Fault>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) control: watch::Sender<Control>,
    pub(super) stats: watch::Sender<Stats>,
    events: Mutex<Vec<Event>>,
    next_request: Mutex<Option<Fault>>,
    pub(super) http2: bool,
}

impl Shared {
    pub(super) fn new(http2: bool) -> Arc<Self> {
        Arc::new(Self {
            control: watch::Sender::new(Control::default()),
            stats: watch::Sender::new(Stats::default()),
            events: Mutex::default(),
            next_request: Mutex::default(),
            http2,
        })
    }

    pub(super) fn set_plan(&self, plan: Plan) {
        let accepted_before = self.stats.borrow().accepted;
        self.control.send_modify(|control| {
            control.version += 1;
            control.plan_version += 1;
            control.plan = Arc::new(plan);
            control.accepted_before = accepted_before;
        });
    }

    pub(super) fn set_live(&self, fault: Option<Fault>) {
        self.control.send_modify(|control| {
            control.version += 1;
            control.live = fault.map(Arc::new);
        });
    }

    pub(super) fn set_next_request(&self, fault: Option<Fault>) {
        *self.next_request.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    pub(super) fn take_next_request(&self) -> Option<Fault> {
        self.next_request.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Stats)) {
        self.stats.send_modify(change);
    }

    pub(super) fn tell(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() < MOST_EVENTS {
            events.push(event);
        }
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts a connection as open as long as it lives.
#[derive(Debug)]
pub(super) struct Open(Arc<Shared>);

impl Open {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.count(|stats| stats.open += 1);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count(|stats| stats.open = stats.open.saturating_sub(1));
    }
}
