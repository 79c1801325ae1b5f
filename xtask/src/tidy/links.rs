//! Rules about Markdown: a link to a file or heading of this repository leads somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::workspace::{files, shown};

/// Every dead local link.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for path in files(root, &[".md"])? {
        let name = shown(root, &path);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
        for (line, target) in links(&text) {
            if let Some(problem) = problem(&path, &text, &target) {
                broken.push(format!("{name}:{line}: the link to `{target}` is dead: {problem}"));
            }
        }
    }
    Ok(broken)
}

/// Why a link leads nowhere; `None` when it is fine or leads out of the repository.
fn problem(page: &Path, text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path: PathBuf = page.parent().unwrap_or(page).join(file);
    let text = match file {
        "" => text.to_owned(),
        _ if !path.exists() => return Some("there is no such file".to_owned()),
        _ if anchor.is_none() => return None,
        _ => fs::read_to_string(&path).unwrap_or_default(),
    };
    let anchor = anchor?;
    (!headings(&text).any(|heading| heading == anchor)).then(|| "there is no such heading".to_owned())
}

/// Lines outside code blocks, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        (!in_code && !fence).then_some((number + 1, line))
    })
}

/// The targets of inline links, with their line numbers.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Even parts are outside of `code`.
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for rest in plain.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            let target = target.split_whitespace().next().unwrap_or_default();
            found.push((number, target.to_owned()));
        }
    }
    found
}

/// The anchors that headings get: lower case, spaces as `-`, punctuation gone.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_are_no_links() {
        let text = "[a](x.md) and `[b](y.md)`\n```\n[c](z.md)\n```\n[d](w.md \"title\") [e](v.md#part)\n";
        let targets: Vec<_> =
            links(text).into_iter().map(|(line, target)| format!("{line}:{target}")).collect();
        assert_eq!(targets, ["1:x.md", "5:w.md", "5:v.md#part"]);
    }

    #[test]
    fn dead_files_and_dead_headings_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("a.md");
        fs::write(folder.path().join("b.md"), "# The one heading\n").unwrap();
        let dead = |target: &str| problem(&page, "# Own part\n", target).is_some();
        assert!(
            !dead("b.md") && !dead("b.md#the-one-heading") && !dead("#own-part") && !dead("https://x.y/z")
        );
        assert!(dead("c.md") && dead("b.md#another") && dead("#the-one-heading"));
    }
}
