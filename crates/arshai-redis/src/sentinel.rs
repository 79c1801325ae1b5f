//! The master that sentinels name.
//!
//! The client could ask them too, but it keeps to the first one that accepts a connection: one that is frozen, does not
//! know the master or still names the old one would be asked again and again. Here each sentinel is tried by itself,
//! down to the connection to the master it names, and has its share of the time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use arshai_core::{Error, ErrorKind, config::Secret};
use fred::types::{Value, config::TlsConfig};

use crate::{
    cluster::Node,
    config::RedisConfig,
    connection::{Command, Connection},
    reply::{Verdict, judge, unreached},
};

/// Connects to the master that one of the sentinels names, beginning with the one whose turn it is.
pub(crate) async fn open(
    config: &RedisConfig,
    sentinels: &[(String, u16)],
    service: &str,
    login: (Option<&str>, Option<&Secret>),
    turn: &AtomicUsize,
    tls: Option<&TlsConfig>,
    within: Duration,
) -> Result<Connection, Verdict> {
    let give_up = Instant::now() + within;
    let first = turn.load(Ordering::Relaxed);
    let mut failure = None;
    for (tried, at) in in_turn(first, sentinels.len()).enumerate() {
        let Some((host, port)) = sentinels.get(at) else { continue };
        // Who comes next begins with another one, also when this caller goes away while waiting.
        turn.store(at.saturating_add(1), Ordering::Relaxed);
        let share = share(give_up.saturating_duration_since(Instant::now()), sentinels.len() - tried);
        let sentinel = Node::new(host, *port);
        let opened = tokio::time::timeout(share, through(config, &sentinel, service, login, tls, share));
        match opened.await.unwrap_or_else(|_elapsed| Err(silent())) {
            Ok(connection) => {
                turn.store(at, Ordering::Relaxed);
                return Ok(connection);
            }
            Err(verdict) => failure = Some(more_telling(failure, unreached(verdict))),
        }
    }
    Err(failure.unwrap_or_else(silent))
}

/// Connects to the master that this sentinel names.
async fn through(
    config: &RedisConfig,
    sentinel: &Node,
    service: &str,
    login: (Option<&str>, Option<&Secret>),
    tls: Option<&TlsConfig>,
    within: Duration,
) -> Result<Connection, Verdict> {
    let give_up = Instant::now() + within;
    let left = || give_up.saturating_duration_since(Instant::now());
    let asked = Connection::open_sentinel(sentinel, login, tls.cloned(), within).await?;
    let question = vec![Value::from("GET-MASTER-ADDR-BY-NAME"), Value::from(service)];
    let answer = asked.send(Command::anywhere("SENTINEL", question), left()).await.map_err(judge)?;
    drop(asked);
    let master = master(&answer, service, sentinel)?;
    let connection = Connection::open(config, Some(&master), tls.cloned(), left()).await?;
    let role = connection.send(Command::anywhere("ROLE", Vec::new()), left()).await.map_err(judge)?;
    if is_master(&role) {
        return Ok(connection);
    }
    let error = Error::new(ErrorKind::Unavailable, "the server that the sentinels name is not a master")
        .with_context("master", &master);
    Err(Verdict::Refused { error, again: true, elsewhere: true })
}

/// Each of so many once, from the first on.
fn in_turn(first: usize, of: usize) -> impl Iterator<Item = usize> {
    (0..of).map(move |tried| (first % of.max(1)).saturating_add(tried) % of.max(1))
}

/// What one of so many gets of the time that is left.
fn share(left: Duration, of: usize) -> Duration {
    left / u32::try_from(of.max(1)).unwrap_or(u32::MAX)
}

/// Reads the host and port of the answer.
fn master(answer: &Value, service: &str, sentinel: &Node) -> Result<Node, Verdict> {
    let refused = |kind, message: &'static str, again| {
        let error = Error::new(kind, message)
            .with_context("sentinel", sentinel)
            .with_context("service", service.escape_debug());
        Verdict::Refused { error, again, elsewhere: false }
    };
    let parts = match answer {
        Value::Array(parts) => parts.as_slice(),
        Value::Null => {
            let message = "the sentinels know no master of this name: look at sentinelServiceName";
            return Err(refused(ErrorKind::Config, message, false));
        }
        _ => &[],
    };
    let read = || match parts {
        [host, port] => Some(Node { host: host.as_string()?, port: port.as_str()?.parse().ok()? }),
        _ => None,
    };
    read().ok_or_else(|| {
        refused(ErrorKind::Protocol, "a sentinel's answer about the master is not understood", false)
    })
}

/// Whether the answer to `ROLE` is that of a master.
fn is_master(role: &Value) -> bool {
    let Value::Array(parts) = role else { return false };
    parts.first().and_then(Value::as_str).is_some_and(|role| role == "master")
}

/// What two sentinels failed with, as one: what stays so says more than what may pass, and is tried again when either
/// may pass.
fn more_telling(known: Option<Verdict>, new: Verdict) -> Verdict {
    match (known, new) {
        (
            Some(Verdict::Refused { error: first, again: first_again, elsewhere: first_elsewhere }),
            Verdict::Refused { error, again, elsewhere },
        ) => Verdict::Refused {
            error: if first_again { error } else { first },
            again: first_again || again,
            elsewhere: first_elsewhere || elsewhere,
        },
        (_, new) => new,
    }
}

fn silent() -> Verdict {
    let error =
        Error::new(ErrorKind::Unavailable, "no sentinel, or not the master it names, answered in time");
    Verdict::Refused { error, again: true, elsewhere: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &'static str, again: bool) -> Verdict {
        let error = Error::new(ErrorKind::Unavailable, message);
        Verdict::Refused { error, again, elsewhere: false }
    }

    fn told(verdict: Verdict) -> (ErrorKind, String, bool) {
        match verdict {
            Verdict::Refused { error, again, .. } => (error.kind(), error.message().to_owned(), again),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn every_sentinel_has_its_turn_and_its_share() {
        let order = |first, of| in_turn(first, of).collect::<Vec<_>>();
        assert_eq!(order(0, 3), [0, 1, 2]);
        assert_eq!(order(2, 3), [2, 0, 1]);
        assert_eq!(order(3, 3), [0, 1, 2]);
        assert_eq!(order(usize::MAX, 2).len(), 2);
        assert!(order(1, 0).is_empty());
        assert_eq!(share(Duration::from_secs(3), 3), Duration::from_secs(1));
        assert_eq!(share(Duration::from_secs(3), 0), Duration::from_secs(3));
    }

    #[test]
    fn the_answer_names_a_master_or_says_that_there_is_none() {
        let sentinel = Node::new("s", 1);
        let answer = Value::Array(vec![Value::from("10.0.0.7"), Value::from("6379")]);
        assert_eq!(master(&answer, "m", &sentinel).unwrap(), Node::new("10.0.0.7", 6379));
        let (kind, message, again) = told(master(&Value::Null, "m", &sentinel).unwrap_err());
        assert!(kind == ErrorKind::Config && !again && message.contains("sentinelServiceName"), "{message}");
        for odd in [Value::from("x"), Value::Array(Vec::new()), Value::Array(vec![Value::from("h"); 2])] {
            assert_eq!(told(master(&odd, "m", &sentinel).unwrap_err()).0, ErrorKind::Protocol, "{odd:?}");
        }
    }

    #[test]
    fn what_stays_so_is_told_and_what_may_pass_is_tried_again() {
        let both = |first, new| {
            let (_, message, again) = told(more_telling(Some(first), new));
            (message, again)
        };
        assert_eq!(both(refused("a", true), refused("b", true)), ("b".to_owned(), true));
        assert_eq!(both(refused("a", false), refused("b", true)), ("a".to_owned(), true));
        assert_eq!(both(refused("a", true), refused("b", false)), ("b".to_owned(), true));
        assert_eq!(both(refused("a", false), refused("b", false)), ("a".to_owned(), false));
        assert_eq!(told(more_telling(None, refused("b", false))).1, "b");
    }
}
