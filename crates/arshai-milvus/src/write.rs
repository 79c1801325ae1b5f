//! Writing records: in batches of rows and bytes, several in flight, with an outcome for every record.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arshai_core::{
    Deadline, Effect, Error, ErrorKind, Result,
    vector::{Consistency, Id, ItemOutcome, Record, WriteReport},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};

use crate::{
    columns::plain_ids,
    connection::Safety,
    encode::{Prepared, encode, prepare},
    failure::{Cause, Failure},
    inner::{Inner, Known},
    open::refuse_foreign,
    proto::milvus::MutationResult,
};

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Insert,
    Upsert,
}

/// Records of one call, with their positions in what the caller gave.
type Batch<'a> = Vec<(usize, Prepared<'a>)>;

impl Inner {
    /// Writes records, once more when none of them fits a collection that is another one by now.
    pub(crate) async fn write_anew(
        &self,
        name: &str,
        records: &[Record],
        mode: Mode,
    ) -> Result<WriteReport, Failure> {
        let before = self.remembered(name);
        let write = |known: Arc<Known>| async move { self.write(&known, records, mode).await };
        let report = self.on(name, write).await?;
        let unfit = |item: &ItemOutcome| match item {
            ItemOutcome::Failed(error) => {
                error.kind() == ErrorKind::InvalidInput && error.effect() == Effect::NotApplied
            }
            ItemOutcome::NotAttempted => true,
            ItemOutcome::Written(_) => false,
        };
        let Some(before) = before else { return Ok(report) };
        if report.failed().next().is_none() || !report.items.iter().all(unfit) {
            return Ok(report);
        }
        let now = self.look(name).await?;
        if now.shape == before.shape { Ok(report) } else { self.write(&now, records, mode).await }
    }

    /// Writes records; fails only when none of them was tried.
    pub(crate) async fn write(
        &self,
        known: &Known,
        records: &[Record],
        mode: Mode,
    ) -> Result<WriteReport, Failure> {
        refuse_foreign(&known.shape)?;
        let mut outcomes: Vec<ItemOutcome> = Vec::with_capacity(records.len());
        let mut ready: Batch<'_> = Vec::new();
        for (position, record) in records.iter().enumerate() {
            match prepare(record, &known.shape, mode) {
                Ok(prepared) => {
                    ready.push((position, prepared));
                    outcomes.push(ItemOutcome::NotAttempted);
                }
                Err(error) => outcomes.push(ItemOutcome::Failed(error)),
            }
        }
        let last = self.without_repeats(&mut ready, mode, &mut outcomes);
        let config = &self.connection.config;
        let batches = split(ready, config.batch_size, config.batch_bytes);
        let mut waiting = batches.into_iter();
        let mut writing = FuturesUnordered::new();
        let mut stopped: Option<Error> = None;
        loop {
            // What is in flight comes to its end, because it may have been written; what has not begun does not begin.
            while writing.len() < config.batch_concurrency && stopped.is_none() {
                let Some(batch) = waiting.next() else { break };
                writing.push(self.write_batch(known, batch, mode));
            }
            let Some(batch) = writing.next().await else { break };
            for (position, outcome) in batch.outcomes {
                set(&mut outcomes, position, outcome);
            }
            if let Some(error) = batch.stop {
                stopped.get_or_insert(error);
            }
        }
        if let Some(error) = stopped {
            let nothing = outcomes.iter().all(|outcome| !matches!(outcome, ItemOutcome::Written(_)));
            if nothing && error.kind() == ErrorKind::NotFound {
                return Err(Failure { error, cause: Cause::NoCollection });
            }
        }
        for (repeat, of) in last {
            let outcome = match outcomes.get(of) {
                Some(ItemOutcome::Written(id)) => ItemOutcome::Written(id.clone()),
                Some(ItemOutcome::Failed(error)) => ItemOutcome::Failed(error.duplicate()),
                _ => ItemOutcome::NotAttempted,
            };
            set(&mut outcomes, repeat, outcome);
        }
        Ok(WriteReport { items: outcomes })
    }

    /// Takes out the records whose key comes once more. Upserts: the last one stays, and those before it have its
    /// outcome. Inserts: the first one stays.
    fn without_repeats(
        &self,
        ready: &mut Batch<'_>,
        mode: Mode,
        outcomes: &mut [ItemOutcome],
    ) -> Vec<(usize, usize)> {
        if ready.iter().all(|(_, prepared)| prepared.id.is_none()) {
            return Vec::new();
        }
        let mut chosen: HashMap<Id, usize> = HashMap::with_capacity(ready.len());
        let mut repeats = Vec::new();
        for (position, prepared) in ready.iter() {
            let Some(id) = prepared.id.clone() else { continue };
            match (chosen.get(&id).copied(), mode) {
                (Some(earlier), Mode::Upsert) => {
                    repeats.push(earlier);
                    chosen.insert(id, *position);
                }
                (Some(_), Mode::Insert) => {
                    set(outcomes, *position, ItemOutcome::Failed(exists(&id)));
                    repeats.push(*position);
                }
                (None, _) => {
                    chosen.insert(id, *position);
                }
            }
        }
        if repeats.is_empty() {
            return Vec::new();
        }
        let gone: HashSet<usize> = repeats.iter().copied().collect();
        let mut last = Vec::new();
        ready.retain(|(position, prepared)| {
            let stays = !gone.contains(position);
            if let (false, Mode::Upsert, Some(id)) = (stays, mode, &prepared.id) {
                last.extend(chosen.get(id).map(|of| (*position, *of)));
            }
            stays
        });
        last
    }

    /// Writes one batch. When the server refuses it, its halves are written, so that one bad record fails alone.
    async fn write_batch(&self, known: &Known, batch: Batch<'_>, mode: Mode) -> Written {
        let deadline = Deadline::current_or(self.connection.config.timeout);
        let mut written = Written { outcomes: Vec::with_capacity(batch.len()), stop: None };
        let mut waiting = vec![batch];
        let mut loaded = false;
        while let Some(mut batch) = waiting.pop() {
            if deadline.is_past() {
                break;
            }
            let ids =
                match Box::pin(deadline.scope(self.try_batch(known, &mut batch, mode, &mut written))).await {
                    Ok(ids) => ids,
                    Err(failure) => {
                        let again = failure.is_harmless() || (mode == Mode::Upsert && !known.shape.auto_id);
                        let refused = again
                            && match failure.cause {
                                // None of its rows would do.
                                Cause::OtherSchema => false,
                                Cause::TooLarge => true,
                                _ => failure.error.kind() == ErrorKind::InvalidInput,
                            };
                        if again && failure.cause == Cause::NotLoaded && !loaded {
                            loaded = true;
                            if deadline.scope(self.load(&known.shape.spec.name)).await.is_ok() {
                                waiting.push(batch);
                                continue;
                            }
                        }
                        if refused && batch.len() > 1 {
                            let half = batch.split_off(batch.len() / 2);
                            waiting.extend([half, batch]);
                            continue;
                        }
                        for (position, _) in &batch {
                            let error = failure.error.duplicate();
                            written.outcomes.push((*position, ItemOutcome::Failed(error)));
                        }
                        if !refused {
                            written.stop = Some(failure.error);
                            break;
                        }
                        continue;
                    }
                };
            for ((position, _), id) in batch.iter().zip(ids) {
                written.outcomes.push((*position, ItemOutcome::Written(id)));
            }
        }
        written
    }

    async fn try_batch(
        &self,
        known: &Known,
        batch: &mut Batch<'_>,
        mode: Mode,
        written: &mut Written,
    ) -> Result<Vec<Id>, Failure> {
        if mode == Mode::Insert && !known.shape.auto_id {
            self.drop_present(known, batch, written).await?;
            if batch.is_empty() {
                return Ok(Vec::new());
            }
        }
        let request = encode(batch.iter().map(|(_, prepared)| prepared), &known.shape);
        let reply = match mode {
            Mode::Upsert if !known.shape.auto_id => match self.engine().await?.torn_upsert {
                true => self.replace(request).await?,
                false => self.connection.send("Upsert", request, Safety::Idempotent).await?,
            },
            _ => self.connection.send::<MutationResult>("Insert", request, Safety::Once).await?,
        };
        known.wrote(reply.timestamp);
        if known.shape.auto_id {
            let ids = plain_ids(reply.ids, known.shape.escaped_keys)?;
            return match ids.len() == batch.len() {
                true => Ok(ids),
                false => Err(unclear("the server does not say which keys it chose").into()),
            };
        }
        if !reply.err_index.is_empty() {
            return Err(unclear("the server says that it wrote a part of a batch").into());
        }
        Ok(batch.iter().filter_map(|(_, prepared)| prepared.id.clone()).collect())
    }

    /// Replaces rows on a server that does it in two steps: readers of this store wait, and they wait for the end
    /// of it even when the future is dropped.
    async fn replace(&self, request: Bytes) -> Result<MutationResult, Failure> {
        let guard = self.replacing().await?;
        let connection = Arc::clone(&self.connection);
        let pass = connection.follow();
        let deadline = Deadline::current_or(self.connection.config.timeout);
        let replacing = tokio::spawn(deadline.scope(async move {
            let (_alone, _inside) = (guard, pass);
            connection.send::<MutationResult>("Upsert", request, Safety::Idempotent).await
        }));
        match replacing.await {
            Ok(reply) => reply,
            Err(error) => Err(unclear("replacing rows ended early").with_source(error).into()),
        }
    }

    /// Takes out the records whose key exists, whoever wrote it: Milvus would store them beside the old ones.
    async fn drop_present(
        &self,
        known: &Known,
        batch: &mut Batch<'_>,
        written: &mut Written,
    ) -> Result<(), Failure> {
        let ids: Vec<Id> = batch.iter().filter_map(|(_, prepared)| prepared.id.clone()).collect();
        let present: HashSet<Id> =
            self.present(known, &ids, Consistency::Strong).await?.into_iter().collect();
        batch.retain(|(position, prepared)| match &prepared.id {
            Some(id) if present.contains(id) => {
                written.outcomes.push((*position, ItemOutcome::Failed(exists(id))));
                false
            }
            _ => true,
        });
        Ok(())
    }
}

/// What became of a batch.
struct Written {
    outcomes: Vec<(usize, ItemOutcome)>,
    /// Why the batches after it need not be tried.
    stop: Option<Error>,
}

fn set(outcomes: &mut [ItemOutcome], position: usize, outcome: ItemOutcome) {
    if let Some(slot) = outcomes.get_mut(position) {
        *slot = outcome;
    }
}

fn exists(id: &Id) -> Error {
    Error::new(ErrorKind::AlreadyExists, "a record with this key exists; upsert replaces it")
        .with_context("key", id.to_string().escape_debug())
}

fn unclear(message: &'static str) -> Error {
    Error::new(ErrorKind::OutcomeUnknown, message).with_effect(Effect::Unknown)
}

/// Batches of so many rows and bytes at most.
fn split(ready: Batch<'_>, rows: usize, bytes: usize) -> Vec<Batch<'_>> {
    let mut batches: Vec<Batch<'_>> = Vec::new();
    let mut size = 0;
    for (position, prepared) in ready {
        let more = prepared.bytes();
        match batches.last_mut() {
            Some(batch) if batch.len() < rows && size + more <= bytes => {
                size += more;
                batch.push((position, prepared));
            }
            _ => {
                size = more;
                batches.push(vec![(position, prepared)]);
            }
        }
    }
    batches
}

/// The key a record is written under; `None` where the server chooses.
pub(crate) fn key(record: &Record, known: &crate::shape::Shape, mode: Mode) -> Result<Option<Id>> {
    if !known.auto_id {
        return known.spec.key_for(record, 0).map(Some);
    }
    if record.id.is_some() {
        return Err(Error::invalid(match mode {
            Mode::Insert => "the server chooses the keys of this collection; leave the record's out",
            Mode::Upsert => "the server chooses the keys of this collection, so no record can be replaced",
        })
        .with_context("collection", &known.spec.name));
    }
    known.spec.check_vectors(record).map(|()| None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::tests::prepared;

    #[test]
    fn batches_keep_every_row_within_both_limits() {
        let records: Vec<Record> = (0..100).map(|n| Record::new("x".repeat(n * 10))).collect();
        let ready: Batch<'_> = records.iter().map(prepared).enumerate().collect();
        let batches = split(ready, 7, 3_000);
        let positions: Vec<usize> = batches.iter().flatten().map(|(position, _)| *position).collect();
        assert_eq!(positions, (0..100).collect::<Vec<_>>());
        for batch in &batches {
            let bytes: usize = batch.iter().map(|(_, prepared)| prepared.bytes()).sum();
            assert!(batch.len() <= 7 && (batch.len() == 1 || bytes <= 3_000), "{} {bytes}", batch.len());
        }
    }
}
