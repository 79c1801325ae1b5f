//! From one set of backends to another and back: SQLite to Milvus and Redis, with nothing lost on the way, and an import
//! that was cut off run again.

use std::{collections::BTreeMap, sync::Arc};

use arshai::transfer::{Source, Target, export, import};
use arshai::{
    ErrorKind,
    memory::{KeyPrefix, Memory, MemoryKey, MemoryStoreExt as _, TrimPolicy, Ttl, Turn},
    vector::{CollectionSpec, Record, RowQuery, VectorStoreExt as _},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::place::{MILVUSES, Place, REDISES, fresh};

const RECORDS: usize = 700;
const MEMORIES: usize = 150;

/// What is moved.
struct Load {
    collection: String,
    conversations: String,
}

/// What a place holds of it, without the times to live.
#[derive(Debug, PartialEq)]
struct Held {
    rows: BTreeMap<String, (String, Value, Option<Vec<f32>>)>,
    memories: BTreeMap<String, (String, Option<Vec<Turn>>, Value)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_goes_to_milvus_and_redis_and_back_and_a_cut_import_is_run_again() {
    // Cut in the middle of the records, and in the middle of the memories: what is then left to write. Two lines come
    // before the records.
    let cuts = [(2 + 300, RECORDS - 300, MEMORIES), (2 + RECORDS + 100, 0, MEMORIES - 100)];
    for ((memory, store), (cut, records_left, memories_left)) in REDISES.into_iter().zip(MILVUSES).zip(cuts) {
        let load = Load { collection: fresh("walk"), conversations: fresh("walk") };
        let (old, new) = (Place::open("sqlite", "sqlite").await, Place::open(memory, store).await);
        load.fill(&old).await;
        let before = load.held_by(&old).await;
        assert_eq!((before.rows.len(), before.memories.len()), (RECORDS, MEMORIES));

        let lines: Vec<String> = load.export(&old).await;
        let part = stream::iter(lines.iter().take(cut).cloned().map(Ok));
        let error = import(&target(&new), part).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{}: {error:?}", new.name);
        let whole = stream::iter(lines.clone().into_iter().map(Ok));
        let report = import(&target(&new), whole).await.unwrap();
        println!(
            "{}: {} lines; cut after {cut}, {} of {} records and {} of {} memories were left to write",
            new.name,
            lines.len(),
            report.written_records,
            report.records,
            report.written_memories,
            report.memories
        );
        assert!(report.is_complete(), "{}: {report:?}", new.name);
        assert_eq!((report.records, report.memories), (RECORDS as u64, MEMORIES as u64), "{}", new.name);
        let written = (report.written_records, report.written_memories);
        assert_eq!(written, (records_left as u64, memories_left as u64), "{}", new.name);
        let there = load.held_by(&new).await;
        assert_eq!(there, before, "{}", new.name);
        let ttl = new.memory.ttl(&load.key(0)).await.unwrap().unwrap();
        assert_eq!(ttl, Ttl::Forever, "kept until deleted in SQLite, and so in {}", new.name);

        let back = Place::open("sqlite", "sqlite").await;
        let lines = load.export(&new).await;
        let report = import(&target(&back), stream::iter(lines.into_iter().map(Ok))).await.unwrap();
        assert!(report.is_complete() && report.written_records == RECORDS as u64, "{report:?}");
        assert_eq!(load.held_by(&back).await, before, "{}", new.name);

        new.store.drop_collection(&load.collection).await.unwrap();
        let gone = new.memory.delete_all(&KeyPrefix::conversations(&load.conversations)).await.unwrap();
        assert_eq!(gone, MEMORIES as u64, "{}", new.name);
    }
}

fn target(place: &Place) -> Target {
    Target::default().with_store(Arc::clone(&place.store)).with_memory(Arc::clone(&place.memory))
}

impl Load {
    fn key(&self, n: usize) -> MemoryKey {
        MemoryKey::new(format!("{}-{n}", self.conversations)).unwrap()
    }

    async fn fill(&self, place: &Place) {
        let spec = CollectionSpec::new(&self.collection).with_dense(3).with_embedder("test");
        place.store.open(&spec).await.unwrap();
        let records = (0..RECORDS).map(|n| {
            let metadata = json!({ "n": n, "deep": { "ü": [null, 0.1, "\"quoted\"\n"] } });
            Record::new(format!("text {n} 😀"))
                .with_id(format!("id {n:05} 'x'"))
                .with_dense(vec![n as f32 / 7.0, -1.0, 0.25])
                .with_metadata(metadata.as_object().cloned().unwrap_or_default())
        });
        place.store.upsert(&self.collection, records.collect()).await.unwrap().into_complete().unwrap();
        for n in 0..MEMORIES {
            let turns = [Turn::user(format!("question {n}")), Turn::assistant("answer\nUser: forged?")];
            place.memory.append(&self.key(n), &turns, TrimPolicy::default()).await.unwrap();
        }
    }

    async fn export(&self, place: &Place) -> Vec<String> {
        let prefix = KeyPrefix::conversations(&self.conversations);
        let source = Source::default()
            .with_collections(Arc::clone(&place.store), [self.collection.clone()])
            .with_memories(Arc::clone(&place.memory), [prefix]);
        export(source).try_collect().await.unwrap()
    }

    async fn held_by(&self, place: &Place) -> Held {
        let everything = RowQuery::all().output(arshai::vector::Output::all());
        let rows = place.store.scan(&self.collection, everything).map(|row| {
            let row = row.unwrap();
            (row.id.to_string(), (row.text, Value::from(row.metadata), row.dense))
        });
        let rows = rows.collect().await;
        let mut memories = BTreeMap::new();
        for n in 0..MEMORIES {
            let Some(memory) = place.memory.retrieve(&self.key(n)).await.unwrap() else { continue };
            let Memory { text, turns, metadata, created_at, last_update, .. } = memory;
            let rest = json!({ "metadata": metadata, "created": created_at, "updated": last_update });
            memories.insert(self.key(n).stored(), (text, turns, rest));
        }
        Held { rows, memories }
    }
}
