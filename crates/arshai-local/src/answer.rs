//! Choosing the sentences to quote.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use arshai_core::{
    text::{Bm25, content_terms, is_single_cjk, terms},
    tool::Passage,
};

use crate::{
    quote::quotable,
    sentences::{Kind, Sentence, sentences},
};

const NOTHING: &str = "I found nothing about that in the documents.";

const MAX_SENTENCES: usize = 3;

/// A further sentence is quoted when it tells at least this share of what the best one tells…
const WORTH_ADDING: f32 = 0.8;

/// …or as many words of the question, and at least this share.
const WORTH_COMPARING: f32 = 0.6;

/// What a term in the nearest heading, in a table's header or in a heading further up adds, when one in the sentence
/// itself adds 1.
const NEAR: f32 = 0.5;
const HEADER: f32 = 0.75;
const OUTER: f32 = 0.25;

/// The same, where text all but repeats what stands above it: the first sentence below a heading that holds the whole
/// question, and the items that a sentence announces.
const DIRECTLY_BELOW: f32 = 0.9;

/// Among few sentences a rare word is an accident and the subject is common, so rarity decides little.
const RARITY: f32 = 0.1;

/// What being in the best passage adds to a score; it halves with the second one.
const RANK: f32 = 0.1;

/// Where arshai's knowledge base writes the path of headings above a passage, and what joins them.
const HEADING_KEY: &str = "heading";
const HEADING_JOIN: &str = " > ";

/// Quotes what answers `question`, or says that nothing does.
pub(crate) fn answer(question: &str, passages: &[&Passage]) -> String {
    let wanted = content_terms(question);
    let candidates = candidates(passages);
    let mut scored = score(&wanted, &candidates);
    // Stable: among equals, the better passage and the earlier sentence come first.
    scored.sort_by(|a, b| b.score.total_cmp(&a.score));
    let Some(best) = scored.first().copied() else { return NOTHING.to_owned() };
    // Chunks overlap, and documents repeat.
    let mut seen = HashSet::new();
    let quotes: Vec<String> = scored
        .into_iter()
        .filter(|scored| scored.is_worth_adding_to(&best))
        .map(|scored| scored.candidate)
        .filter(|candidate| seen.insert(candidate.text.as_str()))
        .take(MAX_SENTENCES)
        .map(|candidate| format!("“{}” [{}]", quotable(&candidate.text), candidate.n))
        .collect();
    quotes.join("\n")
}

type Terms = HashSet<String>;

/// A sentence with the terms of all that it may count as its own.
struct Candidate {
    n: usize,
    /// The place of its passage, from 0.
    rank: usize,
    text: String,
    kind: Kind,
    /// Whether no text stands between it and the heading above, or the begin of the passage.
    first: bool,
    own: Terms,
    lead: Rc<Terms>,
    near: Rc<Terms>,
    outer: Rc<Terms>,
}

fn candidates(passages: &[&Passage]) -> Vec<Candidate> {
    let mut out = Vec::new();
    for (rank, passage) in passages.iter().enumerate() {
        let all = sentences(&passage.text);
        let mut headings = Headings::of(passage);
        let mut lead = (String::new(), Rc::new(Terms::new()));
        let mut first = true;
        for (position, sentence) in all.iter().enumerate() {
            let mut own = Terms::new();
            if let Kind::Heading(level) = sentence.kind {
                headings.enter(level, &sentence.text);
                first = true;
                if has_body(level, all.get(position + 1..).unwrap_or_default()) {
                    continue;
                }
            } else {
                own.extend(terms(&sentence.text));
            }
            // The rows of a table share one header.
            if lead.0 != sentence.lead {
                lead = (sentence.lead.clone(), Rc::new(terms(&sentence.lead).collect()));
            }
            out.push(Candidate {
                n: passage.n,
                rank,
                text: sentence.text.clone(),
                kind: sentence.kind,
                first,
                own,
                lead: Rc::clone(&lead.1),
                near: Rc::clone(&headings.near),
                outer: Rc::clone(&headings.outer),
            });
            first = false;
        }
    }
    out
}

/// Whether text stands below a heading of this level, before the next one that is no part of its section.
fn has_body(level: usize, below: &[Sentence]) -> bool {
    below
        .iter()
        .take_while(|sentence| !matches!(sentence.kind, Kind::Heading(next) if next <= level))
        .any(|sentence| !matches!(sentence.kind, Kind::Heading(_)))
}

/// The headings above a place in a passage.
struct Headings {
    /// With their levels, outermost first.
    path: Vec<(usize, String)>,
    /// Whether the path is only what the passage's metadata tells, whose levels are unknown.
    told: bool,
    near: Rc<Terms>,
    outer: Rc<Terms>,
}

impl Headings {
    fn of(passage: &Passage) -> Self {
        let told = passage.metadata.get(HEADING_KEY).and_then(|value| value.as_str()).unwrap_or_default();
        let path = told.split(HEADING_JOIN).map(|title| (0, title.to_owned())).collect();
        let mut headings = Self { path, told: true, near: Rc::default(), outer: Rc::default() };
        headings.read();
        headings
    }

    fn enter(&mut self, level: usize, title: &str) {
        if std::mem::take(&mut self.told) {
            // The path is that of the passage's begin: when this heading is in it, those before are above it.
            let above = self.path.iter().position(|(_, told)| told == title).unwrap_or(0);
            self.path.truncate(above);
            self.path.iter_mut().for_each(|(told, _)| *told = level.saturating_sub(1));
        }
        self.path.retain(|(above, _)| *above < level);
        self.path.push((level, title.to_owned()));
        self.read();
    }

    fn read(&mut self) {
        let mut path = self.path.iter().rev();
        self.near = Rc::new(path.next().into_iter().flat_map(|(_, title)| terms(title)).collect());
        self.outer = Rc::new(path.flat_map(|(_, title)| terms(title)).collect());
    }
}

#[derive(Clone, Copy)]
struct Scored<'a> {
    score: f32,
    /// How many terms of the question it holds, and how many of them not only through headings.
    held: usize,
    direct: usize,
    candidate: &'a Candidate,
}

impl Scored<'_> {
    fn is_worth_adding_to(&self, best: &Self) -> bool {
        let as_many = self.held >= best.held && self.direct >= best.direct;
        self.score >= best.score * if as_many { WORTH_COMPARING } else { WORTH_ADDING }
    }
}

/// The candidates that hold at least half of the wanted terms.
fn score<'a>(wanted: &[String], candidates: &'a [Candidate]) -> Vec<Scored<'a>> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let bm25 = Bm25 { total: candidates.len() as u64, average_length: 0.0 };
    let weights: HashMap<&str, f32> = wanted
        .iter()
        .map(|term| {
            let frequency = candidates.iter().filter(|candidate| holds(&candidate.own, term)).count();
            (term.as_str(), 1.0 + RARITY * bm25.idf(frequency as u64))
        })
        .collect();
    candidates.iter().filter_map(|candidate| candidate.score(wanted, &weights)).collect()
}

impl Candidate {
    fn score(&self, wanted: &[String], weights: &HashMap<&str, f32>) -> Option<Scored<'_>> {
        let whole = self.first && wanted.iter().all(|term| holds(&self.near, term));
        let near_share = if whole { DIRECTLY_BELOW } else { NEAR };
        let lead_share = if self.kind == Kind::Row { HEADER } else { DIRECTLY_BELOW };
        let (mut score, mut direct, mut near, mut outer) = (0.0, 0_usize, 0_usize, 0_usize);
        for term in wanted {
            let (share, count) = if holds(&self.own, term) {
                (1.0, &mut direct)
            } else if holds(&self.lead, term) {
                (lead_share, &mut direct)
            } else if holds(&self.near, term) {
                (near_share, &mut near)
            } else if holds(&self.outer, term) {
                (OUTER, &mut outer)
            } else {
                continue;
            };
            *count += 1;
            score += share * weights.get(term.as_str()).copied().unwrap_or(1.0);
        }
        // A heading alone speaks for what stands directly below it, and for the items and rows of its section.
        let speaks = direct > 0 || self.first || (self.kind != Kind::Text && near > 0);
        let held = direct + near + outer;
        let score = score * (1.0 + RANK / (self.rank as f32 + 1.0));
        (speaks && held * 2 >= wanted.len()).then_some(Scored { score, held, direct, candidate: self })
    }
}

fn holds(terms: &Terms, term: &str) -> bool {
    if is_single_cjk(term) {
        return terms.iter().any(|other| other.starts_with(term));
    }
    terms.contains(term)
}

#[cfg(test)]
mod tests;
