//! Which node of a cluster holds which slots, and the connections to each node.
//!
//! The client could do this too, but it connects to all masters or to none: while one is down, it reaches no key of the
//! others. Here each node has connections of its own, and the map is read from whichever node answers.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arshai_core::{Error, ErrorKind, Result};
use fred::types::Value;

use crate::places::Places;

/// A map is not read more often than this, whatever is doubted.
const READ_AT_MOST_EACH: Duration = Duration::from_millis(100);

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Node {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A node's answer that another one has the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) slot: u16,
    /// The host is empty when it is that of the node that answered.
    pub(crate) node: Node,
    /// For this one command only, which must be announced to it.
    pub(crate) once: bool,
}

impl Redirect {
    /// Reads `MOVED 3999 127.0.0.1:6381` or `ASK 3999 127.0.0.1:6381`.
    pub(crate) fn read(answer: &str) -> Option<Self> {
        let mut words = answer.split_whitespace();
        let once = match words.next()? {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let slot = words.next()?.parse().ok()?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        Some(Self { slot, node: Node::new(host, port.parse().ok()?), once })
    }
}

/// Which master holds which slots.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct SlotMap {
    /// First slot, last slot, holder; sorted.
    ranges: Vec<(u16, u16, Node)>,
    /// What redirections told since.
    moved: HashMap<u16, Node>,
}

impl SlotMap {
    /// Reads the answer to `CLUSTER SLOTS` that `teller` gave.
    pub(crate) fn read(answer: &Value, teller: &Node) -> Result<Self> {
        let odd =
            || Error::new(ErrorKind::Protocol, "the server's answer to CLUSTER SLOTS is not understood");
        let Value::Array(rows) = answer else { return Err(odd()) };
        let mut ranges = Vec::with_capacity(rows.len());
        for row in rows {
            ranges.push(range(row, teller).ok_or_else(odd)?);
        }
        ranges.sort_by_key(|(first, ..)| *first);
        Ok(Self { ranges, moved: HashMap::new() })
    }

    /// Whether no node holds any slot: a node that was reset or has just been started tells so.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(crate) fn holder(&self, slot: u16) -> Option<&Node> {
        let ranges = || self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        self.moved.get(&slot).or_else(|| ranges().map(|(_, _, node)| node))
    }

    /// The masters, each with its first slot, in the order of those.
    pub(crate) fn masters(&self) -> Vec<(u16, Node)> {
        let mut masters: Vec<(u16, Node)> = Vec::new();
        for (first, _, node) in &self.ranges {
            if !masters.iter().any(|(_, known)| known == node) {
                masters.push((*first, node.clone()));
            }
        }
        masters
    }
}

/// `[first, last, [host, port, …], replica …]`
fn range(row: &Value, teller: &Node) -> Option<(u16, u16, Node)> {
    let Value::Array(parts) = row else { return None };
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let (first, last) = (number(parts.first()?)?, number(parts.get(1)?)?);
    let Value::Array(master) = parts.get(2)? else { return None };
    let host = master.first()?.as_str().filter(|host| !host.is_empty() && host != "?");
    let host = host.map_or_else(|| teller.host.clone(), |host| host.into_owned());
    Some((first, last, Node { host, port: number(master.get(1)?)? }))
}

/// What is known of a cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    seeds: Vec<Node>,
    connections: usize,
    state: Mutex<State>,
    /// Held while the map is read, so that one caller reads it for all.
    pub(crate) reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    map: Option<(Arc<SlotMap>, Instant)>,
    /// A node failed, or does not have what the map says.
    doubted: bool,
    nodes: HashMap<Node, Arc<Places>>,
}

impl Cluster {
    pub(crate) fn new(seeds: Vec<Node>, connections: usize) -> Self {
        let reading = tokio::sync::Mutex::default();
        Self { seeds, connections, state: Mutex::default(), reading }
    }

    /// The map, unless it must be read again.
    pub(crate) fn map(&self) -> Option<Arc<SlotMap>> {
        let state = self.state();
        let (map, read) = state.map.as_ref()?;
        (!state.doubted || read.elapsed() < READ_AT_MOST_EACH).then(|| Arc::clone(map))
    }

    pub(crate) fn doubt(&self) {
        self.state().doubted = true;
    }

    /// Notes where a slot is now.
    pub(crate) fn moved(&self, slot: u16, node: Node) {
        let mut state = self.state();
        state.doubted = true;
        if let Some((map, _)) = &mut state.map {
            Arc::make_mut(map).moved.insert(slot, node);
        }
    }

    /// Takes a map just read; nodes that are not in it any more are let go.
    pub(crate) fn adopt(&self, map: SlotMap) -> Arc<SlotMap> {
        let map = Arc::new(map);
        let mut state = self.state();
        state.nodes.retain(|node, _| map.ranges.iter().any(|(_, _, holder)| holder == node));
        state.map = Some((Arc::clone(&map), Instant::now()));
        state.doubted = false;
        map
    }

    /// The nodes that may tell the map: those with an open connection first, each group in random order.
    pub(crate) fn tellers(&self) -> Vec<Node> {
        let state = self.state();
        let mut nodes: Vec<Node> =
            state.map.iter().flat_map(|(map, _)| map.masters()).map(|(_, node)| node).collect();
        nodes.extend(self.seeds.iter().filter(|seed| !nodes.contains(seed)).cloned().collect::<Vec<_>>());
        fastrand::shuffle(&mut nodes);
        nodes.sort_by_key(|node| !state.nodes.get(node).is_some_and(|places| places.has_open()));
        nodes
    }

    /// The connections to a node.
    pub(crate) fn places(&self, node: &Node) -> Arc<Places> {
        let mut state = self.state();
        let fresh = || Arc::new(Places::new(Some(node.clone()), self.connections));
        Arc::clone(state.nodes.entry(node.clone()).or_insert_with(fresh))
    }

    pub(crate) fn all_places(&self) -> Vec<Arc<Places>> {
        self.state().nodes.values().cloned().collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(parts: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(parts.into_iter().collect())
    }

    fn row(first: i64, last: i64, host: Value, port: i64) -> Value {
        let replica = array([Value::from("10.0.0.9"), Value::from(7_i64), Value::from("id")]);
        array([first.into(), last.into(), array([host, port.into(), Value::from("id")]), replica])
    }

    #[test]
    fn slots_are_found_by_range_and_by_redirection() {
        let teller = Node::new("seed", 1);
        let rows = [
            row(101, 16_383, Value::from("b"), 2),
            row(0, 99, Value::Null, 3),
            row(100, 100, Value::from(""), 4),
        ];
        let cluster = Cluster::new(vec![teller.clone()], 2);
        let map = cluster.adopt(SlotMap::read(&array(rows), &teller).unwrap());
        assert_eq!(map.holder(99), Some(&Node::new("seed", 3)));
        assert_eq!(map.holder(100), Some(&Node::new("seed", 4)));
        assert_eq!(map.holder(16_383), Some(&Node::new("b", 2)));
        assert_eq!(map.masters().iter().map(|(first, _)| *first).collect::<Vec<_>>(), [0, 100, 101]);
        cluster.moved(99, Node::new("b", 2));
        let map = cluster.map().expect("it was read a moment ago");
        assert_eq!((map.holder(99), map.holder(98)), (Some(&Node::new("b", 2)), Some(&Node::new("seed", 3))));
    }

    #[test]
    fn a_hole_in_the_map_has_no_holder() {
        let map = SlotMap::read(&array([row(0, 9, Value::from("a"), 1)]), &Node::new("a", 1)).unwrap();
        assert_eq!(map.holder(10), None);
        assert!(!map.is_empty());
        let empty = SlotMap::read(&array([]), &Node::new("a", 1)).unwrap();
        assert!(empty.is_empty() && empty.holder(0).is_none());
    }

    #[test]
    fn odd_answers_are_refused() {
        for odd in [Value::Null, array([Value::Null]), array([array([Value::from(1_i64)])])] {
            let error = SlotMap::read(&odd, &Node::new("a", 1)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol);
        }
    }

    #[test]
    fn redirections_are_read() {
        let read = |text| Redirect::read(text);
        let moved = Redirect { slot: 3999, node: Node::new("127.0.0.1", 6381), once: false };
        assert_eq!(read("MOVED 3999 127.0.0.1:6381"), Some(moved));
        let asked = Redirect { slot: 1, node: Node::new("", 6381), once: true };
        assert_eq!(read("ASK 1 :6381"), Some(asked));
        assert_eq!(read("MOVED 1 2001:db8::1:6379").map(|to| to.node), Some(Node::new("2001:db8::1", 6379)));
        for odd in ["MOVED", "MOVED x a:1", "MOVED 1 a", "ASKING 1 a:1"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn nodes_that_left_are_let_go() {
        let cluster = Cluster::new(vec![Node::new("a", 1)], 1);
        cluster.places(&Node::new("a", 1));
        cluster.places(&Node::new("b", 1));
        let map = SlotMap::read(&array([row(0, 9, Value::from("b"), 1)]), &Node::new("a", 1)).unwrap();
        cluster.adopt(map);
        assert_eq!(cluster.all_places().len(), 1);
        let mut tellers = cluster.tellers();
        tellers.sort_by_key(|node| node.host.clone());
        assert_eq!(tellers, [Node::new("a", 1), Node::new("b", 1)]);
    }
}
