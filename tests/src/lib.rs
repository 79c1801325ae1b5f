//! Tests across crates; see `tests/`. The Rust examples in the guide are compiled here.

/// Compiles the examples of these pages of `docs`.
macro_rules! guide {
    ($($name:ident: $file:literal,)*) => {
        /// The examples of the guide.
        #[cfg(doctest)]
        mod guide {
            $(
                #[doc = include_str!(concat!("../../docs/", $file))]
                struct $name;
            )*
        }

        #[cfg(test)]
        const COMPILED: &[&str] = &[$($file),*];
    };
}

guide! {
    Agent: "agent.md",
    Assumptions: "assumptions.md",
    Backends: "backends.md",
    Cli: "cli.md",
    Configuration: "configuration.md",
    Errors: "errors.md",
    Filters: "filters.md",
    FromPython: "from-python.md",
    GettingStarted: "getting-started.md",
    KnowledgeBase: "knowledge-base.md",
    Memory: "memory.md",
    Milvus: "milvus.md",
    Models: "models.md",
    Quality: "quality.md",
    Redis: "redis.md",
    Speech: "speech.md",
}

#[cfg(test)]
mod tests {
    use std::{fs, io, path::Path};

    use super::COMPILED;

    /// Pages that a command writes, and that hold no example.
    const WRITTEN: [&str; 2] = ["features.md", "performance.md"];

    #[test]
    fn every_page_of_the_guide_is_compiled() -> io::Result<()> {
        let mut pages = Vec::new();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") && !WRITTEN.contains(&name.as_str()) {
                pages.push(name);
            }
        }
        pages.sort();
        assert_eq!(pages, COMPILED, "a page whose examples nobody compiles, or one that is gone");
        Ok(())
    }
}
