//! Section 1: pick and choose.

use std::{collections::BTreeSet, process::Command, sync::Arc};

use arshai::kb_tool::Document;
use arshai::{
    Config,
    blocking::{Blocking, Runtime},
    prelude::*,
};

use crate::own_process::with_variables;

/// A feature, the crates of ours that it adds, and the foreign ones that are the weight of it.
const FEATURES: [(&str, &[&str], &[&str]); 10] = [
    ("sqlite", &["arshai-sqlite"], &["rusqlite"]),
    ("local", &["arshai-local"], &[]),
    ("minilm", &["arshai-local"], &["rten"]),
    ("kb-tool", &["arshai-kb-tool"], &[]),
    ("agent", &["arshai-agent"], &[]),
    ("redis", &["arshai-redis"], &["fred"]),
    ("milvus", &["arshai-milvus"], &["tonic"]),
    ("openai", &["arshai-openai"], &["async-openai", "reqwest"]),
    ("speech", &["arshai-openai", "arshai-speech"], &["async-openai", "reqwest"]),
    ("blocking", &[], &[]),
];
const WEIGHTS: [&str; 6] = ["async-openai", "fred", "reqwest", "rten", "rusqlite", "tonic"];

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn section_1_features_carry_the_defaults_need_no_server() {
    with_variables(module_path!(), "section_1_features_carry_the_defaults_need_no_server", &[], || {
        let folder = tempfile::tempdir().unwrap();
        // Nothing is set and nothing runs; the embedder is left out because its model has to be fetched once.
        let config = Config::from_env().unwrap().with_data(folder.path()).with_embedder("none");
        let runtime = Runtime::new().unwrap();
        let knowledge = runtime.block_on(config.knowledge_base()).unwrap().unwrap();
        let knowledge = Blocking::new(Arc::new(knowledge), runtime.clone());
        let document = Document::new("tea.md", "Green tea is steeped for two minutes.");
        knowledge.ingest_documents(vec![document], &()).unwrap();
        let agent = Arc::new(runtime.block_on(config.agent()).unwrap().unwrap());
        let reply = Blocking::new(agent, runtime).process("How long is green tea steeped?").unwrap();
        assert!(reply.text.contains("two minutes") && reply.memory_error.is_none(), "{}", reply.text);
        assert_eq!(reply.citations[0].source, "tea.md");
    });
}

#[test]
fn section_1_features_mend_a_feature_pulls_in_only_its_own_stack() {
    let manifest = cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let packages = manifest["packages"].as_array().unwrap();
    let umbrella = packages.iter().find(|package| package["name"] == "arshai").unwrap();
    let there: BTreeSet<&str> =
        umbrella["features"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut seen = BTreeSet::from(["default", "full"]);
    for (feature, ours, weight) in FEATURES.into_iter().filter(|(feature, ..)| there.contains(feature)) {
        seen.insert(feature);
        let tree = ["tree", "--offline", "-p", "arshai", "--no-default-features", "--features", feature];
        let tree =
            cargo(&[tree.as_slice(), &["-e", "normal", "--prefix", "none", "--format", "{p}"]].concat());
        let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        println!("{feature}: {} crates", names.len());
        let added: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| name.starts_with("arshai-") && *name != "arshai-core")
            .collect();
        assert_eq!(added, ours, "{feature}");
        let heavy: Vec<&str> = WEIGHTS.into_iter().filter(|name| names.contains(name)).collect();
        assert_eq!(heavy, weight, "{feature}");
    }
    assert_eq!(seen, there, "every feature of the umbrella stands in the table");
}
