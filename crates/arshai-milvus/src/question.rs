//! The request of a search, written without copying its vectors first.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    proto::common::{DslType, PlaceholderType},
    search::{Asked, Asking, Kind, Probe},
    wire::{Field, message},
};

/// Parameters that stand beside the others and not among them.
const OUTER: &[&str] =
    &["group_by_field", "group_size", "strict_group_size", "ignore_growing", "round_decimal"];
/// Parameters of indexes of sparse vectors.
const SPARSE: &[&str] = &["drop_ratio_search", "dim_max_score_ratio"];
const DEFAULT_EF: usize = 64;

/// A [`SearchRequest`](crate::proto::milvus::SearchRequest) for probes of one kind.
/// Without `columns`, hits come with their keys only.
pub(crate) fn question(
    asking: &Asking<'_>,
    first: &Probe<'_>,
    probes: &[&Probe<'_>],
    most: usize,
    columns: bool,
) -> Bytes {
    let shape = &asking.known.shape;
    let (level, guarantee_timestamp) = asking.known.read_at(asking.search.consistency);
    let (field, placeholder) = match first.kind {
        Kind::Dense => (shape.dense.as_ref().map(|dense| &dense.name), PlaceholderType::FloatVector),
        Kind::Sparse => (shape.sparse.as_ref(), PlaceholderType::SparseFloatVector),
        Kind::Text => (shape.bm25.as_ref().map(|bm25| &bm25.name), PlaceholderType::VarChar),
    };
    let field = field.map_or("", String::as_str);
    let mut vectors = vec![Field::text(1, "$0"), Field::number(2, number(placeholder.into()))];
    vectors.extend(probes.iter().filter_map(|probe| probe.asked.as_ref()).map(|asked| match asked {
        Asked::Dense(vector) => Field::floats(3, vec![*vector]),
        Asked::Bytes(bytes) => Field::bytes(3, bytes.as_ref()),
    }));
    let mut request = vec![
        Field::text(3, &shape.spec.name),
        Field::text(5, &asking.expression),
        Field::message(6, vec![Field::message(1, vectors)]),
        // Never left out: the protocol's default makes Milvus 2.3.5 crash.
        Field::number(7, number(DslType::BoolExprV1.into())),
    ];
    let text = shape.text.as_ref().map(|text| text.name.as_str()).filter(|_| first.output.text);
    let metadata = shape.metadata.as_deref().filter(|_| first.output.metadata);
    let others = first.output.fields.iter().map(String::as_str);
    let names = text.into_iter().chain(metadata).chain(others).filter(|_| columns);
    request.extend(names.map(|name| Field::text(8, name)));
    let parameters = parameters(asking, first.kind, field, most);
    request.extend(parameters.into_iter().map(|(key, value)| {
        let value: Cow<'_, [u8]> = match value {
            Cow::Borrowed(value) => value.as_bytes().into(),
            Cow::Owned(value) => value.into_bytes().into(),
        };
        Field::pair(9, key, value)
    }));
    request.extend([
        Field::number(11, guarantee_timestamp),
        Field::number(12, probes.len() as u64),
        Field::number(14, number(level.into())),
    ]);
    message(&request)
}

fn number(value: i32) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn parameters<'a>(
    asking: &Asking<'a>,
    kind: Kind,
    field: &'a str,
    most: usize,
) -> Vec<(&'a str, Cow<'a, str>)> {
    let shape = &asking.known.shape;
    let metric: Cow<'a, str> = match kind {
        Kind::Dense => shape.spec.metric.to_string().into(),
        Kind::Sparse => "IP".into(),
        Kind::Text => "BM25".into(),
    };
    let mut inner = Map::new();
    let mut outer = Vec::new();
    let index = shape.dense.as_ref().and_then(|dense| dense.index.as_deref());
    if kind == Kind::Dense && index == Some("HNSW") {
        inner.insert("ef".into(), most.max(DEFAULT_EF).into());
    }
    for (name, value) in &asking.search.params {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match OUTER.contains(&name.as_str()) {
            true => outer.push((name.as_str(), text.into())),
            // Fewer candidates than hits are refused.
            false
                if name == "ef"
                    && kind == Kind::Dense
                    && value.as_u64().is_some_and(|ef| ef < most as u64) => {}
            // Where two kinds of index are asked, each gets what it knows.
            false if asking.mixed && SPARSE.contains(&name.as_str()) == (kind == Kind::Dense) => {}
            false => drop(inner.insert(name.clone(), value.clone())),
        }
    }
    let mut parameters = vec![
        ("anns_field", field.into()),
        ("topk", most.to_string().into()),
        ("metric_type", metric),
        ("round_decimal", "-1".into()),
        ("params", Value::Object(inner).to_string().into()),
    ];
    parameters
        .retain(|(standing, _)| !outer.iter().any(|(given, _): &(&str, Cow<'_, str>)| given == standing));
    parameters.extend(outer);
    parameters
}
