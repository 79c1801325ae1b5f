//! What a filter means, on one record. This is the definition the engines are tested against.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::{CompareOp, Field, Filter, PathPart, Scalar};
use crate::vector::Id;

/// The record a filter is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its primary key.
    pub id: &'a Id,
    /// Its text.
    pub text: &'a str,
    /// Its metadata.
    pub metadata: &'a Map<String, Value>,
}

/// A value found in a record.
#[derive(Clone, Copy)]
enum Found<'a> {
    Text(&'a str),
    Int(i64),
    Json(&'a Value),
}

impl<'a> Subject<'a> {
    fn find(&self, field: &Field) -> Option<Found<'a>> {
        match field {
            Field::Id => Some(match self.id {
                Id::Int(id) => Found::Int(*id),
                Id::Text(id) => Found::Text(id),
            }),
            Field::Text => Some(Found::Text(self.text)),
            Field::Metadata(path) => {
                let (first, rest) = path.split_first()?;
                let PathPart::Key(first) = first else { return None };
                let value = rest.iter().try_fold(self.metadata.get(first)?, |value, part| match part {
                    PathPart::Key(key) => value.as_object()?.get(key),
                    PathPart::Index(index) => value.as_array()?.get(*index),
                })?;
                (!value.is_null()).then_some(Found::Json(value))
            }
        }
    }
}

impl Filter {
    /// Whether the condition holds for a record. A raw expression never does: engines refuse it before asking.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        let text = |field: &Field| match subject.find(field)? {
            Found::Text(text) => Some(text),
            Found::Json(value) => value.as_str(),
            Found::Int(_) => None,
        };
        let any_element = |field: &Field, wanted: &[Scalar]| match subject.find(field) {
            Some(Found::Json(Value::Array(elements))) => elements.iter().any(|element| {
                wanted.iter().any(|w| compare(Found::Json(element), w) == Some(Ordering::Equal))
            }),
            _ => false,
        };
        match self {
            Self::Compare(field, op, value) => {
                subject.find(field).and_then(|found| compare_op(found, *op, value)).unwrap_or(false)
            }
            Self::In(field, values) => subject.find(field).is_some_and(|found| {
                values.iter().any(|value| compare(found, value) == Some(Ordering::Equal))
            }),
            Self::Exists(field) => subject.find(field).is_some(),
            Self::StartsWith(field, prefix) => {
                text(field).is_some_and(|text| text.starts_with(prefix.as_str()))
            }
            Self::Like(field, pattern) => text(field).is_some_and(|text| like(text, pattern)),
            Self::Contains(field, value) => any_element(field, std::slice::from_ref(value)),
            Self::ContainsAny(field, values) => any_element(field, values),
            Self::And(parts) => parts.iter().all(|part| part.matches(subject)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(subject)),
            Self::Not(part) => !part.matches(subject),
            Self::Raw(_) => false,
        }
    }
}

fn compare_op(found: Found<'_>, op: CompareOp, value: &Scalar) -> Option<bool> {
    let ordering = compare(found, value)?;
    let ordered = !matches!(value, Scalar::Bool(_));
    Some(match op {
        CompareOp::Eq => ordering == Ordering::Equal,
        CompareOp::Ne => ordering != Ordering::Equal,
        CompareOp::Lt => ordered && ordering == Ordering::Less,
        CompareOp::Le => ordered && ordering != Ordering::Greater,
        CompareOp::Gt => ordered && ordering == Ordering::Greater,
        CompareOp::Ge => ordered && ordering != Ordering::Less,
    })
}

/// `None` when the two are of different types.
fn compare(found: Found<'_>, value: &Scalar) -> Option<Ordering> {
    match (found, value) {
        (Found::Text(a), Scalar::Text(b)) => Some(a.cmp(b.as_str())),
        (Found::Json(Value::String(a)), Scalar::Text(b)) => Some(a.as_str().cmp(b.as_str())),
        (Found::Json(Value::Bool(a)), Scalar::Bool(b)) => Some(a.cmp(b)),
        (Found::Int(a), Scalar::Int(b)) => Some(a.cmp(b)),
        (Found::Int(a), Scalar::Float(b)) => int_float(a.into(), *b),
        (Found::Json(Value::Number(a)), Scalar::Int(b)) => number_int(a, (*b).into()),
        (Found::Json(Value::Number(a)), Scalar::Float(b)) => match integer(a) {
            Some(a) => int_float(a, *b),
            None => a.as_f64()?.partial_cmp(b),
        },
        _ => None,
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn number_int(a: &Number, b: i128) -> Option<Ordering> {
    match integer(a) {
        Some(a) => Some(a.cmp(&b)),
        None => int_float(b, a.as_f64()?).map(Ordering::reverse),
    }
}

/// Exact comparison of an integer with a float.
fn int_float(int: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Beyond ±2^100 the float is outside every 64-bit integer, and the cast below would saturate.
    let whole = float.floor().clamp(-(2.0_f64.powi(100)), 2.0_f64.powi(100));
    Some(int.cmp(&(whole as i128)).then_with(|| if float > whole { Ordering::Less } else { Ordering::Equal }))
}

/// SQL's LIKE with `\` as escape, over Unicode scalar values, case-sensitive.
fn like(text: &str, pattern: &str) -> bool {
    enum Piece {
        Any,
        One,
        Literal(char),
    }
    let mut pieces = Vec::new();
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        pieces.push(match c {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::Literal(characters.next().unwrap_or('\\')),
            other => Piece::Literal(other),
        });
    }
    // Greedy with one point to return to: linear in text × pattern at worst, no recursion.
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut piece) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        match (pieces.get(piece), text.get(at)) {
            (Some(Piece::Any), _) => {
                back = Some((piece, at));
                piece += 1;
            }
            (Some(Piece::One), Some(_)) => (at, piece) = (at + 1, piece + 1),
            (Some(Piece::Literal(wanted)), Some(c)) if wanted == c => (at, piece) = (at + 1, piece + 1),
            (None, None) => return true,
            _ => match back {
                Some((any, from)) if from < text.len() => {
                    back = Some((any, from + 1));
                    (piece, at) = (any + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(expression: &str) -> bool {
        let metadata = json!({
            "n": 9_007_199_254_740_993_i64, "big": u64::MAX, "f": 1.5, "s": "Abc", "b": true, "null": null,
            "list": [1, "two", 3.0], "deep": {"a": [{"x": 7}]}
        });
        let subject =
            Subject { id: &Id::from("doc-1"), text: "hello world", metadata: metadata.as_object().unwrap() };
        Filter::parse(expression).unwrap().matches(&subject)
    }

    #[test]
    fn two_valued_logic() {
        for (expression, expected) in [
            ("missing == 1", false),
            ("missing != 1", false),
            ("not (missing == 1)", true),
            ("s == 1", false),
            ("s != 1", false),
            ("not s == 1", true),
            ("exists null", false),
            ("exists list", true),
            ("n in []", false),
            ("not (n in [])", true),
            ("n not in [1]", true),
        ] {
            assert_eq!(holds(expression), expected, "{expression}");
        }
    }

    #[test]
    fn numbers_are_exact_to_64_bits() {
        for (expression, expected) in [
            ("n == 9007199254740993", true),
            ("n == 9007199254740992", false),
            ("n == 9007199254740992.0", false),
            ("n > 9007199254740992.0", true),
            ("big > 9223372036854775807", true),
            ("f == 1.5", true),
            ("f > 1", true),
            ("f < 2", true),
            ("list[2] == 3", true),
            ("b == true", true),
            ("b > false", false),
            ("f < 1e300", true),
        ] {
            assert_eq!(holds(expression), expected, "{expression}");
        }
    }

    #[test]
    fn texts_and_lists() {
        for (expression, expected) in [
            ("s == \"Abc\"", true),
            ("s == 'abc'", false),
            ("s like \"A%\"", true),
            ("s like \"_b_\"", true),
            ("s like \"%B%\"", false),
            ("text like \"%o_w%\"", true),
            ("starts_with(text, \"hello\")", true),
            ("id == \"doc-1\"", true),
            ("json_contains(list, \"two\")", true),
            ("array_contains_any(list, [9, 3])", true),
            ("json_contains(s, \"A\")", false),
            ("metadata[\"deep\"][\"a\"][0][\"x\"] == 7", true),
        ] {
            assert_eq!(holds(expression), expected, "{expression}");
        }
    }
}
