//! Tool calls, whole and in pieces.

use std::collections::BTreeMap;

use arshai_core::chat::ToolCall;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::loose;

/// A tool call, or a piece of one. Servers leave out whatever they like.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WireCall {
    #[serde(default, deserialize_with = "loose::number")]
    index: Option<usize>,
    #[serde(default, deserialize_with = "loose::text")]
    id: Option<String>,
    #[serde(default)]
    function: Option<WireFunction>,
}

#[derive(Debug, Default, Deserialize)]
struct WireFunction {
    #[serde(default, deserialize_with = "loose::text")]
    name: Option<String>,
    /// A text by the protocol; some servers send the object itself.
    #[serde(default)]
    arguments: Option<Value>,
}

/// Puts tool calls together from their pieces.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    calls: BTreeMap<usize, Assembled>,
    last: usize,
    received: usize,
}

#[derive(Debug, Default)]
struct Assembled {
    id: String,
    name: String,
    arguments: String,
    whole: Option<Value>,
}

impl Assembler {
    /// Adds a piece. Pieces without an index belong to the call before them, unless they bring another id or a name.
    pub(super) fn add(&mut self, piece: WireCall) {
        let id = piece.id.unwrap_or_default();
        let function = piece.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        let index = piece.index.unwrap_or_else(|| {
            let last = self.calls.get(&self.last);
            let is_new = last.is_none_or(|last| {
                (!id.is_empty() && id != last.id)
                    || (id.is_empty() && !name.is_empty() && !last.name.is_empty())
            });
            if is_new {
                self.calls.last_key_value().map_or(0, |(last, _)| last.saturating_add(1))
            } else {
                self.last
            }
        });
        self.last = index;
        let call = self.calls.entry(index).or_default();
        if call.id.is_empty() {
            call.id = id;
        }
        // Some servers repeat the name in every piece.
        if call.name.is_empty() {
            call.name = name;
        }
        match function.arguments {
            Some(Value::String(text)) => {
                self.received += text.len();
                call.arguments.push_str(&text);
            }
            None | Some(Value::Null) => {}
            Some(whole) => call.whole = Some(whole),
        }
    }

    /// Bytes of arguments so far.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// The calls, in their order. One without a name is nobody's.
    pub(super) fn finish(self) -> Vec<ToolCall> {
        let named = self.calls.into_iter().filter(|(_, call)| !call.name.is_empty());
        named
            .map(|(index, call)| ToolCall {
                id: if call.id.is_empty() { format!("call_{index}") } else { call.id },
                name: call.name,
                arguments: call.whole.unwrap_or_else(|| arguments(call.arguments)),
            })
            .collect()
    }
}

fn arguments(text: String) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn assembled(pieces: &[Value]) -> Vec<(String, String, Value)> {
        let mut assembler = Assembler::default();
        for piece in pieces {
            assembler.add(serde_json::from_value(piece.clone()).unwrap());
        }
        assembler.finish().into_iter().map(|call| (call.id, call.name, call.arguments)).collect()
    }

    #[test]
    fn interleaved_pieces_of_parallel_calls_find_their_own() {
        let calls = assembled(&[
            json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "" } }),
            json!({ "index": 1, "id": "b", "function": { "name": "g", "arguments": "{\"y\":" } }),
            json!({ "index": 0, "function": { "arguments": "{\"x\":1}" } }),
            json!({ "index": 1, "id": "", "function": { "name": null, "arguments": "2}" } }),
        ]);
        let expected = [("a", "f", json!({ "x": 1 })), ("b", "g", json!({ "y": 2 }))];
        assert_eq!(calls, expected.map(|(id, name, arguments)| (id.to_owned(), name.to_owned(), arguments)));
    }

    #[test]
    fn pieces_without_index_id_or_text_are_understood() {
        let calls = assembled(&[
            json!({ "id": "a", "function": { "name": "f", "arguments": "{\"x\":" } }),
            json!({ "function": { "arguments": "1}" } }),
            json!({ "id": "b", "function": { "name": "g", "arguments": { "y": 2 } } }),
            json!({ "function": { "name": "h" } }),
            json!({}),
        ]);
        let found: Vec<_> = calls.iter().map(|(id, name, _)| (id.as_str(), name.as_str())).collect();
        assert_eq!(found, [("a", "f"), ("b", "g"), ("call_2", "h")]);
        assert_eq!(calls[0].2, json!({ "x": 1 }));
        assert_eq!((&calls[1].2, &calls[2].2), (&json!({ "y": 2 }), &json!({})));
    }

    #[test]
    fn the_largest_index_is_no_overflow() {
        let calls = assembled(&[
            json!({ "index": usize::MAX, "id": "a", "function": { "name": "f" } }),
            json!({ "id": "b", "function": { "name": "g" } }),
        ]);
        assert!(!calls.is_empty());
    }

    #[test]
    fn arguments_that_are_not_json_stay_a_text() {
        let calls =
            assembled(&[json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{oops" } })]);
        assert_eq!(calls[0].2, json!("{oops"));
    }
}
