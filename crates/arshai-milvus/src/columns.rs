//! Columns of a reply: found by name, checked once, read only where a row is wanted.

use arshai_core::{Error, ErrorKind, Result, vector::Id};
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    key::given,
    proto::schema::{
        FieldData, IDs, field_data::Field, i_ds::IdField, scalar_field::Data as Scalar,
        vector_field::Data as Vector,
    },
};

/// The columns of one reply.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    fields: Vec<Column>,
    rows: usize,
}

#[derive(Debug, Clone)]
struct Column {
    data: FieldData,
    /// Of a column that may be null: where the value of each row is.
    places: Option<Vec<Option<usize>>>,
}

impl Column {
    /// Fails when it is not as long as the reply.
    fn new(data: FieldData, rows: usize) -> Result<Self> {
        let unfit = || {
            protocol("a column of the reply has another length than the reply")
                .with_context("column", data.field_name.escape_debug())
                .with_context("rows", rows)
        };
        let values = length(&data);
        let valid = valid(&data);
        if valid.is_empty() {
            return match values.is_none_or(|values| values == rows) {
                true => Ok(Self { data, places: None }),
                false => Err(unfit()),
            };
        }
        let present = valid.iter().filter(|valid| **valid).count();
        let mut next = 0;
        let places = valid.iter().enumerate().map(|(row, valid)| {
            let place = if values == Some(rows) { row } else { next };
            next += usize::from(*valid);
            valid.then_some(place)
        });
        let places: Vec<_> = places.collect();
        // Some servers leave a gap where there is no value, and some do not.
        if places.len() != rows || values.is_some_and(|values| values != rows && values != present) {
            return Err(unfit());
        }
        Ok(Self { data, places: Some(places) })
    }

    /// Where the value of a row is; `None` when it has none.
    fn place(&self, row: usize) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(row).copied().flatten(),
            None => Some(row),
        }
    }
}

impl Columns {
    /// Fails when a column is not as long as the others.
    pub(crate) fn new(fields: Vec<FieldData>, rows: usize) -> Result<Self> {
        let fields = fields.into_iter().map(|data| Column::new(data, rows)).collect::<Result<_>>()?;
        Ok(Self { fields, rows })
    }

    /// As many rows as the first column has.
    pub(crate) fn of_rows(fields: Vec<FieldData>) -> Result<Self> {
        let rows_of = |field: &FieldData| match valid(field).len() {
            0 => length(field),
            rows => Some(rows),
        };
        let rows = fields.iter().find_map(rows_of).unwrap_or(0);
        Self::new(fields, rows)
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    fn named(&self, name: &str) -> Option<&Column> {
        self.fields.iter().find(|column| column.data.field_name == name)
    }

    /// The keys of every row.
    pub(crate) fn ids(&self, name: &str, escaped: bool) -> Result<Vec<Id>> {
        if self.rows == 0 {
            return Ok(Vec::new());
        }
        let field = self.named(name).and_then(|column| column.data.field.as_ref());
        match field {
            Some(Field::Scalars(scalars)) => match &scalars.data {
                Some(Scalar::LongData(longs)) => Ok(longs.data.iter().copied().map(Id::Int).collect()),
                Some(Scalar::StringData(texts)) => {
                    texts.data.iter().map(|text| Ok(Id::Text(given(utf8(text)?, escaped)))).collect()
                }
                _ => Err(protocol("the key column of the reply is of another type")),
            },
            _ => Err(protocol("the reply lacks the key column").with_context("column", name)),
        }
    }

    pub(crate) fn text(&self, name: &str, row: usize) -> Result<String> {
        let (scalar, place) = self.scalar(name, row)?;
        match scalar {
            Scalar::StringData(texts) => {
                place.and_then(|place| texts.data.get(place)).map_or(Ok(String::new()), utf8)
            }
            _ => Err(protocol("a text column of the reply is of another type").with_context("column", name)),
        }
    }

    /// Metadata, or the value that stands where an object should.
    pub(crate) fn metadata(&self, name: &str, row: usize) -> Result<Result<Map<String, Value>, Value>> {
        let (Scalar::JsonData(texts), place) = self.scalar(name, row)? else {
            return Err(
                protocol("a JSON column of the reply is of another type").with_context("column", name)
            );
        };
        let text = place.and_then(|place| texts.data.get(place));
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(Ok(Map::new()));
        };
        match serde_json::from_slice(text) {
            Ok(Value::Object(members)) => Ok(Ok(members)),
            Ok(other) => Ok(Err(other)),
            Err(error) => Err(Error::new(ErrorKind::Corrupt, "stored metadata is not JSON")
                .with_context("column", name)
                .with_source(error)),
        }
    }

    pub(crate) fn vector(&self, name: &str, dimension: usize, row: usize) -> Result<Vec<f32>> {
        let column = self.named(name);
        let Some(Field::Vectors(vectors)) = column.and_then(|column| column.data.field.as_ref()) else {
            return Err(protocol("the reply lacks a vector column").with_context("column", name));
        };
        let Some(place) = column.and_then(|column| column.place(row)) else { return Ok(Vec::new()) };
        let Some(Vector::FloatVector(floats)) = &vectors.data else {
            return Err(
                protocol("a vector column of the reply is of another type").with_context("column", name)
            );
        };
        let width = dimension.saturating_mul(4);
        let start = place.saturating_mul(width);
        let bytes = floats.data.get(start..start.saturating_add(width));
        let bytes = bytes.ok_or_else(|| {
            protocol("a vector column of the reply has another dimension").with_context("column", name)
        })?;
        Ok(bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes(four.try_into().unwrap_or_default()))
            .collect())
    }

    /// Any scalar as JSON, null where the row has none; `None` where there is no such column, or one whose values JSON
    /// cannot say.
    pub(crate) fn value(&self, name: &str, row: usize) -> Option<Value> {
        let Some(column) = self.named(name) else { return self.dynamic(name, row) };
        let Some(Field::Scalars(scalars)) = column.data.field.as_ref() else { return None };
        let Some(place) = column.place(row) else { return Some(Value::Null) };
        match scalars.data.as_ref()? {
            Scalar::BoolData(data) => data.data.get(place).map(|value| (*value).into()),
            Scalar::IntData(data) => data.data.get(place).map(|value| (*value).into()),
            Scalar::LongData(data) => data.data.get(place).map(|value| (*value).into()),
            Scalar::DoubleData(data) => data.data.get(place).map(|value| (*value).into()),
            Scalar::FloatData(data) => {
                let start = place.checked_mul(4)?;
                let bytes = data.data.get(start..start.checked_add(4)?)?;
                Some(f32::from_le_bytes(bytes.try_into().ok()?).into())
            }
            Scalar::StringData(data) => utf8(data.data.get(place)?).ok().map(Value::from),
            Scalar::JsonData(data) => serde_json::from_slice(data.data.get(place)?).ok(),
        }
    }

    /// A field that is in no schema: those of a row come together, as one object.
    fn dynamic(&self, name: &str, row: usize) -> Option<Value> {
        let column = self.fields.iter().find(|column| column.data.is_dynamic)?;
        let Some(Field::Scalars(scalars)) = column.data.field.as_ref() else { return None };
        let Some(Scalar::JsonData(texts)) = scalars.data.as_ref() else { return None };
        let text = texts.data.get(column.place(row)?)?;
        let mut members: Map<String, Value> = serde_json::from_slice(text).ok()?;
        members.remove(name)
    }

    /// A column, and where in it the value of a row is.
    fn scalar(&self, name: &str, row: usize) -> Result<(&Scalar, Option<usize>)> {
        let Some(column) = self.named(name) else {
            return Err(protocol("the reply lacks a column").with_context("column", name));
        };
        match column.data.field.as_ref() {
            Some(Field::Scalars(scalars)) => match &scalars.data {
                Some(data) => Ok((data, column.place(row))),
                None => Err(protocol("a column of the reply is empty").with_context("column", name)),
            },
            _ => Err(protocol("a column of the reply is of another type").with_context("column", name)),
        }
    }
}

/// Which rows have a value; empty for a column that cannot be null.
fn valid(field: &FieldData) -> &[bool] {
    let inner = match &field.field {
        Some(Field::Scalars(scalars)) => scalars.valid_data.as_slice(),
        Some(Field::Vectors(vectors)) => vectors.valid_data.as_slice(),
        None => &[],
    };
    if inner.is_empty() { &field.valid_data } else { inner }
}

/// How many values a column has, where its type tells.
fn length(field: &FieldData) -> Option<usize> {
    match field.field.as_ref()? {
        Field::Scalars(scalars) => Some(match scalars.data.as_ref()? {
            Scalar::BoolData(data) => data.data.len(),
            Scalar::IntData(data) => data.data.len(),
            Scalar::LongData(data) => data.data.len(),
            Scalar::FloatData(data) => data.data.len() / 4,
            Scalar::DoubleData(data) => data.data.len(),
            Scalar::StringData(data) => data.data.len(),
            Scalar::JsonData(data) => data.data.len(),
        }),
        Field::Vectors(vectors) => match vectors.data.as_ref()? {
            Vector::FloatVector(data) => {
                let width = usize::try_from(vectors.dim).ok()?.checked_mul(4).filter(|width| *width > 0)?;
                Some(data.data.len() / width)
            }
            Vector::SparseFloatVector(data) => Some(data.contents.len()),
            _ => None,
        },
    }
}

/// Keys as they stand beside the columns.
pub(crate) fn plain_ids(ids: Option<IDs>, escaped: bool) -> Result<Vec<Id>> {
    match ids.and_then(|ids| ids.id_field) {
        None => Ok(Vec::new()),
        Some(IdField::IntId(longs)) => Ok(longs.data.into_iter().map(Id::Int).collect()),
        Some(IdField::StrId(texts)) => {
            texts.data.iter().map(|text| Ok(Id::Text(given(utf8(text)?, escaped)))).collect()
        }
    }
}

fn utf8(bytes: &Bytes) -> Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(Error::new(ErrorKind::Corrupt, "a stored text is not UTF-8").with_source(error)),
    }
}

pub(crate) fn protocol(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::replies::{column, texts};

    fn long(name: &str, data: &[i64], valid: &[bool]) -> FieldData {
        let data = Scalar::LongData(crate::proto::schema::LongArray { data: data.to_vec() });
        FieldData { valid_data: valid.to_vec(), ..column(name, data) }
    }

    fn values(field: FieldData, rows: usize) -> Vec<Option<Value>> {
        let columns = Columns::new(vec![field], rows).unwrap();
        (0..rows).map(|row| columns.value("n", row)).collect()
    }

    #[test]
    fn a_value_that_is_not_there_is_null_and_moves_no_other() {
        let expected = [Some(Value::Null), Some(7.into()), Some(Value::Null), Some(9.into())];
        let valid = [false, true, false, true];
        assert_eq!(values(long("n", &[0, 7, 0, 9], &valid), 4), expected, "with gaps");
        assert_eq!(values(long("n", &[7, 9], &valid), 4), expected, "without gaps");
        let mut newer = long("n", &[7, 9], &[]);
        if let Some(Field::Scalars(scalars)) = &mut newer.field {
            scalars.valid_data = valid.to_vec();
        }
        assert_eq!(values(newer, 4), expected, "as newer servers say it");
    }

    #[test]
    fn a_text_or_metadata_that_is_null_is_empty() {
        let valid = vec![false, true];
        let text =
            FieldData { valid_data: valid.clone(), ..column("text", Scalar::StringData(texts(&["", "b"]))) };
        let json = crate::proto::schema::JsonArray { data: vec![Bytes::from_static(b"{\"k\":1}")] };
        let json = FieldData { valid_data: valid, ..column("metadata", Scalar::JsonData(json)) };
        let columns = Columns::new(vec![text, json], 2).unwrap();
        assert_eq!(
            (columns.text("text", 0).unwrap(), columns.text("text", 1).unwrap()),
            (String::new(), "b".into())
        );
        assert!(columns.metadata("metadata", 0).unwrap().unwrap().is_empty());
        assert_eq!(columns.metadata("metadata", 1).unwrap().unwrap()["k"], 1);
    }

    #[test]
    fn flags_that_do_not_fit_the_rows_are_refused() {
        for (data, valid, rows) in
            [(&[1, 2][..], &[true][..], 2), (&[1], &[true, true], 2), (&[1, 2, 3], &[true, false], 2)]
        {
            let error = Columns::new(vec![long("n", data, valid)], rows).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{data:?} {valid:?}");
        }
    }

    #[test]
    fn a_field_of_no_schema_is_found_in_the_object_of_its_row() {
        let rows = ["{\"colour\":\"red\"}", "{}"].map(|row| Bytes::from_static(row.as_bytes()));
        let data = Scalar::JsonData(crate::proto::schema::JsonArray { data: rows.to_vec() });
        let columns = Columns::new(vec![FieldData { is_dynamic: true, ..column("$meta", data) }], 2).unwrap();
        assert_eq!(columns.value("colour", 0), Some("red".into()));
        assert_eq!((columns.value("colour", 1), columns.value("size", 0)), (None, None));
    }
}
