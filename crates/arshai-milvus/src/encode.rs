//! Records as columns.

use arshai_core::{
    Error, Result,
    vector::{Id, Record, SparseVector},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;

use crate::{
    key::{is_sound, stored},
    proto::{
        milvus::WriteRequest,
        schema::{
            DataType, FieldData, FloatArray, JsonArray, LongArray, ScalarField, SparseFloatArray,
            StringArray, VectorField, field_data::Field, scalar_field::Data as Scalar,
            vector_field::Data as Vector,
        },
    },
    shape::{MOST_METADATA_BYTES, MOST_TEXT_BYTES, PLACEHOLDER_DIMENSION, Shape},
    terms,
    write::{Mode, key},
};

/// What a row without a sparse vector has instead, because servers refuse an empty one: an entry that no query asks for.
const NO_SPARSE: (u32, f32) = (u32::MAX - 1, 1.0);

/// A record that a server will take.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) id: Option<Id>,
    text: Bytes,
    metadata: Bytes,
    terms: Bytes,
    dense: Vec<f32>,
    sparse: Bytes,
}

impl Prepared {
    /// About as many bytes as it takes on the wire.
    pub(crate) fn bytes(&self) -> usize {
        let id = match &self.id {
            Some(Id::Text(id)) => id.len(),
            _ => 8,
        };
        id + self.text.len()
            + self.metadata.len()
            + self.terms.len()
            + self.dense.len() * 4
            + self.sparse.len()
            + 32
    }
}

/// Checks a record against the collection.
pub(crate) fn prepare(record: &Record, shape: &Shape, mode: Mode) -> Result<Prepared> {
    record.validate()?;
    let id = key(record, shape, mode)?;
    if let Some(Id::Text(id)) = &id {
        check_key(id, shape)?;
    }
    if shape.dense.is_some() && record.dense.is_none() {
        return Err(Error::invalid("every record of this collection needs a dense vector")
            .with_context("collection", &shape.spec.name));
    }
    let text = match &shape.text {
        Some(column) if record.text.len() > column.bytes => {
            return Err(too_long("text", record.text.len(), column.bytes));
        }
        Some(_) => Bytes::from(record.text.clone()),
        None if record.text.is_empty() => Bytes::new(),
        None => return Err(Error::invalid("the collection has no field for a text")),
    };
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
    Ok(Prepared {
        id,
        text,
        metadata: metadata.into(),
        terms: terms.into(),
        dense: record.dense.clone().unwrap_or_default(),
        sparse,
    })
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

pub(crate) fn dense_bytes<'a>(vectors: impl Iterator<Item = &'a [f32]>, values: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(values * 4);
    for vector in vectors {
        for value in vector {
            out.put_f32_le(*value);
        }
    }
    out.freeze()
}

/// The request for these rows, encoded.
pub(crate) fn encode<'a>(rows: impl Iterator<Item = &'a Prepared> + Clone, shape: &Shape) -> Bytes {
    let count = rows.clone().count();
    let mut fields_data = Vec::new();
    let mut scalars = |name: &str, kind: DataType, data: Scalar| {
        fields_data.push(FieldData {
            r#type: kind.into(),
            field_name: name.to_owned(),
            field: Some(Field::Scalars(ScalarField { data: Some(data) })),
            ..FieldData::default()
        });
    };
    let texts = |data: Vec<Bytes>| Scalar::StringData(StringArray { data });
    if !shape.auto_id {
        let ids = rows.clone().map(|row| row.id.clone());
        match shape.columns().id_is_text {
            true => {
                let ids = ids.map(|id| match id {
                    Some(Id::Text(id)) => Bytes::from(stored(&id, shape.escaped_keys).into_owned()),
                    _ => Bytes::new(),
                });
                scalars(&shape.spec.fields.id, DataType::VarChar, texts(ids.collect()));
            }
            false => {
                let ids = ids.map(|id| match id {
                    Some(Id::Int(id)) => id,
                    _ => 0,
                });
                let longs = LongArray { data: ids.collect() };
                scalars(&shape.spec.fields.id, DataType::Int64, Scalar::LongData(longs));
            }
        }
    }
    if let Some(text) = &shape.text {
        scalars(&text.name, DataType::VarChar, texts(rows.clone().map(|row| row.text.clone()).collect()));
    }
    if let Some(name) = &shape.metadata {
        let data = rows.clone().map(|row| row.metadata.clone()).collect();
        scalars(name, DataType::Json, Scalar::JsonData(JsonArray { data }));
    }
    if let Some(bm25) = shape.bm25.as_ref().filter(|bm25| bm25.ours) {
        scalars(&bm25.input, DataType::VarChar, texts(rows.clone().map(|row| row.terms.clone()).collect()));
    }
    let mut vectors = |name: &str, kind: DataType, dim: usize, data: Vector| {
        fields_data.push(FieldData {
            r#type: kind.into(),
            field_name: name.to_owned(),
            field: Some(Field::Vectors(VectorField {
                dim: i64::try_from(dim).unwrap_or(i64::MAX),
                data: Some(data),
            })),
            ..FieldData::default()
        });
    };
    if let Some(dense) = &shape.dense {
        let data = dense_bytes(rows.clone().map(|row| row.dense.as_slice()), count * dense.dimension);
        let data = Vector::FloatVector(FloatArray { data });
        vectors(&dense.name, DataType::FloatVector, dense.dimension, data);
    }
    if let Some(name) = &shape.sparse {
        let contents: Vec<Bytes> = rows.map(|row| row.sparse.clone()).collect();
        let data = Vector::SparseFloatVector(SparseFloatArray { contents, dim: i64::from(u32::MAX) });
        vectors(name, DataType::SparseFloatVector, 0, data);
    }
    if let Some(name) = &shape.placeholder {
        let data = vec![[1.0_f32; PLACEHOLDER_DIMENSION]; count];
        let data = dense_bytes(
            data.iter().map(<[f32; PLACEHOLDER_DIMENSION]>::as_slice),
            count * PLACEHOLDER_DIMENSION,
        );
        let data = Vector::FloatVector(FloatArray { data });
        vectors(name, DataType::FloatVector, PLACEHOLDER_DIMENSION, data);
    }
    let request = WriteRequest {
        collection_name: shape.spec.name.clone(),
        fields_data,
        num_rows: u32::try_from(count).unwrap_or(u32::MAX),
        ..WriteRequest::default()
    };
    request.encode_to_vec().into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn prepared(text: &str) -> Prepared {
        Prepared {
            id: Some(Id::from(text)),
            text: Bytes::from(text.to_owned()),
            metadata: Bytes::from_static(b"{}"),
            terms: Bytes::new(),
            dense: vec![0.5, 1.5],
            sparse: Bytes::new(),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn vectors_are_laid_out_as_the_protocol_says() {
        assert_eq!(hex(&sparse_bytes([(2, 0.5), (5, 1.5)].into_iter())), "020000000000003f050000000000c03f");
        assert_eq!(hex(&dense_bytes([[0.1_f32, 0.2].as_slice()].into_iter(), 2)), "cdcccc3dcdcc4c3e");
    }
}
