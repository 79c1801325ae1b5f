//! What a server says of a collection, read.

use arshai_core::{
    Error, ErrorKind, Result,
    vector::{CollectionSpec, FieldNames, IdKind, Metric},
};

use crate::{
    proto::{
        milvus::{DescribeCollectionResponse, IndexDescription},
        schema::{CollectionSchema, DataType, FieldSchema, FunctionSchema, FunctionType},
        value_of,
    },
    shape::{
        Bm25Column, DenseColumn, EMBEDDER, MOST_TEXT_BYTES, PLACEHOLDER, Shape, TERMS, TextColumn, index_of,
    },
};

impl Shape {
    /// Reads what the server says. `wanted` names the fields when somebody opens the collection; else they are
    /// recognised by name and type.
    pub(crate) fn read(
        described: &DescribeCollectionResponse,
        indexes: &[IndexDescription],
        wanted: Option<&CollectionSpec>,
    ) -> Result<Self> {
        let schema = described.schema.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Protocol, "the server describes a collection without its fields")
        })?;
        let reader = Reader { schema, names: wanted.map(|wanted| &wanted.fields) };
        let id = schema.fields.iter().find(|field| field.is_primary_key).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, "the server describes a collection without a primary key")
        })?;
        let kind = match (kind_of(id), id.auto_id || schema.auto_id) {
            (Some(DataType::Int64), true) => IdKind::AutoInt,
            (Some(DataType::Int64), false) => IdKind::Int,
            _ => IdKind::Text,
        };
        let bm25 = reader.bm25();
        let text = reader.text(bm25.as_ref())?;
        let metadata = reader.pick(DataType::Json, |names| &names.metadata, "metadata")?;
        let sparse = reader.sparse(wanted)?;
        let dense = reader.dense(wanted, indexes)?;
        let placeholder = reader.named(PLACEHOLDER).map(|field| field.name.clone());
        let metric = dense
            .as_ref()
            .and_then(|dense| index_of(indexes, &dense.name))
            .and_then(|index| value_of(&index.params, "metric_type"))
            .and_then(metric_of);
        let mut spec = CollectionSpec::new(wanted.map_or(schema.name.as_str(), |wanted| &wanted.name));
        spec.dimension = dense.as_ref().map(|dense| dense.dimension);
        spec.metric = metric.or(wanted.map(|wanted| wanted.metric)).unwrap_or(Metric::Cosine);
        spec.id = kind;
        spec.sparse = sparse.is_some();
        spec.text_search = bm25.is_some();
        spec.embedder = embedder(described);
        let or_default = |name: Option<&String>, default: String| name.cloned().unwrap_or(default);
        let defaults = FieldNames::default();
        spec.fields = FieldNames {
            id: id.name.clone(),
            text: or_default(text.as_ref().map(|text| &text.name), defaults.text),
            dense: or_default(dense.as_ref().map(|dense| &dense.name), defaults.dense),
            sparse: or_default(sparse.as_ref(), defaults.sparse),
            metadata: or_default(metadata.as_ref(), defaults.metadata),
        };
        let mut shape = Self {
            identity: identity(described, &spec.name),
            spec,
            auto_id: id.auto_id || schema.auto_id,
            id_bytes: bytes_of(id),
            escaped_keys: false,
            text,
            metadata,
            dense,
            sparse,
            bm25,
            placeholder,
            foreign: Vec::new(),
        };
        shape.foreign = schema
            .fields
            .iter()
            .filter(|field| !shape.knows(field) && !field.nullable && !field.is_dynamic)
            .map(|field| field.name.clone())
            .collect();
        Ok(shape)
    }
}

fn identity(described: &DescribeCollectionResponse, asked: &str) -> String {
    if described.collection_id != 0 {
        return format!("#{}", described.collection_id);
    }
    let named = described.schema.as_ref().map_or("", |schema| schema.name.as_str());
    [described.collection_name.as_str(), named, asked]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or(asked)
        .to_owned()
}

fn embedder(described: &DescribeCollectionResponse) -> Option<String> {
    if let Some(id) = value_of(&described.properties, EMBEDDER) {
        return Some(id.to_owned());
    }
    let description = &described.schema.as_ref()?.description;
    let value: serde_json::Value = serde_json::from_str(description).ok()?;
    value.get(EMBEDDER)?.as_str().map(str::to_owned)
}

fn metric_of(name: &str) -> Option<Metric> {
    match name.to_ascii_uppercase().as_str() {
        "COSINE" => Some(Metric::Cosine),
        "IP" => Some(Metric::InnerProduct),
        "L2" => Some(Metric::L2),
        _ => None,
    }
}

fn kind_of(field: &FieldSchema) -> Option<DataType> {
    DataType::try_from(field.data_type).ok()
}

fn bytes_of(field: &FieldSchema) -> usize {
    value_of(&field.type_params, "max_length").and_then(|bytes| bytes.parse().ok()).unwrap_or(MOST_TEXT_BYTES)
}

struct Reader<'a> {
    schema: &'a CollectionSchema,
    /// The names somebody asks for.
    names: Option<&'a FieldNames>,
}

impl<'a> Reader<'a> {
    fn named(&self, name: &str) -> Option<&'a FieldSchema> {
        self.schema.fields.iter().find(|field| field.name == name)
    }

    /// The field that is asked for, or the one that is called so or is the only one of its type.
    fn pick(
        &self,
        kind: DataType,
        asked: fn(&FieldNames) -> &String,
        usual: &'static str,
    ) -> Result<Option<String>> {
        let fits = |field: &&FieldSchema| kind_of(field) == Some(kind) && !field.is_dynamic;
        if let Some(names) = self.names {
            let name = asked(names);
            return match self.named(name) {
                Some(field) if fits(&field) => Ok(Some(name.clone())),
                Some(field) => Err(self.other(name, kind, field)),
                None => Err(self.missing(name, kind)),
            };
        }
        let mut all = self.schema.fields.iter().filter(fits).filter(|field| !field.is_primary_key);
        let found = self.named(usual).filter(fits).or_else(|| all.next());
        Ok(found.map(|field| field.name.clone()))
    }

    fn missing(&self, name: &str, kind: DataType) -> Error {
        let existing: Vec<_> = self
            .schema
            .fields
            .iter()
            .map(|field| {
                let kind = kind_of(field).map_or("unknown", |kind| kind.as_str_name());
                format!("{} {kind}", field.name)
            })
            .collect();
        Error::new(
            ErrorKind::AlreadyExists,
            "the collection exists without a field that is asked for; name its fields in CollectionSpec::fields",
        )
        .with_context("collection", &self.schema.name)
        .with_context("asked", format!("{name} {}", kind.as_str_name()))
        .with_context("existing", existing.join(", "))
    }

    fn other(&self, name: &str, kind: DataType, field: &FieldSchema) -> Error {
        Error::new(ErrorKind::AlreadyExists, "the collection exists with a field of another type")
            .with_context("collection", &self.schema.name)
            .with_context("asked", format!("{name} {}", kind.as_str_name()))
            .with_context(
                "existing",
                format!("{name} {}", kind_of(field).map_or("unknown", |kind| kind.as_str_name())),
            )
    }

    fn text(&self, bm25: Option<&Bm25Column>) -> Result<Option<TextColumn>> {
        let name = match self.names {
            Some(_) => self.pick(DataType::VarChar, |names| &names.text, "text")?,
            None => {
                let usual = ["text", "content", "page_content", "chunk"];
                let texts = || {
                    self.schema.fields.iter().filter(|field| {
                        kind_of(field) == Some(DataType::VarChar)
                            && !field.is_primary_key
                            && field.name != TERMS
                    })
                };
                let input = bm25.filter(|bm25| !bm25.ours).map(|bm25| bm25.input.as_str());
                let by_name = usual.iter().copied().chain(input).find_map(|name| {
                    texts().find(|field| field.name == name).map(|field| field.name.clone())
                });
                let largest = texts().max_by_key(|field| bytes_of(field));
                by_name.or_else(|| largest.map(|field| field.name.clone()))
            }
        };
        Ok(name.map(|name| TextColumn { bytes: self.named(&name).map_or(MOST_TEXT_BYTES, bytes_of), name }))
    }

    fn dense(
        &self,
        wanted: Option<&CollectionSpec>,
        indexes: &[IndexDescription],
    ) -> Result<Option<DenseColumn>> {
        let vectors = || {
            self.schema
                .fields
                .iter()
                .filter(|field| kind_of(field) == Some(DataType::FloatVector) && field.name != PLACEHOLDER)
        };
        let asked = wanted.filter(|wanted| wanted.dimension.is_some()).map(|wanted| &wanted.fields.dense);
        let field = match asked {
            Some(name) => match self.named(name) {
                Some(field) if kind_of(field) == Some(DataType::FloatVector) => Some(field),
                Some(field) => return Err(self.other(name, DataType::FloatVector, field)),
                // Without any, core's own words about collections without vectors are better.
                None if vectors().next().is_none() => None,
                None => return Err(self.missing(name, DataType::FloatVector)),
            },
            None => vectors()
                .find(|field| ["dense_vector", "vector", "embedding"].contains(&field.name.as_str()))
                .or_else(|| vectors().next()),
        };
        Ok(field.map(|field| DenseColumn {
            name: field.name.clone(),
            dimension: value_of(&field.type_params, "dim").and_then(|dim| dim.parse().ok()).unwrap_or(0),
            index: index_of(indexes, &field.name)
                .and_then(|index| value_of(&index.params, "index_type"))
                .map(str::to_owned),
        }))
    }

    /// The caller's sparse vectors, not those that the server computes.
    fn sparse(&self, wanted: Option<&CollectionSpec>) -> Result<Option<String>> {
        let outputs: Vec<&String> =
            self.schema.functions.iter().flat_map(|function| &function.output_field_names).collect();
        let fits = |field: &&FieldSchema| {
            kind_of(field) == Some(DataType::SparseFloatVector)
                && !field.is_function_output
                && !outputs.contains(&&field.name)
        };
        let asked = wanted.filter(|wanted| wanted.sparse).map(|wanted| &wanted.fields.sparse);
        match asked.map(|name| (name, self.named(name))) {
            Some((name, Some(field))) if !fits(&field) => {
                Err(self.other(name, DataType::SparseFloatVector, field))
            }
            Some((name, Some(_))) => Ok(Some(name.clone())),
            _ => Ok(self.schema.fields.iter().find(fits).map(|field| field.name.clone())),
        }
    }

    fn bm25(&self) -> Option<Bm25Column> {
        let bm25 = |function: &&FunctionSchema| function.r#type == i32::from(FunctionType::Bm25);
        let (input, name) = match self.schema.functions.iter().find(bm25) {
            Some(function) => {
                (function.input_field_names.first()?.clone(), function.output_field_names.first()?.clone())
            }
            // One server tells of the columns and not of what computes them.
            None => {
                let analyzed =
                    |field: &&FieldSchema| value_of(&field.type_params, "enable_analyzer") == Some("true");
                let computed = |field: &&FieldSchema| field.is_function_output;
                let mut fields = self.schema.fields.iter();
                let input = fields.find(analyzed)?.name.clone();
                (input, self.schema.fields.iter().find(computed)?.name.clone())
            }
        };
        let ours = input == TERMS;
        Some(Bm25Column { name, input, ours })
    }
}
