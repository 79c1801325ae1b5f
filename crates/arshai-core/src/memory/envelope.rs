//! The stored form of a memory: the Python package's JSON with one extra field.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    Memory, Turn,
    timestamp::{format_timestamp, parse_timestamp},
};
use crate::{Error, ErrorKind, Result};

/// How many operation ids an envelope keeps.
pub const MAX_OPERATIONS: usize = 16;

/// Marks one attempted write, so that a write whose reply was lost can be recognised in the stored value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OperationId([u8; 16]);

impl OperationId {
    /// A new random id (128 bits).
    pub fn random() -> Self {
        Self(fastrand::u128(..).to_be_bytes())
    }

    /// The id of these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads 32 hexadecimal digits. There are 16 ids in each value, and their digits are random: whatever branches on
    /// one is guessed wrong half of the time.
    fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
        let value = |digit: u8| (digit & 15) + 9 * (digit >> 6);
        let mut bytes = [0_u8; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            if let [high, low] = pair {
                *byte = value(*high) << 4 | value(*low);
            }
        }
        let all = digits.iter().fold(true, |all, digit| all & digit.is_ascii_hexdigit());
        all.then_some(Self(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::fmt::Debug for OperationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OperationId({:032x})", u128::from_be_bytes(self.0))
    }
}

impl Serialize for OperationId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0_u8; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            if let [high, low] = pair {
                *high = DIGITS.get(usize::from(byte >> 4)).copied().unwrap_or_default();
                *low = DIGITS.get(usize::from(byte & 15)).copied().unwrap_or_default();
            }
        }
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for OperationId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Hex;
        impl serde::de::Visitor<'_> for Hex {
            type Value = OperationId;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("32 hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<OperationId, E> {
                OperationId::parse(text)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Hex)
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

/// Bytes that a value takes besides its text, roughly.
const ROOM: usize = 1024;

/// A value as it is written.
#[derive(Serialize)]
struct Written<'a> {
    data: WrittenData<'a>,
    metadata: &'a Map<String, Value>,
    created_at: String,
    last_update: String,
    arshai: WrittenExtra<'a>,
}

#[derive(Serialize)]
struct WrittenData<'a> {
    working_memory: &'a str,
}

#[derive(Serialize)]
struct WrittenExtra<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    turns: Option<&'a [Turn]>,
    #[serde(skip_serializing_if = "String::is_empty")]
    sha256: String,
    #[serde(skip_serializing_if = "<[OperationId]>::is_empty")]
    operations: &'a [OperationId],
}

/// A value with everything where it should be.
#[derive(Deserialize)]
struct Expected<'a> {
    data: ExpectedData,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(borrow)]
    last_update: Cow<'a, str>,
    #[serde(default)]
    arshai: Extra,
}

#[derive(Deserialize)]
struct ExpectedData {
    working_memory: String,
}

impl Expected<'_> {
    fn envelope(self) -> Option<Envelope> {
        let (created_at, last_update) =
            (parse_timestamp(&self.created_at)?, parse_timestamp(&self.last_update)?);
        let text = self.data.working_memory;
        let extra = self.arshai;
        let turns = extra.turns.filter(|_| extra.sha256 == hex(&Sha256::digest(text.as_bytes())));
        let metadata = self.metadata.unwrap_or_default();
        Some(Envelope {
            memory: Memory { text, turns, metadata, created_at, last_update },
            operations: extra.operations,
        })
    }
}

#[derive(Deserialize, Default)]
struct Extra {
    #[serde(default)]
    turns: Option<Vec<Turn>>,
    #[serde(default)]
    sha256: String,
    #[serde(default, deserialize_with = "operations")]
    operations: Vec<OperationId>,
}

/// Reads ids into a list with room for as many as there usually are, and the next one.
fn operations<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<OperationId>, D::Error> {
    struct Ids;
    impl<'de> serde::de::Visitor<'de> for Ids {
        type Value = Vec<OperationId>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of ids")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut list: A,
        ) -> std::result::Result<Self::Value, A::Error> {
            let mut ids = Vec::with_capacity(MAX_OPERATIONS.saturating_add(1));
            while let Some(id) = list.next_element()? {
                ids.push(id);
            }
            Ok(ids)
        }
    }
    deserializer.deserialize_seq(Ids)
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
        Self::encode_parts(&self.memory, &self.operations)
    }

    /// The stored bytes of an envelope with these parts.
    pub fn encode_parts(memory: &Memory, operations: &[OperationId]) -> Vec<u8> {
        let turns = memory.turns.as_deref().filter(|_| memory.turns_match());
        let sha256 =
            if turns.is_some() { hex(&Sha256::digest(memory.text.as_bytes())) } else { String::new() };
        let written = Written {
            data: WrittenData { working_memory: &memory.text },
            metadata: &memory.metadata,
            created_at: format_timestamp(memory.created_at),
            last_update: format_timestamp(memory.last_update),
            arshai: WrittenExtra { turns, sha256, operations },
        };
        let mut bytes = Vec::with_capacity(memory.text.len().saturating_add(ROOM));
        // Names are texts and numbers are finite in everything that is written, so it cannot fail.
        let _infallible = serde_json::to_writer(&mut bytes, &written);
        bytes
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] when they are not a memory envelope; the caller adds the key.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        // What is as expected is read at once; the rest slowly, to say what is wrong or to make do.
        match serde_json::from_slice::<Expected<'_>>(bytes) {
            Ok(expected) => expected.envelope().map_or_else(|| Self::decode_slowly(bytes), Ok),
            Err(_unexpected) => Self::decode_slowly(bytes),
        }
    }

    /// The ids of the last writes in stored bytes, whatever else they hold; none when they cannot be read.
    pub fn operations_in(bytes: &[u8]) -> Vec<OperationId> {
        #[derive(Deserialize)]
        struct Only {
            arshai: Extra,
        }

        #[derive(Deserialize)]
        struct Extra {
            #[serde(deserialize_with = "operations")]
            operations: Vec<OperationId>,
        }

        serde_json::from_slice::<Only>(bytes).map(|only| only.arshai.operations).unwrap_or_default()
    }

    fn decode_slowly(bytes: &[u8]) -> Result<Self> {
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
    use serde_json::json;

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
    fn operations_are_found_also_in_a_value_that_is_not_read_otherwise() {
        let mut envelope = sample();
        (0..3).for_each(|_| envelope.record(OperationId::random()));
        assert_eq!(Envelope::operations_in(&envelope.encode()), envelope.operations);
        let mut value: Value = serde_json::from_slice(&envelope.encode()).unwrap();
        value["data"] = json!(7);
        assert_eq!(Envelope::operations_in(value.to_string().as_bytes()), envelope.operations);
        for none in ["", "null", "{}", r#"{"arshai":{}}"#, r#"{"arshai":{"operations":["1"]}}"#] {
            assert_eq!(Envelope::operations_in(none.as_bytes()), [], "{none}");
        }
    }

    #[test]
    fn an_operation_is_32_hexadecimal_digits_and_nothing_else() {
        let id = OperationId::random();
        let text = format!("{id:?}");
        let digits = text.trim_start_matches("OperationId(").trim_end_matches(')');
        assert_eq!(OperationId::parse(digits), Some(id));
        assert_eq!(OperationId::parse(&digits.to_uppercase()), Some(id));
        let (sign, short) = (format!("+{}", &digits[1..]), &digits[1..]);
        for odd in [&sign, short, "", &format!("{digits}0"), &"ä".repeat(16), &"g".repeat(32)] {
            assert_eq!(OperationId::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn only_the_last_operations_are_kept() {
        let mut envelope = sample();
        let ids: Vec<_> = (0..20).map(|_| OperationId::random()).collect();
        ids.iter().for_each(|id| envelope.record(*id));
        assert_eq!(envelope.operations, ids[4..]);
    }
}
