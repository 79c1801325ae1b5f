//! Listing with SCAN, over all masters of a cluster.

use arshai_core::{
    Error, ErrorKind, Result,
    memory::{KeyPage, KeyPrefix, MemoryKey, PageRequest},
};
use fred::types::Value;

use crate::{
    cluster::Node,
    connection::Command,
    wire::{Call, Wire},
};

/// Keys the server looks at per call, at least and at most.
const LOOK_AT: std::ops::RangeInclusive<usize> = 10..=1_000;

/// Looks on from a cursor, or from the beginning when the cursor is not of this process: a server orders its keys anew
/// at each start, and after a failover another one answers. In one step, so that both are told by the same process.
///
/// `ARGV`: the process that gave the cursor; the cursor; the pattern; how many keys to look at. Answers the process,
/// empty for a user who may not ask for it (`INFO`), the next cursor and the keys.
const SCAN: &str = "\
local told = redis.pcall('INFO', 'server')
local process = type(told) == 'string' and string.match(told, 'run_id:(%w+)') or ''
local cursor = ARGV[2]
if ARGV[1] ~= process then cursor = '0' end
local page = redis.call('SCAN', cursor, 'MATCH', ARGV[3], 'COUNT', ARGV[4])
return {process, page[1], page[2]}
";

/// Where a listing stands: `{first slot}@{host:port}@{process}@{cursor of that process}`, slot and host empty for one
/// server, the process at the beginning of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    slot: Option<u16>,
    server: String,
    process: String,
    cursor: u64,
}

impl Position {
    fn read(text: &str) -> Result<Self> {
        let parts: Option<Self> = (|| {
            let mut parts = text.splitn(4, '@');
            let (slot, server) = (parts.next()?, parts.next()?.to_owned());
            let (process, cursor) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
            let slot = if slot.is_empty() { None } else { Some(slot.parse().ok()?) };
            Some(Self { slot, server, process, cursor })
        })();
        parts.ok_or_else(|| Error::invalid("the cursor is not one that list returned"))
    }

    fn write(&self) -> String {
        let slot = self.slot.map(|slot| slot.to_string()).unwrap_or_default();
        format!("{slot}@{}@{}@{}", self.server, self.process, self.cursor)
    }
}

/// One page of keys, by their stored names.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) names: Vec<String>,
    pub(crate) next: Option<String>,
}

pub(crate) async fn page(
    wire: &Wire,
    call: &Call,
    prefix: &KeyPrefix,
    request: &PageRequest,
) -> Result<KeyPage> {
    let names = names(wire, call, &prefix.stored(), request).await?;
    let keys = names.names.iter().filter_map(|name| MemoryKey::parse(name)).collect();
    Ok(KeyPage { keys, next: names.next })
}

/// Looks until the page is full, the set is through, or half of the time is over.
pub(crate) async fn names(wire: &Wire, call: &Call, prefix: &str, request: &PageRequest) -> Result<Names> {
    let masters = wire.masters(call).await?;
    let mut position = match &request.cursor {
        Some(cursor) => Some(resumed(Position::read(cursor)?, &masters)),
        None => Some(start(masters.first())),
    };
    let pattern = format!("{}*", escape_glob(prefix));
    let limit = request.limit.max(1);
    let half = call.deadline.remaining() / 2;
    let mut names: Vec<String> = Vec::new();
    while let Some(at) = &position {
        if names.len() >= limit || call.deadline.remaining() < half {
            break;
        }
        let node = node_of(at, &masters)?;
        let count = limit.clamp(*LOOK_AT.start(), *LOOK_AT.end());
        let command = || {
            let mut command = Command::anywhere(
                "EVAL",
                vec![
                    Value::from_static_str(SCAN),
                    Value::from(0_i64),
                    Value::from(at.process.as_str()),
                    Value::from(at.cursor.to_string()),
                    Value::from(pattern.as_str()),
                    Value::from(count.to_string()),
                ],
            );
            command.node = node.clone().map(Box::new);
            command
        };
        let (process, cursor, found) = read_reply(wire.run(call, &command).await?.value)?;
        names.extend(found.into_iter().filter(|name| name.starts_with(prefix)));
        position = match cursor {
            0 => following(at, &masters),
            _ => Some(Position { slot: at.slot, server: at.server.clone(), process, cursor }),
        };
    }
    names.sort_unstable();
    names.dedup();
    Ok(Names { names, next: position.map(|position| position.write()) })
}

fn start(master: Option<&(u16, Node)>) -> Position {
    Position {
        slot: master.map(|(slot, _)| *slot),
        server: master.map(|(_, server)| server.to_string()).unwrap_or_default(),
        process: String::new(),
        cursor: 0,
    }
}

/// The node the position is at; none for one server, which has no masters.
fn node_of(position: &Position, masters: &[(u16, Node)]) -> Result<Option<Node>> {
    let node = masters.iter().find(|(slot, _)| Some(*slot) == position.slot).map(|(_, node)| node.clone());
    if node.is_none() && !masters.is_empty() {
        // Any other node would be taken for this one, and its keys for all.
        return Err(Error::internal("the listing is at no node of the cluster"));
    }
    Ok(node)
}

/// The same position, or the beginning of the part of the cluster it was in when another server has that part now: a
/// cursor means nothing to another server.
fn resumed(position: Position, masters: &[(u16, Node)]) -> Position {
    let Some(slot) = position.slot else {
        return if masters.is_empty() { position } else { start(masters.first()) };
    };
    let holder = masters.iter().rev().find(|(first, _)| *first <= slot).or(masters.first());
    match holder {
        Some((first, server)) if *first == slot && server.to_string() == position.server => position,
        holder => start(holder),
    }
}

fn following(position: &Position, masters: &[(u16, Node)]) -> Option<Position> {
    let slot = position.slot?;
    masters.iter().find(|(first, _)| *first > slot).map(|master| start(Some(master)))
}

fn read_reply(reply: Value) -> Result<(String, u64, Vec<String>)> {
    let odd = || Error::new(ErrorKind::Protocol, "the server's answer to SCAN is not understood");
    let Value::Array(parts) = reply else { return Err(odd()) };
    let Ok([process, cursor, Value::Array(keys)]) = <[Value; 3]>::try_from(parts) else { return Err(odd()) };
    let process = process.as_string().ok_or_else(odd)?;
    let cursor = cursor.as_str().and_then(|cursor| cursor.parse().ok()).ok_or_else(odd)?;
    // A key that is not text is not ours.
    Ok((process, cursor, keys.iter().filter_map(|key| key.as_str().map(|key| key.into_owned())).collect()))
}

/// The characters that mean something in a pattern of Redis, taken literally.
fn escape_glob(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(slot: u16, port: u16) -> (u16, Node) {
        (slot, Node::new("h", port))
    }

    #[test]
    fn pattern_characters_are_taken_literally() {
        assert_eq!(escape_glob(r"a*b?c[d-e]\f"), r"a\*b\?c\[d-e\]\\f");
    }

    #[test]
    fn a_cursor_of_somebody_else_is_refused() {
        for odd in ["", "7", "@@7", "x@@@7", "@@@x", "@@@-1"] {
            assert_eq!(Position::read(odd).unwrap_err().kind(), ErrorKind::InvalidInput, "{odd}");
        }
        let position = at("h:1");
        assert_eq!(Position::read(&position.write()).unwrap(), position);
    }

    fn at(server: &str) -> Position {
        Position { slot: Some(100), server: server.to_owned(), process: "f00".to_owned(), cursor: 9 }
    }

    #[test]
    fn after_a_failover_the_part_is_listed_again_and_none_is_left_out() {
        let at = at("h:2");
        let same = [master(0, 1), master(100, 2), master(200, 3)];
        assert_eq!(resumed(at.clone(), &same), at);
        let failed_over = [master(0, 1), master(100, 9), master(200, 3)];
        assert_eq!(resumed(at.clone(), &failed_over).write(), "100@h:9@@0");
        let merged = [master(0, 1), master(200, 3)];
        assert_eq!(resumed(at.clone(), &merged).write(), "0@h:1@@0");
        assert_eq!(following(&at, &same).unwrap().write(), "200@h:3@@0");
        assert_eq!(following(&start(same.last()), &same), None);
    }

    #[test]
    fn one_node_is_never_taken_for_the_whole_cluster() {
        let masters = [master(0, 1), master(100, 2)];
        let of_one_server = Position { slot: None, ..at("") };
        assert_eq!(resumed(of_one_server.clone(), &masters).write(), "0@h:1@@0");
        assert_eq!(resumed(of_one_server.clone(), &[]), of_one_server);
        assert_eq!(node_of(&at("h:2"), &masters).unwrap(), Some(Node::new("h", 2)));
        assert_eq!(node_of(&of_one_server, &[]).unwrap(), None);
        assert_eq!(node_of(&of_one_server, &masters).unwrap_err().kind(), ErrorKind::Internal);
    }

    #[test]
    fn the_answer_tells_the_process_the_cursor_and_the_keys() {
        let reply = |parts: &[&str], keys: Value| {
            Value::Array(parts.iter().copied().map(Value::from).chain([keys]).collect())
        };
        let keys = Value::Array(vec![Value::from("a"), Value::Bytes(b"\xff".as_slice().into())]);
        let read = read_reply(reply(&["f00", "17"], keys.clone())).unwrap();
        assert_eq!(read, ("f00".to_owned(), 17, vec!["a".to_owned()]));
        assert_eq!(read_reply(reply(&["", "0"], keys.clone())).unwrap().0, "");
        for odd in [reply(&["17"], keys.clone()), reply(&["f00", "x"], keys), reply(&["", "0"], Value::Null)]
        {
            assert_eq!(read_reply(odd).unwrap_err().kind(), ErrorKind::Protocol);
        }
    }
}
