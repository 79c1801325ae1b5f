//! The connections to one server: opened when first used, by one caller for all who wait.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use arshai_core::{Deadline, Effect};
use fred::types::config::TlsConfig;

use crate::{
    cluster::Node,
    config::{RedisConfig, RedisServer},
    connection::Connection,
    reply::{Verdict, unreached},
    sentinel,
    wire::Call,
};

/// An attempt to connect is not given less than this while there is time.
const LEAST_TO_CONNECT: Duration = Duration::from_secs(1);

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct Places {
    /// A node of a cluster; none for the server that the settings name.
    node: Option<Node>,
    places: Vec<Place>,
    /// Which of the sentinels is asked first.
    turn: AtomicUsize,
}

/// A place for one connection.
#[derive(Debug, Default)]
struct Place {
    current: Mutex<Option<Arc<Connection>>>,
    /// Held while connecting, so that one caller connects and the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

impl Places {
    pub(crate) fn new(node: Option<Node>, connections: usize) -> Self {
        let places = (0..connections).map(|_| Place::default()).collect();
        Self { node, places, turn: AtomicUsize::new(0) }
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// An open connection; opens one when there is none, for everybody who waits for it.
    pub(crate) async fn connection(
        &self,
        config: &RedisConfig,
        tls: Option<&TlsConfig>,
        call: &Call,
        most: Duration,
    ) -> Result<Arc<Connection>, Verdict> {
        let Some(place) = fastrand::choice(&self.places) else { return Err(out_of_time(call)) };
        match place.open() {
            Some(connection) => Ok(connection),
            // Boxed, as it is rare and large.
            None => Box::pin(self.connect(place, config, tls, call, most)).await,
        }
    }

    async fn connect(
        &self,
        place: &Place,
        config: &RedisConfig,
        tls: Option<&TlsConfig>,
        call: &Call,
        most: Duration,
    ) -> Result<Arc<Connection>, Verdict> {
        let Ok(_connecting) = tokio::time::timeout(call.deadline.remaining(), place.connecting.lock()).await
        else {
            return Err(out_of_time(call));
        };
        if let Some(connection) = place.open() {
            return Ok(connection);
        }
        let left = call.deadline.remaining();
        // The client can wait for ever when the server closes during its greetings; what then runs out must not be
        // the whole time.
        let within = config.connect_timeout.min((left / 3).max(LEAST_TO_CONNECT)).min(left).min(most);
        if within.is_zero() {
            return Err(out_of_time(call));
        }
        let opened = match (&self.node, &config.server) {
            (None, RedisServer::Sentinel { sentinels, service, username, password }) => {
                let login = (username.as_deref(), password.as_ref());
                sentinel::open(config, sentinels, service, login, &self.turn, tls, within).await
            }
            (node, _) => Connection::open(config, node.as_ref(), tls.cloned(), within).await,
        };
        opened.map(|connection| place.put(connection)).map_err(unreached)
    }

    pub(crate) fn has_open(&self) -> bool {
        self.places.iter().any(|place| place.open().is_some())
    }

    /// Takes no new commands on this connection; those under way end by themselves.
    pub(crate) fn discard(&self, failed: &Arc<Connection>) {
        for place in &self.places {
            let mut current = place.current.lock().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, failed)) {
                *current = None;
            }
        }
    }

    /// Ends all connections.
    pub(crate) async fn quit(&self, within: Duration) {
        for place in &self.places {
            let connection = place.current.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(connection) = connection {
                connection.quit(within).await;
            }
        }
    }
}

impl Place {
    fn open(&self) -> Option<Arc<Connection>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|connection| !connection.is_open()) {
            *current = None;
        }
        current.clone()
    }

    fn put(&self, connection: Connection) -> Arc<Connection> {
        let connection = Arc::new(connection);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&connection));
        connection
    }
}

pub(crate) fn out_of_time(call: &Call) -> Verdict {
    let error = Deadline::error(call.operation, Effect::NotApplied);
    Verdict::Refused { error, again: false, elsewhere: false }
}
