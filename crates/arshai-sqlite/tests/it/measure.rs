use arshai_core::{Filter, filter::Field, vector::*};
use arshai_sqlite::*;
use serde_json::json;
use std::time::Instant;
#[tokio::test]
async fn measure() {
    if std::env::var_os("MEASURE").is_none() {
        return;
    }
    let n: usize = std::env::var("MEASURE").unwrap().parse().unwrap();
    let rng = &mut fastrand::Rng::with_seed(1);
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("m.db");
    let file = SqliteFile::open(SqliteConfig::new(&path)).await.unwrap();
    let store = file.vectors();
    store.open(&CollectionSpec::new("c")).await.unwrap();
    // Zipf-like
    let word = |rng: &mut fastrand::Rng| {
        let u = rng.f64();
        let r = (30_000f64.powf(u)) as u32;
        format!("word{r}x")
    };
    let t = Instant::now();
    let mut spent = 0.0;
    for b in 0..n / 5000 {
        let records: Vec<Record> = (0..5000).map(|i| { let text: Vec<String> = (0..60).map(|_| word(rng)).collect();
            Record::new(text.join(" ")).with_id(format!("{b}-{i}")).with_metadata(crate::object(json!({"source": format!("f{b}.md"), "n": i, "tenth": i % 10 == 0, "t": format!("t{}", i%10)})))}).collect();
        let s = Instant::now();
        store.upsert("c", records).await.unwrap().into_complete().unwrap();
        spent += s.elapsed().as_secs_f64();
    }
    println!("ingest {} /s (wall {:?})", n as f64 / spent, t.elapsed());
    println!("size {}", std::fs::metadata(&path).unwrap().len());
    let questions: Vec<String> =
        (0..50).map(|_| (0..9).map(|_| word(rng)).collect::<Vec<_>>().join(" ")).collect();
    for (name, filter) in [
        ("none", None),
        ("tenth", Some(Filter::eq(Field::metadata("tenth"), true))),
        ("t3", Some(Filter::eq(Field::metadata("t"), "t3"))),
        ("src", Some(Filter::eq(Field::metadata("source"), "f0.md"))),
    ] {
        for round in 0..2 {
            let mut times: Vec<f64> = Vec::new();
            for q in &questions {
                let s = Instant::now();
                let hits = store
                    .search("c", &Search::new(Query::text(q.clone())).limit(10).filter(filter.clone()))
                    .await
                    .unwrap();
                times.push(s.elapsed().as_secs_f64() * 1e3);
                assert!(!hits.is_empty());
            }
            let first = times[0];
            times.sort_by(f64::total_cmp);
            println!(
                "{name} round {round}: first {first:.2} median {:.2} p95 {:.2} max {:.2} ms",
                times[25], times[47], times[49]
            );
        }
    }
    file.close().await.unwrap();
    let s = Instant::now();
    let file = SqliteFile::open(SqliteConfig::new(&path)).await.unwrap();
    println!("open {:?}", s.elapsed());
    let s = Instant::now();
    file.vectors().search("c", &Search::new(Query::text(questions[3].clone())).limit(10)).await.unwrap();
    println!("cold search {:?}", s.elapsed());
}
#[tokio::test]
async fn measure_memory() {
    use arshai_core::memory::*;
    if std::env::var_os("MEASURE").is_none() {
        return;
    }
    let folder = tempfile::tempdir_in(".").unwrap();
    let file = SqliteFile::open(SqliteConfig::new(folder.path().join("m.db"))).await.unwrap();
    let m = file.memory();
    let key = MemoryKey::new("c").unwrap();
    let n = 1000;
    for round in 0..3 {
        let s = Instant::now();
        for i in 0..n {
            m.update_with(&key, |_| Ok(Memory::new(format!("{i} {}", "x".repeat(500))))).await.unwrap();
        }
        let ours = s.elapsed();
        let c = rusqlite::Connection::open(folder.path().join("bare.db")).unwrap();
        c.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS memory(key TEXT PRIMARY KEY, value BLOB)").unwrap();
        let s = Instant::now();
        for i in 0..n {
            let _g: Option<Vec<u8>> = {
                use rusqlite::OptionalExtension;
                c.prepare_cached("SELECT value FROM memory WHERE key=?1")
                    .unwrap()
                    .query_row(["k"], |r| r.get(0))
                    .optional()
                    .unwrap()
            };
            c.execute_batch("BEGIN IMMEDIATE").unwrap();
            let _g: Option<Vec<u8>> = {
                use rusqlite::OptionalExtension;
                c.prepare_cached("SELECT value FROM memory WHERE key=?1")
                    .unwrap()
                    .query_row(["k"], |r| r.get(0))
                    .optional()
                    .unwrap()
            };
            c.prepare_cached("INSERT OR REPLACE INTO memory VALUES(?1,?2)")
                .unwrap()
                .execute(rusqlite::params!["k", format!("{i} {}", "x".repeat(700)).as_bytes()])
                .unwrap();
            c.execute_batch("COMMIT").unwrap();
        }
        let bare = s.elapsed();
        println!(
            "memory round {round}: ours {:?} bare {:?} ratio {:.2}",
            ours / n,
            bare / n,
            bare.as_secs_f64() / ours.as_secs_f64()
        );
    }
}
