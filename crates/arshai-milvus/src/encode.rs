//! Records as columns.

use std::borrow::Cow;

use arshai_core::{
    Error, Result,
    vector::{Id, Record, SparseVector},
};
use bytes::{BufMut as _, Bytes, BytesMut};

use crate::{
    key::{is_sound, stored},
    proto::schema::DataType,
    shape::{MOST_METADATA_BYTES, MOST_TEXT_BYTES, PLACEHOLDER_DIMENSION, Shape},
    terms,
    wire::{Field, message, put_floats},
    write::{Mode, key},
};

/// What a row without a sparse vector has instead, because servers refuse an empty one: an entry that no query asks for.
const NO_SPARSE: (u32, f32) = (u32::MAX - 1, 1.0);

/// A record that a server will take.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) id: Option<Id>,
    record: &'a Record,
    /// As JSON.
    metadata: Vec<u8>,
    terms: String,
    sparse: Bytes,
}

impl Prepared<'_> {
    /// About as many bytes as it takes on the wire.
    pub(crate) fn bytes(&self) -> usize {
        let id = match &self.id {
            Some(Id::Text(id)) => id.len(),
            _ => 8,
        };
        id + self.record.text.len()
            + self.metadata.len()
            + self.terms.len()
            + self.record.dense.as_ref().map_or(0, |dense| dense.len() * 4)
            + self.sparse.len()
            + 32
    }
}

/// Checks a record against the collection.
pub(crate) fn prepare<'a>(record: &'a Record, shape: &Shape, mode: Mode) -> Result<Prepared<'a>> {
    record.validate()?;
    let id = key(record, shape, mode)?;
    if let Some(Id::Text(id)) = &id {
        check_key(id, shape)?;
    }
    if shape.dense.is_some() && record.dense.is_none() {
        return Err(Error::invalid("every record of this collection needs a dense vector")
            .with_context("collection", &shape.spec.name));
    }
    match &shape.text {
        Some(column) if record.text.len() > column.bytes => {
            return Err(too_long("text", record.text.len(), column.bytes));
        }
        None if !record.text.is_empty() => {
            return Err(Error::invalid("the collection has no field for a text"));
        }
        _ => {}
    }
    let metadata = serde_json::to_vec(&record.metadata)
        .map_err(|error| Error::invalid("the metadata cannot be written as JSON").with_source(error))?;
    if metadata.len() > MOST_METADATA_BYTES {
        return Err(too_long("metadata as JSON", metadata.len(), MOST_METADATA_BYTES));
    }
    if shape.metadata.is_none() && !record.metadata.is_empty() {
        return Err(Error::invalid("the collection has no field for metadata"));
    }
    let terms = match &shape.bm25 {
        Some(bm25) if bm25.ours => terms::stored(&record.text, MOST_TEXT_BYTES).ok_or_else(|| {
            Error::invalid("the text has too many words for the server's text search; split it")
                .with_context("bytes", record.text.len())
        })?,
        _ => String::new(),
    };
    let sparse = match (&shape.sparse, &record.sparse) {
        (Some(_), Some(sparse)) if !sparse.is_empty() => {
            check_sparse(sparse)?;
            sparse_bytes(sparse.iter())
        }
        (Some(_), _) => sparse_bytes([NO_SPARSE].into_iter()),
        (None, _) => Bytes::new(),
    };
    Ok(Prepared { id, record, metadata, terms, sparse })
}

fn check_key(id: &str, shape: &Shape) -> Result<()> {
    let bytes = stored(id, shape.escaped_keys).len();
    if bytes > shape.id_bytes {
        return Err(too_long("key", bytes, shape.id_bytes));
    }
    if id.chars().any(char::is_control) || !is_sound(id, shape.escaped_keys) {
        return Err(Error::invalid(
            "a key on Milvus holds no control characters: none of its servers could find it",
        )
        .with_context("key", id.escape_debug()));
    }
    Ok(())
}

/// Servers take no negative weights.
pub(crate) fn check_sparse(sparse: &SparseVector) -> Result<()> {
    if sparse.iter().any(|(_, value)| value < 0.0) {
        return Err(Error::invalid("a sparse vector on Milvus has no negative values"));
    }
    Ok(())
}

fn too_long(what: &'static str, bytes: usize, limit: usize) -> Error {
    Error::invalid("a part of the record is longer than the collection allows; split it")
        .with_context("part", what)
        .with_context("bytes", bytes)
        .with_context("limit", limit)
}

/// Index and value of each entry, little-endian, indices ascending.
pub(crate) fn sparse_bytes(entries: impl Iterator<Item = (u32, f32)>) -> Bytes {
    let mut out = BytesMut::new();
    for (index, value) in entries {
        out.put_u32_le(index);
        out.put_f32_le(value);
    }
    out.freeze()
}

pub(crate) fn dense_bytes(vector: &[f32]) -> Bytes {
    let mut out = Vec::with_capacity(vector.len() * 4);
    put_floats(vector, &mut out);
    out.into()
}

/// The request for these rows, encoded: a [`WriteRequest`](crate::proto::milvus::WriteRequest).
pub(crate) fn encode<'a>(rows: impl Iterator<Item = &'a Prepared<'a>> + Clone, shape: &'a Shape) -> Bytes {
    let count = rows.clone().count();
    let mut request = vec![Field::text(3, &shape.spec.name)];
    let mut scalars = |name: &'a str, kind: DataType, number: u8, array: Field<'a>| {
        request.push(column(name, kind, 3, vec![Field::message(number, vec![array])]));
    };
    if !shape.auto_id {
        let name = &shape.spec.fields.id;
        match shape.columns().id_is_text {
            true => {
                let ids = rows.clone().map(|row| match &row.id {
                    Some(Id::Text(id)) => match stored(id, shape.escaped_keys) {
                        Cow::Borrowed(id) => id.as_bytes().into(),
                        Cow::Owned(id) => id.into_bytes().into(),
                    },
                    _ => Cow::default(),
                });
                scalars(name, DataType::VarChar, STRINGS, Field::each(1, ids.collect()));
            }
            false => {
                let ids = rows.clone().map(|row| match row.id {
                    Some(Id::Int(id)) => id,
                    _ => 0,
                });
                scalars(name, DataType::Int64, LONGS, Field::longs(1, ids.collect()));
            }
        }
    }
    if let Some(text) = &shape.text {
        let texts = rows.clone().map(|row| row.record.text.as_bytes().into());
        scalars(&text.name, DataType::VarChar, STRINGS, Field::each(1, texts.collect()));
    }
    if let Some(name) = &shape.metadata {
        let metadata = rows.clone().map(|row| row.metadata.as_slice().into());
        scalars(name, DataType::Json, JSON, Field::each(1, metadata.collect()));
    }
    if let Some(bm25) = shape.bm25.as_ref().filter(|bm25| bm25.ours) {
        let terms = rows.clone().map(|row| row.terms.as_bytes().into());
        scalars(&bm25.input, DataType::VarChar, STRINGS, Field::each(1, terms.collect()));
    }
    let mut floats = |name: &'a str, dimension: usize, vectors: Vec<&'a [f32]>| {
        let vectors = Field::message(FLOATS, vec![Field::floats(1, vectors)]);
        let vectors = vec![Field::number(1, dimension as u64), vectors];
        request.push(column(name, DataType::FloatVector, 4, vectors));
    };
    if let Some(dense) = &shape.dense {
        let vectors = rows.clone().map(|row| row.record.dense.as_deref().unwrap_or_default());
        floats(&dense.name, dense.dimension, vectors.collect());
    }
    if let Some(name) = &shape.placeholder {
        floats(name, PLACEHOLDER_DIMENSION, vec![&[1.0; PLACEHOLDER_DIMENSION]; count]);
    }
    if let Some(name) = &shape.sparse {
        let vectors = rows.map(|row| row.sparse.as_ref().into()).collect();
        let vectors = vec![Field::each(1, vectors), Field::number(2, u32::MAX.into())];
        let vectors = vec![Field::message(SPARSE, vectors)];
        request.push(column(name, DataType::SparseFloatVector, 4, vectors));
    }
    request.push(Field::number(7, count as u64));
    message(&request)
}

/// Kinds of arrays within scalars and within vectors.
const LONGS: u8 = 3;
const STRINGS: u8 = 6;
const JSON: u8 = 9;
const FLOATS: u8 = 2;
const SPARSE: u8 = 6;

/// A [`FieldData`](crate::proto::schema::FieldData); `place` is the number of its scalars or of its vectors.
fn column<'a>(name: &'a str, kind: DataType, place: u8, data: Vec<Field<'a>>) -> Field<'a> {
    let kind = u64::try_from(i32::from(kind)).unwrap_or(0);
    Field::message(5, vec![Field::number(1, kind), Field::text(2, name), Field::message(place, data)])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn prepared(record: &Record) -> Prepared<'_> {
        let (metadata, terms) = (b"{}".to_vec(), String::new());
        Prepared { id: record.id.clone(), record, metadata, terms, sparse: Bytes::new() }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn vectors_are_laid_out_as_the_protocol_says() {
        assert_eq!(hex(&sparse_bytes([(2, 0.5), (5, 1.5)].into_iter())), "020000000000003f050000000000c03f");
        assert_eq!(hex(&dense_bytes(&[0.1, 0.2])), "cdcccc3dcdcc4c3e");
    }
}
