//! How much of what was said was heard.

/// Substitutions, insertions and omissions (Levenshtein's distance over words), and the words of the reference.
pub(crate) fn errors(said: &str, heard: &str) -> (usize, usize) {
    let (said, heard) = (words(said), words(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (at, word) in said.iter().enumerate() {
        let mut next = vec![at + 1];
        for ((other, pair), left) in heard.iter().zip(row.windows(2)).zip(0..) {
            let (diagonal, above) = (pair.first().copied().unwrap(), pair.last().copied().unwrap());
            let before: usize = next.get(left).copied().unwrap();
            next.push((diagonal + usize::from(word != other)).min(above + 1).min(before + 1));
        }
        row = next;
    }
    (row.last().copied().unwrap(), said.len())
}

/// The share of words that are wrong.
pub(crate) fn error_rate(said: &str, heard: &str) -> f64 {
    let (wrong, words) = errors(said, heard);
    wrong as f64 / words as f64
}

fn words(text: &str) -> Vec<String> {
    let plain: String =
        text.chars().map(|c| if c.is_alphanumeric() || c == '\'' { c } else { ' ' }).collect();
    plain.to_lowercase().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn errors_are_counted() {
    for (said, heard, wrong) in [
        ("One, two three.", "one two three", 0),
        ("one two three", "one too three", 1),
        ("one two three", "one three", 1),
        ("one two", "oh one two", 1),
        ("one two", "", 2),
        ("a b c d", "b c d a", 2),
    ] {
        assert_eq!(errors(said, heard).0, wrong, "{said} / {heard}");
    }
}
