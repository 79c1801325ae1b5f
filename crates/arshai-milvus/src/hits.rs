//! The hits of a reply: checked, ordered, and read only where they are wanted.

use std::{cmp::Ordering, sync::Arc};

use arshai_core::{
    Result,
    vector::{Hit, Id, Metric, Row, Search},
};

use crate::{
    columns::{Columns, plain_ids, protocol},
    proto::milvus::SearchResults,
    rows::fill,
    search::{Asking, Kind},
    shape::Shape,
};

/// One hit, of which the rest is read when it is needed.
#[derive(Debug, Clone)]
pub(crate) struct Ranked {
    pub(crate) id: Id,
    pub(crate) score: f32,
    pub(crate) rest: Rest,
}

/// Where text, metadata and further fields of a hit are.
#[derive(Debug, Clone)]
pub(crate) enum Rest {
    /// In this row of a reply's columns.
    Reply(Arc<Columns>, usize),
    /// In a row that was read by its key.
    Row(Arc<Row>),
}

/// Hits beyond the list may score as much as the last one that is wanted.
pub(crate) fn is_open(list: &[Ranked], depth: usize, most: usize) -> bool {
    if list.len() < most {
        return false;
    }
    let score = |at: usize| list.get(at).map(|ranked| ranked.score);
    score(depth.saturating_sub(1)) == score(list.len().saturating_sub(1))
}

/// The hits of each query, best first, equal scores by key.
pub(crate) fn read(
    reply: SearchResults,
    queries: usize,
    kind: Kind,
    asking: &Asking<'_>,
) -> Result<Vec<Vec<Ranked>>> {
    let Some(results) = reply.results else {
        return Err(protocol("the server answers a search without results"));
    };
    let ids = plain_ids(results.ids, asking.known.shape.escaped_keys)?;
    let scores = results.scores;
    let topks = match results.topks.as_slice() {
        // Nothing found.
        [] if ids.is_empty() => vec![0; queries],
        topks => topks
            .iter()
            .map(|count| {
                usize::try_from(*count).map_err(|_| protocol("a search has a negative number of hits"))
            })
            .collect::<Result<Vec<_>>>()?,
    };
    let total = topks.iter().try_fold(0_usize, |sum, count| sum.checked_add(*count));
    if topks.len() != queries || total != Some(ids.len()) || ids.len() != scores.len() {
        return Err(protocol("keys, scores and counts of a search do not fit each other")
            .with_context("queries", queries)
            .with_context("counts", topks.len())
            .with_context("keys", ids.len())
            .with_context("scores", scores.len()));
    }
    let columns = Arc::new(Columns::new(results.fields_data, ids.len())?);
    let negative = match kind {
        Kind::Dense => asking.known.shape.spec.metric == Metric::L2,
        Kind::Sparse => false,
        Kind::Text => asking.negative_bm25,
    };
    let mut flat = ids.into_iter().zip(scores).enumerate();
    let mut lists = Vec::with_capacity(queries);
    for count in topks {
        let mut list = Vec::with_capacity(count);
        for (at, (id, score)) in flat.by_ref().take(count) {
            if !score.is_finite() {
                return Err(protocol("a score is not a finite number").with_context("key", id));
            }
            // Adding 0 turns −0 into 0.
            let score = if negative { -score } else { score } + 0.0;
            if kind == Kind::Dense || score > 0.0 {
                list.push(Ranked { id, score, rest: Rest::Reply(Arc::clone(&columns), at) });
            }
        }
        list.sort_by(best_first);
        list.dedup_by(|a, b| a.id == b.id);
        lists.push(list);
    }
    Ok(lists)
}

fn best_first(a: &Ranked, b: &Ranked) -> Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id))
}

pub(crate) fn filled(mut hit: Hit, ranked: &Ranked, shape: &Shape, search: &Search) -> Result<Hit> {
    (hit.text, hit.metadata, hit.fields) = match &ranked.rest {
        Rest::Reply(columns, at) => fill(shape, columns, *at, &search.output)?,
        // It may have been read for more than is wanted.
        Rest::Row(row) => {
            let text = if search.output.text { row.text.clone() } else { String::new() };
            (text, row.metadata.clone(), row.fields.clone())
        }
    };
    Ok(hit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use arshai_core::vector::Query;
    use bytes::Bytes;

    use super::*;
    use crate::{
        MilvusConfig,
        connection::Connection,
        inner::Inner,
        proto::schema::{FieldData, SearchResultData},
        tests::{canned, replies},
    };

    /// Reads a reply as every kind of search would, and everything of each hit.
    fn read_all(reply: &SearchResults) {
        let config = MilvusConfig::from_url("milvus://localhost").unwrap();
        let inner = Inner::new(Connection::new(config).unwrap());
        let described = canned::described(&canned::spec(), "v2.3.5");
        let known = inner.remember("c", Shape::read(&described, &[], None).unwrap(), None);
        let mut search = Search::new(Query::dense([1.0, 0.0]));
        search.output.fields = ["text", "metadata", "n", "colour"].map(str::to_owned).to_vec();
        let asking = Asking {
            known: &known,
            expression: String::new(),
            search: &search,
            mixed: false,
            negative_bm25: true,
            nan_without_words: false,
        };
        for (queries, kind) in [(1, Kind::Dense), (2, Kind::Sparse), (3, Kind::Text)] {
            let Ok(lists) = read(reply.clone(), queries, kind, &asking) else { continue };
            assert_eq!(lists.len(), queries);
            for hit in lists.iter().flatten() {
                assert!(hit.score.is_finite());
                let _read = filled(Hit::new(hit.id.clone(), hit.score), hit, &known.shape, &search);
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Change {
        Set(usize, u8),
        Insert(usize, Vec<u8>),
        Cut(usize, usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
            (any::<usize>(), prop::collection::vec(any::<u8>(), 1..6))
                .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
            (any::<usize>(), 1..20_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn no_damage_to_a_reply_makes_reading_it_panic(changes in prop::collection::vec(change(), 1..6)) {
            let mut bytes = replies::hits().encode_to_vec();
            for change in changes {
                let length = bytes.len().max(1);
                match change {
                    Change::Set(at, value) => {
                        if let Some(byte) = bytes.get_mut(at % length) {
                            *byte = value;
                        }
                    }
                    Change::Insert(at, more) => {
                        let at = (at % length).min(bytes.len());
                        drop(bytes.splice(at..at, more));
                    }
                    Change::Cut(at, count) => {
                        let at = (at % length).min(bytes.len());
                        drop(bytes.drain(at..(at + count).min(bytes.len())));
                    }
                }
            }
            if let Ok(reply) = SearchResults::decode(bytes.as_slice()) {
                read_all(&reply);
            }
        }

        #[test]
        fn no_numbers_that_disagree_make_reading_a_reply_panic(
            topks in prop::collection::vec(prop_oneof![any::<i64>(), 0..4_i64], 0..4),
            scores in prop::collection::vec(any::<f32>(), 0..4),
            keys in prop::collection::vec("[a-c]{0,2}", 0..4),
            lengths in prop::collection::vec(0..4_usize, 3),
            valid in prop::collection::vec(any::<bool>(), 0..4),
            kind in any::<i32>(),
            is_dynamic in any::<bool>(),
        ) {
            use crate::proto::schema::{IDs, JsonArray, LongArray, i_ds::IdField, scalar_field::Data};
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let json = JsonArray { data: vec![Bytes::from_static(b"{\"colour\":[1]}"); lengths[1]] };
            let columns = [
                replies::column("text", Data::StringData(replies::texts(&vec!["x"; lengths[0]]))),
                replies::column("metadata", Data::JsonData(json)),
                replies::column("n", Data::LongData(LongArray { data: vec![1; lengths[2]] })),
            ];
            let columns = columns.map(|column| {
                FieldData { valid_data: valid.clone(), r#type: kind, is_dynamic, ..column }
            });
            let results = SearchResultData {
                fields_data: columns.to_vec(),
                ids: Some(IDs { id_field: Some(IdField::StrId(replies::texts(&keys))) }),
                scores,
                topks,
                ..SearchResultData::default()
            };
            read_all(&SearchResults { results: Some(results), ..SearchResults::default() });
        }
    }
}
