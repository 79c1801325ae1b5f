//! Which passages an answer stands on.

use arshai_core::tool::Passage;
use serde::{Deserialize, Serialize};

/// A passage that an answer cites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// Its number in the answer.
    pub n: usize,
    /// The chunk's key.
    pub id: String,
    /// The document.
    pub source: String,
    /// How well it fitted the search; higher is better.
    pub score: f32,
    /// The passage.
    pub text: String,
}

/// The passages that `text` cites, in the order of their first citation: `[1]`, and `[1, 2]` for several. A number
/// that is not that of a passage is no citation.
pub(crate) fn citations(text: &str, passages: &[Passage]) -> Vec<Citation> {
    let mut cited: Vec<Citation> = Vec::new();
    for n in numbers(text) {
        let Some(passage) = passages.iter().find(|passage| passage.n == n) else { continue };
        if cited.iter().all(|citation| citation.n != n) {
            cited.push(Citation {
                n,
                id: passage.id.clone(),
                source: passage.source.clone(),
                score: passage.score,
                text: passage.text.clone(),
            });
        }
    }
    cited
}

/// The numbers in square brackets that hold nothing but numbers.
fn numbers(text: &str) -> impl Iterator<Item = usize> {
    text.split('[').skip(1).filter_map(|rest| rest.split_once(']')).flat_map(|(inside, _)| {
        let numbers: Option<Vec<usize>> = inside.split(',').map(|part| number(part.trim())).collect();
        numbers.unwrap_or_default()
    })
}

/// Digits alone: `parse` would take a sign too.
fn number(digits: &str) -> Option<usize> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn cited(text: &str) -> Vec<usize> {
        let passage = |n: usize| Passage {
            n,
            id: n.to_string(),
            source: String::new(),
            score: 0.0,
            legs: Default::default(),
            text: String::new(),
            metadata: Map::new(),
        };
        citations(text, &[passage(1), passage(2), passage(3)])
            .into_iter()
            .map(|citation| citation.n)
            .collect()
    }

    #[test]
    fn only_numbers_that_were_handed_out_count() {
        assert_eq!(cited("so [2] and [1], again [2]"), [2, 1]);
        assert_eq!(cited("both [1, 3]"), [1, 3]);
        assert_eq!(
            cited("[4] [0] [-1] [+1] [ +2 ] [99999999999999999999999] [] [one] [1 2] [1"),
            Vec::<usize>::new()
        );
        assert_eq!(cited("[[3]] and array[2]"), [3, 2]);
    }
}
