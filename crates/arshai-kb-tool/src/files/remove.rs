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
        if !present.contains(source) {
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
