//! Reading and deleting rows.

use std::sync::atomic::{AtomicU64, Ordering};

use arshai_core::{
    Error, Filter, Result,
    vector::{Consistency, Id, Output, Row, RowPage, RowQuery, Selection},
};
use serde_json::Map;

use crate::{
    columns::{Columns, protocol},
    connection::Safety,
    expression::literal,
    failure::{Cause, Failure},
    filter::{Condition, Encoded},
    finding::Finding,
    inner::{Inner, Known},
    key::stored,
    proto::{
        common::KeyValuePair,
        milvus::{DeleteRequest, MutationResult, QueryRequest, QueryResults},
        pair,
    },
    shape::Shape,
};

/// Rows of one call at most: what a server returns at once.
pub(crate) const MOST_ROWS: usize = 16_384;
/// Keys named in one expression.
pub(crate) const KEYS: usize = 1_000;
/// Matching keys that a search is restricted to, when the server cannot decide the filter.
const MATCHES: usize = 10_000;

/// How many rows are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Most {
    All,
    /// So many at most.
    Any(usize),
    /// So many at least, if there are, and those with the least keys: asked for as pymilvus' query iterator does.
    Least(usize),
}

impl Most {
    fn params(self) -> Vec<KeyValuePair> {
        match self {
            Self::All => Vec::new(),
            Self::Any(most) => vec![pair("limit", most.to_string())],
            Self::Least(most) => vec![
                pair("limit", most.to_string()),
                pair("iterator", "True"),
                pair("reduce_stop_for_best", "True"),
            ],
        }
    }
}

/// Rows as one call returns them.
pub(crate) struct Page {
    pub(crate) columns: Columns,
    pub(crate) ids: Vec<Id>,
}

impl Inner {
    /// One page, ordered by key.
    pub(crate) async fn query(&self, known: &Known, query: &RowQuery) -> Result<RowPage, Failure> {
        let engine = self.engine().await?;
        let encoded = encode(query.filter.as_ref(), &known.shape, engine.dialect)?;
        let mut finding = Finding::new(self, known, encoded, query.output.clone(), query.consistency);
        let limit = query.limit.clamp(1, MOST_ROWS - 1);
        let mut rows = match &query.ids {
            Some(ids) => finding.by_keys(ids, query.cursor.as_ref(), limit + 1).await?,
            None => finding.in_order(query.cursor.as_ref(), limit + 1).await?,
        };
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(|row| row.id.clone()) } else { None };
        Ok(RowPage { rows, next })
    }

    /// How many rows there are, or how many an expression finds.
    pub(crate) async fn count(
        &self,
        known: &Known,
        expression: &str,
        consistency: Consistency,
    ) -> Result<u64, Failure> {
        let fields = vec!["count(*)".to_owned()];
        let reply = self.ask(known, expression.to_owned(), fields, Most::All, consistency).await?;
        let columns = Columns::of_rows(reply.fields_data)?;
        let count = columns.value("count(*)", 0).and_then(|value| value.as_i64());
        let count =
            count.ok_or_else(|| Failure::protocol("the server counts rows without saying how many"))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Every row's expression for "all".
    pub(crate) fn all(shape: &Shape) -> String {
        let columns = shape.columns();
        match columns.id_is_text {
            true => format!("{} >= \"\"", columns.id),
            false => format!("{} <= {}", columns.id, i64::MAX),
        }
    }

    pub(crate) async fn ask(
        &self,
        known: &Known,
        expr: String,
        output_fields: Vec<String>,
        most: Most,
        consistency: Consistency,
    ) -> Result<QueryResults, Failure> {
        let (level, guarantee_timestamp) = match most {
            Most::Least(_) => (known.iterate_at(consistency), 0),
            Most::All | Most::Any(_) => known.read_at(consistency),
        };
        let request = QueryRequest {
            collection_name: known.shape.spec.name.clone(),
            expr,
            output_fields,
            guarantee_timestamp,
            query_params: most.params(),
            consistency_level: level.into(),
            ..QueryRequest::default()
        };
        let _whole = self.reading().await?;
        self.call("Query", &request, Safety::Read).await
    }

    pub(crate) async fn page(
        &self,
        known: &Known,
        expr: &str,
        fields: &[String],
        most: Most,
        consistency: Consistency,
    ) -> Result<Page, Failure> {
        match self.page_of(known, expr, fields.to_vec(), most, consistency).await {
            // It may have none to lose.
            Err(lost) if lost.cause == Cause::NoVectors => {
                let keys = vec![known.shape.spec.fields.id.clone()];
                let page = self.page_of(known, expr, keys, most, consistency).await?;
                if page.ids.is_empty() { Ok(page) } else { Err(lost) }
            }
            page => page,
        }
    }

    async fn page_of(
        &self,
        known: &Known,
        expr: &str,
        fields: Vec<String>,
        most: Most,
        consistency: Consistency,
    ) -> Result<Page, Failure> {
        let reply = self.ask(known, expr.to_owned(), fields, most, consistency).await?;
        let columns = Columns::of_rows(reply.fields_data)?;
        let ids = columns.ids(&known.shape.spec.fields.id, known.shape.escaped_keys)?;
        Ok(Page { columns, ids })
    }

    /// The keys for which a filter holds that the server cannot decide; `None` when they are too many to name.
    pub(crate) async fn matches(
        &self,
        known: &Known,
        encoded: Encoded,
        consistency: Consistency,
    ) -> Result<Vec<Id>, Failure> {
        let mut finding = Finding::new(self, known, encoded, Output::ids(), consistency);
        let rows = finding.in_order(None, MATCHES + 1).await?;
        if rows.len() > MATCHES {
            return Err(Error::unsupported(
                "this server cannot decide the filter, and more rows match it than a search can be restricted to; \
                 narrow it with a condition on text or keys",
            )
            .with_context("limit", MATCHES)
            .into());
        }
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Which of these keys exist.
    pub(crate) async fn present(
        &self,
        known: &Known,
        ids: &[Id],
        consistency: Consistency,
    ) -> Result<Vec<Id>, Failure> {
        let mut finding = Finding::new(self, known, Encoded::everything(), Output::ids(), consistency);
        let rows = finding.by_keys(ids, None, usize::MAX).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Removes rows, counting those whose removal was acknowledged.
    pub(crate) async fn delete(
        &self,
        known: &Known,
        selection: &Selection,
        removed: &AtomicU64,
    ) -> Result<(), Failure> {
        let engine = self.engine().await?;
        match selection {
            Selection::Ids(ids) => {
                let present = self.present(known, ids, Consistency::Strong).await?;
                self.delete_keys(known, &present, removed).await
            }
            Selection::Filter(filter) => {
                let encoded = Encoded::new(filter, known.shape.columns(), engine.dialect)?;
                let mut finding = Finding::new(self, known, encoded, Output::ids(), Consistency::Strong);
                let mut cursor = None;
                // Key by key: what an expression would remove is not what the filter says on every server.
                loop {
                    let rows = finding.in_order(cursor.as_ref(), MATCHES).await?;
                    let ids: Vec<Id> = rows.into_iter().map(|row| row.id).collect();
                    self.delete_keys(known, &ids, removed).await?;
                    cursor = ids.last().cloned();
                    if ids.len() < MATCHES {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn delete_keys(&self, known: &Known, ids: &[Id], removed: &AtomicU64) -> Result<(), Failure> {
        let mut rest = ids;
        let mut most = KEYS;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(most.min(rest.len()));
            if let Some(expr) = keys(&known.shape, chunk)? {
                let request = DeleteRequest {
                    collection_name: known.shape.spec.name.clone(),
                    expr,
                    ..DeleteRequest::default()
                };
                let reply: Result<MutationResult, _> =
                    self.call("Delete", &request, Safety::Idempotent).await;
                match reply {
                    Ok(reply) => known.wrote(reply.timestamp),
                    // Fewer at once, when the keys are long.
                    Err(failure) if failure.cause == Cause::TooLarge && most > 1 => {
                        most = most / 4 + 1;
                        continue;
                    }
                    Err(failure) => return Err(failure),
                }
                removed.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
            rest = after;
        }
        Ok(())
    }
}

pub(crate) fn encode(
    filter: Option<&Filter>,
    shape: &Shape,
    dialect: crate::filter::Dialect,
) -> Result<Encoded> {
    filter.map_or_else(|| Ok(Encoded::everything()), |filter| Encoded::new(filter, shape.columns(), dialect))
}

/// Whether this key can be named in an expression.
pub(crate) fn is_nameable(shape: &Shape, id: &Id) -> bool {
    keys(shape, std::slice::from_ref(id)).is_ok()
}

/// The expression that holds for these keys; `None` when none of them can be a key here.
pub(crate) fn keys(shape: &Shape, ids: &[Id]) -> Result<Option<String>> {
    let columns = shape.columns();
    let mut named = Vec::with_capacity(ids.len());
    let mut least = false;
    for id in ids {
        match id {
            Id::Text(id) if columns.id_is_text => {
                named.push(literal(&stored(id, shape.escaped_keys)).ok_or_else(|| {
                    Error::invalid("a key with control characters cannot be asked for on Milvus")
                        .with_context("key", id.escape_debug())
                })?)
            }
            // No server reads this number.
            Id::Int(i64::MIN) if !columns.id_is_text => least = true,
            Id::Int(id) if !columns.id_is_text => named.push(id.to_string()),
            _ => {}
        }
    }
    let least = least.then(|| format!("{} < {}", columns.id, i64::MIN + 1));
    let named = (!named.is_empty()).then(|| format!("{} in [{}]", columns.id, named.join(", ")));
    Ok(match (named, least) {
        (Some(named), Some(least)) => Some(format!("({named} or {least})")),
        (named, least) => named.or(least),
    })
}

/// The keys above this one, as far as the server can tell.
pub(crate) fn above(shape: &Shape, cursor: &Id) -> Condition {
    let columns = shape.columns();
    match cursor {
        Id::Int(i64::MIN) => Condition::Expression(format!("{} >= {}", columns.id, i64::MIN + 1)),
        Id::Int(i64::MAX) if !columns.id_is_text => Condition::False,
        Id::Int(cursor) if !columns.id_is_text => Condition::Expression(format!("{} > {cursor}", columns.id)),
        // Integers are before texts.
        Id::Int(_) => Condition::True,
        Id::Text(_) if !columns.id_is_text => Condition::False,
        Id::Text(cursor) => match literal(&stored(cursor, shape.escaped_keys)) {
            Some(literal) => Condition::Expression(format!("{} > {literal}", columns.id)),
            None => {
                let plain: String = cursor.chars().take_while(|c| !c.is_control()).collect();
                let start = literal(&stored(&plain, shape.escaped_keys)).unwrap_or_else(|| "\"\"".to_owned());
                Condition::Expression(format!("{} >= {start}", columns.id))
            }
        },
    }
}

/// A row with what is asked for.
pub(crate) fn row(shape: &Shape, columns: &Columns, at: usize, id: Id, output: &Output) -> Result<Row> {
    if at >= columns.rows() {
        return Err(protocol("a row is beyond the reply"));
    }
    let mut row = Row::new(id);
    row.has_dense = shape.dense.is_some();
    let filled = fill(shape, columns, at, output)?;
    (row.text, row.metadata, row.fields) = filled;
    if let Some(dense) = shape.dense.as_ref().filter(|_| output.dense) {
        row.dense = Some(columns.vector(&dense.name, dense.dimension, at)?);
    }
    Ok(row)
}

type Members = Map<String, serde_json::Value>;

/// Text, metadata and further fields of a row or hit.
pub(crate) fn fill(
    shape: &Shape,
    columns: &Columns,
    at: usize,
    output: &Output,
) -> Result<(String, Members, Members)> {
    let mut fields = Map::new();
    let text = match &shape.text {
        Some(text) if output.text => columns.text(&text.name, at)?,
        _ => String::new(),
    };
    let metadata = match &shape.metadata {
        Some(name) if output.metadata => match columns.metadata(name, at)? {
            Ok(members) => members,
            // Not an object, so it is nobody's metadata; it is not lost either.
            Err(value) => {
                fields.insert(name.clone(), value);
                Map::new()
            }
        },
        _ => Map::new(),
    };
    for name in &output.fields {
        fields.extend(columns.value(name, at).map(|value| (name.clone(), value)));
    }
    Ok((text, metadata, fields))
}
