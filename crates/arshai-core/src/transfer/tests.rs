//! There and back again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::{TryStreamExt as _, stream};
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    Error, ErrorKind, Result,
    memory::{
        InMemoryMemory, KeyPage, KeyPrefix, Memory, MemoryCapabilities, MemoryKey, MemoryStore,
        MemoryStoreExt as _, PageRequest, Precondition, Put, TrimPolicy, Ttl, Turn, Versioned,
    },
    vector::{CollectionSpec, InMemoryVectors, Output, Record, RowQuery, VectorStore as _},
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
            let Value::Object(metadata) = json!({ "n": n, "nested": { "ü": [null, 0.1, "\u{0}"] } }) else {
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
    assert!(again.is_complete() && again.written_records == 0 && again.written_memories == 0, "{again:?}");
}

#[tokio::test]
async fn an_import_that_broke_off_is_run_again() {
    let (old, new) = (Place::filled().await, Place::new());
    let all: Vec<String> = old.lines().try_collect().await.unwrap();
    for length in [1, 2, 300, 900, all.len() - 1] {
        let part = stream::iter(all.iter().take(length).cloned().map(Ok));
        let error = import(&new.target(), part).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{length}");
        // What it did is told all the same: the first line is the file's, the second the collection's.
        let told = (error.report.records + error.report.memories) as usize;
        assert_eq!(told, length.saturating_sub(2), "{length}");
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
        (vec![r#"{"line":"export","version":1}"#, r#"{"line":"export","version":1}"#], ErrorKind::Corrupt),
        (
            vec![
                r#"{"line":"export","version":1}"#,
                r#"{"line":"end","collections":0,"records":0,"memories":0}"#,
                r#"{"line":"end","collections":0,"records":0,"memories":0}"#,
            ],
            ErrorKind::Corrupt,
        ),
        (vec![], ErrorKind::Truncated),
    ] {
        let lines = stream::iter(lines.into_iter().map(|line| Ok(line.to_owned())));
        assert_eq!(import(&place.target(), lines).await.unwrap_err().kind(), kind);
    }
    let bare = Place::filled().await;
    let error = import(&Target::default(), bare.lines()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
#[tokio::test]
async fn blank_lines_say_nothing_wherever_they_stand() {
    let (old, new) = (Place::filled().await, Place::new());
    let mut lines: Vec<String> = old.lines().try_collect().await.unwrap();
    lines.insert(0, "\n".to_owned());
    lines.push(String::new());
    assert!(import(&new.target(), stream::iter(lines.into_iter().map(Ok))).await.unwrap().is_complete());
}

#[tokio::test]
async fn a_record_with_another_vector_is_not_taken_for_the_same() {
    let (old, new) = (Place::filled().await, Place::new());
    import(&new.target(), old.lines()).await.unwrap();
    // As if another model had embedded the same texts.
    let query = RowQuery::all().limit(10_000).output(Output { dense: true, ..Output::default() });
    let rows = new.store.query("docs", &query).await.unwrap().rows;
    let changed = rows.into_iter().filter(|row| row.dense.is_some()).take(3).map(|row| Record {
        id: Some(row.id),
        text: row.text,
        metadata: row.metadata,
        dense: row.dense.map(|dense| dense.into_iter().map(|x| x + 0.5).collect()),
        sparse: None,
    });
    new.store.upsert("docs", changed.collect()).await.unwrap().into_complete().unwrap();
    let report = import(&new.target(), old.lines()).await.unwrap();
    assert_eq!(report.written_records, 3);
    assert_eq!(sorted(&old).await, sorted(&new).await);
}

#[tokio::test]
async fn an_import_whose_source_fails_late_says_what_it_did() {
    let (old, new) = (Place::filled().await, Place::new());
    let all: Vec<String> = old.lines().try_collect().await.unwrap();
    let lines = all.into_iter().take(302).map(Ok).chain([Err(Error::new(ErrorKind::Io, "the pipe broke"))]);
    let error = import(&new.target(), stream::iter(lines)).await.unwrap_err();
    assert_eq!((error.kind(), error.report.records, error.report.written_records), (ErrorKind::Io, 300, 300));
    assert_eq!(Error::from(error).kind(), ErrorKind::Io);
}

#[tokio::test]
async fn an_error_within_a_batch_loses_nothing_that_stood_before_it() {
    let (old, new) = (Place::filled().await, Place::new());
    let all: Vec<String> = old.lines().try_collect().await.unwrap();
    let head = r#"{"line":"export","version":1}"#;
    for broken in ["{", head] {
        // The first two lines are the file's and the collection's.
        let lines = all.iter().take(302).cloned().chain([broken.to_owned()]);
        let error = import(&new.target(), stream::iter(lines.map(Ok))).await.unwrap_err();
        assert_eq!((error.kind(), error.report.records), (ErrorKind::Corrupt, 300));
        assert!(error.context().any(|(name, value)| (name, value) == ("line", "303")), "{error}");
        assert_eq!(new.store.stats("docs").await.unwrap().rows, 300, "{broken}");
        new.store.drop_collection("docs").await.unwrap();
    }
    // A memory that cannot be put anywhere comes behind records that can.
    let lines = all.iter().filter(|line| !line.contains(r#""line":"end""#)).cloned().map(Ok);
    let target = Target::default().with_store(new.store.clone());
    let error = import(&target, stream::iter(lines)).await.unwrap_err();
    assert_eq!((error.kind(), error.report.written_records), (ErrorKind::Unsupported, 1_200));
}

#[tokio::test]
async fn a_second_import_shortens_the_life_of_no_memory() {
    let (old, new) = (Place::filled().await, Place::new());
    import(&new.target(), old.lines()).await.unwrap();
    let key = MemoryKey::new("c7").unwrap();
    new.memory.touch(&key, Ttl::Remaining(Duration::from_secs(5_000))).await.unwrap();
    import(&new.target(), old.lines()).await.unwrap();
    let left = new.memory.ttl(&key).await.unwrap();
    assert!(matches!(left, Some(Ttl::Remaining(left)) if left > Duration::from_secs(4_000)), "{left:?}");
    // One whose time an import did not come to set is set.
    new.memory.touch(&key, Ttl::Remaining(Duration::from_secs(5))).await.unwrap();
    import(&new.target(), old.lines()).await.unwrap();
    let left = new.memory.ttl(&key).await.unwrap();
    assert!(matches!(left, Some(Ttl::Remaining(left)) if left > Duration::from_secs(50)), "{left:?}");
}

/// A memory whose keys expire just after they were read.
#[derive(Debug)]
struct Fading(InMemoryMemory);

#[async_trait]
impl MemoryStore for Fading {
    fn capabilities(&self) -> MemoryCapabilities {
        self.0.capabilities()
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        let there = self.0.get(key).await?;
        self.0.delete(key).await?;
        Ok(there)
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        self.0.put(key, memory, when).await
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        self.0.delete(key).await
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        self.0.list(prefix, page).await
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        self.0.delete_all(prefix).await
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        self.0.ttl(key).await
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        self.0.touch(key, ttl).await
    }

    async fn health(&self) -> Result<()> {
        self.0.health().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

#[tokio::test]
async fn a_memory_that_expires_while_it_is_read_does_not_live_for_ever_elsewhere() {
    let memory = Fading(InMemoryMemory::new());
    memory.store(&MemoryKey::new("c").unwrap(), "hello", Map::new()).await.unwrap();
    let source = Source::default().with_memories(Arc::new(memory), [KeyPrefix::default()]);
    let lines: Vec<String> = export(source).try_collect().await.unwrap();
    assert!(lines.len() == 2 && lines[1].contains(r#""memories":0"#), "{lines:?}");
}
