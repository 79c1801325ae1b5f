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
    let path = workspace::root().join("target/doc/arshai_core.json");
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
    let path_of = |id: &String| {
        let summary = paths.get(id)?;
        let foreign = summary.get("crate_id")? != &Value::from(0);
        let parts: Vec<&str> = summary.get("path")?.as_array()?.iter().filter_map(Value::as_str).collect();
        foreign.then(|| parts.join("::"))
    };
    Ok(ids.iter().filter_map(path_of).collect())
}

/// The ids of all types and traits in a signature.
fn named(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for name in ["resolved_path", "trait"] {
                if let Some(id) = fields.get(name).and_then(|path| path.get("id")) {
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
}
