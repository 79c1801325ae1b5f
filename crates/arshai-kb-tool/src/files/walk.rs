//! Listing what is below the given paths, with everything that is left out counted.

use std::{
    fs::{self, DirEntry, FileType},
    io,
    path::{Path, PathBuf},
};

use arshai_core::Error;
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use super::name;
use crate::{SkipReason, SourceFailure};

/// A larger `.gitignore` is not one.
const MAX_RULES_BYTES: u64 = 1 << 20;

/// A file that may become a document.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) source: String,
    /// It was named itself, not found in a folder.
    pub(super) named: bool,
}

/// A given path.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) name: String,
    pub(super) is_folder: bool,
    /// Everything below it could be listed.
    pub(super) complete: bool,
}

/// What is below the given paths.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: Vec<Found>,
    pub(super) roots: Vec<Root>,
    pub(super) skipped: Vec<(SkipReason, String)>,
    pub(super) failed: Vec<SourceFailure>,
    pub(super) notes: Vec<String>,
}

/// Lists files and folders. A file that several paths lead to by the same name is listed once.
pub(super) fn list(paths: &[PathBuf], hidden: bool) -> Listing {
    let mut listing = Listing::default();
    for path in paths {
        let name = match name::of(path) {
            Ok(name) => name,
            Err(error) => {
                listing.failed.push(SourceFailure::new(path.to_string_lossy(), error));
                continue;
            }
        };
        if listing.roots.iter().any(|root| root.name == name) {
            continue;
        }
        let (is_folder, complete) = match fs::metadata(path) {
            Ok(found) if found.is_dir() => (true, Walk::start(path, &name, hidden, &mut listing)),
            Ok(found) if found.is_file() => {
                listing.files.push(Found { path: path.clone(), source: name.clone(), named: true });
                (false, true)
            }
            Ok(_) => {
                let error = Error::invalid("the path is neither a file nor a folder");
                listing.failed.push(SourceFailure::new(&name, error));
                (false, false)
            }
            Err(error) => {
                listing
                    .failed
                    .push(SourceFailure::new(label(&name), unreadable("the path cannot be read", error)));
                (false, false)
            }
        };
        listing.roots.push(Root { name, is_folder, complete });
    }
    // Named files first among equals, so that they keep that they were named.
    listing.files.sort_by(|a, b| a.source.cmp(&b.source).then(b.named.cmp(&a.named)));
    listing.files.dedup_by(|a, b| a.source == b.source);
    listing
}

/// How a folder is called where the empty name would say nothing.
pub(super) fn label(name: &str) -> &str {
    if name.is_empty() { "." } else { name }
}

/// An error of the file system, with what to do.
pub(super) fn unreadable(what: &'static str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => arshai_core::ErrorKind::NotFound,
        _ => arshai_core::ErrorKind::Io,
    };
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "correct the path",
        io::ErrorKind::PermissionDenied => "allow reading it, or leave it out",
        _ => "look at the disk",
    };
    Error::new(kind, format!("{what}; {advice}")).with_source(error)
}

/// One folder and what is below it.
struct Walk<'a> {
    root: PathBuf,
    hidden: bool,
    /// The rules of the folders from the root to here, with their folders.
    rules: Vec<(PathBuf, Gitignore)>,
    complete: bool,
    links_out: u64,
    listing: &'a mut Listing,
}

impl<'a> Walk<'a> {
    /// Whether everything could be listed.
    fn start(path: &Path, name: &str, hidden: bool, listing: &'a mut Listing) -> bool {
        let root = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut walk = Self { root, hidden, rules: Vec::new(), complete: true, links_out: 0, listing };
        walk.folder(path, name);
        if walk.links_out > 0 {
            let (number, label) = (walk.links_out, label(name));
            let note = format!("{number} symbolic links below {label} lead out of it and were not followed");
            walk.listing.notes.push(note);
        }
        walk.complete
    }

    fn folder(&mut self, path: &Path, name: &str) {
        let mut entries = match fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>())
        {
            Ok(entries) => entries,
            Err(error) => return self.fail(name, unreadable("the folder cannot be listed", error)),
        };
        entries.sort_by_key(DirEntry::file_name);
        let depth = self.rules.len();
        self.rules.extend(rules(path).map(|rules| (path.to_owned(), rules)));
        for entry in entries {
            self.entry(&entry, name);
        }
        self.rules.truncate(depth);
    }

    fn entry(&mut self, entry: &DirEntry, folder: &str) {
        let (path, file_name) = (entry.path(), entry.file_name());
        let source = name::join(folder, &file_name.to_string_lossy());
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) => return self.fail(&source, unreadable("the entry cannot be read", error)),
        };
        let is_hidden = file_name.as_encoded_bytes().starts_with(b".");
        if file_name == ".git" || (is_hidden && !self.hidden) {
            return self.listing.skipped.push((SkipReason::Hidden, source));
        }
        if self.is_ignored(&path, kind.is_dir()) {
            return self.listing.skipped.push((SkipReason::Ignored, source));
        }
        if file_name.to_str().is_none() {
            let error = Error::invalid("the file name is not UTF-8; rename it");
            return self.listing.failed.push(SourceFailure::new(source, error));
        }
        self.accepted(path, source, kind);
    }

    fn accepted(&mut self, path: PathBuf, source: String, kind: FileType) {
        if kind.is_dir() {
            return self.folder(&path, &source);
        }
        if kind.is_symlink() {
            // A folder inside is visited where it stands, so only links to files are followed.
            return match fs::canonicalize(&path) {
                Ok(target) if !target.starts_with(&self.root) => self.links_out += 1,
                Ok(target) if self.is_out_of_sight(&target) => {
                    self.listing.skipped.push((SkipReason::Hidden, source));
                }
                Ok(target) if target.is_file() => self.file(path, source),
                Ok(_) => {}
                Err(_broken) => {
                    self.listing
                        .notes
                        .push(format!("the symbolic link {source} leads nowhere and was not followed"));
                }
            };
        }
        if kind.is_file() {
            return self.file(path, source);
        }
        self.listing.skipped.push((SkipReason::Unsupported, source));
    }

    /// Whether a path below the root is hidden: a link must not lead around the rule.
    fn is_out_of_sight(&self, target: &Path) -> bool {
        let below = target.strip_prefix(&self.root).unwrap_or(target);
        below.iter().any(|part| part == ".git" || (!self.hidden && part.as_encoded_bytes().starts_with(b".")))
    }

    fn file(&mut self, path: PathBuf, source: String) {
        self.listing.files.push(Found { path, source, named: false });
    }

    /// The innermost rule that names it decides.
    fn is_ignored(&self, path: &Path, is_folder: bool) -> bool {
        self.rules
            .iter()
            .rev()
            .filter_map(|(folder, rules)| match rules.matched(path.strip_prefix(folder).ok()?, is_folder) {
                Match::None => None,
                Match::Ignore(_) => Some(true),
                Match::Whitelist(_) => Some(false),
            })
            .next()
            .unwrap_or(false)
    }

    fn fail(&mut self, source: &str, error: Error) {
        self.complete = false;
        self.listing.failed.push(SourceFailure::new(label(source), error));
    }
}

/// The rules in a folder's `.gitignore`; a line that is no rule is passed over, as git does.
fn rules(folder: &Path) -> Option<Gitignore> {
    let path = folder.join(".gitignore");
    let about = fs::metadata(&path).ok()?;
    if !about.is_file() || about.len() > MAX_RULES_BYTES {
        return None;
    }
    let bytes = fs::read(&path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut builder = GitignoreBuilder::new("");
    for line in text.lines() {
        if let Err(error) = builder.add_line(None, line) {
            tracing::debug!(path = %path.display(), %error, "a line of a .gitignore is no rule");
        }
    }
    builder.build().ok()
}
