//! Documentation from Debian's archive, fetched when the benchmark runs: titles as questions, bodies as documents.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use arshai_core::vector::{InMemoryVectors, RowQuery, VectorStore, VectorStoreExt as _};
use arshai_kb_tool::{Document, Format, KnowledgeBase};
use futures_util::TryStreamExt as _;
use serde_json::Value;

use super::{Question, Set};
use crate::local;

/// A body shorter than this answers nothing.
const SHORTEST: usize = 200;

/// Of long pages the beginning is enough to find them.
const LONGEST: usize = 4_000;

/// Manual pages: the line that says what a page is about, and the page without it.
pub(crate) fn manuals() -> Result<Set> {
    let folder = unpacked("manpages")?;
    let mut pages = BTreeMap::new();
    for section in ["man4", "man5", "man7", "man8"] {
        let Ok(entries) = fs::read_dir(folder.join("usr/share/man").join(section)) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_symlink() {
                continue;
            }
            let output = Command::new("gzip").arg("-dc").arg(&path).output().context("running gzip")?;
            ensure!(output.status.success(), "gzip cannot read {}", path.display());
            let Some((title, body)) = page(&String::from_utf8_lossy(&output.stdout)) else { continue };
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            pages.insert(name, (title, body));
        }
    }
    ensure!(pages.len() > 100, "only {} manual pages were read", pages.len());
    Ok(set("manual pages", pages))
}

/// The title and the text of a page's source.
fn page(source: &str) -> Option<(String, String)> {
    let mut section = String::new();
    let (mut title, mut body) = (String::new(), String::new());
    for line in source.lines() {
        if let Some(heading) = line.strip_prefix(".SH ") {
            section = heading.trim_matches('"').to_owned();
            continue;
        }
        let text = plain(line);
        if section == "NAME" {
            title = text.split_once(" - ").map_or(title, |(_, title)| title.trim().to_owned());
        } else if !section.is_empty() && !text.is_empty() && section != "SEE ALSO" && section != "COLOPHON" {
            body.push_str(&text);
            body.push('\n');
        }
    }
    let end = body.char_indices().nth(LONGEST).map_or(body.len(), |(end, _)| end);
    body.truncate(end);
    (title.split_whitespace().count() >= 2 && body.len() >= SHORTEST).then_some((title, body))
}

/// A line of a page without its markup.
fn plain(line: &str) -> String {
    let line = match line.strip_prefix(['.', '\'']) {
        Some(request) if request.starts_with(['\\', '"']) => "",
        Some(request) => request.split_once(' ').map_or("", |(_, words)| words),
        None => line,
    };
    let mut out = String::new();
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        if letter != '\\' {
            out.extend(Some(letter).filter(|letter| *letter != '"'));
            continue;
        }
        match rest.next() {
            Some('f') => drop(rest.next()),
            Some('(') => rest.by_ref().take(2).for_each(drop),
            Some('-') => out.push('-'),
            Some('e') => out.push('\\'),
            Some('"') => break,
            _ => {}
        }
    }
    out.trim().to_owned()
}

/// The Debian Reference: the headings of its sections, and the sections without them.
pub(crate) async fn reference() -> Result<Set> {
    let folder = unpacked("debian-reference-en")?.join("usr/share/debian-reference");
    let mut chapters = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("ch") && name.ends_with(".en.html") {
            chapters.push(Document::new(name, fs::read_to_string(&path)?).with_format(Format::Html));
        }
    }
    // Our own reading of HTML finds the sections.
    let store: Arc<dyn VectorStore> = Arc::new(InMemoryVectors::new());
    let report = KnowledgeBase::new(Arc::clone(&store), "chapters").ingest_documents(chapters, &()).await?;
    ensure!(report.is_complete(), "a chapter could not be read");
    let rows: Vec<_> = store.scan("chapters", RowQuery::all()).try_collect().await?;
    let mut sections: BTreeMap<(String, String), BTreeMap<u64, String>> = BTreeMap::new();
    for row in rows {
        let field =
            |name: &str| row.metadata.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = row.metadata.get("chunk").and_then(Value::as_u64).unwrap_or_default();
        sections.entry((field("source"), field("heading"))).or_default().insert(number, row.text);
    }
    let pages = sections.into_iter().filter_map(|((source, heading), chunks)| {
        let title = heading.rsplit(" > ").next()?;
        let title = title.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.').trim();
        let lines = chunks.values().flat_map(|chunk| chunk.lines());
        let body = lines.filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        let fits = title.split_whitespace().count() >= 2 && body.trim().len() >= SHORTEST;
        fits.then(|| (format!("{source}#{heading}"), (title.to_owned(), body)))
    });
    Ok(set("Debian Reference", pages.collect()))
}

/// Pages with their titles, by name. A title that several have asks for none of them.
fn set(name: &'static str, pages: BTreeMap<String, (String, String)>) -> Set {
    let mut times: HashMap<String, usize> = HashMap::new();
    for (title, _) in pages.values() {
        *times.entry(title.to_lowercase()).or_default() += 1;
    }
    let mut questions = Vec::new();
    let mut documents = Vec::new();
    for (place, (title, body)) in pages {
        documents.push(Document::new(&place, body).with_format(Format::Text));
        if times.get(&title.to_lowercase()) == Some(&1) {
            questions.push(Question { text: title, place });
        }
    }
    Set { name, documents, questions, place: |hit| hit.source.clone() }
}

/// The folder into which the newest version of a package was unpacked.
fn unpacked(package: &str) -> Result<PathBuf> {
    let folder = local::target()?.join("retrieval").join(package);
    let files = folder.join("files");
    if files.exists() {
        return Ok(files);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    run(Command::new("apt-get").args(["download", package]).current_dir(&folder))?;
    let archive = fs::read_dir(&folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let archive =
        archive.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let archive = archive.with_context(|| format!("apt-get left no archive of {package}"))?;
    println!("{}", archive.file_name().unwrap_or_default().to_string_lossy());
    let unpacking = folder.join("unpacking");
    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&unpacking))?;
    rename(&unpacking, &files)?;
    Ok(files)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("renaming {}", from.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| {
        format!("running {command:?}; this set needs Debian's tools and `apt-get update`")
    })?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_its_title_and_its_text_without_markup() {
        let text = "It keeps \\fBall\\fP things.\n".repeat(10);
        let source = format!(
            ".TH X 7\n.SH NAME\nx \\- a store of \"things\"\n.SH DESCRIPTION\n.\\\" no\n.B strong words\n{text}.SH SEE ALSO\nno"
        );
        let (title, body) = page(&source).unwrap();
        assert_eq!(title, "a store of things");
        assert!(body.starts_with("strong words\nIt keeps all things.\n"), "{body}");
        assert!(!body.contains("no"), "{body}");
    }
}
