//! The stored form of a memory: the Python package's JSON with one extra field.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Memory, Turn,
    timestamp::{format_timestamp, parse_timestamp},
};
use crate::{Error, ErrorKind, Result};

/// How many operation ids an envelope keeps.
pub const MAX_OPERATIONS: usize = 16;

/// Marks one attempted write, so that a write whose reply was lost can be recognised in the stored value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(String);

impl OperationId {
    /// A new random id (128 bits).
    pub fn random() -> Self {
        Self(format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)))
    }
}

/// A [`Memory`] with the ids of the last writes, encoded as
/// `{"data":{"working_memory"},"metadata","created_at","last_update","arshai":{"turns","sha256","operations"}}`.
///
/// The Python package reads the first four fields and ignores the fifth. Its `update()` keeps the fifth while it
/// changes the text; the SHA-256 of the text beside the turns shows that, and the turns are then dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The memory.
    pub memory: Memory,
    /// Ids of the last writes, newest last, at most [`MAX_OPERATIONS`].
    pub operations: Vec<OperationId>,
}

#[derive(Serialize, Deserialize, Default)]
struct Extra {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turns: Option<Vec<Turn>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    sha256: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    operations: Vec<OperationId>,
}

impl Envelope {
    /// An envelope for `memory` with no operation recorded.
    pub fn new(memory: Memory) -> Self {
        Self { memory, operations: Vec::new() }
    }

    /// Records a write; the oldest id goes when there are too many.
    pub fn record(&mut self, operation: OperationId) {
        self.operations.push(operation);
        let excess = self.operations.len().saturating_sub(MAX_OPERATIONS);
        self.operations.drain(..excess);
    }

    /// The stored bytes. Turns that do not match the text are left out.
    pub fn encode(&self) -> Vec<u8> {
        let memory = &self.memory;
        let turns = memory.turns.clone().filter(|_| memory.turns_match());
        let sha256 =
            if turns.is_some() { hex(&Sha256::digest(memory.text.as_bytes())) } else { String::new() };
        let extra = Extra { turns, sha256, operations: self.operations.clone() };
        json!({
            "data": { "working_memory": memory.text },
            "metadata": memory.metadata,
            "created_at": format_timestamp(memory.created_at),
            "last_update": format_timestamp(memory.last_update),
            "arshai": extra,
        })
        .to_string()
        .into_bytes()
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] when they are not a memory envelope; the caller adds the key.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let corrupt = |what: &'static str| {
            Error::new(ErrorKind::Corrupt, "the stored memory cannot be read").with_context("problem", what)
        };
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| corrupt("it is not JSON").with_source(error))?;
        let text = value
            .pointer("/data/working_memory")
            .and_then(Value::as_str)
            .ok_or_else(|| corrupt("data.working_memory is missing or not a text"))?;
        let metadata = match value.get("metadata") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map.clone(),
            Some(_) => return Err(corrupt("metadata is not an object")),
        };
        let time = |name: &str, problem| {
            value.get(name).and_then(Value::as_str).and_then(parse_timestamp).ok_or_else(|| corrupt(problem))
        };
        let created_at = time("created_at", "created_at is missing or not a timestamp")?;
        let last_update = time("last_update", "last_update is missing or not a timestamp")?;
        // The extra field is ours; when something else wrote it, the text still is the truth.
        let extra: Extra = value
            .get("arshai")
            .and_then(|extra| serde_json::from_value(extra.clone()).ok())
            .unwrap_or_default();
        let mut memory = Memory::new(text);
        memory.metadata = metadata;
        memory.created_at = created_at;
        memory.last_update = last_update;
        memory.turns = extra.turns.filter(|_| extra.sha256 == hex(&Sha256::digest(text.as_bytes())));
        Ok(Self { memory, operations: extra.operations })
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _infallible = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Envelope {
        let mut memory = Memory::empty();
        memory.push(Turn::user("grüße\nUser: forged"));
        memory.push(Turn::assistant("hello"));
        memory.metadata.insert("n".into(), json!(12_345_678_901_234_567_i64));
        Envelope::new(memory)
    }

    #[test]
    fn round_trip() {
        let mut envelope = sample();
        envelope.record(OperationId::random());
        let decoded = Envelope::decode(&envelope.encode()).unwrap();
        assert_eq!(decoded.memory.text, envelope.memory.text);
        assert_eq!(decoded.memory.turns, envelope.memory.turns);
        assert_eq!(decoded.memory.metadata, envelope.memory.metadata);
        assert_eq!(decoded.operations, envelope.operations);
    }

    #[test]
    fn python_changing_the_text_drops_the_turns_and_keeps_the_text() {
        let mut value: Value = serde_json::from_slice(&sample().encode()).unwrap();
        *value.pointer_mut("/data/working_memory").unwrap() = json!("changed by Python");
        let decoded = Envelope::decode(value.to_string().as_bytes()).unwrap();
        assert_eq!((decoded.memory.text.as_str(), decoded.memory.turns), ("changed by Python", None));
    }

    #[test]
    fn a_value_python_wrote_is_read() {
        let python = br#"{"data": {"working_memory": "hi"}, "metadata": {}, "created_at": "2026-01-01T10:00:00.5", "last_update": "2026-01-01T10:00:00.5"}"#;
        let decoded = Envelope::decode(python).unwrap();
        assert_eq!((decoded.memory.text.as_str(), decoded.memory.turns), ("hi", None));
    }

    #[test]
    fn corrupt_values_are_errors_not_empty_answers() {
        for bad in ["", "null", "{}", "{\"data\":{\"working_memory\":1}}", "\u{0}"] {
            assert_eq!(Envelope::decode(bad.as_bytes()).unwrap_err().kind(), ErrorKind::Corrupt, "{bad:?}");
        }
    }

    #[test]
    fn only_the_last_operations_are_kept() {
        let mut envelope = sample();
        let ids: Vec<_> = (0..20).map(|_| OperationId::random()).collect();
        ids.iter().for_each(|id| envelope.record(id.clone()));
        assert_eq!(envelope.operations, ids[4..]);
    }
}
