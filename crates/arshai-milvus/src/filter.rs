//! A filter as an expression of Milvus.
//!
//! Servers differ from core in what a condition means: for a missing path `!=` is true on some, a boolean equals a number
//! on others, one does not know `not`, and none reads every text. So a filter becomes an expression that holds *at
//! least* where the filter does, and it is known whether it holds exactly there. Where it does not, the rows it finds are
//! looked at once more, with core's own [`Filter::matches`]. `not` is never written: it is pushed to the conditions.

use arshai_core::{Error, Filter, Result};

pub(crate) use crate::condition::Condition;
use crate::expression::Encoder;

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

#[cfg(test)]
mod tests {
    use arshai_core::filter::Field;

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
}
