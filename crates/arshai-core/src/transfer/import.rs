//! In.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_core::Stream;
use futures_util::StreamExt as _;

use super::{
    ImportError, ImportReport,
    line::{Line, Totals, VERSION},
};
use crate::{
    Error, ErrorKind, Result,
    memory::{Envelope, Memory, MemoryKey, MemoryStore, Precondition, Put, Ttl},
    vector::{CollectionSpec, Consistency, IdKind, Output, Record, Row, RowQuery, VectorStore},
};

const BATCH: usize = 256;

/// Where an import goes.
#[derive(Debug, Clone, Default)]
pub struct Target {
    store: Option<Arc<dyn VectorStore>>,
    memory: Option<Arc<dyn MemoryStore>>,
    replace: bool,
}

impl Target {
    /// The same with a store for the collections. Without one they are refused.
    #[must_use]
    pub fn with_store(mut self, store: Arc<dyn VectorStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// The same with a memory for the memories. Without one they are refused.
    #[must_use]
    pub fn with_memory(mut self, memory: Arc<dyn MemoryStore>) -> Self {
        self.memory = Some(memory);
        self
    }

    /// The same, replacing a memory that is there and differs or cannot be read. Default: it is kept, since it may be
    /// newer; one that cannot be read is among [`ImportReport::failed`].
    #[must_use]
    pub fn replacing_memories(mut self) -> Self {
        self.replace = true;
        self
    }
}

/// Takes in the lines of an export. What is there already, equal, is not written again, so an interrupted import is
/// run again from the beginning.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`] naming the line when it is not understood; [`ErrorKind::Truncated`] when the last line is
/// missing: what was there is imported then; [`ErrorKind::Unsupported`] for a newer version of the format, and for
/// collections without a store or memories without a memory to put them into; else what kept a batch from being
/// written. Each comes with the report of what was done until then; what stood before it is taken in.
///
/// # Cancel safety
///
/// What was written stays; run it again.
pub async fn import(
    target: &Target,
    lines: impl Stream<Item = Result<String>> + Send,
) -> Result<ImportReport, ImportError> {
    let report = ImportReport::default();
    let mut import = Import { target, report, begun: false, end: None, open: None, batch: Vec::new() };
    match import.all(lines).await {
        Ok(()) => Ok(import.report),
        Err(error) => Err(ImportError::new(error, import.report)),
    }
}

struct Import<'a> {
    target: &'a Target,
    report: ImportReport,
    /// Whether the first line was there.
    begun: bool,
    /// What the last line says.
    end: Option<Totals>,
    open: Option<String>,
    batch: Vec<Record>,
}

impl Import<'_> {
    async fn all(&mut self, lines: impl Stream<Item = Result<String>> + Send) -> Result<()> {
        let mut number = 0;
        let read = self.read(lines, &mut number).await;
        // What was whole before an error is not lost; the first error is the one that is told.
        let flushed = self.flush().await;
        read.and(flushed)?;
        let ImportReport { collections, records, memories, .. } = self.report;
        match self.end {
            Some(told @ Totals { unreadable, .. })
                if told == (Totals { collections, records, memories, unreadable }) =>
            {
                if unreadable > 0 {
                    self.report.notes.push(format!(
                        "{unreadable} conversations are not in the export: they could not be read when it was made"
                    ));
                }
                Ok(())
            }
            _ => Err(Error::new(
                ErrorKind::Truncated,
                "the export is not whole; what was there is imported: make it again and import the rest",
            )
            .with_context("lines", number)),
        }
    }

    async fn read(
        &mut self,
        lines: impl Stream<Item = Result<String>> + Send,
        number: &mut u64,
    ) -> Result<()> {
        let mut lines = std::pin::pin!(lines);
        while let Some(line) = lines.next().await {
            let line = line?;
            *number += 1;
            if line.trim().is_empty() {
                continue;
            }
            let line = Line::decode(&line, *number)?;
            self.line(line).await.map_err(|error| error.with_context("line", *number))?;
        }
        Ok(())
    }

    async fn line(&mut self, line: Line) -> Result<()> {
        let corrupt = |message: &'static str| Err(Error::new(ErrorKind::Corrupt, message));
        if self.end.is_some() {
            return corrupt("something stands behind the end of the export");
        }
        match line {
            Line::Export { version } if !self.begun && version <= VERSION => {
                self.begun = true;
                Ok(())
            }
            Line::Export { version } if !self.begun => {
                Err(Error::unsupported("a newer version of arshai wrote this export")
                    .with_context("version", version))
            }
            Line::Export { .. } => corrupt("these are two exports in one"),
            _ if !self.begun => corrupt("this is no export of arshai"),
            Line::Collection { spec } => self.collection(spec).await,
            Line::Record { id, text, metadata, dense } => {
                self.record(Record { id: Some(id), text, dense, sparse: None, metadata }).await
            }
            Line::Memory { key, value, ttl_seconds } => {
                self.flush().await?;
                self.memory(&key, &value, ttl_seconds).await
            }
            Line::End(totals) => {
                self.end = Some(totals);
                Ok(())
            }
        }
    }

    async fn collection(&mut self, mut spec: CollectionSpec) -> Result<()> {
        self.flush().await?;
        let store = Arc::clone(self.store()?);
        if spec.id == IdKind::AutoInt {
            spec.id = IdKind::Int;
            self.report.notes.push(format!(
                "{}: its keys were chosen by the old store; in the new one the caller gives them",
                spec.name
            ));
        }
        let sparse = std::mem::take(&mut spec.sparse);
        if sparse {
            self.report.notes.push(format!("{}: sparse vectors are not moved", spec.name));
        }
        let collection = store.open(&spec).await?;
        self.report.notes.extend(collection.notes);
        self.report.collections += 1;
        self.open = Some(spec.name);
        Ok(())
    }

    async fn record(&mut self, record: Record) -> Result<()> {
        self.report.records += 1;
        self.batch.push(record);
        if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    /// Writes what was gathered, without what is there already.
    async fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(self.store()?);
        let Some(name) = &self.open else {
            return Err(Error::new(ErrorKind::Corrupt, "a record stands before its collection"));
        };
        let ids: Vec<_> = batch.iter().filter_map(|record| record.id.clone()).collect();
        let output = Output { dense: true, ..Output::default() };
        let query = RowQuery::ids(ids).limit(batch.len()).output(output);
        let page = store.query(name, &query.consistency(Consistency::Strong)).await?;
        let there: HashMap<_, Row> = page.rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        let is_missing = |record: &Record| {
            let row = record.id.as_ref().and_then(|id| there.get(id));
            // The vector too: the same text may have been embedded by another model.
            row.is_none_or(|row| {
                row.text != record.text || row.metadata != record.metadata || row.dense != record.dense
            })
        };
        let missing: Vec<Record> = batch.into_iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = missing
            .iter()
            .map(|record| record.id.as_ref().map(ToString::to_string).unwrap_or_default())
            .collect();
        let report = store.upsert(name, missing).await?;
        self.report.written_records += report.written() as u64;
        let failed =
            report.failed().map(|(at, error)| (keys.get(at).cloned().unwrap_or_default(), error.duplicate()));
        self.report.failed.extend(failed);
        if report.written() + report.failed().count() < report.items.len() {
            return report.into_complete().map(drop);
        }
        Ok(())
    }

    async fn memory(&mut self, name: &str, value: &serde_json::Value, ttl: Option<f64>) -> Result<()> {
        self.report.memories += 1;
        let Some(memory) = &self.target.memory else {
            return Err(Error::unsupported(
                "the export holds memories, and there is no memory to put them into",
            ));
        };
        let parsed = MemoryKey::parse(name)
            .ok_or_else(|| Error::invalid("the name is not that of a memory"))
            .and_then(|key| Ok((key, Envelope::decode(value.to_string().as_bytes())?.memory)));
        let (key, imported) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                self.report.failed.push((name.to_owned(), error));
                return Ok(());
            }
        };
        let outcome = match put(memory.as_ref(), &key, &imported, self.target.replace).await {
            Ok(outcome) => outcome,
            // What is there cannot be read, so whether it is newer cannot be known.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.report.failed.push((name.to_owned(), error));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match outcome {
            Outcome::Written => self.report.written_memories += 1,
            Outcome::Equal => {}
            Outcome::Kept => {
                self.report.kept_memories += 1;
                return Ok(());
            }
        }
        if memory.capabilities().expiry {
            let ttl = match ttl.map(Duration::try_from_secs_f64) {
                Some(Ok(left)) => Ttl::Remaining(left.max(Duration::from_secs(1))),
                _ => Ttl::Forever,
            };
            // An import that ended between the two may not have set the time; but one that was lengthened since is not
            // shortened.
            if outcome == Outcome::Written || is_shorter(memory.ttl(&key).await?, ttl) {
                memory.touch(&key, ttl).await?;
            }
        }
        Ok(())
    }

    fn store(&self) -> Result<&Arc<dyn VectorStore>> {
        self.target.store.as_ref().ok_or_else(|| {
            Error::unsupported("the export holds collections, and there is no store to put them into")
        })
    }
}

fn is_shorter(there: Option<Ttl>, exported: Ttl) -> bool {
    match (there, exported) {
        (Some(Ttl::Remaining(there)), Ttl::Remaining(exported)) => there < exported,
        (Some(Ttl::Remaining(_)), Ttl::Forever) => true,
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Written,
    Equal,
    Kept,
}

async fn put(store: &dyn MemoryStore, key: &MemoryKey, memory: &Memory, replace: bool) -> Result<Outcome> {
    match store.put(key, memory, Precondition::Absent).await {
        Ok(Put::Stored(_)) => return Ok(Outcome::Written),
        Ok(Put::Conflict(Some(there))) if there.memory == *memory => return Ok(Outcome::Equal),
        Ok(Put::Conflict(_)) if !replace => return Ok(Outcome::Kept),
        Err(error) if !replace || error.kind() != ErrorKind::Corrupt => return Err(error),
        // What is there is replaced, also when it cannot be read.
        Ok(Put::Conflict(_)) | Err(_) => {}
    }
    let put = store.put(key, memory, Precondition::Any).await?;
    Ok(if matches!(put, Put::Stored(_)) { Outcome::Written } else { Outcome::Kept })
}
