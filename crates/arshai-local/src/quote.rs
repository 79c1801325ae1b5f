//! What a quotation looks like.

/// Longer sentences are cut at a word.
pub(crate) const MAX_CHARS: usize = 600;

/// The sentence without anything that reads as a citation of ours, and not endless.
pub(crate) fn quotable(sentence: &str) -> String {
    let mut out = without_citations(sentence);
    if let Some((cut, _)) = out.char_indices().nth(MAX_CHARS) {
        let kept = out.get(..cut).unwrap_or_default();
        let end = kept.rfind(char::is_whitespace).filter(|end| *end > cut / 2).unwrap_or(cut);
        out.truncate(end);
        out.push('…');
    }
    out
}

/// Brackets around digits without letters become parentheses: `[2]`, `[+2]` and `[1-3]` are `(2)`, `(+2)` and `(1-3)`.
fn without_citations(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Where the brackets that are still open stand in `out`.
    let mut open = Vec::new();
    for c in text.chars() {
        match c {
            '[' => open.push(out.len()),
            ']' => {
                let inner = open.pop().and_then(|at| Some((at, out.get(at + 1..)?)));
                if let Some((at, _)) = inner.filter(|(_, inner)| is_citation(inner)) {
                    out.replace_range(at..=at, "(");
                    out.push(')');
                    continue;
                }
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

fn is_citation(inner: &str) -> bool {
    inner.contains(char::is_numeric) && !inner.contains(|c: char| c.is_alphabetic() && !c.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_around_digits_become_parentheses() {
        for (text, quoted) in [
            ("[a] [] [ ] x[2] ［2］ [[3]]", "[a] [] [ ] x(2) ［2］ ((3))"),
            ("see [+2], [2.], [1/2] and [²]", "see (+2), (2.), (1/2) and (²)"),
            ("[[1], [2]] [x [3]] v[i2] ] [4", "((1), (2)) [x (3)] v[i2] ] [4"),
            ("[ 1\u{200b} ]é[٢]", "( 1\u{200b} )é(٢)"),
        ] {
            assert_eq!(without_citations(text), quoted);
        }
    }
}
