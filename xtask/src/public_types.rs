//! Types of other crates in the core's public signatures, read from rustdoc's JSON.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{process, workspace};

/// What ARCHITECTURE.md names. Everything of the standard library and serde's traits are allowed besides.
const ALLOWED: [&str; 5] = [
    "bytes::bytes::Bytes",
    "futures_core::stream::Stream",
    "serde_json::map::Map",
    "serde_json::value::Value",
    "tokio::runtime::handle::Handle",
];
const ALLOWED_CRATES: [&str; 5] = ["alloc", "core", "serde_core", "serde", "std"];

/// Fails when a public signature of `arshai-core` names a type that is not on the list.
pub(crate) fn check() -> Result<()> {
    let arguments =
        ["rustdoc", "-p", "arshai-core", "--lib", "--", "-Z", "unstable-options", "--output-format", "json"];
    let mut command = process::cargo(&arguments);
    // The JSON is not stable yet; a compiler whose form differs fails below, by name.
    command.env("RUSTC_BOOTSTRAP", "1");
    process::run(command)?;
    let path = workspace::target().join("doc/arshai_core.json");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let foreign = foreign(&serde_json::from_str(&text)?)?;
    println!("types of other crates in arshai-core's signatures: {}", Vec::from_iter(&foreign).len());
    let unknown: Vec<_> = foreign.iter().filter(|path| !is_allowed(path)).collect();
    ensure!(
        unknown.is_empty(),
        "arshai-core's public signatures name {unknown:?}; the list is in ARCHITECTURE.md and xtask/src/public_types.rs"
    );
    Ok(())
}

fn is_allowed(path: &str) -> bool {
    let krate = path.split("::").next().unwrap_or_default();
    ALLOWED.contains(&path) || ALLOWED_CRATES.contains(&krate)
}

/// The full paths of foreign types and traits that local items name.
fn foreign(doc: &Value) -> Result<BTreeSet<String>> {
    let index = doc.get("index").and_then(Value::as_object).context("rustdoc's JSON has no index")?;
    let paths = doc.get("paths").and_then(Value::as_object).context("rustdoc's JSON has no paths")?;
    let mut ids = BTreeSet::new();
    let local = index.values().filter(|item| item.get("crate_id") == Some(&Value::from(0)));
    for inner in local.filter_map(|item| item.get("inner")) {
        let implementation = inner.get("impl");
        let is =
            |name: &str| implementation.and_then(|i| i.get(name)).is_some_and(|v| !v.is_null() && v != false);
        // What another crate implements for every type, ours among them, is not our signature.
        if !is("blanket_impl") && !is("is_synthetic") {
            named(inner, &mut ids);
        }
    }
    ensure!(!ids.is_empty(), "rustdoc's JSON names no type at all: its form has changed");
    let mut foreign = BTreeSet::new();
    for id in &ids {
        let is_local = |item: &Value| item.get("crate_id") == Some(&Value::from(0));
        match paths.get(id) {
            Some(summary) if is_local(summary) => {}
            Some(summary) => drop(foreign.insert(path(summary).with_context(|| nameless(id))?)),
            // What is not listed by its path is an item of ours that has none, such as an associated one.
            None => ensure!(index.get(id).is_some_and(is_local), nameless(id)),
        }
    }
    Ok(foreign)
}

fn nameless(id: &str) -> String {
    format!("a signature names the item {id}, of which rustdoc's JSON does not say what it is")
}

fn path(summary: &Value) -> Option<String> {
    let parts: Option<Vec<&str>> = summary.get("path")?.as_array()?.iter().map(Value::as_str).collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("::"))
}

/// The ids of all types and traits in a signature, and of what a `use` passes on.
fn named(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for name in ["resolved_path", "trait", "use"] {
                // A `use` of a primitive type has no id.
                if let Some(id) = fields.get(name).and_then(|path| path.get("id")).filter(|id| !id.is_null())
                {
                    ids.insert(id.to_string());
                }
            }
            fields.values().for_each(|field| named(field, ids));
        }
        Value::Array(items) => items.iter().for_each(|item| named(item, ids)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn foreign_types_are_found_and_blanket_implementations_are_not() {
        let doc = json!({
            "index": {
                "1": { "crate_id": 0, "inner": { "function": { "sig": { "output": { "resolved_path": { "id": 7 } } } } } },
                "2": { "crate_id": 0, "inner": { "impl": { "trait": { "id": 8 }, "blanket_impl": { "generic": "T" } } } },
                "3": { "crate_id": 5, "inner": { "function": { "sig": { "resolved_path": { "id": 8 } } } } }
            },
            "paths": {
                "7": { "crate_id": 5, "path": ["fred", "Client"] },
                "8": { "crate_id": 6, "path": ["tracing", "Instrument"] }
            }
        });
        assert_eq!(foreign(&doc).unwrap(), BTreeSet::from(["fred::Client".to_owned()]));
        assert!(
            !is_allowed("fred::Client")
                && is_allowed("core::fmt::Debug")
                && is_allowed("bytes::bytes::Bytes")
        );
        assert!(foreign(&json!({ "index": {}, "paths": {} })).is_err());
    }

    #[test]
    fn what_a_use_passes_on_is_found_and_an_item_without_a_name_is_refused() {
        let passed_on = |paths: Value| {
            let item = json!({ "source": "fred::Client", "name": "Client", "id": 7, "is_glob": false });
            foreign(&json!({ "index": { "1": { "crate_id": 0, "inner": { "use": item } } }, "paths": paths }))
        };
        let known = passed_on(json!({ "7": { "crate_id": 5, "path": ["fred", "Client"] } }));
        assert_eq!(known.unwrap(), BTreeSet::from(["fred::Client".to_owned()]));
        assert!(passed_on(json!({})).unwrap_err().to_string().contains("names the item 7"));
        assert!(passed_on(json!({ "7": { "crate_id": 5 } })).is_err());
    }
}
