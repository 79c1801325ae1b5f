//! The blocking way in, on real files.

use std::{future::pending, sync::Arc, time::Duration};

use arshai_agent::{Agent, AgentEvent, BlockingAgent as _};
use arshai_core::{
    Deadline, Effect, ErrorKind,
    blocking::{Blocking, MemoryStore as _, Runtime, VectorStore as _},
    memory::{MemoryKey, MemoryStore, TrimPolicy, Turn},
    vector::{CollectionSpec, Query, Record, RowQuery, Search, VectorStore},
};
use arshai_kb_tool::{BlockingKnowledgeBase as _, Document, KnowledgeBase, KnowledgeBaseTool, SearchOptions};
use arshai_local::ExtractiveModel;
use arshai_sqlite::{SqliteConfig, SqliteFile};

#[test]
fn a_program_without_async_uses_one_file_for_everything() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let config = SqliteConfig::new(folder.path().join("sync.db"));
    let file = runtime.block_on(SqliteFile::open(config)).unwrap().unwrap();
    let vectors = Blocking::new(Arc::new(file.vectors()) as Arc<dyn VectorStore>, runtime.clone());
    vectors.open(&CollectionSpec::new("docs")).unwrap();
    let report = vectors.upsert("docs", vec![Record::new("a red fox").with_id("fox")]).unwrap();
    assert!(report.is_complete());
    let found = vectors.search("docs", &Search::new(Query::text("fox"))).unwrap();
    assert_eq!(found[0][0].id.to_string(), "fox");

    let memory = Blocking::new(Arc::new(file.memory()) as Arc<dyn MemoryStore>, runtime);
    let key = MemoryKey::new("c").unwrap();
    memory.append(&key, &[Turn::user("hello")], TrimPolicy::default()).unwrap();
    assert_eq!(memory.retrieve(&key).unwrap().unwrap().text, "\nUser: hello");
    assert!(memory.delete(&key).unwrap());
}

#[test]
fn a_runtime_of_the_program_s_own_serves_a_file_until_it_is_shut_down() {
    let folder = tempfile::tempdir().unwrap();
    let own = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let runtime = Runtime::from_handle(own.handle().clone());
    let config = SqliteConfig::new(folder.path().join("sync.db"));
    let file = runtime.block_on(SqliteFile::open(config)).unwrap().unwrap();
    let memory = Blocking::new(Arc::new(file.memory()) as Arc<dyn MemoryStore>, runtime);
    let key = MemoryKey::new("c").unwrap();
    let append = || {
        let call = || memory.append(&key, &[Turn::user("hello")], TrimPolicy::default());
        Deadline::after(Duration::from_secs(30)).scope_blocking(call)
    };
    assert_eq!(append().unwrap().memory.text, "\nUser: hello");
    // A deadline is watched by the runtime's clock.
    let endless = Deadline::after(Duration::from_millis(20));
    let endless = endless.run("test.endless", Effect::NotApplied, pending::<arshai_core::Result<()>>());
    assert_eq!(memory.wait(endless).unwrap_err().kind(), ErrorKind::Timeout);
    drop(own);
    assert_eq!(append().unwrap_err().kind(), ErrorKind::Closed);
    let runtime = Runtime::new().unwrap();
    let memory = Blocking::new(Arc::new(file.memory()) as Arc<dyn MemoryStore>, runtime);
    assert_eq!(memory.retrieve(&key).unwrap().unwrap().text, "\nUser: hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_code_is_refused_and_the_blocking_pool_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteFile::open(SqliteConfig::new(folder.path().join("sync.db"))).await.unwrap();
    let memory = Blocking::new(Arc::new(file.memory()) as Arc<dyn MemoryStore>, Runtime::new().unwrap());
    let key = MemoryKey::new("c").unwrap();
    assert_eq!(memory.retrieve(&key).unwrap_err().kind(), ErrorKind::BlockingInAsync);
    let pooled = tokio::task::spawn_blocking(move || memory.retrieve(&key)).await.unwrap();
    assert_eq!(pooled.unwrap(), None);
}

#[test]
fn an_agent_without_async_streams_and_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let config = SqliteConfig::new(folder.path().join("sync.db"));
    let file = runtime.block_on(SqliteFile::open(config)).unwrap().unwrap();
    let base = Arc::new(KnowledgeBase::new(Arc::new(file.vectors()), "docs"));
    let knowledge = Blocking::new(Arc::clone(&base), runtime.clone());
    let documents = (0..1_500).map(|n| Document::new(format!("{n}.md"), format!("Fact {n} is about moons.")));
    knowledge.ingest_documents(documents.collect(), &()).unwrap();
    assert_eq!(knowledge.search("fact 7", &SearchOptions::default()).unwrap().hits[0].source, "7.md");

    let vectors = Blocking::new(Arc::new(file.vectors()) as Arc<dyn VectorStore>, runtime.clone());
    // More rows than a page holds.
    let rows: Vec<_> = vectors.scan("docs", RowQuery::all()).collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 1_500);

    let agent = Agent::builder(Arc::new(ExtractiveModel::new()))
        .memory(Arc::new(file.memory()))
        .retriever(Arc::new(KnowledgeBaseTool::new(base)))
        .build();
    let agent = Blocking::new(Arc::new(agent), runtime.clone());
    assert!(agent.process("What is fact 9 about?").unwrap().text.contains("moons"));
    let events: Vec<AgentEvent> = agent.stream("And fact 8?").collect::<Result<_, _>>().unwrap();
    assert!(matches!(events.last(), Some(AgentEvent::Done(_))) && events.len() > 1);
    let memory = Blocking::new(Arc::new(file.memory()) as Arc<dyn MemoryStore>, runtime);
    let kept = memory.retrieve(&MemoryKey::new("default").unwrap()).unwrap().unwrap();
    assert_eq!(kept.text.matches("\nUser: ").count(), 2);
}
