//! The conditions of a filter, written as Milvus has them.

use arshai_core::{
    Filter,
    filter::{CompareOp, Field, PathPart, Scalar},
};

use crate::{
    condition::{Bound, combine},
    filter::{Columns, Dialect},
    key::stored,
};

/// Deeper filters are left to the client.
const DEEPEST: usize = 60;
/// Integers and floats up to here are the same number in both forms.
const EXACT: i64 = 1 << 53;

/// Writes filters for one collection on one server.
pub(crate) struct Encoder<'a> {
    pub(crate) columns: Columns<'a>,
    pub(crate) dialect: Dialect,
}

/// Where a condition looks.
enum Place {
    /// A column of texts, never null.
    Text(String),
    /// The key column of integers.
    Int(String),
    Json(String),
    /// Nowhere: nothing is found.
    Nowhere,
    /// The expression syntax cannot say it.
    Unsayable,
}

impl Encoder<'_> {
    /// The expression that holds at least where the filter does, or where it does not (`negated`).
    pub(crate) fn write(&self, filter: &Filter, negated: bool, depth: usize) -> Bound {
        if depth > DEEPEST {
            return Bound::unknown();
        }
        match filter {
            Filter::And(parts) => self.join(parts, negated, !negated, depth),
            Filter::Or(parts) => self.join(parts, negated, negated, depth),
            Filter::Not(part) => self.write(part, !negated, depth + 1),
            Filter::Raw(expression) if !negated => Bound::exactly(format!("({expression})")),
            Filter::Raw(expression) if self.dialect.not => Bound::exactly(format!("not ({expression})")),
            Filter::Compare(field, op, value) => self.compare(field, *op, value, negated),
            Filter::In(field, values) => {
                let parts = values.iter().map(|value| self.compare(field, CompareOp::Eq, value, negated));
                combine(parts, negated)
            }
            Filter::Exists(field) => self.exists(field, negated),
            Filter::StartsWith(field, prefix) => self.starts_with(field, prefix, negated),
            Filter::Like(field, pattern) => self.like(field, pattern, negated),
            Filter::Contains(field, value) => self.contains(field, std::slice::from_ref(value), negated),
            Filter::ContainsAny(field, values) => self.contains(field, values, negated),
            _ => Bound::unknown(),
        }
    }

    fn join(&self, parts: &[Filter], negated: bool, all: bool, depth: usize) -> Bound {
        combine(parts.iter().map(|part| self.write(part, negated, depth + 1)), all)
    }

    fn place(&self, field: &Field) -> Place {
        match field {
            Field::Id if self.columns.id_is_text => Place::Text(self.columns.id.to_owned()),
            Field::Id => Place::Int(self.columns.id.to_owned()),
            Field::Text => {
                self.columns.text.map_or(Place::Unsayable, |column| Place::Text(column.to_owned()))
            }
            Field::Metadata(path) => {
                let Some(column) = self.columns.metadata else { return Place::Nowhere };
                let mut out = column.to_owned();
                for part in path {
                    match part {
                        PathPart::Key(key) if is_plain_key(key) => out.push_str(&format!("[\"{key}\"]")),
                        _ => return Place::Unsayable,
                    }
                }
                Place::Json(out)
            }
        }
    }

    fn compare(&self, field: &Field, op: CompareOp, value: &Scalar, negated: bool) -> Bound {
        match (self.place(field), value) {
            (Place::Nowhere, _) => Bound::constant(negated),
            (Place::Unsayable, _) => Bound::unknown(),
            (Place::Text(column), Scalar::Text(text)) => match self.column_literal(field, text) {
                Some(literal) => {
                    let op = if negated { opposite(op) } else { op };
                    Bound::exactly(format!("{column} {op} {literal}"))
                }
                None => Bound::unknown(),
            },
            (Place::Int(column), Scalar::Int(number)) if *number != i64::MIN => {
                let op = if negated { opposite(op) } else { op };
                Bound::exactly(format!("{column} {op} {number}"))
            }
            (Place::Int(_), Scalar::Int(_) | Scalar::Float(_)) => Bound::unknown(),
            (Place::Text(_) | Place::Int(_), _) => Bound::constant(negated),
            (Place::Json(path), Scalar::Text(text)) => match literal(text) {
                Some(literal) => self.compare_json(&path, op, &literal, true, negated),
                None => Bound::unknown(),
            },
            (Place::Json(path), Scalar::Bool(value)) => match op {
                CompareOp::Eq => {
                    self.compare_json(&path, op, &value.to_string(), self.dialect.exact_numbers, negated)
                }
                CompareOp::Ne => {
                    let other = (!value).to_string();
                    self.compare_json(&path, CompareOp::Eq, &other, self.dialect.exact_numbers, negated)
                }
                // Booleans have no order.
                _ => Bound::constant(negated),
            },
            (Place::Json(path), Scalar::Int(number)) if number.unsigned_abs() < EXACT.unsigned_abs() => {
                self.compare_json(&path, op, &number.to_string(), self.dialect.exact_numbers, negated)
            }
            (Place::Json(path), Scalar::Float(number)) if is_plain_float(*number) => {
                self.compare_json(&path, op, &format!("{number:?}"), self.dialect.exact_numbers, negated)
            }
            (Place::Json(_), Scalar::Int(_) | Scalar::Float(_)) => Bound::unknown(),
        }
    }

    /// A text as the column stores it.
    fn column_literal(&self, field: &Field, text: &str) -> Option<String> {
        let escaped = self.columns.id_is_escaped && *field == Field::Id;
        literal(&stored(text, escaped))
    }

    fn compare_json(&self, path: &str, op: CompareOp, literal: &str, exact: bool, negated: bool) -> Bound {
        if negated {
            return match op {
                CompareOp::Eq if exact && self.dialect.not_equal_is_negation => {
                    Bound::exactly(format!("{path} != {literal}"))
                }
                _ => Bound::unknown(),
            };
        }
        let expression = match op {
            // Without the rows that hold nothing, or something of another type.
            CompareOp::Ne => format!("({path} < {literal} or {path} > {literal})"),
            _ => format!("{path} {op} {literal}"),
        };
        if exact { Bound::exactly(expression) } else { Bound::at_least(expression) }
    }

    fn exists(&self, field: &Field, negated: bool) -> Bound {
        match (self.place(field), self.dialect.exists) {
            (Place::Text(_) | Place::Int(_), _) => Bound::constant(!negated),
            (Place::Nowhere, _) => Bound::constant(negated),
            (Place::Json(path), true) if !negated => Bound::exactly(format!("exists {path}")),
            (Place::Json(path), true) => Bound::exactly(format!("not (exists {path})")),
            _ if matches!(field, Field::Text) => Bound::constant(!negated),
            _ => Bound::unknown(),
        }
    }

    /// As a range: no character of the prefix is a wildcard.
    fn starts_with(&self, field: &Field, prefix: &str, negated: bool) -> Bound {
        let (place, is_column) = match self.place(field) {
            Place::Text(column) => (column, true),
            Place::Json(path) => (path, false),
            Place::Int(_) | Place::Nowhere => return Bound::constant(negated),
            Place::Unsayable => return Bound::unknown(),
        };
        let end = successor(prefix);
        let (Some(start), Ok(end)) = (
            self.column_literal(field, prefix),
            end.map(|end| self.column_literal(field, &end).ok_or(())).transpose(),
        ) else {
            return Bound::unknown();
        };
        match (negated, is_column, end) {
            (false, _, Some(end)) => Bound::exactly(format!("({place} >= {start} and {place} < {end})")),
            (false, _, None) => Bound::exactly(format!("{place} >= {start}")),
            (true, true, Some(end)) => Bound::exactly(format!("({place} < {start} or {place} >= {end})")),
            (true, true, None) => Bound::exactly(format!("{place} < {start}")),
            (true, false, _) => Bound::unknown(),
        }
    }

    /// What a pattern begins with decides most rows; the rest of it is left to the client.
    fn like(&self, field: &Field, pattern: &str, negated: bool) -> Bound {
        let mut prefix = String::new();
        let mut characters = pattern.chars();
        let wild = loop {
            match characters.next() {
                None => break None,
                Some(c @ ('%' | '_')) => break Some(c),
                Some('\\') => prefix.push(characters.next().unwrap_or('\\')),
                Some(c) => prefix.push(c),
            }
        };
        match wild {
            None => self.compare(field, CompareOp::Eq, &Scalar::Text(prefix), negated),
            Some('%') if characters.as_str().chars().all(|c| c == '%') => {
                self.starts_with(field, &prefix, negated)
            }
            Some(_) if negated => Bound::unknown(),
            Some(_) => Bound { exact: false, ..self.starts_with(field, &prefix, false) },
        }
    }

    /// Only texts: numbers in arrays are compared by their type by some servers.
    fn contains(&self, field: &Field, values: &[Scalar], negated: bool) -> Bound {
        let path = match self.place(field) {
            Place::Json(path) => path,
            Place::Unsayable => return Bound::unknown(),
            Place::Text(_) | Place::Int(_) | Place::Nowhere => return Bound::constant(negated),
        };
        if values.is_empty() {
            return Bound::constant(negated);
        }
        let one = |value: &Scalar| match value {
            Scalar::Text(text) if !negated => {
                literal(text).map(|text| format!("json_contains({path}, {text})"))
            }
            _ => None,
        };
        match values.iter().map(one).collect::<Option<Vec<_>>>() {
            Some(parts) => Bound::exactly(format!("({})", parts.join(" or "))),
            None => Bound::unknown(),
        }
    }
}

fn opposite(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Eq => CompareOp::Ne,
        CompareOp::Ne => CompareOp::Eq,
        CompareOp::Lt => CompareOp::Ge,
        CompareOp::Le => CompareOp::Gt,
        CompareOp::Gt => CompareOp::Le,
        CompareOp::Ge => CompareOp::Lt,
    }
}

/// A text between quotes; `None` when it holds a control character, whose escapes servers read differently.
pub(crate) fn literal(text: &str) -> Option<String> {
    if text.chars().any(char::is_control) {
        return None;
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Some(out)
}

/// Keys that mean themselves in a JSON pointer and are no position in an array.
fn is_plain_key(key: &str) -> bool {
    !key.is_empty()
        && !key.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '/' | '~'))
        && !key.chars().all(|c| c.is_ascii_digit() || c == '-')
}

/// Numbers that are written without an exponent.
fn is_plain_float(number: f64) -> bool {
    number == 0.0 || (1e-4..EXACT as f64).contains(&number.abs())
}

/// The least text above every text with this prefix; `None` when there is none.
fn successor(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = ((u32::from(last) + 1)..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_literal_ends_where_it_should(text in "\\PC{0,20}") {
            if let Some(literal) = literal(&text) {
                prop_assert_eq!(serde_json::from_str::<String>(&literal).unwrap(), text);
            }
        }

        #[test]
        fn a_successor_is_above_everything_with_the_prefix(prefix in "\\PC{0,6}", rest in "\\PC{0,6}") {
            if let Some(end) = successor(&prefix) {
                let longer = format!("{prefix}{rest}");
                prop_assert!(end > longer && end > prefix);
            }
        }
    }
}
