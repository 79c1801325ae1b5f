//! A server's reply, read straight into one buffer of floats.

use std::fmt;

use arshai_core::{Error, ErrorKind, Result};
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::Value;

use super::floats::{self, Floats};

/// Some servers leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The vectors of one request, in the order of its texts.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) dimension: usize,
    pub(super) values: Vec<f32>,
    pub(super) tokens: Option<u64>,
    /// Texts whose vector holds a value that is not finite.
    pub(super) unusable: Vec<usize>,
}

/// Understands a reply to `expected` texts: base64 or floats, with or without usage, in any order.
///
/// A reply in which no vector has an index is in the order of the texts; where some have one, all must, each once.
/// `report` makes the error of what a reply reports in place of embeddings.
pub(super) fn decode(body: &[u8], expected: usize, report: impl Fn(&Value) -> Error) -> Result<Rows> {
    let mut gathered = match of_floats(body, expected) {
        Some(gathered) => gathered,
        None => {
            let mut gathered = Gathered { expected, most: body.len() / 2, ..Gathered::default() };
            gathered.read(body).map_err(|error| unreadable(body, &error))?;
            gathered
        }
    };
    if let Some(error) = gathered.error.take() {
        return Err(report(&error));
    }
    gathered.into_rows(expected)
}

/// A sound reply of floats. Anything else is read again as it came, so that its error is the right one.
fn of_floats(body: &[u8], expected: usize) -> Option<Gathered> {
    let Floats { rest, values, lists } = floats::taken_out(body, expected)?;
    let mut gathered = Gathered { expected, values, lists, ..Gathered::default() };
    gathered.read(&rest).ok()?;
    (gathered.rows.len() == gathered.lists.len()).then_some(gathered)
}

fn unreadable(body: &[u8], error: &serde_json::Error) -> Error {
    let is_page = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
    if is_page {
        return protocol(
            "the server answered with an HTML page; look at the base URL and at proxies on the way",
        );
    }
    if error.is_eof() {
        return Error::new(ErrorKind::Truncated, "the reply ends in the middle; ask again")
            .with_context("bytes", body.len());
    }
    // serde's message may repeat a part of the reply; its place says enough.
    protocol("the reply is not what embeddings look like; look whether the server has /embeddings")
        .with_context("what", class(error))
        .with_context("line", error.line())
        .with_context("column", error.column())
}

fn class(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Data => "unexpected data",
        _ => "not JSON",
    }
}

fn protocol(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

#[derive(Default)]
struct Gathered {
    values: Vec<f32>,
    rows: Vec<Row>,
    tokens: Option<u64>,
    bytes: Vec<u8>,
    error: Option<Value>,
    /// As many rows should come.
    expected: usize,
    /// More values cannot be in a reply of this length.
    most: usize,
    /// Where rows begin in the values, and their lengths, when they were taken out of the reply before.
    lists: Vec<(usize, usize)>,
}

struct Row {
    index: Option<usize>,
    start: usize,
    length: usize,
}

impl Gathered {
    fn read(&mut self, body: &[u8]) -> serde_json::Result<()> {
        let mut json = serde_json::Deserializer::from_slice(body);
        ReplySeed(self).deserialize(&mut json)?;
        json.end()
    }

    fn into_rows(self, expected: usize) -> Result<Rows> {
        if self.rows.len() != expected {
            return Err(protocol("the server returned another number of embeddings than texts were sent")
                .with_context("expected", expected)
                .with_context("returned", self.rows.len()));
        }
        let dimension = self.rows.first().map_or(0, |row| row.length);
        if dimension == 0 || self.rows.iter().any(|row| row.length != dimension) {
            let lengths = self.rows.iter().map(|row| row.length);
            let (least, most) = (lengths.clone().min().unwrap_or(0), lengths.max().unwrap_or(0));
            return Err(protocol("the server returned embeddings of different lengths, or empty ones")
                .with_context("shortest", least)
                .with_context("longest", most));
        }
        let order = self.order(expected)?;
        let values = if order.iter().enumerate().all(|(place, row)| place == *row) {
            self.values
        } else {
            let mut values = Vec::with_capacity(self.values.len());
            for row in order {
                let row =
                    self.rows.get(row).and_then(|row| self.values.get(row.start..row.start + row.length));
                values.extend_from_slice(row.unwrap_or_default());
            }
            values
        };
        let unusable = if is_finite(&values) {
            Vec::new()
        } else {
            let rows = values.chunks(dimension).enumerate();
            rows.filter(|(_, row)| !is_finite(row)).map(|(text, _)| text).collect()
        };
        Ok(Rows { dimension, values, tokens: self.tokens, unusable })
    }

    /// Which row belongs to each text.
    fn order(&self, expected: usize) -> Result<Vec<usize>> {
        if self.rows.iter().all(|row| row.index.is_none()) {
            return Ok((0..expected).collect());
        }
        let mut order = vec![None; expected];
        for (number, row) in self.rows.iter().enumerate() {
            let index =
                row.index.ok_or_else(|| protocol("the server returned an embedding without its index"))?;
            let place = order.get_mut(index).ok_or_else(|| {
                protocol("the server returned an embedding whose index is past the end")
                    .with_context("index", index)
            })?;
            if place.replace(number).is_some() {
                return Err(
                    protocol("the server returned two embeddings of one index").with_context("index", index)
                );
            }
        }
        // As many rows as places and none doubled: every place is taken.
        Ok(order.into_iter().flatten().collect())
    }

    fn take_base64<E: serde::de::Error>(&mut self, text: &str) -> Result<usize, E> {
        self.bytes.resize(base64::decoded_len_estimate(text.len()), 0);
        let decoded = BASE64
            .decode_slice(text, &mut self.bytes)
            .map_err(|_| E::custom("an embedding is not base64"))?;
        let bytes = self.bytes.get(..decoded).unwrap_or_default();
        let numbers = bytes.chunks_exact(4);
        if !numbers.remainder().is_empty() {
            return Err(E::custom("an embedding in base64 is no whole number of floats"));
        }
        let length = numbers.len();
        if self.values.is_empty() {
            // With the first row, for all of them: growing bit by bit would move them again and again.
            self.values.reserve_exact(length.saturating_mul(self.expected).min(self.most));
        }
        // Chunks are of four bytes.
        self.values.extend(numbers.map(|four| four.try_into().map_or(f32::NAN, f32::from_le_bytes)));
        Ok(length)
    }
}

/// Without a way out in the middle, so that it is done many values at a time.
fn is_finite(values: &[f32]) -> bool {
    values.iter().fold(true, |all, value| all & value.is_finite())
}

struct ReplySeed<'g>(&'g mut Gathered);

impl<'de> DeserializeSeed<'de> for ReplySeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReplySeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_data = false;
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match name.as_ref() {
                "data" if has_data => return Err(A::Error::custom("`data` twice")),
                "data" => {
                    has_data = true;
                    map.next_value_seed(DataSeed(self.0))?;
                }
                "error" => {
                    self.0.error = Some(map.next_value::<Value>()?).filter(|error| !error.is_null());
                }
                "usage" => {
                    let usage: Value = map.next_value()?;
                    let count = |name| usage.get(name).and_then(Value::as_u64);
                    self.0.tokens = count("prompt_tokens").or_else(|| count("total_tokens"));
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if has_data || self.0.error.is_some() { Ok(()) } else { Err(A::Error::missing_field("data")) }
    }
}

struct DataSeed<'g>(&'g mut Gathered);

impl<'de> DeserializeSeed<'de> for DataSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for DataSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of embeddings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(RowSeed(self.0))?.is_some() {}
        Ok(())
    }
}

struct RowSeed<'g>(&'g mut Gathered);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `embedding`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut index, mut vector) = (None, None);
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match name.as_ref() {
                "index" => index = map.next_value::<Option<usize>>()?,
                "embedding" if vector.is_some() => return Err(A::Error::custom("`embedding` twice")),
                "embedding" => vector = Some(map.next_value_seed(VectorSeed(self.0))?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let (start, length) = vector.ok_or_else(|| A::Error::missing_field("embedding"))?;
        self.0.rows.push(Row { index, start, length });
        Ok(())
    }
}

/// Base64 or floats; gives where the values begin, and their number.
struct VectorSeed<'g>(&'g mut Gathered);

impl<'de> DeserializeSeed<'de> for VectorSeed<'_> {
    type Value = (usize, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for VectorSeed<'_> {
    type Value = (usize, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64 or a list of floats")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let start = self.0.values.len();
        Ok((start, self.0.take_base64(text)?))
    }

    /// The number of a list that was taken out. Each is used once and in its order.
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        let next = self.0.lists.get(self.0.rows.len()).filter(|_| number == self.0.rows.len() as u64);
        next.copied().ok_or_else(|| E::invalid_type(Unexpected::Unsigned(number), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let start = self.0.values.len();
        // JSON knows no NaN; servers write null for it.
        while let Some(value) = list.next_element::<Option<f32>>()? {
            self.0.values.push(value.unwrap_or(f32::NAN));
        }
        Ok((start, self.0.values.len() - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64_of(values: &[f32]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        BASE64.encode(bytes)
    }

    fn decode(body: &[u8], expected: usize) -> Result<Rows> {
        super::decode(body, expected, |_| Error::new(ErrorKind::Unavailable, "reported"))
    }

    fn kind(body: &str, expected: usize) -> ErrorKind {
        decode(body.as_bytes(), expected).unwrap_err().kind()
    }

    #[test]
    fn base64_and_floats_give_the_same() {
        let floats = decode(br#"{"data":[{"index":0,"embedding":[0.5,-1.25]}]}"#, 1).unwrap();
        let text = format!(r#"{{"data":[{{"embedding":"{}","index":0}}]}}"#, base64_of(&[0.5, -1.25]));
        let base64 = decode(text.as_bytes(), 1).unwrap();
        assert_eq!((floats.values.as_slice(), floats.dimension), (&[0.5, -1.25][..], 2));
        assert_eq!(base64.values, floats.values);
        let unpadded = decode(text.replace('=', "").as_bytes(), 1).unwrap();
        assert_eq!(unpadded.values, floats.values);
        let escaped = decode(br#"{"data":[{"index":0,"embedding":"AACA\/wAAAAA="}]}"#, 1);
        assert_eq!(escaped.unwrap().unusable, [0], "an infinity, through an escape");
    }

    /// As it is read when nothing is taken out before.
    fn plainly(body: &str, expected: usize) -> Result<Rows> {
        let mut gathered = Gathered { expected, most: body.len(), ..Gathered::default() };
        gathered.read(body.as_bytes()).map_err(|error| unreadable(body.as_bytes(), &error))?;
        gathered.into_rows(expected)
    }

    /// As near to the middle of two floats as eighteen digits can be.
    fn half_way(bits: u32) -> String {
        let least = f32::from_bits(0.125_f32.to_bits() + (bits >> 8));
        format!("{:.18}", f64::midpoint(least.into(), f32::from_bits(least.to_bits() + 1).into()))
    }

    #[test]
    fn the_fast_way_through_floats_gives_what_the_plain_one_does_bit_for_bit() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let numbers: Vec<String> = (0..64)
                .map(|_| {
                    let value = f32::from_bits(random.u32(..));
                    let value = if value.is_finite() { value } else { 0.0 };
                    match random.u8(..6) {
                        0 => format!("{value}"),
                        1 => format!("{value:e}"),
                        2 => format!("{:?}", f64::from(value)),
                        3 => format!("{:.17}", random.f64() - 0.5),
                        4 => half_way(random.u32(..)),
                        _ => format!("{}{}", random.i64(..), random.u32(..)),
                    }
                })
                .collect();
            let body = format!(r#"{{"data":[{{"index":0,"embedding":[{}]}}]}}"#, numbers.join(", "));
            assert!(of_floats(body.as_bytes(), 1).is_some(), "{body}");
            let bits = |rows: Rows| rows.values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(decode(body.as_bytes(), 1).unwrap()), bits(plainly(&body, 1).unwrap()), "{body}");
        }
    }

    #[test]
    fn a_number_of_the_servers_is_not_taken_for_one_of_ours() {
        for body in [
            r#"{"data":[{"embedding":0}]}"#,
            r#"{"data":[{"embeddin\u0067":0},{"embedding":[1]}]}"#,
            r#"{"data":[{"embedding":[1]},{"embeddin\u0067":0}]}"#,
            r#"{"data":[{"embedding":[1]},{"embeddin\u0067":1}]}"#,
            r#"{"data":[{"embedding":[1],"embedding":[2]}]}"#,
            r#"{"meta":{"embedding":[9]},"data":[{"embeddin\u0067":5}]}"#,
        ] {
            assert_eq!(kind(body, 1), ErrorKind::Protocol, "{body}");
            assert_eq!(kind(body, 2), ErrorKind::Protocol, "{body}");
        }
        // A list of that name elsewhere is none of ours.
        let elsewhere =
            r#"{"meta":{"embedding":[9]},"data":[{"index":1,"embedding":[1]},{"index":0,"embedding":[2]}]}"#;
        assert_eq!(decode(elsewhere.as_bytes(), 2).unwrap().values, [2.0, 1.0]);
        let mixed = format!(r#"{{"data":[{{"embedding":[1]}},{{"embedding":"{}"}}]}}"#, base64_of(&[2.0]));
        assert_eq!(decode(mixed.as_bytes(), 2).unwrap().values, [1.0, 2.0]);
    }

    #[test]
    fn rows_are_put_in_the_order_of_the_texts() {
        let body = br#"{"data":[{"index":2,"embedding":[2]},{"index":0,"embedding":[0]},{"index":1,"embedding":[1]}]}"#;
        assert_eq!(decode(body, 3).unwrap().values, [0.0, 1.0, 2.0]);
        let unnumbered = br#"{"data":[{"embedding":[7]},{"embedding":[8]}],"usage":{"prompt_tokens":3}}"#;
        let rows = decode(unnumbered, 2).unwrap();
        assert_eq!((rows.values, rows.tokens), (vec![7.0, 8.0], Some(3)));
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        let bad = [
            (r#"{"data":[{"index":0,"embedding":[1]}]}"#, 2),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[2]}]}"#, 2),
            (r#"{"data":[{"index":0,"embedding":[1]},{"embedding":[2]}]}"#, 2),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[2]}]}"#, 2),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[2,3]}]}"#, 2),
            (r#"{"data":[{"index":0,"embedding":[]}]}"#, 1),
            (r#"{"data":[{"index":0,"embedding":"AAAA"}]}"#, 1),
            (r#"{"data":[{"index":0,"embedding":"%%%"}]}"#, 1),
            (r#"{"data":[{"index":0,"embedding":[1e99]}]}"#, 1),
            (r#"{"data":[{"index":0,"embedding":[NaN]}]}"#, 1),
            (r#"{"data":[{"index":0}]}"#, 1),
            (r#"{"object":"list"}"#, 1),
            ("[]", 1),
            ("null", 1),
            ("<html></html>", 1),
            (r#"{"data":[]} trailing"#, 0),
        ];
        for (body, expected) in bad {
            assert_eq!(kind(body, expected), ErrorKind::Protocol, "{body}");
        }
        assert_eq!(kind(r#"{"data":[{"index":0,"embedding":[1,"#, 1), ErrorKind::Truncated);
        assert_eq!(kind("", 1), ErrorKind::Truncated);
        assert_eq!(
            decode(b"{\"data\":[{\"embedding\":\"\xff\xfe\"}]}", 1).unwrap_err().kind(),
            ErrorKind::Protocol
        );
    }

    #[test]
    fn a_value_that_is_not_finite_makes_one_vector_unusable() {
        for bad in ["[null]", r#""AACAfw==""#, r#""AADAfw==""#] {
            let body = format!(
                r#"{{"data":[{{"index":1,"embedding":{bad}}},{{"index":0,"embedding":[1]}},{{"index":2,"embedding":[2]}}]}}"#
            );
            let rows = decode(body.as_bytes(), 3).unwrap();
            assert_eq!(
                (rows.unusable.as_slice(), rows.values[0], rows.values[2]),
                (&[1][..], 1.0, 2.0),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_error_in_place_of_embeddings_is_that_error() {
        for body in [r#"{"error":{"message":"busy"}}"#, r#"{"error":"busy","data":[]}"#] {
            assert_eq!(kind(body, 1), ErrorKind::Unavailable, "{body}");
        }
        let none = br#"{"error":null,"data":[{"embedding":[1]}]}"#;
        assert!(decode(none, 1).is_ok());
    }
}
