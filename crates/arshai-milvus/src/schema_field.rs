//! The fields of a collection with a schema of one's own.

use crate::proto::{
    pair,
    schema::{DataType, FieldSchema},
};

/// A field of a collection with a schema of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: FieldKind,
    /// Whether it is the primary key: an integer or a text. Default: no.
    pub is_primary_key: bool,
    /// Whether the server chooses its values. Default: no.
    pub auto_id: bool,
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// True or false.
    Bool,
    /// A 64-bit integer.
    Int64,
    /// A 64-bit float.
    Double,
    /// A text of so many bytes at most, 65,535 at most.
    VarChar(usize),
    /// JSON.
    Json,
    /// A vector of so many floats.
    FloatVector(usize),
    /// A sparse vector.
    SparseFloatVector,
}

impl SchemaField {
    /// A field that is no key.
    pub fn new(name: impl Into<String>, kind: FieldKind) -> Self {
        Self { name: name.into(), kind, is_primary_key: false, auto_id: false }
    }

    /// The same as the primary key; `auto_id` lets the server choose its values.
    #[must_use]
    pub fn primary_key(mut self, auto_id: bool) -> Self {
        (self.is_primary_key, self.auto_id) = (true, auto_id);
        self
    }

    pub(crate) fn schema(&self) -> FieldSchema {
        let (kind, param) = match self.kind {
            FieldKind::Bool => (DataType::Bool, None),
            FieldKind::Int64 => (DataType::Int64, None),
            FieldKind::Double => (DataType::Double, None),
            FieldKind::VarChar(bytes) => (DataType::VarChar, Some(pair("max_length", bytes.to_string()))),
            FieldKind::Json => (DataType::Json, None),
            FieldKind::FloatVector(dim) => (DataType::FloatVector, Some(pair("dim", dim.to_string()))),
            FieldKind::SparseFloatVector => (DataType::SparseFloatVector, None),
        };
        FieldSchema {
            name: self.name.clone(),
            data_type: kind.into(),
            is_primary_key: self.is_primary_key,
            auto_id: self.auto_id,
            type_params: param.into_iter().collect(),
            ..FieldSchema::default()
        }
    }
}
