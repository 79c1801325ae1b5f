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

/// Where a listing stands: `{first slot}@{host:port}@{cursor of that server}`, slot and host empty for one server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    slot: Option<u16>,
    server: String,
    cursor: u64,
}

impl Position {
    fn read(text: &str) -> Result<Self> {
        let parts: Option<Self> = (|| {
            let mut parts = text.splitn(3, '@');
            let (slot, server, cursor) = (parts.next()?, parts.next()?, parts.next()?);
            let slot = if slot.is_empty() { None } else { Some(slot.parse().ok()?) };
            Some(Self { slot, server: server.to_owned(), cursor: cursor.parse().ok()? })
        })();
        parts.ok_or_else(|| Error::invalid("the cursor is not one that list returned"))
    }

    fn write(&self) -> String {
        let slot = self.slot.map(|slot| slot.to_string()).unwrap_or_default();
        format!("{slot}@{}@{}", self.server, self.cursor)
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
        let node = masters.iter().find(|(slot, _)| Some(*slot) == at.slot).map(|(_, server)| server.clone());
        let count = limit.clamp(*LOOK_AT.start(), *LOOK_AT.end());
        let command = || {
            let mut command = Command::anywhere(
                "SCAN",
                vec![
                    Value::from(at.cursor.to_string()),
                    Value::from("MATCH"),
                    Value::from(pattern.as_str()),
                    Value::from("COUNT"),
                    Value::from(count.to_string()),
                ],
            );
            command.node = node.clone().map(Box::new);
            command
        };
        let (cursor, found) = read_reply(wire.run(call, &command).await?.value)?;
        names.extend(found.into_iter().filter(|name| name.starts_with(prefix)));
        position =
            if cursor == 0 { following(at, &masters) } else { Some(Position { cursor, ..at.clone() }) };
    }
    names.sort_unstable();
    names.dedup();
    Ok(Names { names, next: position.map(|position| position.write()) })
}

fn start(master: Option<&(u16, Node)>) -> Position {
    Position {
        slot: master.map(|(slot, _)| *slot),
        server: master.map(|(_, server)| server.to_string()).unwrap_or_default(),
        cursor: 0,
    }
}

/// The same position, or the beginning of the part of the cluster it was in when another server has that part now: a
/// cursor means nothing to another server.
fn resumed(position: Position, masters: &[(u16, Node)]) -> Position {
    let Some(slot) = position.slot else { return position };
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

fn read_reply(reply: Value) -> Result<(u64, Vec<String>)> {
    let odd = || Error::new(ErrorKind::Protocol, "the server's answer to SCAN is not understood");
    let Value::Array(parts) = reply else { return Err(odd()) };
    let mut parts = parts.into_iter();
    let (Some(cursor), Some(Value::Array(keys)), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(odd());
    };
    let cursor = cursor.as_str().and_then(|cursor| cursor.parse().ok()).ok_or_else(odd)?;
    // A key that is not text is not ours.
    Ok((cursor, keys.iter().filter_map(|key| key.as_str().map(|key| key.into_owned())).collect()))
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
        for odd in ["", "7", "x@@7", "@@x", "@@-1"] {
            assert_eq!(Position::read(odd).unwrap_err().kind(), ErrorKind::InvalidInput, "{odd}");
        }
        let position = Position { slot: Some(5461), server: "h:1".into(), cursor: 9 };
        assert_eq!(Position::read(&position.write()).unwrap(), position);
    }

    #[test]
    fn after_a_failover_the_part_is_listed_again_and_none_is_left_out() {
        let at = Position { slot: Some(100), server: "h:2".into(), cursor: 9 };
        let same = [master(0, 1), master(100, 2), master(200, 3)];
        assert_eq!(resumed(at.clone(), &same), at);
        let failed_over = [master(0, 1), master(100, 9), master(200, 3)];
        assert_eq!(resumed(at.clone(), &failed_over).write(), "100@h:9@0");
        let merged = [master(0, 1), master(200, 3)];
        assert_eq!(resumed(at.clone(), &merged).write(), "0@h:1@0");
        assert_eq!(following(&at, &same).unwrap().write(), "200@h:3@0");
        assert_eq!(following(&start(same.last()), &same), None);
    }
}
