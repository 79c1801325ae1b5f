//! English words that say nothing about the subject of a question.

use std::{collections::HashSet, sync::LazyLock};

use arshai_core::text::terms;

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

static STOP_TERMS: LazyLock<HashSet<String>> = LazyLock::new(|| terms(WORDS).collect());

/// Whether a term, as [`terms`] gives it, is a stop word.
pub(crate) fn is_stop_word(term: &str) -> bool {
    STOP_TERMS.contains(term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stemmed_forms_are_known_and_subjects_are_not() {
        for word in ["what", "does", "is", "their", "because"] {
            let term = terms(word).next().unwrap();
            assert!(is_stop_word(&term), "{word}");
        }
        for word in ["memory", "redis", "不"] {
            let term = terms(word).next().unwrap();
            assert!(!is_stop_word(&term), "{word}");
        }
    }
}
