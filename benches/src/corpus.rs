//! A corpus that behaves like English for an index: word frequencies follow Zipf's law, the most frequent words are
//! English function words, and the questions are English questions about words of the corpus.

use fastrand::Rng;

const FUNCTION_WORDS: [&str; 60] = [
    "the", "of", "and", "to", "a", "in", "is", "that", "it", "was", "for", "on", "are", "as", "with", "his",
    "they", "at", "be", "this", "from", "have", "or", "by", "one", "had", "not", "but", "what", "all",
    "were", "when", "we", "there", "can", "an", "your", "which", "their", "said", "if", "do", "will", "each",
    "about", "how", "up", "out", "them", "then", "she", "many", "some", "so", "these", "would", "other",
    "into", "has", "more",
];

const ONSETS: [&str; 20] = [
    "b", "br", "c", "cl", "d", "dr", "f", "fl", "g", "gr", "h", "l", "m", "n", "p", "pr", "r", "s", "st", "t",
];
const RHYMES: [&str; 20] = [
    "an", "ar", "ath", "el", "en", "er", "ick", "il", "in", "ol", "on", "or", "ound", "um", "un", "ax", "eb",
    "ip", "ov", "ud",
];

/// Questions of 6 to 12 words; `@` stands for a content word of the corpus.
const QUESTIONS: [&str; 12] = [
    "how is the @ of a @ changed",
    "what happens to the @ when the @ is not there",
    "why does the @ have more @ than the other @",
    "which @ can be used with the @ and @",
    "is there a way to have @ in one @",
    "when was the @ of the @ said to be @",
    "what are the @ and the @ of each @",
    "how many @ are there in the @ of @",
    "where do they have the @ for this @",
    "can a @ be made from @ or from @",
    "who said that the @ was not in the @",
    "what is the @ that a @ would have",
];

/// Where the content words of questions are drawn from: neither the most frequent nor the rarest.
const ASKED_RANKS: std::ops::Range<usize> = 60..6_000;

pub(crate) struct Corpus {
    words: Vec<String>,
    /// Cumulative frequency of the words, by rank.
    cumulative: Vec<f64>,
}

impl Corpus {
    /// 30,000 words.
    pub(crate) fn new() -> Self {
        let mut words: Vec<String> = FUNCTION_WORDS.iter().map(ToString::to_string).collect();
        let syllable = |n: usize| format!("{}{}", ONSETS[n % 20], RHYMES[n / 20 % 20]);
        // Every pair of 400 syllables is a word of its own; a stride spreads them over the ranks.
        words.extend((0..29_940).map(|n| {
            let n = n * 7_919 % 160_000;
            format!("{}{}", syllable(n), syllable(n / 400))
        }));
        let mut total = 0.0;
        let cumulative = (1..=words.len())
            .map(|rank| {
                total += 1.0 / (rank as f64 + 2.7);
                total
            })
            .collect();
        Self { words, cumulative }
    }

    fn word(&self, rng: &mut Rng) -> &str {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let at = rng.f64() * total;
        let rank = self.cumulative.partition_point(|sum| *sum < at);
        &self.words[rank.min(self.words.len() - 1)]
    }

    /// A paragraph of `count` words in sentences of about twelve.
    pub(crate) fn paragraph(&self, rng: &mut Rng, count: usize) -> String {
        let mut out = String::with_capacity(count * 6);
        for position in 0..count {
            if position > 0 {
                out.push_str(if position % 12 == 0 { ". " } else { " " });
            }
            out.push_str(self.word(rng));
        }
        out.push('.');
        out
    }

    /// `count` different questions.
    pub(crate) fn questions(&self, rng: &mut Rng, count: usize) -> Vec<String> {
        (0..count)
            .map(|number| {
                let mut question = String::new();
                for piece in QUESTIONS[number % QUESTIONS.len()].split_inclusive('@') {
                    question.push_str(piece.trim_end_matches('@'));
                    if piece.ends_with('@') {
                        // As frequent words of a text are asked about more often, so here: uniform in log rank.
                        let (low, high) = ((ASKED_RANKS.start as f64).ln(), (ASKED_RANKS.end as f64).ln());
                        let rank = (low + rng.f64() * (high - low)).exp() as usize;
                        question.push_str(&self.words[rank]);
                    }
                }
                question.push('?');
                question
            })
            .collect()
    }
}
