//! Messages written straight into one buffer of exactly their size, for the requests that carry vectors: no vector or
//! text is copied on its way there.

use std::borrow::Cow;

use bytes::Bytes;

/// A field of a message. Numbers are below 16, so that a tag is one byte.
#[derive(Debug)]
pub(crate) struct Field<'a> {
    number: u8,
    value: Value<'a>,
}

#[derive(Debug)]
enum Value<'a> {
    Number(u64),
    Bytes(Cow<'a, [u8]>),
    /// The field once for each.
    Each(Vec<Cow<'a, [u8]>>),
    /// One field with all of them, little-endian.
    Floats(Vec<&'a [f32]>),
    /// One field with all of them, packed.
    Longs(Vec<i64>),
    Message(Vec<Field<'a>>),
}

impl<'a> Field<'a> {
    pub(crate) fn number(number: u8, value: u64) -> Self {
        Self { number, value: Value::Number(value) }
    }

    pub(crate) fn bytes(number: u8, value: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { number, value: Value::Bytes(value.into()) }
    }

    pub(crate) fn text(number: u8, value: &'a str) -> Self {
        Self::bytes(number, value.as_bytes())
    }

    pub(crate) fn each(number: u8, values: Vec<Cow<'a, [u8]>>) -> Self {
        Self { number, value: Value::Each(values) }
    }

    pub(crate) fn floats(number: u8, values: Vec<&'a [f32]>) -> Self {
        Self { number, value: Value::Floats(values) }
    }

    pub(crate) fn longs(number: u8, values: Vec<i64>) -> Self {
        Self { number, value: Value::Longs(values) }
    }

    pub(crate) fn message(number: u8, fields: Vec<Self>) -> Self {
        Self { number, value: Value::Message(fields) }
    }

    /// A `KeyValuePair`.
    pub(crate) fn pair(number: u8, key: &'a str, value: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::message(number, vec![Self::text(1, key), Self::bytes(2, value)])
    }

    fn size(&self) -> usize {
        match &self.value {
            Value::Number(value) => 1 + varint_size(*value),
            Value::Each(values) => values.iter().map(|value| delimited_size(value.len())).sum(),
            _ => delimited_size(self.content()),
        }
    }

    /// Of a field with a length, how much follows it.
    fn content(&self) -> usize {
        match &self.value {
            Value::Number(_) | Value::Each(_) => 0,
            Value::Bytes(value) => value.len(),
            Value::Floats(values) => values.iter().map(|values| values.len() * 4).sum(),
            Value::Longs(values) => values.iter().map(|value| varint_size(value.cast())).sum(),
            Value::Message(fields) => size(fields),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match &self.value {
            Value::Number(value) => {
                out.push(self.number << 3);
                put_varint(*value, out);
                return;
            }
            Value::Each(values) => {
                for value in values {
                    self.begin(value.len(), out);
                    out.extend_from_slice(value);
                }
                return;
            }
            _ => self.begin(self.content(), out),
        }
        match &self.value {
            Value::Number(_) | Value::Each(_) => {}
            Value::Bytes(value) => out.extend_from_slice(value),
            Value::Floats(values) => values.iter().for_each(|values| put_floats(values, out)),
            Value::Longs(values) => values.iter().for_each(|value| put_varint(value.cast(), out)),
            Value::Message(fields) => fields.iter().for_each(|field| field.write(out)),
        }
    }

    fn begin(&self, length: usize, out: &mut Vec<u8>) {
        out.push((self.number << 3) | 2);
        put_varint(length as u64, out);
    }
}

/// A message of these fields.
pub(crate) fn message(fields: &[Field<'_>]) -> Bytes {
    let mut out = Vec::with_capacity(size(fields));
    fields.iter().for_each(|field| field.write(&mut out));
    out.into()
}

fn size(fields: &[Field<'_>]) -> usize {
    fields.iter().map(Field::size).sum()
}

fn delimited_size(length: usize) -> usize {
    1 + varint_size(length as u64) + length
}

/// As the protocol counts negative numbers.
trait Cast {
    fn cast(self) -> u64;
}

impl Cast for i64 {
    fn cast(self) -> u64 {
        u64::from_ne_bytes(self.to_ne_bytes())
    }
}

fn varint_size(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// In a shape that the compiler turns into a copy.
pub(crate) fn put_floats(values: &[f32], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + values.len() * 4, 0);
    for (four, value) in out.get_mut(start..).unwrap_or_default().chunks_exact_mut(4).zip(values) {
        four.copy_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::{
        milvus::WriteRequest,
        schema::{
            DataType, FieldData, FloatArray, LongArray, ScalarField, StringArray, VectorField,
            field_data::Field as Column, scalar_field::Data as Scalar, vector_field::Data as Vector,
        },
    };

    proptest! {
        #[test]
        fn what_is_written_is_what_the_protocol_reads(
            longs in prop::collection::vec(any::<i64>(), 0..9),
            texts in prop::collection::vec(".{0,200}", 0..9),
            floats in prop::collection::vec(any::<f32>(), 0..99),
            name in ".{0,9}",
            rows: u32,
        ) {
            let written = message(&[
                Field::text(3, &name),
                Field::message(5, vec![
                    Field::number(1, 5),
                    Field::message(3, vec![Field::message(3, vec![Field::longs(1, longs.clone())])]),
                ]),
                Field::message(5, vec![
                    Field::number(1, 21),
                    Field::message(3, vec![Field::message(6, vec![
                        Field::each(1, texts.iter().map(|text| text.as_bytes().into()).collect()),
                    ])]),
                ]),
                Field::message(5, vec![
                    Field::number(1, 101),
                    Field::message(4, vec![
                        Field::number(1, floats.len() as u64),
                        Field::message(2, vec![Field::floats(1, vec![&floats, &floats])]),
                    ]),
                ]),
                Field::number(7, rows.into()),
            ]);
            let column = |kind: DataType, column: Column| FieldData {
                r#type: kind.into(),
                field: Some(column),
                ..FieldData::default()
            };
            let scalars = |data| Column::Scalars(ScalarField { data: Some(data), ..ScalarField::default() });
            let texts = texts.into_iter().map(Bytes::from).collect();
            let mut data: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
            data.extend_from_within(..);
            let expected = WriteRequest {
                collection_name: name.clone(),
                num_rows: rows,
                fields_data: vec![
                    column(DataType::Int64, scalars(Scalar::LongData(LongArray { data: longs }))),
                    column(DataType::VarChar, scalars(Scalar::StringData(StringArray { data: texts }))),
                    column(DataType::FloatVector, Column::Vectors(VectorField {
                        dim: i64::try_from(floats.len()).unwrap(),
                        data: Some(Vector::FloatVector(FloatArray { data: data.into() })),
                        ..VectorField::default()
                    })),
                ],
                ..WriteRequest::default()
            };
            prop_assert_eq!(WriteRequest::decode(written.clone()).unwrap(), expected);
            // Not a byte of the buffer is left over or had to be found later.
            prop_assert_eq!(Vec::from(written.clone()).capacity(), written.len());
        }
    }

    #[test]
    fn numbers_are_as_long_as_they_are_said_to_be() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(out.len(), varint_size(value), "{value}");
        }
    }
}
