//! Rules about manifests: what each crate says of itself, what it stands on, and the oldest Rust it needs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process;

/// The first Rust with the workspace's edition: no crate can need less.
const EDITION_2024: (u64, u64) = (1, 85);

/// Packages that need a newer Rust than they declare, with what shows it.
const UNDECLARED: [(&str, (u64, u64)); 1] = [("ignore", (1, 88))]; // 0.4.30 uses `if let … && …`

/// What the core's tokio may do. It may not do I/O, signals or processes.
const CORE_TOKIO: [&str; 3] = ["rt", "sync", "time"];

/// What the core must not stand on, however indirectly.
const NOT_IN_CORE: [&str; 22] = [
    "async-openai",
    "axum",
    "curl",
    "diesel",
    "fred",
    "h2",
    "heed",
    "http",
    "hyper",
    "isahc",
    "libsqlite3-sys",
    "mongodb",
    "prost",
    "redb",
    "redis",
    "reqwest",
    "rusqlite",
    "sled",
    "sqlx",
    "tokio-postgres",
    "tonic",
    "ureq",
];

/// What a published crate asks of docs.rs.
const DOCS_RS: &str = r#"`all-features = true` and `rustdoc-args = ["--generate-link-to-definition"]`"#;

/// Backends do not know each other, with one exception: speech uses the transport of openai.
const BACKENDS: [&str; 6] =
    ["arshai-local", "arshai-milvus", "arshai-openai", "arshai-redis", "arshai-speech", "arshai-sqlite"];

/// Prints the table of Rust versions and returns what is broken.
pub(crate) fn check() -> Result<Vec<String>> {
    let output = process::read(process::cargo(&["metadata", "--format-version", "1", "--all-features"]))?;
    let metadata: Value =
        serde_json::from_slice(&output).context("reading the output of `cargo metadata`")?;
    let graph = Graph::read(&metadata).context("the output of `cargo metadata` has not the expected form")?;
    let mut broken = Vec::new();
    println!("  {:20} {:>12}  {:>6}  needed by", "crate", "rust-version", "floor");
    for id in &graph.members {
        let Some(package) = graph.packages.get(id.as_str()).filter(|package| package.is_ours) else {
            continue;
        };
        broken.extend(graph.check_package(id, package));
    }
    Ok(broken)
}

/// The packages of the workspace and all they stand on.
#[derive(Debug, Default)]
struct Graph {
    members: Vec<String>,
    packages: BTreeMap<String, Package>,
    /// Package to packages it needs outside of its tests.
    needs: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Default)]
struct Package {
    name: String,
    rust_version: Option<(u64, u64)>,
    described: bool,
    licensed: bool,
    /// Whether docs.rs builds it with every feature, and links to the source of what is named.
    documented: bool,
    /// Whether it is one of the crates people use, not tests, benchmarks or this program.
    is_ours: bool,
    /// The features of tokio it asks for itself, and whether it takes tokio's default ones.
    tokio: Option<(BTreeSet<String>, bool)>,
}

impl Graph {
    fn read(metadata: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let members = metadata.get("workspace_members")?.as_array()?.iter().filter_map(text).collect();
        let mut packages = BTreeMap::new();
        for package in metadata.get("packages")?.as_array()? {
            packages.insert(text(package.get("id")?)?, Package::read(package)?);
        }
        let mut needs = BTreeMap::new();
        for node in metadata.get("resolve")?.get("nodes")?.as_array()? {
            let dependencies =
                node.get("deps")?.as_array()?.iter().filter(|dependency| outside_tests(dependency));
            let ids = dependencies.filter_map(|dependency| text(dependency.get("pkg")?)).collect();
            needs.insert(text(node.get("id")?)?, ids);
        }
        Some(Self { members, packages, needs })
    }

    /// Everything `id` stands on, itself left out.
    fn below(&self, id: &str) -> Vec<&Package> {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            for need in self.needs.get(next).into_iter().flatten() {
                if seen.insert(need.as_str()) {
                    open.push(need);
                }
            }
        }
        seen.into_iter().filter_map(|id| self.packages.get(id)).collect()
    }

    fn check_package(&self, id: &str, package: &Package) -> Vec<String> {
        let name = &package.name;
        let mut broken = Vec::new();
        if !package.described {
            broken.push(format!("{name}: Cargo.toml has no description"));
        }
        if !package.licensed {
            broken.push(format!("{name}: Cargo.toml has no licence"));
        }
        let below = self.below(id);
        broken.extend(Self::check_rust_version(package, &below));
        if !package.documented {
            broken.push(format!("{name}: [package.metadata.docs.rs] is not {DOCS_RS}"));
        }
        let stands_on = |other: &str| below.iter().any(|package| package.name == other);
        if name == "arshai-core" {
            let known = NOT_IN_CORE.iter().filter(|other| stands_on(other));
            broken.extend(known.map(|other| format!("{name}: stands on {other}; the core knows no backend")));
            broken.extend(package.check_tokio());
        }
        if BACKENDS.contains(&name.as_str()) {
            let exception = |other: &str| name == "arshai-speech" && other == "arshai-openai";
            let known = BACKENDS.iter().filter(|other| stands_on(other) && !exception(other));
            broken.extend(
                known.map(|other| format!("{name}: stands on {other}; backends do not know each other")),
            );
        }
        broken
    }

    /// A crate needs exactly what its dependencies need, or what the workspace's edition needs when they need less.
    fn check_rust_version(package: &Package, below: &[&Package]) -> Option<String> {
        let newest = below.iter().filter_map(|other| Some((other.rust_version?, other.name.as_str()))).max();
        let (floor, because) = match newest {
            Some((version, name)) if version > EDITION_2024 => (version, name),
            _ => (EDITION_2024, "edition 2024"),
        };
        let shown = |(major, minor): (u64, u64)| format!("{major}.{minor}");
        let stated = package.rust_version.map_or_else(|| "none".to_owned(), shown);
        println!("  {:20} {stated:>12}  {:>6}  {because}", package.name, shown(floor));
        (package.rust_version != Some(floor)).then(|| {
            format!("{}: rust-version is {stated}, and {because} needs {}", package.name, shown(floor))
        })
    }
}

impl Package {
    fn read(value: &Value) -> Option<Self> {
        let has = |field: &str| value.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        let manifest =
            value.get("manifest_path").and_then(Value::as_str).unwrap_or_default().replace('\\', "/");
        let tokio = value.get("dependencies")?.as_array()?.iter().find(|dependency| {
            dependency.get("name").and_then(Value::as_str) == Some("tokio")
                && dependency.get("kind").is_none_or(Value::is_null)
        });
        let name = value.get("name")?.as_str()?.to_owned();
        let declared = value.get("rust_version").and_then(Value::as_str).and_then(version);
        let shown = UNDECLARED.iter().find(|(package, _)| *package == name).map(|(_, version)| *version);
        Some(Self {
            name,
            rust_version: declared.max(shown),
            described: has("description"),
            licensed: has("license"),
            documented: value.pointer("/metadata/docs/rs").is_some_and(|docs| {
                docs.get("all-features") == Some(&Value::Bool(true))
                    && docs.pointer("/rustdoc-args/0") == Some(&"--generate-link-to-definition".into())
            }),
            is_ours: manifest.contains("/crates/"),
            tokio: tokio.map(|dependency| {
                let features = dependency.get("features").and_then(Value::as_array).into_iter().flatten();
                let features = features.filter_map(Value::as_str).map(str::to_owned).collect();
                let default =
                    dependency.get("uses_default_features").and_then(Value::as_bool).unwrap_or(true);
                (features, default)
            }),
        })
    }

    fn check_tokio(&self) -> Option<String> {
        let (features, default) = self.tokio.as_ref()?;
        let more: Vec<_> =
            features.iter().filter(|feature| !CORE_TOKIO.contains(&feature.as_str())).collect();
        (*default || !more.is_empty()).then(|| {
            format!(
                "{}: of tokio it uses {}, and takes also {more:?} (defaults: {default})",
                self.name,
                CORE_TOKIO.join(", ")
            )
        })
    }
}

/// Whether a dependency is needed to build the crate, and not only for its tests.
fn outside_tests(dependency: &Value) -> bool {
    let kinds = dependency.get("dep_kinds").and_then(Value::as_array);
    kinds.is_none_or(|kinds| kinds.iter().any(|kind| kind.get("kind").and_then(Value::as_str) != Some("dev")))
}

fn version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next().map_or(Some(0), |minor| minor.parse().ok())?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// arshai-core 1.85 on tokio 1.71, arshai-sqlite on core and rusqlite, and dev-dependencies that count for nothing.
    fn metadata(sqlite_version: &str, core_dependency: &str, tokio: &Value) -> Value {
        let package = |name: &str, version: Option<&str>| {
            json!({"id": name, "name": name, "rust_version": version, "description": "d", "license": "MIT",
                   "metadata": {"docs": {"rs": {"all-features": true, "rustdoc-args": ["--generate-link-to-definition"]}}},
                   "manifest_path": format!("/w/crates/{name}/Cargo.toml"), "dependencies": []})
        };
        let mut core = package("arshai-core", Some("1.85"));
        core["dependencies"] = json!([tokio]);
        let need = |id: &str, kind: Option<&str>| json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        json!({
            "workspace_members": ["arshai-core", "arshai-sqlite"],
            "packages": [core, package("arshai-sqlite", Some(sqlite_version)), package("rusqlite", Some("1.89.0")),
                         package("hyper", Some("1.63")), package("tokio", Some("1.71")), package("new", Some("1.95"))],
            "resolve": {"nodes": [
                {"id": "arshai-core", "deps": [need(core_dependency, None), need("new", Some("dev"))]},
                {"id": "arshai-sqlite", "deps": [need("arshai-core", None), need("rusqlite", None)]},
            ]},
        })
    }

    fn broken(metadata: &Value) -> Vec<String> {
        let graph = Graph::read(metadata).unwrap();
        graph.members.iter().flat_map(|id| graph.check_package(id, &graph.packages[id])).collect()
    }

    fn good_tokio() -> Value {
        json!({"name": "tokio", "kind": null, "features": ["rt", "sync"], "uses_default_features": false})
    }

    #[test]
    fn a_crate_states_the_floor_of_its_dependencies_and_no_newer() {
        assert_eq!(broken(&metadata("1.89", "tokio", &good_tokio())), Vec::<String>::new());
        for wrong in ["1.88", "1.90"] {
            let broken = broken(&metadata(wrong, "tokio", &good_tokio()));
            assert_eq!(broken, [format!("arshai-sqlite: rust-version is {wrong}, and rusqlite needs 1.89")]);
        }
    }

    #[test]
    fn the_core_stands_on_no_client() {
        assert_eq!(broken(&metadata("1.89", "hyper", &good_tokio())).len(), 1);
    }

    #[test]
    fn the_core_s_tokio_does_no_io() {
        let net = json!({"name": "tokio", "kind": null, "features": ["net"], "uses_default_features": false});
        assert_eq!(broken(&metadata("1.89", "tokio", &net)).len(), 1);
        let default = json!({"name": "tokio", "kind": null, "features": [], "uses_default_features": true});
        assert_eq!(broken(&metadata("1.89", "tokio", &default)).len(), 1);
    }

    #[test]
    fn a_crate_without_description_or_licence_is_found() {
        let mut metadata = metadata("1.89", "tokio", &good_tokio());
        metadata["packages"][1]["description"] = Value::Null;
        metadata["packages"][1]["license"] = json!("");
        assert_eq!(broken(&metadata).len(), 2);
        metadata["packages"][1]["metadata"] = json!({"docs": {"rs": {"all-features": true}}});
        assert_eq!(broken(&metadata).len(), 3, "docs.rs is not told enough");
    }
}
