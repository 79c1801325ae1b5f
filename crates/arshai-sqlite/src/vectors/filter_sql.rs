//! A filter as SQL with bound parameters.
//!
//! What SQL certainly decides as core does becomes SQL. Everything else calls `arshai_match`, which is core's own
//! [`Filter::matches`]. Nothing of a filter is ever written into the text of a statement.
//!
//! Metadata is JSON written by serde_json, whose rendering of a text is unique. So texts are compared as JSON, with their
//! quotes and escapes, which is exact for every character, NUL included, and can use the index on `source`.
//! Integers are compared as numbers; SQLite does not promise to read every float exactly, so floats go to core.

use std::mem;

use arshai_core::{
    Error, Filter, Result,
    filter::{CompareOp, Field, PathPart, Scalar},
};
use rusqlite::{Statement, types::Value};
use serde_json::Value as Json;

use crate::memory::successor;

/// Beyond these, SQLite's own limits on a statement come near, and core decides the whole filter.
const MOST_CONDITIONS: usize = 200;
const DEEPEST: usize = 50;

/// A condition on the alias `c` of a table `chunk_N`, over parameters from `?2` on.
#[derive(Debug)]
pub(super) struct Condition {
    /// The expression.
    pub(super) sql: String,
    /// The filters its `arshai_match` calls ask about.
    pub(super) matched: Vec<Filter>,
    parameters: Vec<Value>,
}

impl Condition {
    /// # Errors
    ///
    /// [`arshai_core::ErrorKind::Unsupported`] for a raw expression.
    pub(super) fn new(filter: &Filter) -> Result<Self> {
        if filter.has_raw() {
            return Err(Error::unsupported("raw filter expressions are not supported by the SQLite store"));
        }
        let mut this = Self { sql: String::new(), matched: Vec::new(), parameters: Vec::new() };
        if size(filter, 0).is_some_and(|size| size <= MOST_CONDITIONS) {
            this.write(filter);
        } else {
            this.ask_core(filter);
        }
        Ok(this)
    }

    /// What holds for every row.
    pub(super) fn always() -> Self {
        Self { sql: "1".into(), matched: Vec::new(), parameters: Vec::new() }
    }

    pub(super) fn optional(filter: Option<&Filter>) -> Result<Self> {
        filter.map_or_else(|| Ok(Self::always()), Self::new)
    }

    pub(super) fn bind(&self, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        self.parameters
            .iter()
            .zip(2..)
            .try_for_each(|(value, index)| statement.raw_bind_parameter(index, value))
    }

    fn parameter(&mut self, value: impl Into<Value>) -> String {
        self.parameters.push(value.into());
        format!("?{}", self.parameters.len() + 1)
    }

    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn write(&mut self, filter: &Filter) {
        let sql = match filter {
            Filter::And(parts) => return self.join(parts, " AND ", "1"),
            Filter::Or(parts) => return self.join(parts, " OR ", "0"),
            Filter::Not(part) => {
                // NULL means that something was missing: the condition is false, and its NOT true.
                self.push("NOT coalesce(");
                self.write(part);
                return self.push(", 0)");
            }
            Filter::Exists(Field::Id | Field::Text) => Some("1".to_owned()),
            Filter::Exists(Field::Metadata(path)) => self
                .path(path)
                .map(|path| format!("coalesce(json_type(c.metadata, {path}), 'null') <> 'null'")),
            Filter::Compare(field, op, value) => self.compare(field, *op, value),
            Filter::In(field, values) => self.one_of(field, values),
            Filter::StartsWith(field, prefix) => self.starts_with(field, prefix),
            _ => None,
        };
        match sql {
            Some(sql) => {
                self.push("(");
                self.push(&sql);
                self.push(")");
            }
            None => self.ask_core(filter),
        }
    }

    fn join(&mut self, parts: &[Filter], word: &str, empty: &str) {
        if parts.is_empty() {
            return self.push(empty);
        }
        self.push("(");
        for (position, part) in parts.iter().enumerate() {
            if position > 0 {
                self.push(word);
            }
            self.write(part);
        }
        self.push(")");
    }

    fn ask_core(&mut self, filter: &Filter) {
        let text = if reads(filter, &|field| *field == Field::Text) { "c.text" } else { "NULL" };
        let metadata = if reads(filter, &|field| matches!(field, Field::Metadata(_))) {
            "json(c.metadata)"
        } else {
            "NULL"
        };
        let number = self.matched.len();
        self.matched.push(filter.clone());
        self.push(&format!("arshai_match({number}, c.id, {text}, {metadata})"));
    }

    fn compare(&mut self, field: &Field, op: CompareOp, value: &Scalar) -> Option<String> {
        let sign = sign(op);
        let equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
        match (field, value) {
            (Field::Id, Scalar::Text(text)) => {
                let value = self.parameter(text.clone());
                Some(format!("typeof(c.id) = 'text' AND c.id {sign} {value}"))
            }
            (Field::Id, Scalar::Int(number)) => {
                let value = self.parameter(*number);
                Some(format!("typeof(c.id) = 'integer' AND c.id {sign} {value}"))
            }
            (Field::Text, Scalar::Text(text)) if equality => {
                let value = self.parameter(text.clone());
                Some(format!("c.text {sign} {value}"))
            }
            (Field::Metadata(path), Scalar::Text(text)) if equality => {
                let path = self.path(path)?;
                let value = self.parameter(json(text));
                Some(match op {
                    CompareOp::Eq => format!("c.metadata -> {path} = {value}"),
                    _ => {
                        format!("json_type(c.metadata, {path}) = 'text' AND c.metadata -> {path} <> {value}")
                    }
                })
            }
            (Field::Metadata(path), Scalar::Bool(value)) if equality => {
                let path = self.path(path)?;
                let wanted = *value == (op == CompareOp::Eq);
                Some(format!("json_type(c.metadata, {path}) = '{wanted}'"))
            }
            (Field::Metadata(path), Scalar::Int(number)) => {
                let (count, filter) =
                    (self.parameters.len(), Filter::Compare(field.clone(), op, value.clone()));
                let path = self.path(path)?;
                let value = self.parameter(*number);
                let real = self.aside(&filter);
                debug_assert!(self.parameters.len() > count);
                Some(format!(
                    "CASE json_type(c.metadata, {path}) WHEN 'integer' THEN c.metadata ->> {path} {sign} {value} \
                     WHEN 'real' THEN {real} ELSE 0 END"
                ))
            }
            _ => None,
        }
    }

    /// The call of core for `filter`, without writing it.
    fn aside(&mut self, filter: &Filter) -> String {
        let written = mem::take(&mut self.sql);
        self.ask_core(filter);
        mem::replace(&mut self.sql, written)
    }

    /// `IN` over texts; anything else is rare.
    fn one_of(&mut self, field: &Field, values: &[Scalar]) -> Option<String> {
        let texts = values.iter().map(|value| match value {
            Scalar::Text(text) => Some(json(text)),
            _ => None,
        });
        let texts: Vec<String> = texts.collect::<Option<_>>()?;
        let Field::Metadata(path) = field else { return None };
        let path = self.path(path)?;
        // One parameter however many values: a list of JSON texts, each holding a text as JSON.
        let list = self.parameter(Json::from(texts).to_string());
        Some(format!("c.metadata -> {path} IN (SELECT value FROM json_each({list}))"))
    }

    fn starts_with(&mut self, field: &Field, prefix: &str) -> Option<String> {
        let Field::Metadata(path) = field else { return None };
        let mut start = json(prefix);
        start.pop();
        let end = successor(&start)?;
        let path = self.path(path)?;
        let (start, end) = (self.parameter(start), self.parameter(end));
        Some(format!("c.metadata -> {path} >= {start} AND c.metadata -> {path} < {end}"))
    }

    /// A path for SQLite's JSON functions; `None` where its syntax cannot say it.
    fn path(&mut self, path: &[PathPart]) -> Option<String> {
        if matches!(path, [PathPart::Key(key)] if key == "source") {
            // Spelled as in the index, or it is not used.
            return Some("'$.source'".to_owned());
        }
        let mut out = String::from("$");
        let mut is_first = true;
        for part in path {
            match part {
                PathPart::Key(key) if is_plain(key) => {
                    out.push_str(".\"");
                    out.push_str(key);
                    out.push('"');
                }
                PathPart::Index(index) if !is_first && *index <= 1_000_000_000 => {
                    out.push_str(&format!("[{index}]"));
                }
                _ => return None,
            }
            is_first = false;
        }
        Some(self.parameter(out))
    }
}

/// Keys that mean themselves between quotes in a path.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && !key.chars().any(|c| c == '"' || c == '\\' || c.is_control())
}

fn json(text: &str) -> String {
    Json::from(text).to_string()
}

fn sign(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => "=",
        CompareOp::Ne => "<>",
        CompareOp::Lt => "<",
        CompareOp::Le => "<=",
        CompareOp::Gt => ">",
        CompareOp::Ge => ">=",
    }
}

/// How many conditions there are; `None` when they lie too deep.
fn size(filter: &Filter, depth: usize) -> Option<usize> {
    if depth > DEEPEST {
        return None;
    }
    match filter {
        Filter::And(parts) | Filter::Or(parts) => {
            parts.iter().try_fold(1, |sum, part| Some(size(part, depth + 1)? + sum))
        }
        Filter::Not(part) => size(part, depth + 1).map(|size| size + 1),
        _ => Some(1),
    }
}

fn reads(filter: &Filter, wanted: &dyn Fn(&Field) -> bool) -> bool {
    match filter {
        Filter::Compare(field, ..)
        | Filter::In(field, _)
        | Filter::Exists(field)
        | Filter::StartsWith(field, _)
        | Filter::Like(field, _)
        | Filter::Contains(field, _)
        | Filter::ContainsAny(field, _) => wanted(field),
        Filter::And(parts) | Filter::Or(parts) => parts.iter().any(|part| reads(part, wanted)),
        Filter::Not(part) => reads(part, wanted),
        _ => false,
    }
}
