//! Writing one batch: embed, upsert, and what became of each chunk.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arshai_core::{
    Error, ErrorKind, Result,
    embed::{Embedder, Input},
    vector::{ItemOutcome, VectorStore},
};

use super::{
    batches::{Piece, Work},
    ends_the_run,
};

/// What became of one chunk.
#[derive(Debug)]
pub(super) enum Outcome {
    Written,
    Failed(Error),
    NotAttempted,
}

/// What was done.
#[derive(Debug)]
pub(super) enum Done {
    /// One outcome per chunk of a batch, and the error that ended the run, when one did.
    Batch(Vec<(Piece, Outcome)>, Option<Error>),
    /// Nothing had to be done.
    Note(super::Item),
}

/// Where chunks go.
#[derive(Debug, Clone)]
pub(super) struct Sink {
    pub(super) store: Arc<dyn VectorStore>,
    pub(super) collection: String,
    /// Present when chunks get vectors.
    pub(super) embedder: Option<Arc<dyn Embedder>>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Sink {
    pub(super) async fn perform(&self, work: Work) -> Done {
        let pieces = match work {
            Work::Note(item) => return Done::Note(item),
            Work::Batch(pieces) => pieces,
        };
        if self.stop.load(Ordering::Relaxed) {
            return Done::Batch(all(pieces, || Outcome::NotAttempted), None);
        }
        // The other chunks of a document that failed are not worth the work.
        let (pieces, dropped): (Vec<_>, Vec<_>) =
            pieces.into_iter().partition(|piece| !piece.document.has_failed());
        let mut outcomes = all(dropped, || Outcome::NotAttempted);
        match self.write(&pieces).await {
            Ok(results) => {
                outcomes.extend(pieces.into_iter().zip(results));
                Done::Batch(outcomes, None)
            }
            Err(error) => {
                outcomes.extend(all(pieces, || Outcome::Failed(error.duplicate())));
                let fatal = ends_the_run(&error).then_some(error);
                if fatal.is_some() {
                    self.stop.store(true, Ordering::Relaxed);
                }
                Done::Batch(outcomes, fatal)
            }
        }
    }

    async fn write(&self, pieces: &[Piece]) -> Result<Vec<Outcome>> {
        let vectors = self.vectors(pieces).await?;
        for (piece, vector) in pieces.iter().zip(&vectors) {
            if vector.is_err() {
                piece.document.fail();
            }
        }
        let mut records = Vec::with_capacity(pieces.len());
        let mut results: Vec<Option<Outcome>> = Vec::with_capacity(pieces.len());
        for (piece, vector) in pieces.iter().zip(vectors) {
            results.push(match vector {
                Err(error) => Some(Outcome::Failed(error)),
                Ok(_) if piece.document.has_failed() => Some(Outcome::NotAttempted),
                Ok(dense) => {
                    records.push(piece.document.record(piece.number, dense));
                    None
                }
            });
        }
        let mut items: VecDeque<ItemOutcome> = if records.is_empty() {
            VecDeque::new()
        } else {
            self.store.upsert(&self.collection, records).await?.items.into()
        };
        let mut next = || match items.pop_front() {
            Some(ItemOutcome::Written(_)) => Outcome::Written,
            Some(ItemOutcome::Failed(error)) => Outcome::Failed(error),
            Some(ItemOutcome::NotAttempted) => Outcome::NotAttempted,
            None => Outcome::Failed(Error::new(
                ErrorKind::Protocol,
                "the store did not say what became of a chunk",
            )),
        };
        let results: Vec<Outcome> =
            results.into_iter().map(|result| result.unwrap_or_else(&mut next)).collect();
        for (piece, _) in
            pieces.iter().zip(&results).filter(|(_, result)| matches!(result, Outcome::Failed(_)))
        {
            piece.document.fail();
        }
        Ok(results)
    }

    /// One vector per chunk; none when there is no embedder.
    async fn vectors(&self, pieces: &[Piece]) -> Result<Vec<Result<Option<Vec<f32>>>>> {
        let Some(embedder) = self.embedder.as_ref().filter(|_| !pieces.is_empty()) else {
            return Ok(pieces.iter().map(|_| Ok(None)).collect());
        };
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.document.text(piece.number)).collect();
        let batch = embedder.embed(&texts, Input::Document).await?;
        if batch.len() != texts.len() {
            return Err(Error::new(ErrorKind::Protocol, "the embedder answered for another number of texts")
                .with_context("sent", texts.len())
                .with_context("answered", batch.len()));
        }
        Ok(batch.rows().map(|row| row.map(|row| Some(row.to_vec())).map_err(Error::duplicate)).collect())
    }
}

fn all(pieces: Vec<Piece>, outcome: impl Fn() -> Outcome) -> Vec<(Piece, Outcome)> {
    pieces.into_iter().map(|piece| (piece, outcome())).collect()
}
