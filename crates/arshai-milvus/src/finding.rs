//! Reads rows page by page, asking of each what the server could not decide.

use arshai_core::{
    Deadline, Error, Filter, Result,
    filter::{Field, Subject},
    vector::{Consistency, Id, IdKind, Output, Row},
};
use futures_util::future::try_join;
use serde_json::Map;

use crate::{
    columns::Columns,
    engine::Order,
    failure::{Cause, Failure},
    filter::{Condition, Encoded},
    inner::{Inner, Known},
    rows::{KEYS, MOST_ROWS, Most, Page, above, keys, row},
};

/// Rows of one call when texts or vectors come with them.
const PAGE: usize = 1_000;

/// Reads rows until there are enough, asking of each what the server could not.
pub(crate) struct Finding<'a> {
    inner: &'a Inner,
    known: &'a Known,
    encoded: Encoded,
    output: Output,
    consistency: Consistency,
    scanned: usize,
}

impl<'a> Finding<'a> {
    pub(crate) fn new(
        inner: &'a Inner,
        known: &'a Known,
        encoded: Encoded,
        output: Output,
        consistency: Consistency,
    ) -> Self {
        Self { inner, known, encoded, output, consistency, scanned: 0 }
    }
}

impl Finding<'_> {
    /// The first `wanted` rows above the cursor.
    pub(crate) async fn in_order(&mut self, cursor: Option<&Id>, wanted: usize) -> Result<Vec<Row>, Failure> {
        let order = self.inner.engine().await?.order;
        if order == Order::Unknown {
            return Box::pin(self.of_all_keys(cursor, wanted)).await;
        }
        let deadline = Deadline::current_or(self.inner.connection.config.timeout);
        let mut found = Vec::new();
        let mut position = cursor.cloned();
        let mut most = MOST_ROWS;
        while found.len() < wanted {
            let shape = &self.known.shape;
            let from = position.as_ref().map_or(Condition::True, |position| above(shape, position));
            let condition = from.and(self.encoded.condition.clone());
            let expr = match condition {
                Condition::False => break,
                Condition::True => Inner::all(shape),
                Condition::Expression(expression) => expression,
            };
            let fields = self.fields();
            let heavy = fields.len() > 1;
            let missing = wanted - found.len();
            let limit = match (&self.encoded.rest, heavy) {
                (Some(_), _) => PAGE,
                (None, true) => missing.min(PAGE),
                (None, false) => missing,
            };
            let limit = limit.min(most);
            let rows = if order == Order::Iterator { Most::Least(limit) } else { Most::Any(limit) };
            let asked = try_join(
                self.inner.page(self.known, &expr, &fields, rows, self.consistency),
                Box::pin(self.greatest(&expr, &fields)),
            );
            let (page, greatest) = match deadline.scope(asked).await {
                // Fewer rows at once, when they are large.
                Err(failure) if failure.cause == Cause::TooLarge && limit > 1 => {
                    most = limit / 4 + 1;
                    continue;
                }
                pages => pages?,
            };
            // It was never seen that such a server orders them, and now it is seen that it does not.
            if order == Order::Iterator && !page.ids.is_sorted() {
                self.scanned = 0;
                return Box::pin(self.of_all_keys(cursor, wanted)).await;
            }
            let full = page.ids.len() >= limit;
            let last = page.ids.iter().max().cloned();
            if full && last.is_some() && last <= position {
                return Err(Failure::protocol("the server returns the same rows again"));
            }
            self.take(page, cursor, &mut found)?;
            position = last.or(position);
            if !full {
                if let Some(greatest) = greatest {
                    self.take(greatest, cursor, &mut found)?;
                }
                break;
            }
        }
        found.truncate(wanted);
        Ok(found)
    }

    /// The row whose key is the greatest integer, which one server returns only when it is searched for.
    async fn greatest(&self, expr: &str, fields: &[String]) -> Result<Option<Page>, Failure> {
        let shape = &self.known.shape;
        if shape.spec.id != IdKind::Int || !self.inner.engine().await?.hides_greatest_key {
            return Ok(None);
        }
        let expr = format!("({expr}) and {} == {}", shape.spec.fields.id, i64::MAX);
        let (ids, columns) = self.inner.any_one(self.known, expr, fields, self.consistency).await?;
        Ok(if ids.is_empty() { None } else { Some(Page { columns, ids }) })
    }

    /// The first `wanted` rows above the cursor, of a server that does not return the least keys first.
    async fn of_all_keys(&mut self, cursor: Option<&Id>, wanted: usize) -> Result<Vec<Row>, Failure> {
        let ids = self.all_keys(cursor).await?;
        self.by_keys(&ids, cursor, wanted).await
    }

    /// Every candidate's key.
    async fn all_keys(&self, cursor: Option<&Id>) -> Result<Vec<Id>, Failure> {
        let shape = &self.known.shape;
        let from = cursor.map_or(Condition::True, |cursor| above(shape, cursor));
        let expr = match from.and(self.encoded.condition.clone()) {
            Condition::False => return Ok(Vec::new()),
            Condition::True => Inner::all(shape),
            Condition::Expression(expression) => expression,
        };
        let key = shape.spec.fields.id.clone();
        let reply = self.inner.ask(self.known, expr, vec![key.clone()], Most::All, self.consistency).await?;
        Ok(Columns::of_rows(reply.fields_data)?.ids(&key, shape.escaped_keys)?)
    }

    /// The rows of these keys, ordered.
    pub(crate) async fn by_keys(
        &mut self,
        ids: &[Id],
        cursor: Option<&Id>,
        wanted: usize,
    ) -> Result<Vec<Row>, Failure> {
        let deadline = Deadline::current_or(self.inner.connection.config.timeout);
        let mut ids: Vec<Id> =
            ids.iter().filter(|id| cursor.is_none_or(|cursor| *id > cursor)).cloned().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut found = Vec::new();
        let mut rest = ids.as_slice();
        let mut most = KEYS;
        while !rest.is_empty() && found.len() < wanted {
            let (chunk, after) = rest.split_at(most.min(rest.len()));
            let condition = keys(&self.known.shape, chunk)?.map_or(Condition::False, Condition::Expression);
            if let Condition::Expression(expr) = condition.and(self.encoded.condition.clone()) {
                let fields = self.fields();
                let greatest = async {
                    match chunk.last() {
                        Some(Id::Int(i64::MAX)) => Box::pin(self.greatest(&expr, &fields)).await,
                        _ => Ok(None),
                    }
                };
                let most_rows = Most::Any(chunk.len());
                let page = self.inner.page(self.known, &expr, &fields, most_rows, self.consistency);
                let (page, greatest) = match deadline.scope(try_join(page, greatest)).await {
                    Err(failure) if failure.cause == Cause::TooLarge && most > 1 => {
                        most = most / 4 + 1;
                        continue;
                    }
                    pages => pages?,
                };
                self.take(page, cursor, &mut found)?;
                if let Some(greatest) = greatest {
                    self.take(greatest, cursor, &mut found)?;
                }
            }
            rest = after;
        }
        found.truncate(wanted);
        Ok(found)
    }

    /// The columns to ask for: what is wanted, and what the rest of the filter looks at.
    fn fields(&self) -> Vec<String> {
        let shape = &self.known.shape;
        let reads = |wanted: fn(&Field) -> bool| {
            self.encoded.rest.as_ref().is_some_and(|filter| looks_at(filter, &wanted))
        };
        let mut fields = vec![shape.spec.fields.id.clone()];
        if self.output.text || reads(|field| *field == Field::Text) {
            fields.extend(shape.text.as_ref().map(|text| text.name.clone()));
        }
        if self.output.metadata || reads(|field| matches!(field, Field::Metadata(_))) {
            fields.extend(shape.metadata.clone());
        }
        if self.output.dense {
            fields.extend(shape.dense.as_ref().map(|dense| dense.name.clone()));
        }
        fields.extend(self.output.fields.iter().cloned());
        fields
    }

    fn take(&mut self, page: Page, cursor: Option<&Id>, found: &mut Vec<Row>) -> Result<()> {
        let Page { columns, ids } = page;
        if self.encoded.rest.is_some() {
            self.scanned += ids.len();
            let most = self.inner.connection.config.filter_scan_rows;
            if self.scanned > most {
                return Err(Error::unsupported(
                    "this server cannot decide the filter, and too many rows would have to be read to finish it; \
                     narrow it with a condition on text or keys, or raise filter_scan_rows",
                )
                .with_context("rows", most));
            }
        }
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by(|a, b| ids.get(*a).cmp(&ids.get(*b)));
        for at in order {
            let Some(id) = ids.get(at) else { continue };
            if cursor.is_some_and(|cursor| id <= cursor) || found.last().is_some_and(|last| last.id == *id) {
                continue;
            }
            if let Some(rest) = &self.encoded.rest {
                let (text, metadata) = (self.text(&columns, at, rest)?, self.metadata(&columns, at, rest)?);
                if !rest.matches(&Subject { id, text: &text, metadata: &metadata }) {
                    continue;
                }
            }
            found.push(row(&self.known.shape, &columns, at, id.clone(), &self.output)?);
        }
        Ok(())
    }

    fn text(&self, columns: &Columns, at: usize, rest: &Filter) -> Result<String> {
        match &self.known.shape.text {
            Some(text) if looks_at(rest, &|field| *field == Field::Text) => columns.text(&text.name, at),
            _ => Ok(String::new()),
        }
    }

    fn metadata(
        &self,
        columns: &Columns,
        at: usize,
        rest: &Filter,
    ) -> Result<Map<String, serde_json::Value>> {
        match &self.known.shape.metadata {
            Some(name) if looks_at(rest, &|field| matches!(field, Field::Metadata(_))) => {
                Ok(columns.metadata(name, at)?.unwrap_or_default())
            }
            _ => Ok(Map::new()),
        }
    }
}

fn looks_at(filter: &Filter, wanted: &dyn Fn(&Field) -> bool) -> bool {
    match filter {
        Filter::Compare(field, ..)
        | Filter::In(field, _)
        | Filter::Exists(field)
        | Filter::StartsWith(field, _)
        | Filter::Like(field, _)
        | Filter::Contains(field, _)
        | Filter::ContainsAny(field, _) => wanted(field),
        Filter::And(parts) | Filter::Or(parts) => parts.iter().any(|part| looks_at(part, wanted)),
        Filter::Not(part) => looks_at(part, wanted),
        _ => false,
    }
}
