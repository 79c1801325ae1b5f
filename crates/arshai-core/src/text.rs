//! How text becomes search terms, and how terms are scored: the same on every engine whose BM25 is ours.

mod content;

use std::{borrow::Cow, collections::HashMap};

pub use content::{content_terms, share_held};
use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// In collections of more chunks than this, common terms of a query are dropped.
pub const COMMON_TERMS_FROM: u64 = 5_000;

/// Whether a term found in `frequency` of `total` chunks says too little to be searched for: in collections above
/// [`COMMON_TERMS_FROM`] chunks, a term in more than 10 % of them. Rarer terms of the same query remain; when none
/// remains, none is dropped.
pub fn is_common(frequency: u64, total: u64) -> bool {
    total > COMMON_TERMS_FROM && frequency.saturating_mul(10) > total
}

/// Splits text into search terms, in order, repeated as they repeat.
///
/// Words are runs of letters, digits and marks, lower-cased, with diacritics folded (NFKD without accents and points),
/// English-stemmed (Porter 2) when they are ASCII. Runs of Chinese, Japanese and Korean characters give overlapping
/// bigrams and, last, their final character alone, so that a single character is found as a prefix.
///
/// # Examples
///
/// ```
/// let terms: Vec<String> = arshai_core::text::terms("Searching the Cafés: 東京都").collect();
/// assert_eq!(terms, ["search", "the", "cafe", "東京", "京都", "都"]);
/// ```
pub fn terms(text: &str) -> impl Iterator<Item = String> {
    let stemmer = Stemmer::create(Algorithm::English);
    let mut out = Vec::new();
    for word in text.split(|c: char| !is_term_character(c)).filter(|word| !word.is_empty()) {
        let folded = fold(word);
        let mut rest: &str = &folded;
        while let Some(first) = rest.chars().next() {
            let cjk = is_cjk(first);
            let end = rest.find(|c| is_cjk(c) != cjk).unwrap_or(rest.len());
            let (run, after) = rest.split_at(end);
            rest = after;
            if cjk {
                bigrams(run, &mut out);
            } else if run.is_ascii() {
                out.push(stemmer.stem(run).into_owned());
            } else {
                out.push(run.to_owned());
            }
        }
    }
    out.into_iter()
}

/// Whether a term stands for a single CJK character, which is then searched for as a prefix of bigrams.
pub fn is_single_cjk(term: &str) -> bool {
    let mut characters = term.chars();
    characters.next().is_some_and(is_cjk) && characters.next().is_none()
}

/// The distinct terms of a query, in order of appearance. The final character that [`terms`] adds to a run of
/// several CJK characters is left out: the bigrams already say it.
pub fn query_terms(query: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut last_bigram: Option<String> = None;
    for term in terms(query) {
        let tail = is_single_cjk(&term) && last_bigram.as_ref().is_some_and(|bigram| bigram.ends_with(&term));
        last_bigram = (term.chars().count() == 2 && term.chars().all(is_cjk)).then(|| term.clone());
        if !tail && !out.contains(&term) {
            out.push(term);
        }
        // A query is for people; past a few hundred terms more say nothing and cost time.
        if out.len() >= MAX_QUERY_TERMS {
            break;
        }
    }
    out
}

const MAX_QUERY_TERMS: usize = 256;

fn is_term_character(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

fn fold(word: &str) -> Cow<'_, str> {
    if word.is_ascii() {
        return if word.bytes().any(|b| b.is_ascii_uppercase()) {
            word.to_ascii_lowercase().into()
        } else {
            word.into()
        };
    }
    let decomposed = word.nfkd().filter(|c| !is_diacritic(*c)).flat_map(char::to_lowercase);
    // Recomposing keeps Hangul syllables and voiced kana one character each.
    decomposed.nfc().filter(|c| is_term_character(*c)).collect::<String>().into()
}

/// Accents of Latin, Greek and Cyrillic, points of Hebrew and Arabic. Other combining marks, such as the vowel signs
/// of Devanagari or the voicing marks of kana, make another letter and stay.
fn is_diacritic(c: char) -> bool {
    matches!(u32::from(c),
        0x0300..=0x036F | 0x0483..=0x0489 | 0x0591..=0x05C7 | 0x0610..=0x061A | 0x064B..=0x065F | 0x0670
        | 0x06D6..=0x06ED | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0xFE20..=0xFE2F)
        && is_combining_mark(c)
}

fn is_cjk(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x11FF | 0x3005..=0x3007 | 0x3040..=0x30FF | 0x3105..=0x312F | 0x3130..=0x318F | 0x31A0..=0x31BF
        | 0x31F0..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xA960..=0xA97F | 0xAC00..=0xD7FF
        | 0xF900..=0xFAFF | 0x20000..=0x323AF)
}

fn bigrams(run: &str, out: &mut Vec<String>) {
    let characters: Vec<char> = run.chars().collect();
    out.extend(characters.windows(2).map(|pair| pair.iter().collect::<String>()));
    out.extend(characters.last().map(char::to_string));
}

/// Okapi BM25 as Lucene computes it: idf = ln(1 + (N − n + ½) / (n + ½)) ≥ 0, k₁ = 1.2, b = 0.75.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bm25 {
    /// How many chunks there are.
    pub total: u64,
    /// Their mean length in terms.
    pub average_length: f32,
}

impl Bm25 {
    const K1: f32 = 1.2;
    const B: f32 = 0.75;

    /// How much a term in `frequency` chunks tells.
    pub fn idf(&self, frequency: u64) -> f32 {
        let (total, frequency) = (self.total as f64, frequency as f64);
        (((total - frequency).max(0.0) + 0.5) / (frequency + 0.5)).ln_1p() as f32
    }

    /// What a term with this idf adds to the score of a chunk of `length` terms that holds it `count` times.
    pub fn score(&self, idf: f32, count: u32, length: u32) -> f32 {
        let count = count as f32;
        let relative = if self.average_length > 0.0 { length as f32 / self.average_length } else { 1.0 };
        idf * count * (Self::K1 + 1.0) / (count + Self::K1 * (1.0 - Self::B + Self::B * relative))
    }
}

/// How often each term occurs, and how many there are.
pub fn term_counts(text: &str) -> (HashMap<String, u32>, u32) {
    let mut counts: HashMap<String, u32> = HashMap::new();
    let mut length = 0_u32;
    for term in terms(text) {
        *counts.entry(term).or_default() += 1;
        length = length.saturating_add(1);
    }
    (counts, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        terms(text).collect()
    }

    #[test]
    fn scripts() {
        assert_eq!(all("Straße ÉCOLE"), ["straße", "ecol"]);
        assert_eq!(all("שלום עולם"), ["שלום", "עולם"]);
        assert_eq!(all("مُحَمَّد"), ["محمد"]);
        assert_eq!(all("Rust言語"), ["rust", "言語", "語"]);
        assert_eq!(all("한국어"), ["한국", "국어", "어"]);
        assert_eq!(all("人々"), ["人々", "々"]);
        assert_eq!(all("\u{1b}[31m \u{0}"), ["31m"]);
        assert_eq!(all(""), Vec::<String>::new());
    }

    #[test]
    fn marks_that_make_another_letter_are_kept() {
        assert_ne!(all("かぎ"), all("かき"));
        assert_eq!(all("ｶﾞ"), ["ガ"]);
        assert_ne!(all("दिन"), all("दान"));
        assert_eq!(all("ΆΛΦΑ"), ["αλφα"]);
        assert_eq!(all("й"), all("и\u{306}"));
    }

    #[test]
    fn a_query_keeps_a_lone_character_and_drops_a_run_s_tail() {
        assert_eq!(query_terms("東京都"), ["東京", "京都"]);
        assert_eq!(query_terms("猫"), ["猫"]);
        assert_eq!(query_terms("the the cat"), ["the", "cat"]);
    }

    #[test]
    fn a_huge_query_has_few_terms() {
        let query: String = (0..200_000).map(|n| format!("w{n} ")).collect();
        assert_eq!(query_terms(&query).len(), MAX_QUERY_TERMS);
    }

    #[test]
    fn bm25_is_never_negative_and_prefers_rare_terms() {
        let bm25 = Bm25 { total: 10, average_length: 5.0 };
        assert!(bm25.idf(10) >= 0.0);
        assert!(bm25.score(bm25.idf(1), 1, 5) > bm25.score(bm25.idf(9), 1, 5));
        assert!(bm25.score(bm25.idf(1), 2, 5) > bm25.score(bm25.idf(1), 1, 5));
    }

    #[test]
    fn common_terms() {
        assert!(!is_common(5_000, 5_000));
        assert!(is_common(601, 6_000));
        assert!(!is_common(600, 6_000));
    }
}
