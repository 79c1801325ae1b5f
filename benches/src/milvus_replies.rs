//! What the canned server answers, in Milvus' protocol, encoded before anybody asks.
//!
//! The field numbers are those of `proto/`. Nothing here is the code under measurement.

use bytes::Bytes;

/// The dimension of the vectors.
pub(crate) const DIMENSION: usize = 768;
/// Hits of a reply at most.
const MOST_HITS: usize = 64;
/// The path of a text that a benchmark asks for: as long as the figures say.
pub(crate) const TEXT_BYTES: usize = 250;

/// All replies of the server.
#[derive(Debug)]
pub(crate) struct Replies {
    version: Bytes,
    described: Bytes,
    index: Bytes,
    loaded: Bytes,
    /// By the number of hits.
    hits: Vec<Bytes>,
}

impl Replies {
    pub(crate) fn new() -> Self {
        Self {
            version: Message::ok().text(2, "v2.3.5").end(),
            described: described(),
            index: index(),
            loaded: Message::ok().number(2, 3).end(),
            hits: (0..=MOST_HITS).map(hits).collect(),
        }
    }

    /// The reply to a method; `None` for one that is not known here.
    pub(crate) fn to(&self, method: &str, request: &[u8]) -> Option<Bytes> {
        Some(match method {
            "GetVersion" => self.version.clone(),
            "DescribeCollection" => self.described.clone(),
            "DescribeIndex" => self.index.clone(),
            "GetLoadState" => self.loaded.clone(),
            "HasCollection" => Message::ok().number(2, 1).end(),
            // Of two messages at least the first field is the status of success, which is nothing at all.
            "CreateCollection" | "CreateIndex" | "LoadCollection" | "DropCollection" | "AlterCollection" => {
                Bytes::new()
            }
            "Connect" | "ShowCollections" => Message::ok().end(),
            "Search" => self.hits.get(asked_hits(request)?)?.clone(),
            "Insert" | "Upsert" => written(rows(request)?),
            _ => return None,
        })
    }
}

/// The text of a hit or a row.
pub(crate) fn text(number: usize) -> String {
    let mut text = format!("passage {number} ");
    while text.len() < TEXT_BYTES {
        text.push_str("of a text to be found again ");
    }
    text.truncate(TEXT_BYTES);
    text
}

/// Its metadata: about 30 bytes as JSON.
pub(crate) fn source(number: usize) -> String {
    format!("docs/page-{number:05}.md")
}

/// A collection as the guide makes it: an integer key that the server chooses, a text, JSON, a vector.
fn described() -> Bytes {
    let field =
        |id: u64, name: &str, kind: u64| Message::default().number(1, id).text(2, name).number(5, kind);
    let key = field(100, "id", 5).number(3, 1).number(8, 1);
    let text = field(101, "text", 21).message(6, pair("max_length", "65535"));
    let metadata = field(102, "metadata", 23);
    let dense = field(103, "dense_vector", 101).message(6, pair("dim", &DIMENSION.to_string()));
    let schema = [key, text, metadata, dense]
        .into_iter()
        .fold(Message::default().text(1, "bench").number(3, 1), |schema, field| schema.message(4, field));
    Message::ok().message(2, schema).text(12, "bench").end()
}

fn index() -> Bytes {
    let index = Message::default()
        .text(1, "dense_vector")
        .message(3, pair("index_type", "HNSW"))
        .message(3, pair("metric_type", "COSINE"))
        .text(4, "dense_vector")
        .number(7, 3);
    Message::ok().message(2, index).end()
}

/// A search's reply with so many hits, as Milvus 2.3.5 lays it out.
fn hits(count: usize) -> Bytes {
    let scores: Vec<u8> = (0..count).flat_map(|n| (0.9 - n as f32 / 1000.0).to_le_bytes()).collect();
    let mut texts = Message::default();
    let mut metadata = Message::default();
    for number in 0..count {
        texts = texts.text(1, &text(number));
        metadata = metadata.text(1, &format!(r#"{{"source":"{}"}}"#, source(number)));
    }
    let column = |kind: u64, name: &str, id: u64, data: Message| {
        Message::default().number(1, kind).text(2, name).message(3, data).number(5, id)
    };
    let results = Message::default()
        .number(1, 1)
        .number(2, count as u64)
        .message(3, column(21, "text", 101, Message::default().message(6, texts)))
        .message(3, column(23, "metadata", 102, Message::default().message(9, metadata)))
        .bytes(4, &scores)
        .message(5, Message::default().message(1, longs(count)))
        .bytes(6, &varint(count as u64))
        .text(7, "text")
        .text(7, "metadata");
    Message::ok().message(2, results).text(3, "bench").end()
}

/// So many rows were written under keys that the server chose.
fn written(rows: usize) -> Bytes {
    Message::ok()
        .message(2, Message::default().message(1, longs(rows)))
        .number(5, 1)
        .number(6, rows as u64)
        .number(9, 446_000_000_000_000_000)
        .end()
}

/// Keys as a server chooses them: large numbers.
fn longs(count: usize) -> Message {
    let keys: Vec<u8> = (0..count).flat_map(|n| varint(446_000_000_000_000_000 + n as u64)).collect();
    Message::default().bytes(1, &keys)
}

fn pair(key: &str, value: &str) -> Message {
    Message::default().text(1, key).text(2, value)
}

/// The hits that a search asks for: the parameter `topk`.
fn asked_hits(request: &[u8]) -> Option<usize> {
    const BEFORE: &[u8] = b"\x0a\x04topk\x12";
    let start = request.windows(BEFORE.len()).rposition(|window| window == BEFORE)? + BEFORE.len();
    let length = usize::from(*request.get(start)?);
    std::str::from_utf8(request.get(start + 1..start + 1 + length)?).ok()?.parse().ok()
}

/// The rows that a write holds: its field 7.
fn rows(mut request: &[u8]) -> Option<usize> {
    while !request.is_empty() {
        let tag = take_varint(&mut request)?;
        match (tag >> 3, tag & 7) {
            (7, 0) => return usize::try_from(take_varint(&mut request)?).ok(),
            (_, 0) => drop(take_varint(&mut request)?),
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut request)?).ok()?;
                request = request.get(length..)?;
            }
            _ => return None,
        }
    }
    None
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A message being written, field by field.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    /// One whose status says success.
    fn ok() -> Self {
        Self::default().bytes(1, &[])
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.0.extend(varint(field << 3));
        self.0.extend(varint(value));
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.0.extend(varint(field << 3 | 2));
        self.0.extend(varint(value.len() as u64));
        self.0.extend_from_slice(value);
        self
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: Self) -> Self {
        self.bytes(field, &value.0)
    }

    fn end(self) -> Bytes {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read_from_the_request() {
        let search = Message::default()
            .bytes(6, b"\x0a\x04topk\x12\x01")
            .message(9, pair("topk", "11"))
            .message(9, pair("params", "{}"))
            .end();
        assert_eq!(asked_hits(&search), Some(11));
        let write = Message::default().text(3, "c").bytes(5, &[7; 300]).number(7, 50).end();
        assert_eq!((rows(&write), rows(&[0xff])), (Some(50), None));
    }

    #[test]
    fn texts_and_metadata_are_as_long_as_the_figures_say() {
        assert_eq!(text(7).len(), TEXT_BYTES);
        let metadata = format!(r#"{{"source":"{}"}}"#, source(7));
        assert!((28..=34).contains(&metadata.len()), "{metadata}");
    }
}
