//! In.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_core::Stream;
use futures_util::StreamExt as _;

use super::line::{Line, Totals, VERSION};
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

    /// The same, replacing a memory that is there and differs. Default: it is kept, since it may be newer.
    #[must_use]
    pub fn replacing_memories(mut self) -> Self {
        self.replace = true;
        self
    }
}

/// What an import did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ImportReport {
    /// Collections in the export.
    pub collections: u64,
    /// Records in the export.
    pub records: u64,
    /// Records that were written; the others were there already, or failed.
    pub written_records: u64,
    /// Memories in the export.
    pub memories: u64,
    /// Memories that were written.
    pub written_memories: u64,
    /// Memories that were kept although the export's differ.
    pub kept_memories: u64,
    /// What was refused: the record's or memory's key, and why. The import went on.
    pub failed: Vec<(String, Error)>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

impl ImportReport {
    /// Whether all of the export is there now.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.kept_memories == 0
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
/// written.
///
/// # Cancel safety
///
/// What was written stays; run it again.
pub async fn import(
    target: &Target,
    lines: impl Stream<Item = Result<String>> + Send,
) -> Result<ImportReport> {
    let mut lines = std::pin::pin!(lines);
    let mut import = Import { target, report: ImportReport::default(), open: None, batch: Vec::new() };
    let mut number = 0;
    let mut end = None;
    while let Some(line) = lines.next().await {
        let line = line?;
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        let line = Line::decode(&line, number)?;
        let at = |error: Error| error.with_context("line", number);
        match (line, number) {
            (Line::Export { version }, 1) if version <= VERSION => {}
            (Line::Export { version }, 1) => {
                return Err(Error::unsupported("a newer version of arshai wrote this export")
                    .with_context("version", version));
            }
            (_, 1) | (Line::Export { .. }, _) => {
                return Err(Error::new(ErrorKind::Corrupt, "this is no export of arshai, or two in one"));
            }
            (Line::Collection { spec }, _) => import.collection(spec).await.map_err(at)?,
            (Line::Record { id, text, metadata, dense }, _) => {
                let record = Record { id: Some(id), text, dense, sparse: None, metadata };
                import.record(record).await.map_err(at)?;
            }
            (Line::Memory { key, value, ttl_seconds }, _) => {
                import.flush().await.map_err(at)?;
                import.memory(&key, &value, ttl_seconds).await.map_err(at)?;
            }
            (Line::End(totals), _) => end = Some(totals),
        }
    }
    import.flush().await?;
    let report = import.report;
    let found =
        Totals { collections: report.collections, records: report.records, memories: report.memories };
    match end {
        Some(told) if told == found => Ok(report),
        _ => Err(Error::new(
            ErrorKind::Truncated,
            "the export is not whole; what was there is imported: make it again and import the rest",
        )
        .with_context("lines", number)),
    }
}

struct Import<'a> {
    target: &'a Target,
    report: ImportReport,
    open: Option<String>,
    batch: Vec<Record>,
}

impl Import<'_> {
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
        let query = RowQuery::ids(ids).limit(batch.len()).output(Output::default());
        let page = store.query(name, &query.consistency(Consistency::Strong)).await?;
        let there: HashMap<_, Row> = page.rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        let is_missing = |record: &Record| {
            let row = record.id.as_ref().and_then(|id| there.get(id));
            row.is_none_or(|row| {
                row.text != record.text
                    || row.metadata != record.metadata
                    || row.has_dense != record.dense.is_some()
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
        match put(memory.as_ref(), &key, &imported, self.target.replace).await? {
            Outcome::Written => self.report.written_memories += 1,
            // An import that ended here may not have set the time.
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
            memory.touch(&key, ttl).await?;
        }
        Ok(())
    }

    fn store(&self) -> Result<&Arc<dyn VectorStore>> {
        self.target.store.as_ref().ok_or_else(|| {
            Error::unsupported("the export holds collections, and there is no store to put them into")
        })
    }
}

enum Outcome {
    Written,
    Equal,
    Kept,
}

async fn put(store: &dyn MemoryStore, key: &MemoryKey, memory: &Memory, replace: bool) -> Result<Outcome> {
    match store.put(key, memory, Precondition::Absent).await? {
        Put::Stored(_) => Ok(Outcome::Written),
        Put::Conflict(Some(there)) if there.memory == *memory => Ok(Outcome::Equal),
        Put::Conflict(_) if replace => {
            let put = store.put(key, memory, Precondition::Any).await?;
            Ok(if matches!(put, Put::Stored(_)) { Outcome::Written } else { Outcome::Kept })
        }
        Put::Conflict(_) => Ok(Outcome::Kept),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{TryStreamExt as _, stream};
    use serde_json::{Map, json};

    use super::*;
    use crate::{
        memory::{InMemoryMemory, KeyPrefix, MemoryStoreExt as _, TrimPolicy, Turn},
        transfer::{Source, export},
        vector::InMemoryVectors,
    };

    struct Place {
        store: Arc<InMemoryVectors>,
        memory: Arc<InMemoryMemory>,
    }

    impl Place {
        fn new() -> Self {
            Self { store: Arc::new(InMemoryVectors::new()), memory: Arc::new(InMemoryMemory::new()) }
        }

        async fn filled() -> Self {
            let place = Self::new();
            let spec = CollectionSpec::new("docs").with_dense(2);
            place.store.open(&spec).await.unwrap();
            let records = (0..1_200).map(|n| {
                let Value::Object(metadata) = json!({ "n": n, "nested": { "ü": [null, 0.1, "\u{0}"] } })
                else {
                    unreachable!()
                };
                let record = Record::new(format!("text {n}\n\"quoted\"")).with_id(format!("id-{n:05}"));
                let record = if n % 3 == 0 { record } else { record.with_dense(vec![n as f32 / 7.0, -1.0]) };
                Record { metadata, ..record }
            });
            place.store.upsert("docs", records.collect()).await.unwrap().into_complete().unwrap();
            for n in 0..700 {
                let key = MemoryKey::new(format!("c{n}")).unwrap();
                place
                    .memory
                    .append(&key, &[Turn::user(format!("turn {n}"))], TrimPolicy::default())
                    .await
                    .unwrap();
            }
            place
                .memory
                .touch(&MemoryKey::new("c7").unwrap(), Ttl::Remaining(Duration::from_secs(100)))
                .await
                .unwrap();
            place
        }

        fn lines(&self) -> impl Stream<Item = Result<String>> + use<> {
            let source = Source::default().with_collections(self.store.clone(), ["docs"]);
            export(source.with_memories(self.memory.clone(), [KeyPrefix::default()]))
        }

        fn target(&self) -> Target {
            Target::default().with_store(self.store.clone()).with_memory(self.memory.clone())
        }
    }

    use serde_json::Value;

    async fn sorted(place: &Place) -> Vec<String> {
        let mut lines: Vec<String> = place.lines().try_collect().await.unwrap();
        // The time that is left differs, and so does the order of keys.
        lines.iter_mut().for_each(|line| {
            if let Some(at) = line.find(",\"ttl_seconds\":9") {
                line.truncate(at);
            }
        });
        lines.sort();
        lines
    }

    #[tokio::test]
    async fn a_walk_and_back_changes_nothing_and_a_second_import_writes_nothing() {
        let (old, new) = (Place::filled().await, Place::new());
        let report = import(&new.target(), old.lines()).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        assert_eq!((report.records, report.written_records), (1_200, 1_200));
        assert_eq!((report.memories, report.written_memories), (700, 700));
        assert_eq!(sorted(&old).await, sorted(&new).await);
        assert!(matches!(
            new.memory.ttl(&MemoryKey::new("c7").unwrap()).await.unwrap(),
            Some(Ttl::Remaining(left)) if left > Duration::from_secs(90)
        ));
        let again = import(&old.target(), new.lines()).await.unwrap();
        assert!(
            again.is_complete() && again.written_records == 0 && again.written_memories == 0,
            "{again:?}"
        );
    }

    #[tokio::test]
    async fn an_import_that_broke_off_is_run_again() {
        let (old, new) = (Place::filled().await, Place::new());
        let all: Vec<String> = old.lines().try_collect().await.unwrap();
        for length in [1, 2, 300, 900, all.len() - 1] {
            let part = stream::iter(all.iter().take(length).cloned().map(Ok));
            let error = import(&new.target(), part).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{length}");
        }
        let rest = import(&new.target(), stream::iter(all.into_iter().map(Ok))).await.unwrap();
        assert!(rest.is_complete() && rest.written_records == 0 && rest.written_memories == 0, "{rest:?}");
        assert_eq!(sorted(&old).await, sorted(&new).await);
    }

    #[tokio::test]
    async fn a_memory_that_differs_is_kept_unless_it_is_to_be_replaced() {
        let (old, new) = (Place::filled().await, Place::new());
        let key = MemoryKey::new("c3").unwrap();
        new.memory.store(&key, "newer", Map::new()).await.unwrap();
        let report = import(&new.target(), old.lines()).await.unwrap();
        assert!(!report.is_complete() && report.kept_memories == 1);
        assert_eq!(new.memory.retrieve(&key).await.unwrap().unwrap().text, "newer");
        let report = import(&new.target().replacing_memories(), old.lines()).await.unwrap();
        assert!(report.is_complete() && report.written_memories == 1, "{report:?}");
        assert!(new.memory.retrieve(&key).await.unwrap().unwrap().text.contains("turn 3"));
    }

    #[tokio::test]
    async fn what_is_no_export_is_refused_by_line() {
        let place = Place::new();
        for (lines, kind) in [
            (vec!["hello"], ErrorKind::Corrupt),
            (vec![r#"{"line":"end","collections":0,"records":0,"memories":0}"#], ErrorKind::Corrupt),
            (vec![r#"{"line":"export","version":2}"#], ErrorKind::Unsupported),
            (vec![r#"{"line":"export","version":1}"#, "{"], ErrorKind::Corrupt),
            (vec![], ErrorKind::Truncated),
        ] {
            let lines = stream::iter(lines.into_iter().map(|line| Ok(line.to_owned())));
            assert_eq!(import(&place.target(), lines).await.unwrap_err().kind(), kind);
        }
        let bare = Place::filled().await;
        let error = import(&Target::default(), bare.lines()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
