//! A collection as the server has it, and as we make one.

use arshai_core::{
    Error, Result,
    vector::{Capabilities, CollectionSpec, IdKind, Metric},
};
use prost::Message as _;

use crate::{
    engine::Engine,
    filter::Columns,
    proto::{
        common::KeyValuePair,
        milvus::{CreateCollectionRequest, IndexDescription},
        pair,
        schema::{CollectionSchema, DataType, FieldSchema, FunctionSchema, FunctionType},
    },
};

/// Bytes of a text, and of a key.
pub(crate) const MOST_TEXT_BYTES: usize = 65_535;
/// Bytes of metadata as JSON.
pub(crate) const MOST_METADATA_BYTES: usize = 65_535;
/// The property that tells whose vectors a collection holds.
pub(crate) const EMBEDDER: &str = "arshai.embedder";
/// The terms of the text, from which the server computes BM25, and what it computes.
pub(crate) const TERMS: &str = "arshai_terms";
const BM25: &str = "arshai_bm25";
/// A collection must have a vector; one that wants none has this.
pub(crate) const PLACEHOLDER: &str = "arshai_none";
pub(crate) const PLACEHOLDER_DIMENSION: usize = 2;

/// Everything about a collection that operations need.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    /// As callers see it.
    pub(crate) spec: CollectionSpec,
    /// What the server calls it, whatever name it was looked for under: its number, or else its own name.
    pub(crate) identity: String,
    /// The server chooses the keys.
    pub(crate) auto_id: bool,
    pub(crate) id_bytes: usize,
    /// Quotes in keys are escaped ([`crate::key`]).
    pub(crate) escaped_keys: bool,
    pub(crate) text: Option<TextColumn>,
    pub(crate) metadata: Option<String>,
    pub(crate) dense: Option<DenseColumn>,
    pub(crate) sparse: Option<String>,
    pub(crate) bm25: Option<Bm25Column>,
    pub(crate) placeholder: Option<String>,
    /// Columns that must be given and that we know nothing of.
    pub(crate) foreign: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextColumn {
    pub(crate) name: String,
    pub(crate) bytes: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DenseColumn {
    pub(crate) name: String,
    pub(crate) dimension: usize,
    pub(crate) index: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bm25Column {
    /// What is searched.
    pub(crate) name: String,
    /// The text it is computed from.
    pub(crate) input: String,
    /// The input holds terms that we wrote, not the text itself.
    pub(crate) ours: bool,
}

impl Shape {
    pub(crate) fn knows(&self, field: &FieldSchema) -> bool {
        let name = &field.name;
        field.is_primary_key
            || field.is_function_output
            || self.text.as_ref().is_some_and(|text| text.name == *name)
            || self.metadata.as_ref() == Some(name)
            || self.dense.as_ref().is_some_and(|dense| dense.name == *name)
            || self.sparse.as_ref() == Some(name)
            || self.placeholder.as_ref() == Some(name)
            || self.bm25.as_ref().is_some_and(|bm25| bm25.name == *name || bm25.input == *name)
    }

    pub(crate) fn columns(&self) -> Columns<'_> {
        Columns {
            id: &self.spec.fields.id,
            id_is_text: self.spec.id == IdKind::Text,
            id_is_escaped: self.escaped_keys,
            text: self.text.as_ref().map(|text| text.name.as_str()),
            metadata: self.metadata.as_deref(),
        }
    }

    pub(crate) fn capabilities(&self, engine: &Engine) -> Capabilities {
        let mut can = engine.capabilities();
        can.dense = self.dense.is_some();
        can.sparse = self.sparse.is_some();
        can.text = self.bm25.is_some();
        can.upsert = !self.auto_id;
        can
    }

    /// The fields with a vector, and what index each needs.
    pub(crate) fn indexes(&self, engine: &Engine) -> Vec<(String, Vec<KeyValuePair>)> {
        let mut indexes = Vec::new();
        if let Some(dense) = &self.dense {
            indexes.push((dense.name.clone(), dense_index(self.spec.metric, engine)));
        }
        if let Some(sparse) = &self.sparse {
            indexes.push((sparse.clone(), sparse_index("IP")));
        }
        if let Some(bm25) = &self.bm25 {
            indexes.push((bm25.name.clone(), sparse_index("BM25")));
        }
        if let Some(placeholder) = &self.placeholder {
            indexes.push((placeholder.clone(), dense_index(Metric::L2, engine)));
        }
        indexes
    }
}

fn dense_index(metric: Metric, engine: &Engine) -> Vec<KeyValuePair> {
    let metric = pair("metric_type", metric.to_string());
    match engine.hnsw {
        true => vec![pair("index_type", "HNSW"), metric, pair("params", r#"{"M":8,"efConstruction":64}"#)],
        false => vec![pair("index_type", "AUTOINDEX"), metric, pair("params", "{}")],
    }
}

fn sparse_index(metric: &str) -> Vec<KeyValuePair> {
    vec![
        pair("index_type", "SPARSE_INVERTED_INDEX"),
        pair("metric_type", metric),
        pair("params", if metric == "BM25" { r#"{"bm25_k1":1.2,"bm25_b":0.75}"# } else { "{}" }),
    ]
}

/// The request that creates a collection, leaving out what the server cannot do.
///
/// # Errors
///
/// [`arshai_core::ErrorKind::Unsupported`] for a sparse vector on a server that has none.
pub(crate) fn creation(spec: &CollectionSpec, engine: &Engine) -> Result<CreateCollectionRequest> {
    if spec.sparse && !engine.sparse {
        return Err(Error::unsupported("this server has no sparse vectors: Milvus has them from 2.4 on")
            .with_context("collection", &spec.name)
            .with_context("server", &engine.version));
    }
    let names = &spec.fields;
    let varchar = |name: &str| FieldSchema {
        type_params: vec![pair("max_length", MOST_TEXT_BYTES.to_string())],
        ..field(name, DataType::VarChar)
    };
    let vector = |name: &str, dimension: usize| FieldSchema {
        type_params: vec![pair("dim", dimension.to_string())],
        ..field(name, DataType::FloatVector)
    };
    let id = match spec.id {
        IdKind::Text => varchar(&names.id),
        IdKind::Int | IdKind::AutoInt => field(&names.id, DataType::Int64),
    };
    let auto_id = spec.id == IdKind::AutoInt;
    let mut fields = vec![
        FieldSchema { is_primary_key: true, auto_id, ..id },
        varchar(&names.text),
        field(&names.metadata, DataType::Json),
    ];
    let mut functions = Vec::new();
    fields.extend(spec.dimension.map(|dimension| vector(&names.dense, dimension)));
    if spec.sparse {
        fields.push(field(&names.sparse, DataType::SparseFloatVector));
    }
    let text_search = spec.text_search && engine.text;
    if text_search {
        let mut terms = varchar(TERMS);
        terms.type_params.push(pair("enable_analyzer", "true"));
        terms.type_params.push(pair("analyzer_params", r#"{"tokenizer":"standard","filter":["lowercase"]}"#));
        fields.push(terms);
        fields.push(FieldSchema { is_function_output: true, ..field(BM25, DataType::SparseFloatVector) });
        functions.push(FunctionSchema {
            name: BM25.to_owned(),
            r#type: FunctionType::Bm25.into(),
            input_field_names: vec![TERMS.to_owned()],
            output_field_names: vec![BM25.to_owned()],
            ..FunctionSchema::default()
        });
    }
    if spec.dimension.is_none() && !spec.sparse && !text_search {
        fields.push(vector(PLACEHOLDER, PLACEHOLDER_DIMENSION));
    }
    // Some servers keep only the one, some only the other.
    let embedder = spec.embedder.as_ref();
    let description = embedder.map(|id| serde_json::json!({ EMBEDDER: id }).to_string()).unwrap_or_default();
    let schema = CollectionSchema {
        name: spec.name.clone(),
        description,
        auto_id,
        fields,
        functions,
        ..CollectionSchema::default()
    };
    Ok(CreateCollectionRequest {
        collection_name: spec.name.clone(),
        schema: schema.encode_to_vec().into(),
        shards_num: 1,
        consistency_level: crate::proto::common::ConsistencyLevel::Bounded.into(),
        properties: embedder.map(|id| pair(EMBEDDER, id)).into_iter().collect(),
        ..CreateCollectionRequest::default()
    })
}

fn field(name: &str, kind: DataType) -> FieldSchema {
    FieldSchema { name: name.to_owned(), data_type: kind.into(), ..FieldSchema::default() }
}

pub(crate) fn index_of<'a>(indexes: &'a [IndexDescription], field: &str) -> Option<&'a IndexDescription> {
    indexes.iter().find(|index| index.field_name == field)
}

#[cfg(test)]
mod tests {
    use arshai_core::ErrorKind;

    use super::*;
    use crate::proto::milvus::DescribeCollectionResponse;

    fn described(spec: &CollectionSpec, version: &str) -> DescribeCollectionResponse {
        let request = creation(spec, &Engine::of(version)).unwrap();
        DescribeCollectionResponse {
            schema: Some(CollectionSchema::decode(request.schema).unwrap()),
            properties: request.properties,
            ..DescribeCollectionResponse::default()
        }
    }

    #[test]
    fn what_is_created_is_what_is_read_back() {
        let spec = CollectionSpec::new("c").with_dense(8).with_sparse().with_embedder("m");
        let shape = Shape::read(&described(&spec, "2.5.0"), &[], Some(&spec)).unwrap();
        assert_eq!(shape.spec, spec);
        assert!(shape.foreign.is_empty() && shape.placeholder.is_none(), "{shape:?}");
        let seen = Shape::read(&described(&spec, "2.5.0"), &[], None).unwrap();
        assert_eq!((seen.text, seen.metadata, seen.sparse), (shape.text, shape.metadata, shape.sparse));
    }

    #[test]
    fn what_a_server_cannot_do_is_left_out_or_refused() {
        let spec = CollectionSpec::new("c");
        let shape = Shape::read(&described(&spec, "2.3.5"), &[], Some(&spec)).unwrap();
        assert!(!shape.spec.text_search && shape.placeholder.is_some() && shape.spec.dimension.is_none());
        let error = creation(&spec.with_sparse(), &Engine::of("2.3.5")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn the_python_package_s_collection_is_recognised() {
        let key = FieldSchema { is_primary_key: true, auto_id: true, ..field("doc_id", DataType::VarChar) };
        let dense = FieldSchema {
            type_params: vec![pair("dim", "4")],
            ..field("dense_vector", DataType::FloatVector)
        };
        let fields = vec![key, field("text", DataType::VarChar), field("metadata", DataType::Json), dense];
        let schema = CollectionSchema { name: "c".into(), fields, ..CollectionSchema::default() };
        let described =
            DescribeCollectionResponse { schema: Some(schema), ..DescribeCollectionResponse::default() };
        let index = IndexDescription {
            field_name: "dense_vector".into(),
            params: vec![pair("metric_type", "IP"), pair("index_type", "AUTOINDEX")],
            ..IndexDescription::default()
        };
        let wanted = CollectionSpec::new("c").with_dense(4);
        let shape = Shape::read(&described, &[index], Some(&wanted)).unwrap();
        assert!(shape.auto_id && shape.spec.id == IdKind::Text);
        assert_eq!((shape.spec.fields.id.as_str(), shape.spec.metric), ("doc_id", Metric::InnerProduct));
    }

    #[test]
    fn a_missing_field_is_named_beside_those_there_are() {
        let spec = CollectionSpec::new("c").with_dense(8);
        let mut wanted = spec.clone();
        wanted.fields.text = "body".into();
        let error = Shape::read(&described(&spec, "2.3.5"), &[], Some(&wanted)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("body") && error.to_string().contains("text VarChar"), "{error}");
    }

    #[test]
    fn a_description_of_nonsense_is_an_error_not_a_panic() {
        for schema in [None, Some(CollectionSchema::default())] {
            let described = DescribeCollectionResponse { schema, ..DescribeCollectionResponse::default() };
            assert_eq!(Shape::read(&described, &[], None).unwrap_err().kind(), ErrorKind::Protocol);
        }
    }
}
