//! There and back again.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

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

/// A memory that is odd in one way.
#[derive(Debug)]
struct Odd {
    inner: InMemoryMemory,
    way: Way,
}

#[derive(Debug, PartialEq)]
enum Way {
    /// Keys expire just after they were read.
    Fades,
    /// A listing gives each key on two pages, as SCAN may.
    Repeats,
    /// What is kept under this key is broken until it is replaced.
    Breaks(MemoryKey),
    /// The user may not read what is kept under this key.
    Hides(MemoryKey),
}

#[async_trait]
impl MemoryStore for Odd {
    fn capabilities(&self) -> MemoryCapabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &MemoryKey) -> Result<Option<Versioned>> {
        if self.way == Way::Breaks(key.clone()) {
            return Err(Error::new(ErrorKind::Corrupt, "the value is no memory"));
        }
        if self.way == Way::Hides(key.clone()) {
            return Err(Error::new(ErrorKind::Unauthorized, "the user may not read this"));
        }
        let there = self.inner.get(key).await?;
        if self.way == Way::Fades {
            self.inner.delete(key).await?;
        }
        Ok(there)
    }

    async fn put(&self, key: &MemoryKey, memory: &Memory, when: Precondition) -> Result<Put> {
        if self.way == Way::Breaks(key.clone()) && when == Precondition::Absent {
            return Err(Error::new(ErrorKind::Corrupt, "the value is no memory"));
        }
        self.inner.put(key, memory, when).await
    }

    async fn delete(&self, key: &MemoryKey) -> Result<bool> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &KeyPrefix, page: &PageRequest) -> Result<KeyPage> {
        let again = page.cursor.as_ref().and_then(|cursor| cursor.strip_prefix("again "));
        match again {
            Some("") => self.inner.list(prefix, &PageRequest { cursor: None, ..page.clone() }).await,
            _ if self.way == Way::Repeats => {
                let keys = self.inner.list(prefix, page).await?.keys;
                Ok(KeyPage { keys, next: Some("again ".to_owned()) })
            }
            _ => self.inner.list(prefix, page).await,
        }
    }

    async fn delete_all(&self, prefix: &KeyPrefix) -> Result<u64> {
        self.inner.delete_all(prefix).await
    }

    async fn ttl(&self, key: &MemoryKey) -> Result<Option<Ttl>> {
        self.inner.ttl(key).await
    }

    async fn touch(&self, key: &MemoryKey, ttl: Ttl) -> Result<bool> {
        self.inner.touch(key, ttl).await
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// The working memory of a conversation.
fn key(conversation: &str) -> MemoryKey {
    MemoryKey::new(conversation).unwrap()
}

/// A memory with these conversations, odd in this way.
async fn odd(way: Way, conversations: &[&str]) -> Source {
    let memory = Odd { inner: InMemoryMemory::new(), way };
    for conversation in conversations {
        memory.inner.store(&key(conversation), "hello", Map::new()).await.unwrap();
    }
    Source::default().with_memories(Arc::new(memory), [KeyPrefix::default()])
}

#[tokio::test]
async fn a_memory_that_expires_while_it_is_read_does_not_live_for_ever_elsewhere() {
    let lines: Vec<String> = export(odd(Way::Fades, &["c"]).await).try_collect().await.unwrap();
    assert!(lines.len() == 2 && lines[1].contains(r#""memories":0"#), "{lines:?}");
}

#[tokio::test]
async fn a_memory_that_a_listing_repeats_is_exported_once() {
    let source = odd(Way::Repeats, &["a", "b"]).await;
    let lines: Vec<String> = export(source).try_collect().await.unwrap();
    assert!(lines.len() == 4 && lines[3].contains(r#""memories":2"#), "{lines:?}");
    let report = import(&Place::new().target(), stream::iter(lines.into_iter().map(Ok))).await.unwrap();
    assert_eq!((report.memories, report.written_memories), (2, 2));
}

#[tokio::test]
async fn an_export_of_every_memory_takes_those_of_other_types_and_of_tenants() {
    let (old, new) = (Arc::new(InMemoryMemory::new()), Place::new());
    let keys = [
        key("c"),
        key("c").of_type("NOTES").unwrap(),
        key("c").in_tenant("shop", "a:b").unwrap(),
        key("c").of_type("NOTES").unwrap().in_tenant("", "b").unwrap(),
    ];
    for (n, key) in keys.iter().enumerate() {
        old.store(key, &n.to_string(), Map::new()).await.unwrap();
    }
    // What is in two sets comes once.
    let sets = KeyPrefix::every().into_iter().chain([KeyPrefix::default()]);
    let report = import(&new.target(), export(Source::default().with_memories(old, sets))).await.unwrap();
    assert_eq!((report.memories, report.written_memories), (4, 4));
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(new.memory.retrieve(key).await.unwrap().unwrap().text, n.to_string(), "{key:?}");
    }
}

#[tokio::test]
async fn a_memory_that_cannot_be_read_is_told_and_left_out_or_ends_the_export() {
    let broken = || odd(Way::Breaks(key("b")), &["a", "b", "c"]);
    let ended: Result<Vec<String>> = export(broken().await).try_collect().await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Corrupt, "nobody listens");

    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let source = broken().await.telling_what_is_left_out(move |what| hears.lock().unwrap().push(what));
    let lines: Vec<String> = export(source).try_collect().await.unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert!(
        matches!(&told[..], [LeftOut::Memory { key, error }]
            if key == "memory:WORKING_MEMORY:b" && error.kind() == ErrorKind::Corrupt),
        "{told:?}"
    );
    assert!(told[0].to_string().contains("WORKING_MEMORY:b"), "{}", told[0]);
    let end = r#"{"line":"end","collections":0,"records":0,"memories":2,"unreadable":1}"#;
    assert_eq!((lines.len(), lines[3].as_str()), (4, end));
    // Who imports it is told too.
    let report = import(&Place::new().target(), stream::iter(lines.into_iter().map(Ok))).await.unwrap();
    assert!(report.is_complete() && report.written_memories == 2, "{report:?}");
    assert!(report.notes.iter().any(|note| note.starts_with("1 conversations")), "{:?}", report.notes);
}

#[tokio::test]
async fn a_memory_that_the_user_may_not_read_is_told_and_left_out() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let source = odd(Way::Hides(key("b")), &["a", "b"]).await;
    let source = source.telling_what_is_left_out(move |what| hears.lock().unwrap().push(what.to_string()));
    let lines: Vec<String> = export(source).try_collect().await.unwrap();
    assert!(lines.len() == 3 && lines[2].contains(r#""memories":1,"unreadable":1"#), "{lines:?}");
    assert!(told.lock().unwrap()[0].contains("WORKING_MEMORY:b"));
}

#[tokio::test]
async fn a_memory_that_cannot_be_read_where_it_goes_fails_alone_or_is_replaced() {
    let old = Place::new();
    for conversation in ["a", "b", "c"] {
        old.memory.store(&key(conversation), "from the export", Map::new()).await.unwrap();
    }
    let lines = || export(Source::default().with_memories(old.memory.clone(), [KeyPrefix::default()]));
    let broken = || {
        let memory = Odd { inner: InMemoryMemory::new(), way: Way::Breaks(key("b")) };
        Target::default().with_memory(Arc::new(memory))
    };
    let report = import(&broken(), lines()).await.unwrap();
    assert_eq!((report.written_memories, report.failed.len()), (2, 1), "{report:?}");
    assert!(report.failed[0].0.ends_with(":b") && report.failed[0].1.kind() == ErrorKind::Corrupt);
    let report = import(&broken().replacing_memories(), lines()).await.unwrap();
    assert!(report.is_complete() && report.written_memories == 3, "{report:?}");
}

#[tokio::test]
async fn what_of_a_collection_is_not_exported_is_told() {
    let place = Place::filled().await;
    place.store.open(&CollectionSpec::new("sparse").with_sparse()).await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    let source = Source::default()
        .with_collections(place.store.clone(), ["docs", "sparse"])
        .telling_what_is_left_out(move |what| hears.lock().unwrap().push(what.to_string()));
    let _lines: Vec<String> = export(source).try_collect().await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["sparse: sparse vectors are not exported"]);
}
