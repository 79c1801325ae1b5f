//! Documents and questions written for this repository. The questions avoid the words of their answers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use arshai_kb_tool::{Document, Format, SearchHit};
use serde_json::Value;

use super::{Question, Set};

/// The files' names end so.
const PARTS: [&str; 3] = ["home", "firm", "world"];

pub(crate) fn set() -> Result<Set> {
    let questions = lines("questions")?;
    let questions = questions.iter().map(|line| {
        let (source, heading) = (text(line, "source")?, text(line, "heading")?);
        Ok(Question { text: text(line, "question")?, place: format!("{source}#{heading}") })
    });
    Ok(Set {
        name: "library",
        documents: documents()?,
        questions: questions.collect::<Result<_>>()?,
        place: |hit: &SearchHit| {
            let heading = hit.metadata.get("heading").and_then(Value::as_str).unwrap_or_default();
            format!("{}#{}", hit.source, heading.rsplit(" > ").next().unwrap_or_default())
        },
    })
}

/// Every document, in the order of their names.
pub(crate) fn documents() -> Result<Vec<Document>> {
    let folder = folder().join("docs");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        names.push(entry?.file_name().into_string().ok().context("a name that is not UTF-8")?);
    }
    names.sort_unstable();
    let documents = names.into_iter().map(|name| {
        let text = fs::read_to_string(folder.join(&name))?;
        Ok(Document::new(name, text).with_format(Format::Markdown))
    });
    documents.collect()
}

/// The lines of the JSON files that begin with `kind`.
pub(crate) fn lines(kind: &str) -> Result<Vec<Value>> {
    let mut out = Vec::new();
    for part in PARTS {
        let name = format!("{kind}-{part}.jsonl");
        let content = fs::read_to_string(folder().join(&name)).with_context(|| format!("reading {name}"))?;
        for line in content.lines().filter(|line| !line.trim().is_empty()) {
            out.push(serde_json::from_str(line).with_context(|| format!("{name}: {line}"))?);
        }
    }
    Ok(out)
}

/// A field of a line.
pub(crate) fn text(line: &Value, name: &str) -> Result<String> {
    let value = line.get(name).and_then(Value::as_str);
    value.map(str::to_owned).with_context(|| format!("no text `{name}` in {line}"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("retrieval")
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use arshai_core::text::{query_terms, terms};
    use arshai_kb_tool::{ChunkSettings, chunk::chunk};

    use super::*;

    /// Function words, and those with which people ask.
    const STOP_WORDS: &str = "a about after again against all also am an and any are as at be because been before being \
        between both but by can cannot could did do does doing don done down during each else ever few for from further \
        get gets getting go goes going gone got had has have having he her here hers him his how i if in into is isn it \
        its itself just keep let like ll m make makes many may me might mine more most much must my no nor not now of \
        off on once one only or other ought our out over own please re really s same shall she should since so some \
        somebody someone something still such t tell than that the their them then there these they thing things this \
        those through to too under until up upon us use used using ve very want was way we well were what when where \
        whether which while who whom whose why will with without won would yet you your yourself say says";

    #[test]
    fn questions_hardly_share_a_word_with_their_answers() {
        let stop: HashSet<String> = terms(STOP_WORDS).collect();
        let set = set().unwrap();
        let mut sections: HashMap<String, String> = HashMap::new();
        let mut chunks = 0;
        for document in &set.documents {
            for chunk in chunk(&document.text, Format::Markdown, &ChunkSettings::default()) {
                let heading = chunk.heading.as_deref().unwrap_or_default();
                let place = format!("{}#{}", document.source, heading.rsplit(" > ").next().unwrap());
                let text = format!("{heading}\n{}\n", chunk.text(&document.text));
                sections.entry(place).or_default().push_str(&text);
                chunks += 1;
            }
        }
        assert!(set.questions.len() >= 60, "{} questions", set.questions.len());
        assert!(chunks >= 500, "{chunks} chunks");
        for question in &set.questions {
            let section = sections.get(&question.place);
            let held: HashSet<String> =
                terms(section.unwrap_or_else(|| panic!("{}", question.place))).collect();
            let mut asked = query_terms(&question.text);
            asked.retain(|term| !stop.contains(term));
            let shared: Vec<_> = asked.iter().filter(|term| held.contains(*term)).collect();
            let overlap = shared.len() as f64 / asked.len().max(1) as f64;
            assert!(overlap <= 0.2, "{}: {overlap:.2}, shares {shared:?}", question.text);
        }
    }
}
