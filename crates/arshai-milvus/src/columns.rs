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
    fields: Vec<FieldData>,
    rows: usize,
}

impl Columns {
    /// Fails when a column is not as long as the others.
    pub(crate) fn new(fields: Vec<FieldData>, rows: usize) -> Result<Self> {
        for field in &fields {
            if length(field).is_some_and(|length| length != rows) {
                return Err(protocol("a column of the reply has another length than the reply")
                    .with_context("column", field.field_name.escape_debug())
                    .with_context("rows", rows));
            }
        }
        Ok(Self { fields, rows })
    }

    /// As many rows as the first column has.
    pub(crate) fn of_rows(fields: Vec<FieldData>) -> Result<Self> {
        let rows = fields.iter().find_map(length).unwrap_or(0);
        Self::new(fields, rows)
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    fn named(&self, name: &str) -> Option<&FieldData> {
        self.fields.iter().find(|field| field.field_name == name)
    }

    /// The keys of every row.
    pub(crate) fn ids(&self, name: &str, escaped: bool) -> Result<Vec<Id>> {
        if self.rows == 0 {
            return Ok(Vec::new());
        }
        let field = self.named(name).and_then(|field| field.field.as_ref());
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
        match self.scalar(name)? {
            Scalar::StringData(texts) => texts.data.get(row).map_or(Ok(String::new()), utf8),
            _ => Err(protocol("a text column of the reply is of another type").with_context("column", name)),
        }
    }

    /// Metadata, or the value that stands where an object should.
    pub(crate) fn metadata(&self, name: &str, row: usize) -> Result<Result<Map<String, Value>, Value>> {
        let Scalar::JsonData(texts) = self.scalar(name)? else {
            return Err(
                protocol("a JSON column of the reply is of another type").with_context("column", name)
            );
        };
        let Some(text) = texts.data.get(row).filter(|text| !text.is_empty()) else {
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
        let field = self.named(name).and_then(|field| field.field.as_ref());
        let Some(Field::Vectors(vectors)) = field else {
            return Err(protocol("the reply lacks a vector column").with_context("column", name));
        };
        let Some(Vector::FloatVector(floats)) = &vectors.data else {
            return Err(
                protocol("a vector column of the reply is of another type").with_context("column", name)
            );
        };
        let width = dimension.saturating_mul(4);
        let start = row.saturating_mul(width);
        let bytes = floats.data.get(start..start.saturating_add(width));
        let bytes = bytes.ok_or_else(|| {
            protocol("a vector column of the reply has another dimension").with_context("column", name)
        })?;
        Ok(bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes(four.try_into().unwrap_or_default()))
            .collect())
    }

    /// Any scalar as JSON; `None` where there is none, or one that JSON cannot say.
    pub(crate) fn value(&self, name: &str, row: usize) -> Option<Value> {
        let Some(Field::Scalars(scalars)) = self.named(name)?.field.as_ref() else { return None };
        match scalars.data.as_ref()? {
            Scalar::BoolData(data) => data.data.get(row).map(|value| (*value).into()),
            Scalar::IntData(data) => data.data.get(row).map(|value| (*value).into()),
            Scalar::LongData(data) => data.data.get(row).map(|value| (*value).into()),
            Scalar::DoubleData(data) => data.data.get(row).map(|value| (*value).into()),
            Scalar::FloatData(data) => {
                let start = row.checked_mul(4)?;
                let bytes = data.data.get(start..start.checked_add(4)?)?;
                Some(f32::from_le_bytes(bytes.try_into().ok()?).into())
            }
            Scalar::StringData(data) => utf8(data.data.get(row)?).ok().map(Value::from),
            Scalar::JsonData(data) => serde_json::from_slice(data.data.get(row)?).ok(),
        }
    }

    fn scalar(&self, name: &str) -> Result<&Scalar> {
        match self.named(name).and_then(|field| field.field.as_ref()) {
            Some(Field::Scalars(scalars)) => scalars
                .data
                .as_ref()
                .ok_or_else(|| protocol("a column of the reply is empty").with_context("column", name)),
            _ => Err(protocol("the reply lacks a column").with_context("column", name)),
        }
    }
}

/// How many rows a column has, where its type tells.
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
