//! The suite of [`Embedder`].

use std::sync::Arc;

use arshai_core::{
    ErrorKind,
    embed::{Embedder, EmbedderExt as _, Input},
};

use crate::{
    Report,
    check::{Checks, Outcome, Problem, checks, equal, holds, present},
    drop_harness,
};

const EMBED: &str = "arshai_core::embed::Embedder::embed";
const TEXTS: &[&str] = &[
    "how long is a memory kept?",
    "A memory is kept for twelve hours.",
    "日本語のテキスト",
    "مرحبا بالعالم",
    "x",
    "line one\nline two\ttabbed",
    "emoji 👨‍👩‍👧‍👦 and e\u{301}",
];

/// Runs every check an embedder must pass.
///
/// `poison` is a text the embedder is known to refuse (too long, say), for the check that a bad text fails alone;
/// without one that check is skipped. The embedder is closed at the end.
///
/// # Cancel safety
///
/// Dropping the future stops the suite.
pub async fn suite(embedder: Arc<dyn Embedder>, poison: Option<&str>) -> Report {
    let mut checks = Checks::new("embedder");
    let context = Context { embedder };
    checks!(&mut checks;
        "embedder.dimension_is_constant": "arshai_core::embed::Embedder::dimension" => context.dimension();
        "embedder.order_is_kept": EMBED => context.order();
        "embedder.values_are_finite_and_not_all_zero": EMBED => context.finite();
        "embedder.same_text_same_vector": "arshai_core::embed::Embedder::id" => context.deterministic();
        "embedder.empty_batch_is_empty": EMBED => context.empty();
        "embedder.odd_texts_fail_alone_or_succeed": EMBED => context.odd();
        "embedder.bad_text_fails_alone" if poison.is_some(), "poison text": EMBED =>
            context.poisoned(poison.unwrap_or_default());
        "embedder.extension_methods_agree": "arshai_core::embed::EmbedderExt" => context.sugar();
        "embedder.calls_at_once_do_not_mix": EMBED => context.at_once();
        "embedder.health": "arshai_core::embed::Embedder::health" => async { Ok(context.embedder.health().await?) };
    );
    let contract = "arshai_core::embed::Embedder, # Cancel safety";
    checks.run_noted("embedder.dropped_call_leaves_it_usable", contract, Box::pin(context.dropped())).await;
    checks!(&mut checks;
        "embedder.closes_twice": "arshai_core::embed::Embedder::close" => async {
            context.embedder.close().await?;
            Ok(context.embedder.close().await?)
        };
    );
    checks.finish()
}

struct Context {
    embedder: Arc<dyn Embedder>,
}

impl Context {
    /// The vectors of texts that must all succeed.
    async fn vectors(&self, texts: &[&str], input: Input) -> Outcome<Vec<Vec<f32>>> {
        let batch = self.embedder.embed(texts, input).await?;
        equal("outcomes of the batch", &batch.len(), &texts.len())?;
        let rows = batch.rows().map(|row| match row {
            Ok(row) => Ok(row.to_vec()),
            Err(error) => Err(Problem::from(error.duplicate())),
        });
        rows.collect()
    }

    async fn vector(&self, text: &str) -> Outcome<Vec<f32>> {
        present("one vector", self.vectors(&[text], Input::Document).await?.pop())
    }

    async fn dimension(&self) -> Outcome {
        let before = self.embedder.dimension();
        let mut found = Vec::new();
        for input in [Input::Document, Input::Query] {
            found.extend(self.vectors(TEXTS, input).await?.iter().map(Vec::len));
        }
        let one = found.first().copied().unwrap_or(0);
        holds(
            "every vector has one length above 0",
            one > 0 && found.iter().all(|length| *length == one),
            &found,
        )?;
        holds("dimension() before was that or unknown", before.is_none_or(|before| before == one), &before)?;
        equal("dimension() after a reply", &self.embedder.dimension(), &Some(one))
    }

    async fn order(&self) -> Outcome {
        let forward = self.vectors(TEXTS, Input::Document).await?;
        let reversed: Vec<_> = TEXTS.iter().rev().copied().collect();
        let mut backward = self.vectors(&reversed, Input::Document).await?;
        backward.reverse();
        for ((text, a), b) in TEXTS.iter().zip(&forward).zip(&backward) {
            holds(
                format!("{text:?} has one vector wherever it stands in a batch"),
                near(a, b),
                &cosine(a, b),
            )?;
        }
        let apart = near(forward.first().unwrap_or(&Vec::new()), forward.get(2).unwrap_or(&Vec::new()));
        holds("different texts have different vectors", !apart, &"the same vector")
    }

    async fn finite(&self) -> Outcome {
        for (text, vector) in TEXTS.iter().zip(self.vectors(TEXTS, Input::Document).await?) {
            let sound =
                vector.iter().all(|value| value.is_finite()) && vector.iter().any(|value| *value != 0.0);
            holds(format!("the vector of {text:?} is finite and not zero"), sound, &vector)?;
        }
        Ok(())
    }

    async fn deterministic(&self) -> Outcome {
        let id = self.embedder.id().to_owned();
        holds("the id is not empty", !id.is_empty(), &id)?;
        for text in TEXTS {
            let (a, b) = (self.vector(text).await?, self.vector(text).await?);
            holds(format!("{text:?} embedded twice gives one vector"), near(&a, &b), &cosine(&a, &b))?;
        }
        equal("the id afterwards", &self.embedder.id(), &id.as_str())
    }

    async fn empty(&self) -> Outcome {
        for input in [Input::Document, Input::Query] {
            equal("outcomes of no texts", &self.embedder.embed(&[], input).await?.len(), &0)?;
        }
        Ok(())
    }

    async fn odd(&self) -> Outcome {
        let long = "word ".repeat(20_000);
        let texts = ["plain", "", " \n", "\0", "\u{202e}\u{feff}", long.as_str(), "plain"];
        let batch = self.embedder.embed(&texts, Input::Document).await?;
        equal("outcomes", &batch.len(), &texts.len())?;
        let first =
            present("the first outcome", batch.row(0))?.map_err(|error| Problem::from(error.duplicate()))?;
        let last =
            present("the last outcome", batch.row(6))?.map_err(|error| Problem::from(error.duplicate()))?;
        holds("plain texts among odd ones have their own vector", near(first, last), &cosine(first, last))
    }

    async fn poisoned(&self, poison: &str) -> Outcome {
        let batch = self.embedder.embed(&["first", poison, "last"], Input::Document).await?;
        let outcomes: Vec<_> = batch.rows().map(|row| row.is_ok()).collect();
        equal("which texts succeed", &outcomes, &vec![true, false, true])?;
        for (position, text) in [(0, "first"), (2, "last")] {
            let row =
                present(text, batch.row(position))?.map_err(|error| Problem::from(error.duplicate()))?;
            let alone = self.vector(text).await?;
            holds(format!("{text:?} has its own vector"), near(row, &alone), &cosine(row, &alone))?;
        }
        let strict = self.embedder.embed_documents(&["first", poison]).await;
        holds("embed_documents is strict", strict.is_err(), &strict)
    }

    async fn sugar(&self) -> Outcome {
        let documents = self.embedder.embed_documents(TEXTS).await?;
        let whole = self.vectors(TEXTS, Input::Document).await?;
        let same = documents.len() == whole.len() && documents.iter().zip(&whole).all(|(a, b)| near(a, b));
        holds("embed_documents gives the vectors of embed", same, &documents.len())?;
        let query = self.embedder.embed_query("a question").await?;
        let expected = present("a vector", self.vectors(&["a question"], Input::Query).await?.pop())?;
        holds("embed_query gives the vector of embed", near(&query, &expected), &cosine(&query, &expected))
    }

    async fn at_once(&self) -> Outcome {
        let calls = TEXTS.iter().map(|text| async move { (*text, self.vector(text).await) });
        for (text, vector) in futures_util::future::join_all(calls).await {
            let (vector, alone) = (vector?, self.vector(text).await?);
            holds(format!("{text:?} keeps its vector among concurrent calls"), near(&vector, &alone), &text)?;
        }
        Ok(())
    }

    async fn dropped(&self) -> Outcome<String> {
        let polls = drop_harness(
            |_run| self.embedder.embed(&["dropped"], Input::Document),
            async |_run, dropped: crate::Dropped<_>| {
                if let Some(Err(error)) = dropped.completed() {
                    return Err(arshai_core::Error::to_string(&error));
                }
                match self.embedder.embed(&["next"], Input::Document).await {
                    Ok(batch) if batch.len() == 1 => Ok(()),
                    Ok(batch) => Err(format!("the next call has {} outcomes", batch.len())),
                    Err(error) if error.kind() == ErrorKind::Exhausted => Ok(()),
                    Err(error) => Err(error.to_string()),
                }
            },
        )
        .await
        .map_err(|failure| Problem::new(failure.expected, failure.found))?;
        Ok(format!("completes at poll {polls}, dropped at every one before"))
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    arshai_core::vector::Metric::Cosine.score(a, b)
}

/// The same vector up to what a GPU or another batch size changes.
fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && cosine(a, b) > 0.999
}
