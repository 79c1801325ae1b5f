//! Writing and deleting records: one outcome each, whole or not at all.

use arshai_core::{
    Error, ErrorKind,
    vector::{Id, IdKind, ItemOutcome, Metric, Output, Query, Record, RowQuery, Selection, WriteReport},
};
use serde_json::json;

use super::{Context, object, row_ids, text_ids};
use crate::check::{Checks, Outcome, Problem, checks, equal, holds, shown};

const INSERT: &str = "arshai_core::vector::VectorStore::insert";
const UPSERT: &str = "arshai_core::vector::VectorStore::upsert";
const DELETE: &str = "arshai_core::vector::VectorStore::delete";

pub(super) async fn run(context: &Context<'_>, checks: &mut Checks) {
    let can = context.can;
    checks!(checks;
        "vectors.inserted_records_come_back_whole": INSERT => context.inserts();
        "vectors.insert_of_a_present_key_never_replaces_silently": INSERT => context.insert_duplicate();
        "vectors.upsert_replaces_the_whole_record" if can.upsert, "upsert": UPSERT => context.upserts();
        "vectors.upsert_last_of_a_batch_wins" if can.upsert, "upsert": UPSERT => context.last_wins();
        "vectors.bad_record_fails_alone" if can.dense, "dense": UPSERT => context.bad_records();
        "vectors.metadata_too_deep_fails_alone": "arshai_core::vector::Record::validate" => context.too_deep();
        "vectors.wrong_kind_of_key_fails_alone": INSERT => context.bad_keys();
        "vectors.large_batch_is_written_whole": "arshai_core::vector::WriteReport" => context.large_batch();
        "vectors.empty_batch_is_nothing": INSERT => context.empty_batch();
        "vectors.integer_keys": "arshai_core::vector::IdKind" => context.integer_keys();
        "vectors.chosen_keys": "arshai_core::vector::IdKind::AutoInt" => context.chosen_keys();
        "vectors.odd_keys_texts_and_metadata_survive": "arshai_core::vector::Record" => context.odd();
        "vectors.records_without_dense_vector" if can.dense && can.optional_dense, "optional_dense":
            "arshai_core::vector::Capabilities::optional_dense" => context.optional_dense();
        "vectors.record_without_dense_vector_fails_alone" unless (!can.dense || can.optional_dense): "arshai_core::vector::Capabilities::optional_dense" => context.needs_dense();
        "vectors.delete_by_ids_says_how_many_there_were": DELETE => context.deletes_ids();
        "vectors.stats_count_rows": "arshai_core::vector::VectorStore::stats" => context.stats();
    );
}

/// The outcomes as `Ok(id)` or the error's kind.
fn outcomes(report: &WriteReport) -> Vec<Result<Id, Option<ErrorKind>>> {
    let outcome = |item: &ItemOutcome| match item {
        ItemOutcome::Written(id) => Ok(id.clone()),
        ItemOutcome::Failed(error) => Err(Some(error.kind())),
        ItemOutcome::NotAttempted => Err(None),
    };
    report.items.iter().map(outcome).collect()
}

impl Context<'_> {
    async fn write(&self, collection: &str, records: Vec<Record>) -> Outcome<WriteReport> {
        let report = if self.can.upsert {
            self.store.upsert(collection, records).await?
        } else {
            self.store.insert(collection, records).await?
        };
        Ok(report)
    }

    async fn inserts(&self) -> Outcome {
        let spec = self.any_spec("inserts");
        self.opened(&spec).await?;
        let records = vec![
            self.record("b", "second").with_metadata(object(json!({ "n": 2 }))),
            self.record("a", "first").with_metadata(object(json!({ "n": 1 }))),
        ];
        let report = self.store.insert(&spec.name, records.clone()).await?;
        equal("outcomes, in the order given", &outcomes(&report), &vec![Ok("b".into()), Ok("a".into())])?;
        for record in records {
            self.same(&spec.name, &record).await?;
        }
        Ok(())
    }

    /// The stored row is this record.
    async fn same(&self, collection: &str, record: &Record) -> Outcome {
        let id = record.id.clone().unwrap_or(Id::Int(0));
        let row = self.row(collection, id).await?;
        let what = format!("record {:?}", record.id);
        equal(format!("text of {what}"), &row.text, &record.text)?;
        equal(format!("metadata of {what}"), &row.metadata, &record.metadata)?;
        equal(format!("dense vector of {what}"), &row.dense, &record.dense)?;
        equal(format!("has_dense of {what}"), &row.has_dense, &record.dense.is_some())
    }

    async fn insert_duplicate(&self) -> Outcome {
        let spec = self.any_spec("duplicate");
        let old = self.record("a", "old");
        self.opened(&spec).await?;
        let _first = self.store.insert(&spec.name, vec![old.clone()]).await?.into_complete()?;
        let batch = vec![self.record("b", "b"), self.record("a", "new"), self.record("c", "c")];
        let report = self.store.insert(&spec.name, batch).await?;
        let found = outcomes(&report);
        if found == vec![Ok("b".into()), Ok("a".into()), Ok("c".into())] {
            // "where the engine checks": an engine that does not must at least keep its word about what it wrote.
            return Ok(());
        }
        let expected = vec![Ok("b".into()), Err(Some(ErrorKind::AlreadyExists)), Ok("c".into())];
        equal("outcomes of a batch with a present key", &found, &expected)?;
        self.same(&spec.name, &old).await?;
        equal("rows", &row_ids(&self.rows(&spec.name, RowQuery::all()).await?), &text_ids(&["a", "b", "c"]))
    }

    async fn upserts(&self) -> Outcome {
        let spec = self.any_spec("upserts");
        let old = self.record("a", "old words").with_metadata(object(json!({ "old": 1 })));
        self.filled(&spec, vec![old, self.record("b", "stays")]).await?;
        let new = self.record("a", "new words").with_metadata(object(json!({ "new": [1, 2] })));
        self.written(&spec.name, vec![new.clone()]).await?;
        self.same(&spec.name, &new).await?;
        equal("rows", &row_ids(&self.rows(&spec.name, RowQuery::all()).await?), &text_ids(&["a", "b"]))?;
        if self.can.text {
            let hits = self.search(&spec.name, Query::text("old"), 5).await?;
            equal("hits for a word of the replaced text", &super::ids(&hits), &Vec::new())?;
        }
        Ok(())
    }

    async fn last_wins(&self) -> Outcome {
        let spec = self.any_spec("last_wins");
        self.opened(&spec).await?;
        let batch = vec![self.record("a", "one"), self.record("b", "other"), self.record("a", "two")];
        let report = self.store.upsert(&spec.name, batch).await?;
        equal("items of the report", &report.items.len(), &3)?;
        equal("text of the key given twice", &self.row(&spec.name, "a").await?.text.as_str(), &"two")?;
        equal("rows", &self.rows(&spec.name, RowQuery::all()).await?.len(), &2)
    }

    async fn bad_records(&self) -> Outcome {
        let spec = self.spec("bad").with_dense(2);
        self.opened(&spec).await?;
        let record = |id: &str, dense: Vec<f32>| Record::new(id).with_id(id).with_dense(dense);
        let batch = vec![
            record("good 1", vec![1.0, 0.0]),
            record("short", vec![1.0]),
            record("long", vec![1.0, 0.0, 0.0]),
            record("nan", vec![f32::NAN, 0.0]),
            record("infinite", vec![0.0, f32::NEG_INFINITY]),
            record("empty", Vec::new()),
            record("good 2", vec![0.0, 1.0]),
        ];
        let report = self.write(&spec.name, batch).await?;
        let bad = || Err(Some(ErrorKind::InvalidInput));
        let expected = vec![Ok("good 1".into()), bad(), bad(), bad(), bad(), bad(), Ok("good 2".into())];
        equal("outcomes", &outcomes(&report), &expected)?;
        equal(
            "rows",
            &row_ids(&self.rows(&spec.name, RowQuery::all()).await?),
            &text_ids(&["good 1", "good 2"]),
        )
    }

    async fn too_deep(&self) -> Outcome {
        let spec = self.any_spec("too_deep");
        self.opened(&spec).await?;
        let nested = |levels: usize| {
            let value = (1..levels).fold(json!("bottom"), |value, _| json!([value]));
            object(json!({ "deep": value }))
        };
        let fits = self.record("fits", "x").with_metadata(nested(60));
        let batch =
            vec![self.record("a", "x"), self.record("deep", "x").with_metadata(nested(150)), fits.clone()];
        let report = self.write(&spec.name, batch).await?;
        let bad = Err(Some(ErrorKind::InvalidInput));
        equal("outcomes", &outcomes(&report), &vec![Ok("a".into()), bad, Ok("fits".into())])?;
        self.same(&spec.name, &fits).await
    }

    async fn bad_keys(&self) -> Outcome {
        let spec = self.any_spec("bad_keys");
        self.opened(&spec).await?;
        let mut without = self.record("x", "no key");
        without.id = None;
        let batch =
            vec![self.record("a", "good"), self.record(7, "integer"), without, self.record("b", "good")];
        let report = self.write(&spec.name, batch).await?;
        let bad = || Err(Some(ErrorKind::InvalidInput));
        equal("outcomes", &outcomes(&report), &vec![Ok("a".into()), bad(), bad(), Ok("b".into())])?;
        equal("rows", &row_ids(&self.rows(&spec.name, RowQuery::all()).await?), &text_ids(&["a", "b"]))
    }

    async fn large_batch(&self) -> Outcome {
        const RECORDS: usize = 2_500;
        let spec = self.any_spec("large_batch");
        let record = |n| self.record(format!("r{n:05}"), format!("text {n}"));
        self.filled(&spec, (0..RECORDS).map(record).collect()).await?;
        let found = row_ids(&self.rows(&spec.name, RowQuery::all().output(Output::ids()).limit(700)).await?);
        let expected: Vec<_> = (0..RECORDS).map(|n| Id::Text(format!("r{n:05}"))).collect();
        let missing: Vec<_> = expected.iter().filter(|id| found.binary_search(id).is_err()).take(5).collect();
        holds("every acknowledged record is there (first missing ones below)", missing.is_empty(), &missing)?;
        equal("rows", &found.len(), &RECORDS)?;
        equal("rows in stats", &self.store.stats(&spec.name).await?.rows, &(RECORDS as u64))
    }

    async fn empty_batch(&self) -> Outcome {
        let spec = self.any_spec("empty_batch");
        self.opened(&spec).await?;
        equal("items of insert", &self.store.insert(&spec.name, Vec::new()).await?.items.len(), &0)?;
        equal("items of write", &self.write(&spec.name, Vec::new()).await?.items.len(), &0)?;
        equal("deleted", &self.store.delete(&spec.name, &Selection::Ids(Vec::new())).await?, &0)
    }

    async fn integer_keys(&self) -> Outcome {
        let spec = self.any_spec("integer_keys").with_id(IdKind::Int);
        let keys = [i64::MIN, -10, -9, 0, 9, 10, 9_007_199_254_740_993, i64::MAX];
        let records = keys.iter().rev().map(|key| self.record(*key, key.to_string())).collect();
        self.filled(&spec, records).await?;
        let rows = self.rows(&spec.name, RowQuery::all().limit(3)).await?;
        equal("rows, in numeric order", &row_ids(&rows), &keys.map(Id::Int).to_vec())?;
        for row in &rows {
            equal("text of its key", &row.text, &row.id.to_string())?;
        }
        let text = self.write(&spec.name, vec![self.record("1", "x")]).await?;
        equal("outcome of a text key", &outcomes(&text), &vec![Err(Some(ErrorKind::InvalidInput))])
    }

    async fn chosen_keys(&self) -> Outcome {
        let spec = self.any_spec("chosen_keys").with_id(IdKind::AutoInt);
        self.opened(&spec).await?;
        let mut records = vec![self.record(0, "first"), self.record(0, "second")];
        records.iter_mut().for_each(|record| record.id = None);
        let mut ids = self.store.insert(&spec.name, records.clone()).await?.into_complete()?;
        ids.extend(self.store.insert(&spec.name, records).await?.into_complete()?);
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        holds(
            "four distinct integers",
            distinct.len() == 4 && ids.iter().all(|id| matches!(id, Id::Int(_))),
            &ids,
        )?;
        for (id, text) in ids.into_iter().zip(["first", "second", "first", "second"]) {
            equal(format!("text of {id}"), &self.row(&spec.name, id).await?.text.as_str(), &text)?;
        }
        Ok(())
    }

    async fn odd(&self) -> Outcome {
        let spec = self.any_spec("odd");
        self.opened(&spec).await?;
        let metadata = object(json!({
            "i64 max": i64::MAX, "i64 min": i64::MIN, "u64 max": u64::MAX, "float": 0.1, "small": 5e-324,
            "null": null, "list": [1, "two", [3.5, null], {"four": false}], "empty": {}, "": "empty key",
            "quo\"te\\": "\u{1b}", "日本": {"a.b": [0]}, "id": "not the key", "text": "not the text",
        }));
        let texts = [
            "",
            " ",
            "\r\n\t\u{1b}[31m",
            "'; DROP TABLE x; --",
            "日本語",
            "שלום \u{202e}",
            "👨‍👩‍👧‍👦 e\u{301} \u{feff}",
        ];
        let keys = [
            "'", "\"", "%", "a b", "日本", "../x", "a;b", "*", "\\", "é", "e\u{301}", "null", "1", "{}",
            "a:b",
        ];
        let mut records = Vec::new();
        for (n, key) in keys.iter().enumerate() {
            let text = texts.get(n % texts.len()).copied().unwrap_or_default();
            records.push(self.record(*key, text).with_metadata(metadata.clone()));
        }
        records.push(self.record("long", "long words and more. ".repeat(2_400)));
        self.written(&spec.name, records.clone()).await?;
        for record in &records {
            self.same(&spec.name, record).await?;
        }
        self.with_nul(&spec.name).await?;
        let all = keys.iter().map(|key| Id::from(*key)).collect::<Vec<_>>();
        let removed = self.store.delete(&spec.name, &Selection::Ids(all)).await?;
        equal("deleted by odd keys", &removed, &(keys.len() as u64))
    }

    /// A NUL in the text is kept or refused for that record alone, never cut off.
    async fn with_nul(&self, collection: &str) -> Outcome {
        let record = self.record("nul", "before\0after");
        let report = self.write(collection, vec![record.clone()]).await?;
        match report.items.first() {
            Some(ItemOutcome::Written(_)) => self.same(collection, &record).await,
            Some(ItemOutcome::Failed(error)) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            other => Err(Problem::new("a text with a NUL is kept whole or refused", shown(&other))),
        }
    }

    async fn optional_dense(&self) -> Outcome {
        let spec = self.spec("optional").with_dense(2).with_metric(Metric::L2);
        let bare = Record::new("words only").with_id("bare");
        let full = Record::new("words and vector").with_id("full").with_dense(vec![1.0, 2.0]);
        self.filled(&spec, vec![bare.clone(), full.clone()]).await?;
        self.same(&spec.name, &bare).await?;
        let plain = self.rows(&spec.name, RowQuery::all()).await?;
        let flags: Vec<_> = plain.iter().map(|row| (row.has_dense, row.dense.is_some())).collect();
        equal("has_dense, and vectors not asked for", &flags, &vec![(false, false), (true, false)])?;
        let hits = self.search(&spec.name, Query::dense([0.0, 0.0]), 5).await?;
        equal("hits of a dense search", &super::ids(&hits), &text_ids(&["full"]))?;
        let stats = self.store.stats(&spec.name).await?;
        equal("rows and dense rows", &(stats.rows, stats.dense_rows), &(2, 1))?;
        if self.can.upsert {
            self.written(&spec.name, vec![Record::new("now bare").with_id("full")]).await?;
            equal(
                "hits after the vector went",
                &self.search(&spec.name, Query::dense([0.0, 0.0]), 5).await?.len(),
                &0,
            )?;
        }
        Ok(())
    }

    async fn needs_dense(&self) -> Outcome {
        let spec = self.spec("needs_dense").with_dense(2);
        self.opened(&spec).await?;
        let batch = vec![
            Record::new("x").with_id("bare"),
            Record::new("x").with_id("full").with_dense(vec![1.0, 0.0]),
        ];
        let report = self.write(&spec.name, batch).await?;
        holds(
            "the record without a vector is refused",
            matches!(outcomes(&report).first(), Some(Err(Some(_)))),
            &report,
        )?;
        equal("the other record", &outcomes(&report).get(1).cloned(), &Some(Ok("full".into())))
    }

    async fn deletes_ids(&self) -> Outcome {
        let spec = self.any_spec("deletes");
        self.filled(&spec, ["a", "b", "c", "d"].map(|id| self.record(id, "word")).to_vec()).await?;
        let some = Selection::Ids(text_ids(&["a", "missing", "c", "a"]));
        equal("deleted", &self.store.delete(&spec.name, &some).await?, &2)?;
        equal("deleted again", &self.store.delete(&spec.name, &some).await?, &0)?;
        equal("rows", &row_ids(&self.rows(&spec.name, RowQuery::all()).await?), &text_ids(&["b", "d"]))?;
        if self.can.text {
            let hits = self.search(&spec.name, Query::text("word"), 5).await?;
            equal("hits for a word of all", &hits.len(), &2)?;
        }
        if self.can.dense {
            equal("dense hits", &self.search(&spec.name, Query::dense([0.6, 0.8]), 5).await?.len(), &2)?;
        }
        // What was deleted can be written again.
        self.written(&spec.name, vec![self.record("a", "back")]).await?;
        equal("text", &self.row(&spec.name, "a").await?.text.as_str(), &"back")
    }

    async fn stats(&self) -> Outcome {
        let spec = self.any_spec("stats");
        self.opened(&spec).await?;
        let rows = async || Ok::<_, Error>(self.store.stats(&spec.name).await?.rows);
        equal("rows of an empty collection", &rows().await?, &0)?;
        self.written(&spec.name, ["a", "b", "c"].map(|id| self.record(id, "x")).to_vec()).await?;
        equal("rows", &rows().await?, &3)?;
        if self.can.upsert {
            self.written(&spec.name, vec![self.record("a", "y")]).await?;
            equal("rows after a replacement", &rows().await?, &3)?;
        }
        self.store.delete(&spec.name, &Selection::Ids(text_ids(&["a"]))).await?;
        let stats = self.store.stats(&spec.name).await?;
        equal("rows after a delete", &stats.rows, &2)?;
        equal("dense rows", &stats.dense_rows, &if self.can.dense { 2 } else { 0 })
    }
}
