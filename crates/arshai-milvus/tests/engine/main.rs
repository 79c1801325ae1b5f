//! The store on a real server. `ARSHAI_TEST_ENGINE` says which one: `milvus`, `milvus-lite` or `milvus-lite-py`; the
//! variable of that service says where it listens.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod conformance;
mod extras;
mod faults;
mod own;
mod packages;
mod pymilvus;
mod python;
mod restart;
mod roles;
mod survival;

use std::env;

use arshai_core::vector::{CollectionSpec, Record, VectorStore as _};
use arshai_milvus::{MilvusConfig, MilvusStore};
use serde_json::{Map, Value};

/// The engine and where it listens.
fn engine() -> (String, String) {
    let Ok(engine) = env::var("ARSHAI_TEST_ENGINE") else {
        panic!("ARSHAI_TEST_ENGINE names the engine: milvus, milvus-lite or milvus-lite-py");
    };
    let variable = match engine.as_str() {
        "milvus" => "ARSHAI_TEST_MILVUS_URI",
        "milvus-lite" => "ARSHAI_TEST_MILVUS_LITE_URI",
        "milvus-lite-py" => "ARSHAI_TEST_MILVUS_LITE_PY_URI",
        other => panic!("ARSHAI_TEST_ENGINE is {other:?}; known are milvus, milvus-lite and milvus-lite-py"),
    };
    match env::var(variable) {
        Ok(uri) => (engine, uri),
        Err(_) => panic!(
            "{variable} says where {engine} listens; `cargo xtask services up {engine}` starts one and prints it"
        ),
    }
}

fn config() -> MilvusConfig {
    MilvusConfig::from_url(&engine().1).unwrap()
}

fn store() -> MilvusStore {
    MilvusStore::new(config()).unwrap()
}

/// A collection that no other test has, dropped at the end of a test that passes.
struct Scratch {
    name: String,
    store: MilvusStore,
}

impl Scratch {
    fn name(prefix: &str) -> String {
        format!("arshai_{prefix}_{:012x}", fastrand::u64(..) >> 16)
    }

    fn spec(&self) -> CollectionSpec {
        CollectionSpec::new(&self.name).with_dense(2)
    }

    fn new(prefix: &str) -> Self {
        Self { name: Self::name(prefix), store: store() }
    }

    async fn open(prefix: &str) -> Self {
        let this = Self::new(prefix);
        this.store.open(&this.spec()).await.unwrap();
        this
    }

    async fn put(&self, records: Vec<Record>) {
        self.store.upsert(&self.name, records).await.unwrap().into_complete().unwrap();
    }

    async fn drop(self) {
        assert!(self.store.drop_collection(&self.name).await.unwrap());
    }
}

fn record(id: &str) -> Record {
    Record::new(format!("text of {id}")).with_id(id).with_dense(vec![0.6, 0.8])
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("no object") };
    members
}
