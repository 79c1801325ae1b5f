//! Text search: BM25 over text that is data, in many scripts.

use arshai_core::vector::{Query, Record};

use super::{Context, ids, in_order, text_ids};
use crate::check::{Checks, Outcome, checks, equal, holds};

const TEXT: &str = "arshai_core::vector::Query::Text";
const SCORES: &str = "arshai_core::vector::Hit";

pub(super) async fn run(context: &Context<'_>, checks: &mut Checks) {
    let can = context.can.text;
    checks!(checks;
        "vectors.text_scores_are_positive_and_best_first" if can, "text": SCORES => context.ranked();
        "vectors.text_operators_are_data" if can, "text": TEXT => context.operators();
        "vectors.text_of_many_scripts_is_found" if can, "text": "arshai_core::text::terms" => context.scripts();
        "vectors.text_query_without_words_has_no_hits" if can, "text": TEXT => context.wordless();
        "vectors.text_query_of_a_megabyte" if can, "text": TEXT => context.huge();
        "vectors.text_follows_replaced_and_deleted_records" if can, "text": TEXT => context.current();
    );
}

impl Context<'_> {
    async fn library(&self, name: &str, texts: &[(&str, &str)]) -> Outcome<String> {
        let records = texts.iter().map(|(id, text)| self.record(*id, *text)).collect();
        self.filled(&self.any_spec(name), records).await
    }

    async fn found(&self, collection: &str, query: &str) -> Outcome<Vec<arshai_core::vector::Id>> {
        let hits = self.search(collection, Query::text(query), 50).await?;
        in_order(&hits)?;
        let positive = hits.iter().all(|hit| hit.score >= 0.0 && hit.score.is_finite());
        holds("BM25 scores are finite and at least 0", positive, &hits.first())?;
        Ok(ids(&hits))
    }

    async fn ranked(&self) -> Outcome {
        let library = [
            ("both", "the harbour pilot guides the ship into the harbour"),
            ("one", "a pilot light burns in the old stove of the kitchen"),
            ("none", "bread is baked from flour and water"),
            (
                "long",
                "the pilot said many other things about weather and wind and waves and clouds and rain and snow",
            ),
        ];
        let collection = self.library("ranked", &library).await?;
        let found = self.found(&collection, "harbour pilot").await?;
        equal("the best hit holds both words, one of them twice", &found.first(), &Some(&"both".into()))?;
        equal("hits", &found.len(), &3)?;
        let found = self.found(&collection, "pilot").await?;
        equal("the longest text comes last", &found.last(), &Some(&"long".into()))?;
        equal("hits for a word in no text", &self.found(&collection, "zeppelin").await?, &Vec::new())?;
        equal("case does not matter", &self.found(&collection, "FLOUR").await?, &text_ids(&["none"]))
    }

    async fn operators(&self) -> Outcome {
        let library = [
            ("rust", "rust memory safety"),
            ("python", "python memory manager"),
            ("near", "near not and or text column"),
        ];
        let collection = self.library("operators", &library).await?;
        let both = || text_ids(&["python", "rust"]);
        for query in [
            "rust NOT python",
            "rust AND python",
            "rust -python",
            "\"rust python",
            "(rust OR python",
            "rust* python*",
            "^rust python",
            "text:rust python",
            "rust + python",
            "{rust} [python]",
            "NEAR(rust python, 2)",
            "'rust'; DROP TABLE chunk; -- python",
            "rust\\python",
            "rust\0python",
            "rust % python _",
            "?1 rust :a python",
            "\"\"rust\"\" \"python\"\"",
        ] {
            let mut found = self.found(&collection, query).await?;
            found.retain(|id| *id != "near".into());
            found.sort();
            equal(format!("texts found by {query:?}"), &found, &both())?;
        }
        Ok(())
    }

    async fn scripts(&self) -> Outcome {
        let library = [
            ("ja", "東京都は日本の首都です"),
            ("zh", "北京是中国的首都"),
            ("ko", "서울은 한국의 수도입니다"),
            ("he", "שלום עולם"),
            ("ar", "مرحبا بالعالم"),
            ("ru", "Привет, мир"),
            ("fr", "un café crème à l'hôtel"),
            ("hi", "दिन का समय"),
            ("kana", "かぎを探す"),
            ("emoji", "ship it 🚀 now"),
        ];
        let collection = self.library("scripts", &library).await?;
        for (query, expected) in [
            ("東京", "ja"),
            ("日本", "ja"),
            ("京都", "ja"),
            ("北京", "zh"),
            ("中国", "zh"),
            ("한국", "ko"),
            ("שלום", "he"),
            ("\u{202b}עולם\u{202c}", "he"),
            ("مرحبا", "ar"),
            ("мир", "ru"),
            ("ПРИВЕТ", "ru"),
            ("café", "fr"),
            ("cafe\u{301}", "fr"),
            ("cafe", "fr"),
            ("hôtel", "fr"),
            ("समय", "hi"),
            ("かぎ", "kana"),
            ("ship 🚀", "emoji"),
        ] {
            equal(
                format!("the text found first by {query:?}"),
                &self.found(&collection, query).await?.first(),
                &Some(&expected.into()),
            )?;
        }
        equal("the texts found by 首都", &self.found(&collection, "首都").await?.len(), &2)
    }

    async fn wordless(&self) -> Outcome {
        let collection = self.library("wordless", &[("a", "some words * \" ?"), ("b", "")]).await?;
        for query in ["", " \t\n", "***", "\"\"", "?!.,;:", "()", "-- ", "\0", "\u{202e}\u{feff}", "🚀"] {
            equal(format!("hits for {query:?}"), &self.found(&collection, query).await?, &Vec::new())?;
        }
        Ok(())
    }

    async fn huge(&self) -> Outcome {
        let collection = self.library("huge", &[("a", "needle in hay"), ("b", "grass")]).await?;
        let query = format!("needle {}", "straw chaff ".repeat(87_382));
        holds("the query is over 1 MB", query.len() > 1 << 20, &query.len())?;
        equal("texts found", &self.found(&collection, &query).await?, &text_ids(&["a"]))?;
        let one_word = "x".repeat(1 << 20);
        equal("texts found by one word of 1 MiB", &self.found(&collection, &one_word).await?, &Vec::new())
    }

    async fn current(&self) -> Outcome {
        let collection = self.library("current", &[("a", "alpha shared"), ("b", "beta shared")]).await?;
        if self.can.upsert {
            self.written(&collection, vec![self.record("a", "gamma shared")]).await?;
            equal("texts found by a replaced word", &self.found(&collection, "alpha").await?, &Vec::new())?;
            equal(
                "texts found by the new word",
                &self.found(&collection, "gamma").await?,
                &text_ids(&["a"]),
            )?;
        }
        let selection = arshai_core::vector::Selection::Ids(text_ids(&["b"]));
        self.store.delete(&collection, &selection).await?;
        equal("texts found by a shared word", &self.found(&collection, "shared").await?, &text_ids(&["a"]))?;
        let again: Record = self.record("b", "delta shared");
        self.written(&collection, vec![again]).await?;
        equal(
            "texts found by the word written again",
            &self.found(&collection, "delta").await?,
            &text_ids(&["b"]),
        )
    }
}
