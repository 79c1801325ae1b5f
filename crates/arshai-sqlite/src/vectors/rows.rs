//! Rows by key or filter, a page at a time.

use arshai_core::{
    Error, ErrorKind, Result,
    vector::{Id, IdKind, Output, Row, RowPage, RowQuery},
};
use rusqlite::{TransactionBehavior, types::Value};
use serde_json::Map;

use super::{collection::Stored, dense, filter_sql::Condition};
use crate::{
    error::Outcome,
    session::{Session, read_id},
};

pub(super) fn run(session: &mut Session, collection: &str, query: &RowQuery) -> Outcome<RowPage> {
    let filters = session.filters();
    let moment = session.connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let stored = Stored::load(&moment, collection)?;
    let condition = Condition::optional(query.filter.as_ref())?;
    filters.set(condition.matched.clone());
    let limit = query.limit.max(1);
    let mut page = Page { rows: Vec::new(), most: limit.saturating_add(1), output: &query.output };
    let after = match (&query.cursor, stored.spec.id) {
        // Integers sort before texts.
        (Some(Id::Text(_)), IdKind::Int | IdKind::AutoInt) => {
            return Ok(RowPage { rows: Vec::new(), next: None });
        }
        (Some(Id::Int(_)), IdKind::Text) => None,
        (cursor, _) => cursor.as_ref(),
    };
    match &query.ids {
        Some(ids) => {
            let mut ids: Vec<&Id> = ids.iter().filter(|id| after.is_none_or(|after| *id > after)).collect();
            ids.sort();
            ids.dedup();
            let mut statement = moment.prepare_cached(&page.sql(&stored, &condition, "c.id = ?1"))?;
            for id in ids {
                statement.raw_bind_parameter(1, key_value(id))?;
                condition.bind(&mut statement)?;
                page.take(statement.raw_query())?;
            }
        }
        None => {
            let place = if after.is_some() { "c.id > ?1" } else { "1" };
            let mut statement = moment.prepare_cached(&page.sql(&stored, &condition, place))?;
            if let Some(after) = after {
                statement.raw_bind_parameter(1, key_value(after))?;
            }
            condition.bind(&mut statement)?;
            page.take(statement.raw_query())?;
        }
    }
    let mut rows = page.rows;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(|row| row.id.clone()) } else { None };
    Ok(RowPage { rows, next })
}

/// A key as a parameter.
pub(super) fn key_value(id: &Id) -> Value {
    match id {
        Id::Int(id) => Value::Integer(*id),
        Id::Text(id) => Value::Text(id.clone()),
    }
}

pub(super) fn parse_metadata(json: &str, id: &Id) -> Result<Map<String, serde_json::Value>> {
    serde_json::from_str(json).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the metadata of a record cannot be read")
            .with_context("key", id.to_string().escape_debug())
            .with_source(error)
    })
}

struct Page<'a> {
    rows: Vec<Row>,
    most: usize,
    output: &'a Output,
}

impl Page<'_> {
    fn sql(&self, stored: &Stored, condition: &Condition, place: &str) -> String {
        let n = stored.key;
        let column = |wanted: bool, sql: &'static str| if wanted { sql } else { "NULL" };
        let text = column(self.output.text, "c.text");
        let metadata = column(self.output.metadata, "json(c.metadata)");
        let (vector, join) = match self.output.dense {
            true => ("d.vector", format!("LEFT JOIN dense_{n} d ON d.doc = c.doc")),
            false => ("NULL", String::new()),
        };
        format!(
            "SELECT c.id, c.has_dense, {text}, {metadata}, {vector} FROM chunk_{n} c {join}
             WHERE {place} AND {} ORDER BY c.id",
            condition.sql
        )
    }

    fn take(&mut self, mut rows: rusqlite::Rows<'_>) -> Outcome<()> {
        while self.rows.len() < self.most {
            let Some(found) = rows.next()? else { break };
            let mut row = Row::new(read_id(found.get_ref(0)?)?);
            row.has_dense = found.get(1)?;
            row.text = found.get::<_, Option<String>>(2)?.unwrap_or_default();
            if let Some(metadata) = found.get::<_, Option<String>>(3)? {
                row.metadata = parse_metadata(&metadata, &row.id)?;
            }
            row.dense =
                found.get_ref(4)?.as_bytes_or_null().map_err(rusqlite::Error::from)?.map(dense::from_bytes);
            self.rows.push(row);
        }
        Ok(())
    }
}
