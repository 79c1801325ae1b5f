//! What a question is about: its terms without the English words that say nothing about its subject.

use std::{collections::HashSet, sync::LazyLock};

use super::{is_single_cjk, query_terms, terms};

/// Function words, and the words with which people ask.
const WORDS: &str = "
    a about above after again against all also am an and any are aren as at be because been before being below
    between both but by can cannot could couldn d did didn do does doesn doing don down during each few for from
    further had hadn has hasn have haven having he her here hers herself him himself his how i if in into is isn it
    its itself just ll let m may me might more most must my myself no nor not now of off on once one only or other our
    ours ourselves out over own please re s same shall she should shouldn so some such t than that the their theirs
    them themselves then there these they this those through to too under until up us ve very was wasn we were weren
    what when where whether which while who whom whose why will with won would wouldn you your yours yourself
    yourselves tell explain describe show give know say says mean means many much long";

/// Words that are the subject of a question only when nothing else is.
const FILLERS: &str = "
    do does did doing done use uses used using make makes making made get gets getting got happen happens happened
    happening work works working worked";

static STOP_TERMS: LazyLock<HashSet<String>> = LazyLock::new(|| terms(WORDS).collect());
static FILLER_TERMS: LazyLock<HashSet<String>> = LazyLock::new(|| terms(FILLERS).collect());

/// The distinct terms of a question that say what it is about; all of them when none does.
///
/// # Examples
///
/// ```
/// let terms = arshai_core::text::content_terms("How long is green tea steeped?");
/// assert_eq!(terms, ["green", "tea", "steep"]);
/// ```
pub fn content_terms(question: &str) -> Vec<String> {
    let all = query_terms(question);
    let mut content: Vec<String> = all.iter().filter(|term| !STOP_TERMS.contains(*term)).cloned().collect();
    if content.is_empty() {
        return all;
    }
    if content.iter().any(|term| !FILLER_TERMS.contains(term)) {
        content.retain(|term| !FILLER_TERMS.contains(term));
    }
    content
}

/// The share, from 0 to 1, of these distinct terms that a text holds; 1 when there are none.
pub fn share_held(wanted: &[String], text: &str) -> f32 {
    if wanted.is_empty() {
        return 1.0;
    }
    let held: HashSet<String> = terms(text).collect();
    let holds = |term: &&String| match is_single_cjk(term) {
        true => held.iter().any(|other| other.starts_with(term.as_str())),
        false => held.contains(*term),
    };
    wanted.iter().filter(holds).count() as f32 / wanted.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_counts_terms_once() {
        let wanted = content_terms("How long is green tea steeped? Tea!");
        assert_eq!(share_held(&wanted, "Tea, tea and tea, the greenest."), 1.0 / 3.0);
        assert_eq!(share_held(&wanted, "Steep green TEA"), 1.0);
        assert_eq!(share_held(&["京".to_owned()], "東京都"), 1.0 / 1.0);
        assert_eq!(share_held(&[], "anything"), 1.0);
    }

    #[test]
    fn what_a_question_is_about() {
        for (question, content) in [
            ("What does the memory do because of their Redis?", &["memori", "redi"] as &[&str]),
            ("How do I use the memory?", &["memori"]),
            ("What happens when it is used?", &["happen", "use"]),
            ("Who is it?", &["who", "is", "it"]),
            ("不?", &["不"]),
            ("?!", &[]),
        ] {
            assert_eq!(content_terms(question), content, "{question}");
        }
    }
}
