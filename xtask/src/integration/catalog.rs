//! What is proved on which engine. A backend joins with one entry in [`ENTRIES`] and its lines in `expected.json`.

use anyhow::{Result, ensure};

use crate::services::Service;

/// A test binary and the engines it runs on, one after the other.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The package.
    pub(crate) package: &'static str,
    /// The test binary: a file or folder of the package's `tests`.
    pub(crate) binary: &'static str,
    /// The suites of arshai-conformance that it runs on every engine; one that is not heard of fails the run.
    pub(crate) suites: &'static [&'static str],
    /// The engines.
    pub(crate) engines: &'static [Engine],
}

/// What a backend talks to. The binary finds its name in `ARSHAI_TEST_ENGINE`, and where it listens in the variables
/// of its services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Engine {
    /// The name, as in `expected.json`.
    pub(crate) name: &'static str,
    /// The services it consists of; none for an engine that is a library.
    pub(crate) services: &'static [Service],
}

/// Everything that is proved. A backend of a server joins with an entry of its own.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry {
        package: "arshai-conformance",
        binary: "in_memory",
        suites: &["memory", "vectors"],
        engines: &[Engine { name: "in-memory", services: &[] }],
    },
    Entry {
        package: "arshai-sqlite",
        binary: "it",
        suites: &["memory", "vectors"],
        engines: &[Engine { name: "sqlite", services: &[] }],
    },
    Entry {
        package: "arshai-redis",
        binary: "engine",
        suites: &["memory"],
        engines: &[
            Engine { name: "redis", services: &[Service::Redis] },
            Engine { name: "redis6", services: &[Service::Redis6] },
            Engine { name: "redis-tls", services: &[Service::RedisTls] },
            Engine { name: "redis-cluster", services: &[Service::RedisCluster] },
            Engine { name: "redis-sentinel", services: &[Service::RedisSentinel] },
        ],
    },
    Entry {
        package: "arshai-milvus",
        binary: "engine",
        suites: &["vectors"],
        engines: &[
            Engine { name: "milvus", services: &[Service::Milvus] },
            Engine { name: "milvus-lite", services: &[Service::MilvusLite] },
            Engine { name: "milvus-lite-py", services: &[Service::MilvusLitePy] },
        ],
    },
    Entry {
        package: "arshai-openai",
        binary: "engine",
        suites: &["embedder", "chat"],
        engines: &[Engine { name: "openai", services: &[Service::Openai] }],
    },
    Entry {
        package: "arshai-speech",
        binary: "engine",
        suites: &[],
        engines: &[Engine { name: "speech", services: &[Service::Speech] }],
    },
    Entry {
        package: "arshai-cli",
        binary: "servers",
        suites: &[],
        engines: &[Engine {
            name: "program + servers",
            services: &[Service::Redis, Service::MilvusLite, Service::Openai, Service::Speech],
        }],
    },
    Entry {
        package: "arshai-tests",
        binary: "across",
        suites: &[],
        engines: &[Engine { name: "in-memory + sqlite", services: &[] }],
    },
    Entry {
        package: "arshai-tests",
        binary: "servers",
        suites: &[],
        engines: &[Engine {
            name: "everything",
            services: &[
                Service::Redis,
                Service::RedisCluster,
                Service::Milvus,
                Service::MilvusLite,
                Service::Openai,
                Service::Speech,
            ],
        }],
    },
];

/// One test binary on one engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// The binary.
    pub(crate) entry: &'static Entry,
    /// The engine.
    pub(crate) engine: &'static Engine,
}

impl Run {
    fn is_meant_by(&self, word: &str) -> bool {
        let Entry { package, binary, suites, .. } = self.entry;
        let Engine { name, services } = self.engine;
        // `redis` is the engine of that name; what needs that service among others is not meant.
        let is_engine = || ENTRIES.iter().flat_map(|entry| entry.engines).any(|engine| engine.name == word);
        [*package, *binary, *name].contains(&word)
            || suites.contains(&word)
            || (services.iter().any(|service| service.name() == word) && !is_engine())
    }
}

/// Whether a test binary is run by `integration`, and so by nothing else.
pub(crate) fn holds(package: &str, binary: &str) -> bool {
    ENTRIES.iter().any(|entry| entry.package == package && entry.binary == binary)
}

/// The runs that `only` names: engines, services without an engine of their name, suites, packages or test binaries; all
/// of them when it names none.
pub(crate) fn select(only: &[String]) -> Result<Vec<Run>> {
    let all = ENTRIES.iter().flat_map(|entry| entry.engines.iter().map(move |engine| Run { entry, engine }));
    let all: Vec<Run> = all.collect();
    for word in only {
        ensure!(
            all.iter().any(|run| run.is_meant_by(word)),
            "nothing runs on or is called {word:?}; there are {}",
            names(&all)
        );
    }
    Ok(all
        .into_iter()
        .filter(|run| only.is_empty() || only.iter().any(|word| run.is_meant_by(word)))
        .collect())
}

fn names(runs: &[Run]) -> String {
    let mut names: Vec<&str> = runs.iter().map(|run| run.engine.name).collect();
    names.extend(runs.iter().flat_map(|run| run.entry.suites).copied());
    names.extend(runs.iter().map(|run| run.entry.package));
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn every_entry_names_a_test_binary_that_exists_once() {
        for entry in ENTRIES {
            assert!(!entry.engines.is_empty(), "{entry:?}");
            let same = ENTRIES.iter().filter(|e| (e.package, e.binary) == (entry.package, entry.binary));
            assert_eq!(same.count(), 1, "{entry:?}");
            let folder = match entry.package {
                "arshai-tests" => "tests".to_owned(),
                package => format!("crates/{package}"),
            };
            let tests = workspace::root().join(folder).join("tests");
            let file = tests.join(format!("{}.rs", entry.binary));
            assert!(file.exists() || tests.join(entry.binary).join("main.rs").exists(), "{entry:?}");
        }
    }

    #[test]
    fn a_name_that_means_nothing_is_refused_and_the_known_ones_are_listed() {
        let error = select(&["sqlite".to_owned(), "oracle".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("\"oracle\"") && error.contains("sqlite"), "{error}");
    }

    #[test]
    fn an_engine_and_a_suite_choose_what_runs() {
        let chosen = |word: &str| {
            let runs = select(&[word.to_owned()]).unwrap();
            runs.iter().map(|run| run.engine.name).collect::<Vec<_>>()
        };
        assert_eq!(chosen("sqlite"), ["sqlite"]);
        assert_eq!(chosen("redis"), ["redis"]);
        assert_eq!(chosen("arshai-tests"), ["in-memory + sqlite", "everything"]);
        assert_eq!(chosen("vectors"), ["in-memory", "sqlite", "milvus", "milvus-lite", "milvus-lite-py"]);
        let all: usize = ENTRIES.iter().map(|entry| entry.engines.len()).sum();
        assert_eq!(select(&[]).unwrap().len(), all);
    }
}
