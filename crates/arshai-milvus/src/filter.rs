//! A filter as an expression of Milvus.
//!
//! Servers differ from core in what a condition means: for a missing path `!=` is true on some, a boolean equals a number
//! on others, one does not know `not`, and none reads every text. So a filter becomes an expression that holds *at
//! least* where the filter does, and it is known whether it holds exactly there. Where it does not, the rows it finds are
//! looked at once more, with core's own [`Filter::matches`]. `not` is never written: it is pushed to the conditions.

use arshai_core::{
    Error, Filter, Result,
    filter::{CompareOp, Field, PathPart, Scalar},
};

pub(crate) use crate::condition::Condition;
use crate::{
    condition::{Bound, combine},
    key::stored,
};

/// What a server makes of conditions, as far as servers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// `!=` holds wherever `==` does not, missing paths and other types included.
    pub(crate) not_equal_is_negation: bool,
    /// A number in JSON is compared with a number as core does it, below 2^53; else a boolean may be taken for one.
    pub(crate) exact_numbers: bool,
    /// There is an `exists` that means what core means, and can be joined with other conditions.
    pub(crate) exists: bool,
    /// Whether there is `not`, which only raw expressions need.
    pub(crate) not: bool,
}

impl Dialect {
    /// Only what every known server means the same.
    pub(crate) fn unknown() -> Self {
        Self { not_equal_is_negation: false, exact_numbers: false, exists: false, not: true }
    }
}

/// The columns that conditions are about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) id: &'a str,
    pub(crate) id_is_text: bool,
    /// Quotes in keys are escaped ([`crate::key`]).
    pub(crate) id_is_escaped: bool,
    pub(crate) text: Option<&'a str>,
    pub(crate) metadata: Option<&'a str>,
}

/// An expression, and what is left to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Encoded {
    pub(crate) condition: Condition,
    /// What the rows found must be asked once more; `None` when the expression is exact.
    pub(crate) rest: Option<Filter>,
}

/// Expressions above this are not sent: the client decides instead.
const MOST_BYTES: usize = 1 << 20;
/// Deeper filters are left to the client.
const DEEPEST: usize = 60;
/// Integers and floats up to here are the same number in both forms.
const EXACT: i64 = 1 << 53;

impl Encoded {
    pub(crate) fn everything() -> Self {
        Self { condition: Condition::True, rest: None }
    }

    /// # Errors
    ///
    /// [`arshai_core::ErrorKind::Unsupported`] when a raw expression stands where the client would have to finish.
    pub(crate) fn new(filter: &Filter, columns: Columns<'_>, dialect: Dialect) -> Result<Self> {
        if !filter.has_raw() {
            return Ok(Self::plain(filter, columns, dialect));
        }
        // Raw parts and typed parts joined by "and" are encoded apart.
        let mut parts = Vec::new();
        conjuncts(filter, &mut parts);
        let encoder = Encoder { columns, dialect };
        let (mut condition, mut rest) = (Condition::True, Vec::new());
        for part in parts {
            if part.has_raw() {
                let bound = encoder.write(part, false, 0);
                if !bound.exact {
                    return Err(Error::unsupported(
                        "a raw filter expression stands beside a condition that this server cannot decide exactly; \
                         join them with `and`, or write the whole filter as a raw expression",
                    ));
                }
                condition = condition.and(bound.condition);
            } else {
                let encoded = Self::plain(part, columns, dialect);
                condition = condition.and(encoded.condition);
                rest.extend(encoded.rest);
            }
        }
        let rest = if rest.is_empty() { None } else { Some(Filter::And(rest)) };
        Ok(Self { condition, rest })
    }

    fn plain(filter: &Filter, columns: Columns<'_>, dialect: Dialect) -> Self {
        let bound = Encoder { columns, dialect }.write(filter, false, 0);
        if let Condition::Expression(expression) = &bound.condition {
            if expression.len() > MOST_BYTES {
                return Self { condition: Condition::True, rest: Some(filter.clone()) };
            }
        }
        let rest =
            if bound.exact || bound.condition == Condition::False { None } else { Some(filter.clone()) };
        Self { condition: bound.condition, rest }
    }
}

fn conjuncts<'a>(filter: &'a Filter, into: &mut Vec<&'a Filter>) {
    match filter {
        Filter::And(parts) => parts.iter().for_each(|part| conjuncts(part, into)),
        other => into.push(other),
    }
}

struct Encoder<'a> {
    columns: Columns<'a>,
    dialect: Dialect,
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
    fn write(&self, filter: &Filter, negated: bool, depth: usize) -> Bound {
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
pub(crate) fn successor(prefix: &str) -> Option<String> {
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

    const ALL: Dialect =
        Dialect { not_equal_is_negation: true, exact_numbers: true, exists: false, not: true };

    fn encoded(expression: &str, dialect: Dialect) -> Encoded {
        let columns = Columns {
            id: "id",
            id_is_text: true,
            id_is_escaped: false,
            text: Some("text"),
            metadata: Some("metadata"),
        };
        Encoded::new(&Filter::parse(expression).unwrap(), columns, dialect).unwrap()
    }

    fn shown(encoded: &Encoded) -> (&str, bool) {
        let text = match &encoded.condition {
            Condition::True => "true",
            Condition::False => "false",
            Condition::Expression(expression) => expression,
        };
        (text, encoded.rest.is_none())
    }

    #[test]
    fn what_is_the_same_everywhere_is_left_to_the_server() {
        for (filter, expected) in [
            ("source == 'a'", r#"metadata["source"] == "a""#),
            ("source != 'a'", r#"(metadata["source"] < "a" or metadata["source"] > "a")"#),
            ("not id == 'x'", r#"id != "x""#),
            ("starts_with(s, 'ab')", r#"(metadata["s"] >= "ab" and metadata["s"] < "ac")"#),
            ("s like 'ab%'", r#"(metadata["s"] >= "ab" and metadata["s"] < "ac")"#),
            ("s in []", "false"),
            ("id == 7", "false"),
            ("not (s in [])", "true"),
            ("s == 'a' and not (b in [])", r#"metadata["s"] == "a""#),
        ] {
            assert_eq!(shown(&encoded(filter, Dialect::unknown())), (expected, true), "{filter}");
        }
    }

    #[test]
    fn what_servers_differ_in_is_finished_by_the_client_where_they_do() {
        for (filter, all, unknown) in [
            ("n == 1", (r#"metadata["n"] == 1"#, true), (r#"metadata["n"] == 1"#, false)),
            ("not (n == 1)", (r#"metadata["n"] != 1"#, true), ("true", false)),
            ("n == 9007199254740993", ("true", false), ("true", false)),
            ("exists a", ("true", false), ("true", false)),
            ("metadata[\"a\"][0] == 'x'", ("true", false), ("true", false)),
            ("s == 'a\\nb'", ("true", false), ("true", false)),
            ("s == 'x' or n == 9007199254740993", ("true", false), ("true", false)),
            ("json_contains(l, 1)", ("true", false), ("true", false)),
        ] {
            assert_eq!(shown(&encoded(filter, ALL)), all, "{filter}");
            assert_eq!(shown(&encoded(filter, Dialect::unknown())), unknown, "{filter}");
        }
    }

    #[test]
    fn quotes_and_operators_in_a_text_stay_in_it() {
        let text = r#"x" or id != "" or ""#;
        let filter = Filter::eq(Field::metadata("s"), text);
        let columns = Columns {
            id: "id",
            id_is_text: true,
            id_is_escaped: false,
            text: None,
            metadata: Some("metadata"),
        };
        let encoded = Encoded::new(&filter, columns, ALL).unwrap();
        assert_eq!(shown(&encoded).0, r#"metadata["s"] == "x\" or id != \"\" or \"""#);
        let key = Filter::eq(Field::metadata("a\"] or 1 == 1 or metadata[\"b"), "x");
        assert_eq!(shown(&Encoded::new(&key, columns, ALL).unwrap()), ("true", false));
    }

    #[test]
    fn a_raw_expression_is_never_evaluated_by_the_client() {
        let columns = Columns {
            id: "id",
            id_is_text: true,
            id_is_escaped: false,
            text: None,
            metadata: Some("metadata"),
        };
        let raw = Filter::raw("metadata[\"n\"] % 2 == 0");
        let joined = raw.clone().and(Filter::eq(Field::metadata("a/b"), 1));
        let both = Encoded::new(&joined, columns, ALL).unwrap();
        assert_eq!(both.rest, Some(Filter::And(vec![Filter::eq(Field::metadata("a/b"), 1)])));
        let either = raw.or(Filter::eq(Field::metadata("a/b"), 1));
        let error = Encoded::new(&either, columns, ALL).unwrap_err();
        assert_eq!(error.kind(), arshai_core::ErrorKind::Unsupported);
    }

    #[test]
    fn a_filter_of_any_size_and_depth_is_encoded() {
        let columns = Columns {
            id: "id",
            id_is_text: true,
            id_is_escaped: false,
            text: None,
            metadata: Some("metadata"),
        };
        let many = Filter::is_in(Field::metadata("k"), (0..200_000).map(|n| format!("v{n}")));
        assert!(Encoded::new(&many, columns, ALL).unwrap().rest.is_some());
        let deep = (0..300).fold(Filter::eq(Field::metadata("n"), 3), |inner, _| Filter::And(vec![inner]));
        assert!(Encoded::new(&deep, columns, ALL).unwrap().rest.is_some());
    }

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
