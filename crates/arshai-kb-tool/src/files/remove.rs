//! Which documents are gone.

use std::collections::{BTreeMap, HashSet};

use super::{
    name::is_below,
    walk::{Found, Root, label},
};
use crate::{IngestReport, SkipReason, ingest::State};

/// Documents to remove, and what a person should know.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pub(super) sources: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// The documents from files below a listed folder that no file stands for any more. A document belongs to the
/// innermost given path above it.
pub(super) fn gone(
    state: &State,
    roots: &[Root],
    files: &[Found],
    report: &IngestReport,
    prune: bool,
) -> Gone {
    let dropped = |reason: SkipReason| {
        matches!(reason, SkipReason::Binary | SkipReason::Empty | SkipReason::Unsupported)
    };
    let left_out: HashSet<&str> = report
        .skipped_paths
        .iter()
        .filter(|(reason, _)| dropped(*reason))
        .map(|(_, path)| path.as_str())
        .collect();
    // A file that is hidden or ignored is not gone: it may have been named itself, or read with `hidden`.
    let out_of_sight: Vec<&str> = report
        .skipped_paths
        .iter()
        .filter(|(reason, _)| matches!(reason, SkipReason::Hidden | SkipReason::Ignored))
        .map(|(_, path)| path.as_str())
        .collect();
    let present: HashSet<&str> =
        files.iter().map(|file| file.source.as_str()).filter(|source| !left_out.contains(source)).collect();
    let mut known: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    for source in state.files() {
        let owner = roots
            .iter()
            .filter(|root| root.name == source || is_below(source, &root.name))
            .max_by_key(|root| root.name.len());
        let Some(owner) = owner.filter(|owner| owner.is_folder || left_out.contains(source)) else {
            continue;
        };
        let (count, missing) = known.entry(&owner.name).or_default();
        *count += 1;
        let still_there = out_of_sight.iter().any(|path| *path == source || is_below(source, path));
        if !present.contains(source) && !still_there {
            missing.push(source.to_owned());
        }
    }
    let mut gone = Gone::default();
    for (name, (count, mut missing)) in known {
        let complete = roots.iter().any(|root| root.name == name && root.complete);
        // A file that was named and turned out empty is not a folder that may be unmounted.
        let is_folder = roots.iter().any(|root| root.name == name && root.is_folder);
        if missing.is_empty() {
            continue;
        }
        let (label, number) = (label(name), missing.len());
        if !complete {
            gone.notes.push(format!(
                "{number} documents below {label} have no file, but it was not listed completely: nothing was removed"
            ));
        } else if is_folder && number * 2 > count && !prune {
            gone.notes.push(format!(
                "{number} of {count} documents below {label} have no file any more; they were not removed \
                 (is it mounted? --prune removes them)"
            ));
        } else {
            missing.sort();
            gone.sources.append(&mut missing);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use arshai_core::vector::{InMemoryVectors, Record, VectorStore as _};
    use serde_json::json;

    use super::*;
    use crate::{KnowledgeBase, ingest::FILE};

    /// The state of a store that holds these files, one chunk each.
    async fn state(sources: &[&str]) -> State {
        let store = InMemoryVectors::new();
        let base = KnowledgeBase::new(std::sync::Arc::new(store.clone()), "c");
        base.open().await.unwrap();
        let records = sources.iter().map(|source| {
            let metadata = json!({
                "source": source, "content_hash": "h", "settings_hash": "s", "chunk": 0, "chunks": 1, "origin": FILE
            });
            Record::new("text").with_id(*source).with_metadata(metadata.as_object().cloned().unwrap_or_default())
        });
        assert!(store.upsert("c", records.collect()).await.unwrap().is_complete());
        State::read(&base, None).await.unwrap()
    }

    fn root(name: &str, complete: bool) -> Root {
        Root { name: name.into(), is_folder: true, complete }
    }

    fn found(source: &str) -> Found {
        Found { path: source.into(), source: source.into(), named: false }
    }

    #[tokio::test]
    async fn a_folder_that_was_not_listed_completely_loses_nothing_even_with_prune() {
        let state = state(&["d/a", "d/b", "d/c"]).await;
        let files = [found("d/a"), found("d/b")];
        let gone = gone(&state, &[root("d", false)], &files, &IngestReport::default(), true);
        assert!(gone.sources.is_empty() && gone.notes.len() == 1, "{gone:?}");
    }

    #[tokio::test]
    async fn a_document_belongs_to_the_innermost_path() {
        let state = state(&["d/a", "d/b", "d/s/x", "d2/y"]).await;
        let files = [found("d/a"), found("d/b")];
        let roots = [root("d", true), root("d/s", false)];
        let gone = gone(&state, &roots, &files, &IngestReport::default(), true);
        assert_eq!(gone.sources, Vec::<String>::new(), "{gone:?}");
    }
}
