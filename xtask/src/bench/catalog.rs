//! The benchmarks there are. A client of a server joins with one entry in [`CLIENTS`], an arm in `benches/src/main.rs`
//! and, for the comparison, a script in `benches/python` with its requirements.

use anyhow::{Result, bail};

use super::target::{Reach, Target};
use crate::services::Service;

/// Those that print figures with a target each.
const FIGURES: [&str; 7] = ["memory", "ingest", "local", "hybrid", "retrieval", "milvus-client", "cli"];
/// Other names of what is measured there.
const ALIASES: [(&str, &str); 1] = [("lexical", "ingest")];
const BUILD: &str = "build";

/// A benchmark of operations under load.
#[derive(Debug, PartialEq)]
pub(super) struct Client {
    /// Its name, here and in `benches`.
    pub(super) name: &'static str,
    /// What it talks to.
    pub(super) services: &'static [Service],
    /// The variable in which its sides find that, and the one of the service whose value it gets.
    pub(super) address: Option<(&'static str, &'static str)>,
    /// A server of `benches` itself that it talks to.
    pub(super) server: Option<Server>,
    /// Whether `benches` has our own side.
    pub(super) is_ours: bool,
    /// The script in `benches/python` that is the other side.
    pub(super) python: Option<&'static str>,
    /// What is to be reached.
    pub(super) targets: &'static [Target],
}

/// A server that a benchmark starts from its own program, as it must answer at exactly the same pace every time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    /// The arguments that make the program a server.
    pub(super) arguments: &'static [&'static str],
    /// The variable in which the sides find its address.
    pub(super) variable: &'static str,
    /// What follows the address there.
    pub(super) path: &'static str,
}

/// All of them.
pub(super) const CLIENTS: &[Client] = &[
    Client {
        name: "sqlite",
        services: &[],
        address: None,
        server: None,
        is_ours: true,
        python: None,
        targets: &[],
    },
    Client {
        name: "agent",
        services: &[],
        address: None,
        server: None,
        is_ours: true,
        python: None,
        targets: &[],
    },
    Client {
        name: "redis",
        services: &[Service::Redis],
        address: Some(("REDIS_URL", "ARSHAI_TEST_REDIS_URL")),
        server: None,
        is_ours: true,
        python: Some("redis_memory.py"),
        targets: REDIS,
    },
    Client {
        name: "milvus",
        services: &[Service::Milvus],
        address: Some(("MILVUS_URI", "ARSHAI_TEST_MILVUS_URI")),
        server: None,
        is_ours: true,
        python: Some("milvus_vectors.py"),
        targets: MILVUS,
    },
    Client {
        name: "openai",
        services: &[],
        address: None,
        server: Some(Server {
            arguments: &["serve-embeddings", "--latency-ms", "50", "--dimension", "1536"],
            variable: "OPENAI_BASE_URL",
            path: "/v1",
        }),
        is_ours: true,
        python: Some("openai_embeddings.py"),
        targets: OPENAI,
    },
];

/// Beside the client alone, and beside the Python package.
const REDIS: &[Target] = &[
    Target { op: "put", concurrency: 256, reach: Reach::Times(0.9, "fred") },
    Target { op: "store", concurrency: 256, reach: Reach::Times(0.9, "fred") },
    Target { op: "retrieve", concurrency: 256, reach: Reach::Times(0.9, "fred") },
    Target { op: "update", concurrency: 256, reach: Reach::Times(0.9, "fred") },
    Target { op: "store", concurrency: 256, reach: Reach::Times(8.0, "python") },
    Target { op: "retrieve", concurrency: 256, reach: Reach::Times(8.0, "python") },
    Target { op: "update", concurrency: 256, reach: Reach::Times(6.0, "python") },
];

/// The client's own cost; what the server does is not ours.
const MILVUS: &[Target] = &[
    Target { op: "search", concurrency: 1, reach: Reach::CpuMicros(100.0) },
    Target { op: "search", concurrency: 16, reach: Reach::CpuMicros(60.0) },
    Target { op: "insert", concurrency: 4, reach: Reach::CpuMicros(6.0) },
    Target { op: "canned_search", concurrency: 1, reach: Reach::CpuMicros(100.0) },
    Target { op: "canned_search", concurrency: 16, reach: Reach::CpuMicros(60.0) },
    Target { op: "canned_insert", concurrency: 4, reach: Reach::CpuMicros(6.0) },
];

/// Five batches of 100 in 50 ms are 10,000 texts a second, 256 single texts are 5,120.
const OPENAI: &[Target] = &[
    Target { op: "embed_batches", concurrency: 5, reach: Reach::CpuMicros(25.0) },
    Target { op: "embed_batches", concurrency: 5, reach: Reach::PerSecond(9_000.0) },
    Target { op: "embed_batches", concurrency: 32, reach: Reach::CpuMicros(25.0) },
    Target { op: "embed_batches", concurrency: 32, reach: Reach::Times(5.0, "python") },
    Target { op: "embed_single", concurrency: 256, reach: Reach::PerSecond(4_096.0) },
];

/// What is run.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// Whether a build is timed.
    pub(super) build: bool,
    /// Benchmarks that print figures.
    pub(super) figures: Vec<&'static str>,
    /// Benchmarks of operations.
    pub(super) clients: Vec<&'static Client>,
}

impl Plan {
    /// Those with these names. When there are none: all that need no server and do not time a build, or when they are to
    /// be `compared`, all that have another side.
    pub(super) fn of(names: &[String], compared: bool) -> Result<Self> {
        let mut plan = Self { build: false, figures: Vec::new(), clients: Vec::new() };
        if names.is_empty() && compared {
            plan.clients = CLIENTS.iter().filter(|client| client.python.is_some()).collect();
            return Ok(plan);
        }
        if names.is_empty() {
            plan.figures = FIGURES.to_vec();
            plan.clients = CLIENTS.iter().filter(|c| c.services.is_empty() && c.server.is_none()).collect();
            return Ok(plan);
        }
        for name in names {
            let name =
                ALIASES.iter().find(|(alias, _)| alias == name).map_or(name.as_str(), |(_, real)| real);
            if name == BUILD {
                plan.build = true;
            } else if let Some(figures) = FIGURES.iter().find(|figures| **figures == name) {
                if !plan.figures.contains(figures) {
                    plan.figures.push(figures);
                }
            } else if let Some(client) = CLIENTS.iter().find(|client| client.name == name) {
                if !plan.clients.contains(&client) {
                    plan.clients.push(client);
                }
            } else {
                bail!("no benchmark is named {name}; there are: {}", all_names());
            }
        }
        Ok(plan)
    }
}

fn all_names() -> String {
    let clients = CLIENTS.iter().map(|client| client.name);
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    FIGURES.into_iter().chain(aliases).chain(clients).chain([BUILD]).collect::<Vec<_>>().join(", ")
}

/// Those that have a side in Python.
pub(super) fn with_python() -> String {
    let clients = CLIENTS.iter().filter(|client| client.python.is_some());
    let names: Vec<&str> = clients.map(|client| client.name).collect();
    format!("there is one for {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    fn plan(names: &[&str]) -> Result<Plan> {
        Plan::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), false)
    }

    #[test]
    fn names_and_other_names_are_found_and_others_are_refused_with_the_list() {
        let both = plan(&["lexical", "ingest", "redis", "redis", "build"]).unwrap();
        assert_eq!((both.figures, both.clients.len(), both.build), (vec!["ingest"], 1, true));
        let error = plan(&["speed"]).unwrap_err().to_string();
        assert!(error.contains("speed") && error.contains("sqlite") && error.contains("build"), "{error}");
    }

    #[test]
    fn without_a_name_nothing_starts_a_server() {
        let all = plan(&[]).unwrap();
        assert!(!all.build && all.figures.len() == FIGURES.len());
        assert!(all.clients.iter().all(|client| client.services.is_empty()));
    }

    #[test]
    fn a_comparison_without_names_runs_what_has_another_side_and_nothing_else() {
        let all = Plan::of(&[], true).unwrap();
        let names: Vec<&str> = all.clients.iter().map(|client| client.name).collect();
        assert_eq!((names, all.figures, all.build), (vec!["redis", "milvus", "openai"], Vec::new(), false));
    }

    #[test]
    fn every_script_stands_beside_its_pinned_requirements() {
        let folder = workspace::root().join("benches/python");
        for client in CLIENTS {
            assert!(client.is_ours || client.python.is_some(), "{} has no side at all", client.name);
            let Some(script) = client.python else { continue };
            assert!(folder.join(script).is_file(), "{script}");
            let list = std::fs::read_to_string(folder.join(format!("{}.txt", client.name))).unwrap();
            let list = list.replace("\\\n", " ");
            let lines: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
            assert!(!lines.is_empty());
            assert!(
                lines.iter().all(|l| l.contains("==") && l.contains("--hash=sha256:")),
                "{}",
                client.name
            );
        }
    }
}
