//! What a trace tells of a command, by the names of OpenTelemetry's conventions for databases.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use arshai_core::{
    config::Secret,
    memory::{MemoryStore as _, MemoryStoreExt as _},
};
use arshai_redis::RedisServer;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::set_default,
};

use crate::{
    harness::{Test, block_on_one},
    key, memory, settings,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("spans::a_command_is_told_by_conventional_names", || block_on_one(names())),
        Test::new("spans::an_error_is_told_by_its_kind_and_no_secret_is", || block_on_one(errors())),
    ]
}

type Fields = BTreeMap<&'static str, String>;

/// Keeps the fields of every span of this crate.
#[derive(Clone, Default)]
struct Recorder {
    spans: Arc<Mutex<Vec<Fields>>>,
    events: Arc<Mutex<String>>,
}

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("arshai_redis")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut spans = self.spans.lock().unwrap();
        let mut fields = Fields::new();
        span.record(&mut Into(&mut fields));
        spans.push(fields);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.spans.lock().unwrap();
        values.record(&mut Into(&mut spans[span.into_u64() as usize - 1]));
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Into(&mut fields));
        self.events.lock().unwrap().push_str(&format!("{fields:?}\n"));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

async fn names() {
    let recorder = Recorder::default();
    let _guard = set_default(recorder.clone());
    let mut config = settings();
    config.database = 3;
    let RedisServer::Single(host, port) = config.server.clone() else { panic!("{config:?}") };
    memory(config).update(&key("span"), "x").await.unwrap();
    let spans = recorder.spans.lock().unwrap().clone();
    let operations: Vec<&str> = spans.iter().map(|span| span["db.operation.name"].as_str()).collect();
    assert_eq!(operations, ["GET", "EVALSHA"]);
    for span in &spans {
        let of = |name: &str| span.get(name).cloned();
        assert_eq!(of("db.system.name").as_deref(), Some("redis"));
        assert_eq!(of("db.namespace").as_deref(), Some("3"));
        assert_eq!(of("server.address"), Some(host.clone()));
        assert_eq!(of("server.port"), Some(port.to_string()));
        assert_eq!(of("otel.kind").as_deref(), Some("client"));
        assert_eq!(of("otel.name"), of("db.operation.name"));
        assert_eq!(of("error.type"), None);
    }
}

async fn errors() {
    let recorder = Recorder::default();
    let _guard = set_default(recorder.clone());
    let mut config = settings();
    config.username = Some("nobody".to_owned());
    config.password = Some(Secret::new("hunter2"));
    let error = memory(config).health().await.unwrap_err();
    let spans = recorder.spans.lock().unwrap().clone();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0]["error.type"], error.kind().name());
    assert_eq!(spans[0]["error.type"], "unauthorized");
    let told = format!("{spans:?} {}", recorder.events.lock().unwrap());
    assert!(!told.contains("hunter2"), "{told}");
}
