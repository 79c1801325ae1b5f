//! Rules about README.md and CI: the two commands a newcomer types are there, and CI runs them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

const ASK: &str = "cargo run --release -p arshai-cli -- ask --docs docs \"";
const TEST: &str = "cargo xtask test";

/// What is missing.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let read = |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("reading {name}"));
    Ok(missing(&read("README.md")?, &read(".ci/run")?))
}

fn missing(readme: &str, ci: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let commands = |wanted: fn(&str) -> bool| code_lines(readme).filter(move |line| wanted(line)).count();
    if commands(|line| line.starts_with(ASK) && line.ends_with('"')) != 1 {
        broken.push(format!("README.md: `{ASK}…\"` does not stand alone on one line of a code block, once"));
    }
    if commands(|line| line == TEST) != 1 {
        broken.push(format!("README.md: `{TEST}` does not stand alone on one line of a code block, once"));
    }
    if !ci.lines().any(|line| line.trim() == TEST) {
        broken.push(format!(".ci/run does not run `{TEST}`"));
    }
    let asked = code_lines(readme).find_map(|line| line.strip_prefix(ASK));
    if !asked.is_some_and(|question| ci.contains(question.trim_end_matches('"'))) {
        broken.push(".ci/run does not ask the question of README.md".to_owned());
    }
    broken
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        in_code ^= fence;
        in_code && !fence
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_commands_are_needed_alone_on_their_lines() {
        let readme = format!("```sh\n{ASK}How long?\"\n```\n\n```sh\n{TEST}\n```\n");
        let ci = format!("{TEST}\nask \"How long?\"\n");
        assert_eq!(missing(&readme, &ci), Vec::<String>::new());
        assert_eq!(missing(&readme.replace("```", ""), &ci).len(), 3);
        assert_eq!(missing(&readme.replace(TEST, &format!("{TEST} # runs the tests")), &ci).len(), 1);
        assert_eq!(missing(&readme, "").len(), 2);
        assert_eq!(missing(&readme.replace("How long", "How wide"), &ci).len(), 1);
    }
}
