//! `cargo xtask readme`: the library example in README.md is the file that the tests compile.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace;

const EXAMPLE: &str = "crates/arshai/examples/quickstart.rs";
/// The line after which the example stands in README.md, in a block of its own.
const MARK: &str = "<!-- the text of crates/arshai/examples/quickstart.rs, kept by `cargo xtask readme` -->";

/// Fails when README.md shows another program than the example.
pub(crate) fn check() -> Result<()> {
    let (readme, example) = read()?;
    let (_, shown, _) = split(&readme)?;
    ensure!(
        shown == example,
        "the example in README.md is not {EXAMPLE}; write it with `cargo xtask readme`"
    );
    Ok(())
}

/// Writes the example into README.md.
pub(crate) fn write() -> Result<()> {
    let (readme, example) = read()?;
    let (before, shown, after) = split(&readme)?;
    if shown != example {
        fs::write(workspace::root().join("README.md"), format!("{before}{example}{after}"))
            .context("writing README.md")?;
        println!("README.md: the example was written");
    }
    Ok(())
}

fn read() -> Result<(String, String)> {
    let file = |name: &str| {
        fs::read_to_string(workspace::root().join(name)).with_context(|| format!("reading {name}"))
    };
    Ok((file("README.md")?, file(EXAMPLE)?))
}

/// What stands before the example, the example, and what stands after it.
fn split(readme: &str) -> Result<(&str, &str, &str)> {
    const OPEN: &str = "```rust\n";
    let Some((before, rest)) = readme.split_once(MARK) else {
        bail!("README.md does not hold the line `{MARK}`");
    };
    let block =
        rest.trim_start_matches('\n').strip_prefix(OPEN).context("no ```rust block follows the mark")?;
    let length = block.find("```").context("the ```rust block after the mark has no end")?;
    let (example, after) = block.split_at(length);
    let start = readme.len() - block.len();
    let before = readme.get(..start).unwrap_or(before);
    Ok((before, example, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_block_is_the_example() {
        let readme = format!("```rust\nother();\n```\n{MARK}\n\n```rust\nfn main() {{}}\n```\nrest");
        let (before, example, after) = split(&readme).unwrap();
        assert_eq!(example, "fn main() {}\n");
        assert_eq!(format!("{before}{example}{after}"), readme);
    }

    #[test]
    fn a_readme_without_the_block_is_refused() {
        assert!(split("```rust\nfn main() {}\n```").is_err());
        assert!(split(&format!("{MARK}\ntext ```rust\n```")).is_err());
    }
}
