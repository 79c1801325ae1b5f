//! Reading rows: pages, keys, cursors, scans, and another handle's writes.

use arshai_core::vector::{Consistency, Id, Output, Query, Record, RowQuery, Search, VectorStoreExt as _};
use futures_util::TryStreamExt as _;
use serde_json::json;

use super::{Context, ids, object, row_ids, text_ids};
use crate::check::{Checks, Outcome, checks, equal, holds};

const QUERY: &str = "arshai_core::vector::VectorStore::query";
const ROWS: usize = 50;

pub(super) async fn run(context: &Context<'_>, checks: &mut Checks) {
    checks!(checks;
        "vectors.query_pages_hold_every_row_once_in_key_order": QUERY => context.pages();
        "vectors.query_by_keys": QUERY => context.by_keys();
        "vectors.query_output_holds_what_was_asked_for": "arshai_core::vector::Output" => context.row_output();
        "vectors.scan_streams_every_row": "arshai_core::vector::VectorStoreExt::scan" => context.scans();
        "vectors.strong_search_sees_another_handle_s_writes": "arshai_core::vector::Consistency::Strong" =>
            context.other_handle();
        "vectors.session_search_sees_own_writes": "arshai_core::vector::Consistency::Session" => context.own_writes();
    );
}

impl Context<'_> {
    fn fifty(&self) -> Vec<Record> {
        // Neither the order of writing nor the alphabet's is the order of code points.
        (0..ROWS)
            .rev()
            .map(|n| self.record(format!("{}{n:02}", if n % 2 == 0 { "a" } else { "Z" }), "x"))
            .collect()
    }

    async fn pages(&self) -> Outcome {
        let records = self.fifty();
        let mut expected: Vec<_> = records.iter().filter_map(|record| record.id.clone()).collect();
        expected.sort();
        let collection = self.filled(&self.any_spec("pages"), records).await?;
        for limit in [1, 7, ROWS - 1, ROWS, 1000] {
            let rows = self.rows(&collection, RowQuery::all().limit(limit)).await?;
            equal(format!("keys over pages of {limit}"), &row_ids(&rows), &expected)?;
        }
        let query = RowQuery::all().limit(7).consistency(Consistency::Strong);
        let page = self.store.query(&collection, &query).await?;
        equal("rows on a page of 7", &page.rows.len(), &7)?;
        equal("the cursor is the page's last key", &page.next, &page.rows.last().map(|row| row.id.clone()))?;
        let whole = self.store.query(&collection, &query.limit(ROWS)).await?;
        equal("the cursor after the last row", &whole.next, &None)?;
        // A cursor need not be a key that exists.
        let rows = self.rows(&collection, RowQuery::all().after(Id::from("Zzz"))).await?;
        holds(
            "only keys after the cursor",
            rows.len() == ROWS / 2 && rows.iter().all(|r| r.id > "Zzz".into()),
            &row_ids(&rows),
        )
    }

    async fn by_keys(&self) -> Outcome {
        let collection = self.filled(&self.any_spec("by_keys"), self.fifty()).await?;
        let some = text_ids(&["a10", "missing", "Z01", "a10", "a02"]);
        let rows = self.rows(&collection, RowQuery::ids(some.clone())).await?;
        equal("rows of some keys", &row_ids(&rows), &text_ids(&["Z01", "a02", "a10"]))?;
        let rows = self.rows(&collection, RowQuery::ids(some.clone()).limit(1)).await?;
        equal("rows of some keys, one a page", &row_ids(&rows), &text_ids(&["Z01", "a02", "a10"]))?;
        let rows = self.rows(&collection, RowQuery::ids(some).after(Id::from("a02"))).await?;
        equal("rows of some keys after a cursor", &row_ids(&rows), &text_ids(&["a10"]))?;
        let many: Vec<_> = (0..3_000).map(|n| Id::Text(format!("a{n:02}"))).collect();
        equal("rows of 3,000 keys", &self.rows(&collection, RowQuery::ids(many)).await?.len(), &(ROWS / 2))?;
        equal("rows of no keys", &self.rows(&collection, RowQuery::ids(Vec::new())).await?.len(), &0)
    }

    async fn row_output(&self) -> Outcome {
        let record = self.record("a", "words").with_metadata(object(json!({ "n": 1 })));
        let collection = self.filled(&self.any_spec("output"), Vec::new()).await?;
        for query in [RowQuery::all(), RowQuery::ids(text_ids(&["a"]))] {
            let rows = self.rows(&collection, query.output(Output::all())).await?;
            equal("rows of an empty collection", &rows.len(), &0)?;
        }
        self.written(&collection, vec![record.clone()]).await?;
        let vector = record.dense.clone();
        for (name, output, expected) in [
            ("default", Output::default(), ("words", 1, None)),
            ("ids", Output::ids(), ("", 0, None)),
            ("metadata", Output::metadata(), ("", 1, None)),
            ("all", Output::all(), ("words", 1, vector)),
        ] {
            let rows = self.rows(&collection, RowQuery::all().output(output)).await?;
            let found: Vec<_> =
                rows.iter().map(|row| (row.text.as_str(), row.metadata.len(), row.dense.clone())).collect();
            equal(format!("text, metadata members and vector with output {name}"), &found, &vec![expected])?;
            equal("has_dense", &rows.first().map(|row| row.has_dense), &Some(self.can.dense))?;
        }
        Ok(())
    }

    async fn scans(&self) -> Outcome {
        let collection = self.filled(&self.any_spec("scans"), self.fifty()).await?;
        let query = RowQuery::all().limit(7).consistency(Consistency::Strong);
        let rows: Vec<_> = self.store.scan(&collection, query).try_collect().await?;
        let found = row_ids(&rows);
        holds("every row once, in key order", found.len() == ROWS && found.is_sorted(), &found)
    }

    fn word_or_vector(&self, word: &str) -> Query {
        if self.can.text { Query::text(word) } else { Query::dense([0.6, 0.8]) }
    }

    async fn other_handle(&self) -> Outcome {
        let spec = self.any_spec("handles");
        self.opened(&spec).await?;
        self.other.open(&spec).await?;
        for round in 0..20 {
            let (id, word) = (format!("r{round:02}"), format!("word{round}"));
            self.written(&spec.name, vec![self.record(id.clone(), word.clone())]).await?;
            let search = Search::new(self.word_or_vector(&word)).limit(50).consistency(Consistency::Strong);
            let hits = self.other.search(&spec.name, &search).await?.pop().unwrap_or_default();
            let found = ids(&hits);
            holds(
                format!("another handle finds {id} right after it was written"),
                found.contains(&id.clone().into()),
                &found,
            )?;
            if round % 3 == 0 {
                let selection = arshai_core::vector::Selection::Ids(vec![id.clone().into()]);
                self.other.delete(&spec.name, &selection).await?;
                let found = ids(&self.hits(&spec.name, search).await?);
                holds(
                    format!("{id} is gone after another handle deleted it"),
                    !found.contains(&id.into()),
                    &found,
                )?;
            }
        }
        Ok(())
    }

    async fn own_writes(&self) -> Outcome {
        let spec = self.any_spec("session");
        self.opened(&spec).await?;
        for round in 0..10 {
            let (id, word) = (format!("r{round:02}"), format!("word{round}"));
            self.written(&spec.name, vec![self.record(id.clone(), word.clone())]).await?;
            let search = Search::new(self.word_or_vector(&word)).limit(50);
            let found = ids(&self.store.search(&spec.name, &search).await?.pop().unwrap_or_default());
            holds(format!("the writer finds {id} at once"), found.contains(&id.into()), &found)?;
        }
        Ok(())
    }
}
