//! Which server a command goes to: the one there is, or the node of a cluster that holds its key.

use std::{sync::Arc, time::Duration};

use arshai_core::{Error, ErrorKind, Result};
use fred::{error::Error as ClientError, types::Value};

use crate::{
    cluster::{Cluster, Node, Redirect, SlotMap},
    connection::{Command, Connection},
    places::{Places, out_of_time},
    reply::{Verdict, judge},
    wire::{Call, Wire},
};

/// How long one node of a cluster is asked for the map, connecting included, before another is.
const TELLER_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) enum Route {
    One(Arc<Places>),
    Cluster(Cluster),
}

impl Wire {
    /// The connections to the server that the command is for.
    pub(crate) async fn places(
        &self,
        call: &Call,
        command: &Command,
        redirect: Option<&Redirect>,
    ) -> Result<Arc<Places>, Verdict> {
        let cluster = match &self.route {
            Route::One(places) => return Ok(Arc::clone(places)),
            Route::Cluster(cluster) => cluster,
        };
        if let Some(node) = redirect.map(|redirect| &redirect.node).or(command.node.as_deref()) {
            return Ok(cluster.places(node));
        }
        let map = self.map(cluster, call).await?;
        let node = match command.slot() {
            Some(slot) => map.holder(slot).cloned(),
            None => fastrand::choice(map.masters()).map(|(_, node)| node),
        };
        node.map(|node| cluster.places(&node)).ok_or_else(|| {
            cluster.doubt();
            let error = Error::new(ErrorKind::Unavailable, "no node of the cluster holds the key's slot");
            Verdict::Refused { error, again: true, elsewhere: false }
        })
    }

    pub(crate) async fn connection(
        &self,
        places: &Places,
        call: &Call,
        most: Duration,
    ) -> Result<Arc<Connection>, Verdict> {
        let opened = places.connection(&self.config, self.tls.as_ref(), call, most).await;
        if let (Err(_), Route::Cluster(cluster)) = (&opened, &self.route) {
            cluster.doubt();
        }
        opened
    }

    /// What an error says, and what follows from it for the connection and the map.
    pub(crate) fn judged(
        &self,
        error: ClientError,
        places: &Places,
        connection: &Arc<Connection>,
    ) -> Verdict {
        let verdict = judge(error);
        match (verdict, &self.route) {
            (Verdict::Moved(mut redirect), Route::Cluster(cluster)) => {
                if let (true, Some(answered)) = (redirect.node.host.is_empty(), places.node()) {
                    redirect.node.host.clone_from(&answered.host);
                }
                if !redirect.once {
                    cluster.moved(redirect.slot, redirect.node.clone());
                }
                Verdict::Moved(redirect)
            }
            (Verdict::Moved(_), Route::One(_)) => Verdict::Refused {
                error: Error::new(
                    ErrorKind::Config,
                    "the server is a node of a cluster: use redis-cluster:// instead of redis://",
                ),
                again: false,
                elsewhere: false,
            },
            (verdict @ (Verdict::Lost(_) | Verdict::Refused { elsewhere: true, .. }), _) => {
                self.give_up(places, connection);
                verdict
            }
            (verdict, _) => verdict,
        }
    }

    /// The connection, or what the server is taken for, is not to be relied on.
    pub(crate) fn give_up(&self, places: &Places, connection: &Arc<Connection>) {
        places.discard(connection);
        if let Route::Cluster(cluster) = &self.route {
            cluster.doubt();
        }
    }

    /// Where the slots of the cluster are. Reading it changes nothing, so no answer to it counts as lost.
    async fn map(&self, cluster: &Cluster, call: &Call) -> Result<Arc<SlotMap>, Verdict> {
        match cluster.map() {
            Some(map) => Ok(map),
            // Boxed, as it is rare and large.
            None => Box::pin(self.read_map(cluster, call)).await,
        }
    }

    async fn read_map(&self, cluster: &Cluster, call: &Call) -> Result<Arc<SlotMap>, Verdict> {
        let Ok(_reading) = tokio::time::timeout(call.deadline.remaining(), cluster.reading.lock()).await
        else {
            return Err(out_of_time(call));
        };
        if let Some(map) = cluster.map() {
            return Ok(map);
        }
        let mut last = out_of_time(call);
        for teller in cluster.tellers() {
            if call.deadline.is_past() {
                break;
            }
            match self.map_of(cluster, &teller, call).await {
                Ok(map) => return Ok(cluster.adopt(map)),
                Err(Verdict::Lost(error)) => last = Verdict::Refused { error, again: true, elsewhere: true },
                Err(verdict) => last = verdict,
            }
        }
        Err(last)
    }

    async fn map_of(&self, cluster: &Cluster, teller: &Node, call: &Call) -> Result<SlotMap, Verdict> {
        let places = cluster.places(teller);
        let connection = self.connection(&places, call, TELLER_TIMEOUT).await?;
        let within = TELLER_TIMEOUT.min(self.config.command_timeout).min(call.deadline.remaining());
        let ask = Command::anywhere("CLUSTER", vec![Value::from("SLOTS")]);
        let answer = connection.send(ask, within).await;
        let answer = answer.map_err(|error| self.judged(error, &places, &connection))?;
        let refused = |error, again| Verdict::Refused { error, again, elsewhere: false };
        let map = SlotMap::read(&answer, teller).map_err(|error| refused(error, false))?;
        if map.is_empty() {
            // Taken for the truth, it would be a cluster without keys.
            let error = Error::new(ErrorKind::Unavailable, "a node knows of no slots of the cluster");
            return Err(refused(error.with_context("node", teller), true));
        }
        Ok(map)
    }

    /// The masters of a cluster, each with its first slot, in the order of those: at least one; empty for one server.
    pub(crate) async fn masters(&self, call: &Call) -> Result<Vec<(u16, Node)>> {
        let Route::Cluster(cluster) = &self.route else { return Ok(Vec::new()) };
        match self.map(cluster, call).await {
            Ok(map) => Ok(map.masters()),
            Err(Verdict::Refused { error, .. } | Verdict::Lost(error)) => {
                Err(self.last_error(call, error, 0, 1))
            }
            Err(Verdict::NoScript | Verdict::Moved(_)) => {
                Err(Error::internal("reading the map was redirected"))
            }
        }
    }
}
