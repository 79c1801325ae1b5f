//! Filters mean on the engine what they mean in core.

use std::collections::BTreeSet;

use arshai_core::{
    ErrorKind, Filter,
    filter::{Field, Subject},
    vector::{Id, Output, Query, Record, RowQuery, Search, Selection},
};

use super::{
    Context,
    generator::{self, Generator},
    ids, row_ids, text_ids,
};
use crate::check::{Checks, Outcome, Problem, checks, equal, fails, holds};

const FILTER: &str = "arshai_core::filter";
const ROWS: usize = 100;
const FILTERS: usize = 120;

pub(super) async fn run(context: &Context<'_>, checks: &mut Checks) {
    const RANDOM: &str = "vectors.random_filters_agree_with_core";
    let can = context.can;
    if can.filter {
        checks.run_noted(RANDOM, FILTER, Box::pin(context.random())).await;
    } else {
        checks.skip(RANDOM, "filter");
    }
    checks!(checks;
        "vectors.filter_numbers_are_exact" if can.filter, "filter": FILTER => context.numbers();
        "vectors.filter_applies_to_every_kind_of_search" if can.filter, "filter": FILTER => context.in_search();
        "vectors.delete_by_filter_removes_exactly_the_matches" if can.filter && can.delete_by_filter,
            "delete_by_filter": "arshai_core::vector::Selection::Filter" => context.deletes();
        "vectors.hostile_filter_texts_are_data" if can.filter, "filter": FILTER => context.hostile();
        "vectors.raw_filter_is_unsupported" unless (can.raw_filter):
            "arshai_core::Filter::Raw" => context.raw();
    );
}

impl Context<'_> {
    /// Rows of random text and metadata.
    fn random_rows(&self, generator: &mut Generator, names: &[String]) -> Vec<Record> {
        let row =
            |name: &String| self.record(name.clone(), generator.text()).with_metadata(generator.metadata());
        names.iter().map(row).collect()
    }

    async fn random(&self) -> Outcome<String> {
        let seed = fastrand::u64(..);
        let seeded = |problem: Problem| problem.during(format!("seed {seed}"));
        self.compared(seed).await.map_err(seeded)
    }

    async fn compared(&self, seed: u64) -> Outcome<String> {
        let names: Vec<_> =
            (0..ROWS).map(|n| format!("{}{n}", ["r", "R", "é", "'"].get(n % 4).unwrap_or(&""))).collect();
        let mut generator = Generator::new(seed, names.clone());
        let records = self.random_rows(&mut generator, &names);
        let collection = self.filled(&self.any_spec("filters"), records.clone()).await?;
        let (mut pairs, mut refused, mut held) = (0, 0, 0);
        for _ in 0..FILTERS {
            let filter = generator.filter(3);
            let query = RowQuery::all().filter(filter.clone()).output(Output::ids());
            if !self.factory.evaluates(&filter) {
                fails(
                    format!("the filter {filter}"),
                    self.store.query(&collection, &query).await,
                    ErrorKind::Unsupported,
                )?;
                refused += 1;
                continue;
            }
            let found: BTreeSet<_> = self
                .rows(&collection, query)
                .await
                .map_err(|problem| problem.during(format!("the filter {filter}")))?
                .into_iter()
                .map(|row| row.id)
                .collect();
            pairs += records.len();
            held += found.len();
            agreed(&filter, &records, &found)?;
        }
        Ok(format!(
            "seed {seed}: {pairs} pairs of filter and row agree, {held} of them hold; {refused} filters refused"
        ))
    }

    /// Every number a filter can hold against every number a row can hold, integers and floats together.
    async fn numbers(&self) -> Outcome {
        let row = |(n, number)| {
            self.record(format!("n{n:02}"), "x")
                .with_metadata(super::object(serde_json::json!({ "n": number })))
        };
        let records: Vec<_> = generator::numbers().into_iter().enumerate().map(row).collect();
        let collection = self.filled(&self.any_spec("numbers"), records.clone()).await?;
        for filter in generator::comparisons(&Field::metadata("n")) {
            if self.factory.evaluates(&filter) {
                let query = RowQuery::all().filter(filter.clone()).output(Output::ids());
                let found = self.rows(&collection, query).await?.into_iter().map(|row| row.id).collect();
                agreed(&filter, &records, &found)?;
            }
        }
        Ok(())
    }

    async fn in_search(&self) -> Outcome {
        let texts = ["red apple", "green apple", "red pear", "green pear"];
        let records = texts.iter().enumerate().map(|(n, text)| {
            let colour = text.split(' ').next().unwrap_or_default();
            let metadata = super::object(serde_json::json!({ "colour": colour, "n": n }));
            self.record(*text, *text).with_metadata(metadata)
        });
        let collection = self.filled(&self.any_spec("filtered"), records.collect()).await?;
        let red = Filter::eq(Field::metadata("colour"), "red");
        let mut queries = Vec::new();
        if self.can.dense {
            queries.push(Query::dense([0.6, 0.8]));
        }
        if self.can.text {
            queries.push(Query::text("apple pear"));
        }
        if self.can.dense && self.can.text && self.can.hybrid {
            use arshai_core::vector::{Fusion, Leg};
            let legs = vec![Leg::dense([0.6, 0.8]), Leg::text("apple pear")];
            queries.push(Query::hybrid(legs, Fusion::rrf()));
        }
        for query in queries {
            let name = format!("{query:?}");
            let search = Search::new(query).limit(10);
            let found: BTreeSet<_> =
                ids(&self.hits(&collection, search.clone().filter(red.clone())).await?).into_iter().collect();
            let expected = text_ids(&["red apple", "red pear"]).into_iter().collect();
            equal(format!("hits of {name} where colour is red"), &found, &expected)?;
            // One of the two is not what the engine would find first.
            for (colour, filter) in [("red", red.clone()), ("green", !red.clone())] {
                let hits = self.hits(&collection, search.clone().limit(1).filter(filter)).await?;
                let right = matches!(ids(&hits).as_slice(), [Id::Text(id)] if id.starts_with(colour));
                holds(
                    format!("one {colour} hit of {name}: the filter comes before the limit"),
                    right,
                    &hits,
                )?;
            }
        }
        let rows = self.rows(&collection, RowQuery::all().filter(red)).await?;
        equal("rows where colour is red", &row_ids(&rows), &text_ids(&["red apple", "red pear"]))
    }

    async fn deletes(&self) -> Outcome {
        let seed = fastrand::u64(..);
        let names: Vec<_> = (0..40).map(|n| format!("r{n:02}")).collect();
        let mut generator = Generator::new(seed, names.clone());
        let mut records = self.random_rows(&mut generator, &names);
        let collection = self.filled(&self.any_spec("filter_delete"), records.clone()).await?;
        for _ in 0..20 {
            let filter = generator.filter(2);
            if !self.factory.evaluates(&filter) {
                continue;
            }
            let what = format!("seed {seed}: deleting where {filter}");
            let before = records.len();
            records.retain(|record| !matches(&filter, record));
            let removed = self.store.delete(&collection, &Selection::Filter(filter)).await?;
            equal(format!("{what}: how many"), &removed, &((before - records.len()) as u64))?;
            let left: Vec<_> = records.iter().filter_map(|record| record.id.clone()).collect();
            equal(
                format!("{what}: what is left"),
                &row_ids(&self.rows(&collection, RowQuery::all()).await?),
                &left,
            )?;
        }
        Ok(())
    }

    async fn hostile(&self) -> Outcome {
        let hostile = [
            "' OR 1=1 --",
            "\" or id != \"\" or \"",
            "x'; DROP TABLE chunk; --",
            "\\",
            "\\\"",
            "%",
            "{{}}",
            "$.a",
            "\n",
            "\u{202e}",
            "?1",
            ":name",
            "@x",
            "\" == \"\" || \"a",
            "\0",
        ];
        let records = hostile.iter().enumerate().map(|(n, text)| {
            let metadata = super::object(serde_json::json!({ "s": text, (*text): "key" }));
            self.record(format!("h{n:02}"), "x").with_metadata(metadata)
        });
        let collection = self.filled(&self.any_spec("hostile"), records.collect()).await?;
        for (n, text) in hostile.iter().enumerate() {
            let alone = text_ids(&[format!("h{n:02}").as_str()]);
            for filter in [
                Filter::eq(Field::metadata("s"), *text),
                Filter::is_in(Field::metadata("s"), [*text]),
                Filter::exists(Field::metadata(*text)),
                Filter::eq(Field::metadata(*text), "key"),
                Filter::StartsWith(Field::metadata("s"), (*text).to_owned())
                    .and(Filter::eq(Field::metadata("s"), *text)),
            ] {
                if self.factory.evaluates(&filter) {
                    let found = self.rows(&collection, RowQuery::all().filter(filter.clone())).await?;
                    equal(format!("rows where {filter}"), &row_ids(&found), &alone)?;
                }
            }
        }
        Ok(())
    }

    async fn raw(&self) -> Outcome {
        let collection = self.filled(&self.any_spec("raw"), vec![self.record("a", "x")]).await?;
        for filter in [Filter::raw("1 == 1"), !Filter::raw("1 == 2").or(Filter::eq(Field::Id, "a"))] {
            let query = RowQuery::all().filter(filter.clone());
            fails(
                "query with a raw filter",
                self.store.query(&collection, &query).await,
                ErrorKind::Unsupported,
            )?;
            let selection = Selection::Filter(filter.clone());
            fails(
                "delete by a raw filter",
                self.store.delete(&collection, &selection).await,
                ErrorKind::Unsupported,
            )?;
            let query = if self.can.text { Query::text("x") } else { Query::dense([0.6, 0.8]) };
            let searched = self.store.search(&collection, &Search::new(query).filter(filter)).await;
            fails("search with a raw filter", searched, ErrorKind::Unsupported)?;
        }
        self.row(&collection, "a").await.map(|_| ())
    }
}

fn matches(filter: &Filter, record: &Record) -> bool {
    let Some(id) = &record.id else { return false };
    filter.matches(&Subject { id, text: &record.text, metadata: &record.metadata })
}

fn agreed(filter: &Filter, records: &[Record], found: &BTreeSet<Id>) -> Outcome {
    for record in records {
        let (expected, got) =
            (matches(filter, record), record.id.as_ref().is_some_and(|id| found.contains(id)));
        if expected != got {
            return Err(Problem::new(
                format!("the filter is {expected}, as core's Filter::matches says: {filter}"),
                format!(
                    "{got} for the row {:?} with text {:?} and metadata {}",
                    record.id,
                    record.text,
                    serde_json::Value::Object(record.metadata.clone())
                ),
            ));
        }
    }
    Ok(())
}
