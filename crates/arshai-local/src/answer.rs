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

/// Passages nearer than this are named when nothing in them answers.
const NEARBY: f32 = 0.35;
const MAX_NEARBY: usize = 2;

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

/// Where passages were searched for by meaning, a sentence is an answer when the cosine of its passage and its share of
/// the question's words, weighted by [`WORDS`], sum up to at least this. Chosen on one half of the questions of
/// `cargo xtask bench retrieval`, whose other half tells how well it does: the weight by logistic regression, the sum as
/// the largest at which at least 85 % of the answerable questions are answered.
pub(crate) const EVIDENCE: f32 = 1.18;
const WORDS: f32 = 1.3;

/// Where arshai's knowledge base writes the path of headings above a passage, and what joins them.
const HEADING_KEY: &str = "heading";
const HEADING_JOIN: &str = " > ";

/// Quotes what answers `question`, or says that nothing does.
pub(crate) fn answer(question: &str, passages: &[&Passage], evidence: f32) -> String {
    let wanted = content_terms(question);
    let candidates = candidates(passages);
    let rule = match passages.iter().any(|passage| passage.legs.dense.is_some()) {
        true => Rule::Evidence(evidence),
        false => Rule::Half,
    };
    let mut scored = score(&wanted, &candidates, rule);
    // Stable: among equals, the better passage and the earlier sentence come first.
    scored.sort_by(|a, b| b.score.total_cmp(&a.score));
    let Some(best) = scored.first().copied() else { return nothing(passages) };
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

/// That nothing answers, and where to read on: whoever asks in other words than the documents may find it there.
fn nothing(passages: &[&Passage]) -> String {
    let mut near: Vec<(f32, &str)> = passages
        .iter()
        .filter(|passage| !passage.source.trim().is_empty())
        .map(|passage| (passage.legs.dense.unwrap_or(0.0), passage.source.as_str()))
        .filter(|(meaning, _)| *meaning >= NEARBY)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut seen = HashSet::new();
    near.retain(|(_, source)| seen.insert(*source));
    let on_one_line = |source: &str| source.split_whitespace().collect::<Vec<_>>().join(" ");
    let names: Vec<String> =
        near.iter().take(MAX_NEARBY).map(|(_, source)| quotable(&on_one_line(source))).collect();
    match names.is_empty() {
        true => NOTHING.to_owned(),
        false => format!("{NOTHING} The nearest in meaning: {}.", names.join(", ")),
    }
}

type Terms = HashSet<String>;

/// When a sentence is an answer.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// It holds half of the question's words. All that can be asked where only words were searched for.
    Half,
    /// Its words and the meaning of its passage together say enough: see [`EVIDENCE`].
    Evidence(f32),
}

/// A sentence with the terms of all that it may count as its own.
struct Candidate {
    n: usize,
    /// The place of its passage, from 0.
    rank: usize,
    /// The cosine of its passage and the question; 0 when the passage was not found by its meaning.
    meaning: f32,
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
                meaning: passage.legs.dense.unwrap_or(0.0).clamp(0.0, 1.0),
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

/// The candidates that are answers.
fn score<'a>(wanted: &[String], candidates: &'a [Candidate], rule: Rule) -> Vec<Scored<'a>> {
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
    candidates.iter().filter_map(|candidate| candidate.score(wanted, &weights, rule)).collect()
}

impl Candidate {
    fn score(&self, wanted: &[String], weights: &HashMap<&str, f32>, rule: Rule) -> Option<Scored<'_>> {
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
        let answers = match rule {
            Rule::Half => held * 2 >= wanted.len(),
            Rule::Evidence(least) => {
                let whole: f32 = weights.values().sum();
                held > 0 && self.meaning + WORDS * score / whole >= least
            }
        };
        let score = score * (1.0 + RANK / (self.rank as f32 + 1.0));
        (speaks && answers).then_some(Scored { score, held, direct, candidate: self })
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
