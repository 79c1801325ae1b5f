//! The name under which a file is known.

use std::path::{Component, Path};

use arshai_core::{Error, Result};

/// A path as given, normalised: no `.`, no doubled or trailing separator, `/` between parts, `..` kept. The current
/// folder itself is the empty name.
pub(super) fn of(path: &Path) -> Result<String> {
    let mut name = String::new();
    for component in path.components() {
        let part = match component {
            Component::CurDir => continue,
            Component::RootDir => {
                name.push('/');
                continue;
            }
            other => other.as_os_str().to_str().ok_or_else(|| {
                Error::invalid("the path is not UTF-8; rename it").with_context("path", path.display())
            })?,
        };
        if !name.is_empty() && !name.ends_with('/') {
            name.push('/');
        }
        name.push_str(part);
    }
    Ok(name)
}

/// The name of an entry of a folder.
pub(super) fn join(folder: &str, entry: &str) -> String {
    match folder {
        "" => entry.to_owned(),
        folder if folder.ends_with('/') => format!("{folder}{entry}"),
        folder => format!("{folder}/{entry}"),
    }
}

/// Whether `source` is the name of something below the folder `folder`. A name that climbs out again
/// (`docs/../other`) is not below.
pub(super) fn is_below(source: &str, folder: &str) -> bool {
    let rest = match folder {
        "" if source.starts_with('/') => None,
        "" => Some(source),
        folder if folder.ends_with('/') => source.strip_prefix(folder),
        folder => source.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')),
    };
    rest.is_some_and(|rest| rest.split('/').all(|part| part != ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one_name() {
        for path in ["docs", "./docs", "docs/", "docs/.", ".//docs//"] {
            assert_eq!(of(Path::new(path)).unwrap(), "docs", "{path}");
        }
        assert_eq!(of(Path::new("/a//b/")).unwrap(), "/a/b");
        assert_eq!(of(Path::new("../a/../b")).unwrap(), "../a/../b");
        assert_eq!(of(Path::new(".")).unwrap(), "");
        assert_eq!(of(Path::new("/")).unwrap(), "/");
    }

    #[test]
    fn a_name_that_only_begins_alike_is_not_below() {
        assert!(is_below("docs/a.md", "docs"));
        assert!(!is_below("docs2/a.md", "docs"));
        assert!(!is_below("docs", "docs"));
        assert!(is_below("/a", "/"));
        assert!(is_below("a.md", ""));
        assert!(!is_below("../a.md", ""));
        assert!(!is_below("/a.md", ""));
        assert!(!is_below("docs/../other/a.md", "docs"));
        assert!(!is_below("docs/../other/a.md", ""));
        assert!(!is_below("../../a.md", ".."));
        assert!(is_below("../a.md", ".."));
        assert!(is_below("docs/../other/a.md", "docs/.."));
    }
}
