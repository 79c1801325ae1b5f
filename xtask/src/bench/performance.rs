//! `docs/performance.md`: what the Python guide expects of its asynchronous clients, beside what ours and its own did here
//! in one run.

use std::fs;

use anyhow::{Context as _, Result};

use super::{
    measurement::{InRound, Measurement, merged},
    table::{OURS, Spread, ratios, shown},
};
use crate::{machine, workspace};

const FILE: &str = "docs/performance.md";
const PYTHON: &str = "python";
/// As many operations at a time, and more, are what the last of the guide's expectations is about.
const MANY: u64 = 100;

/// One expectation of the guide's section 10.
struct Claim {
    /// The benchmark that shows it.
    bench: &'static str,
    /// The kind of operation.
    about: &'static str,
    /// How many times as fast the guide expects it to become.
    gain: &'static str,
}

const CLAIMS: [Claim; 3] = [
    Claim { bench: "milvus", about: "Milvus, searches at once", gain: "2 to 5 times" },
    Claim { bench: "redis", about: "Redis, conversations", gain: "3 to 10 times" },
    Claim { bench: "openai", about: "Embeddings over OpenAI's protocol", gain: "5 to 20 times" },
];

/// Writes the page from the rounds of all these benchmarks.
pub(super) fn write(all: &[InRound], rounds: usize) -> Result<()> {
    let page = page(all, rounds, &machine::today(), &machine::facts());
    fs::write(workspace::root().join(FILE), page).with_context(|| format!("writing {FILE}"))?;
    eprintln!("bench: wrote {FILE}");
    Ok(())
}

fn page(all: &[InRound], rounds: usize, day: &str, facts: &str) -> String {
    let lines = merged(all);
    let mut page = format!(
        "# Performance\n\n\
         <!-- written by `cargo xtask bench --against python`; a change by hand is lost -->\n\n\
         What the Python guide expects of its asynchronous clients (its section 10), beside what they and arshai did on\n\
         one machine in one run. Both sides make the same calls to the same servers, which run on the same machine; the\n\
         sides take turns, and a ratio is taken within each round. What each side does is in\n\
         [the benchmarks](../benches/README.md). Other figures, such as search in a SQLite file or the embedder in the\n\
         process, are printed by `cargo xtask bench`, each with its target.\n\n\
         Measured on {day}, the rounds being {rounds}:\n\n{facts}\n\
         Each ratio is the median over the rounds, with the least and the most in brackets. The ratio of CPU time says\n\
         what part of Python's each operation of arshai costs the client.\n"
    );
    for claim in CLAIMS {
        page += &section(&claim, &lines, all);
    }
    page += &many(&lines);
    page + FILES
}

const FILES: &str = "\n## Files of speech\n\n\
    The guide expects that reading and writing recordings blocks nothing any more. That is no matter of speed, and a test\n\
    shows it: `cargo nextest run -p arshai-speech --test load --no-capture` prints the longest gap of a heartbeat on the\n\
    same threads, idle and beside a hundred recordings that are read slowly, and fails when the second is more than three\n\
    times the first.\n";

fn section(claim: &Claim, lines: &[Measurement], all: &[InRound]) -> String {
    let Claim { bench, about, gain } = claim;
    let mut text = format!(
        "\n## {about}\n\nThe guide expects {gain} the speed of its synchronous client. Here both sides are asynchronous.\n\n\
         | operation | at once | arshai, ops/s | Python, ops/s | ops/s | CPU | p99 ms, arshai | p99 ms, Python | command |\n\
         |---|---|---|---|---|---|---|---|---|\n"
    );
    let before = text.len();
    for python in lines.iter().filter(|line| line.bench == *bench && line.side == PYTHON) {
        let Some(ours) = lines.iter().find(|line| line.side == OURS && line.is_of_the_same(python)) else {
            continue;
        };
        let figure = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), shown);
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | `{}` |\n",
            python.op,
            python.concurrency,
            figure(ours.ops_per_s),
            figure(python.ops_per_s),
            spread(ratios(all, python, |m| m.ops_per_s)),
            spread(ratios(all, python, |m| m.client_cpu_us_per_op)),
            figure(ours.p99_ms),
            figure(python.p99_ms),
            command(bench, python.concurrency, true)
        );
    }
    match text.len() == before {
        true => String::new(),
        false => text,
    }
}

/// What we do a hundred times and more at once.
fn many(lines: &[Measurement]) -> String {
    let mut text = format!(
        "\n## {MANY} to 1000 operations at once, and more\n\n\
         The guide expects so many to be possible. Of arshai:\n\n\
         | benchmark | operation | at once | ops/s | p50 ms | p99 ms | resident MB | command |\n|---|---|---|---|---|---|---|---|\n"
    );
    for line in lines.iter().filter(|line| line.side == OURS && line.concurrency >= MANY) {
        let figure = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), shown);
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {} | `{}` |\n",
            line.bench,
            line.op,
            line.concurrency,
            figure(line.ops_per_s),
            figure(line.p50_ms),
            figure(line.p99_ms),
            figure(line.rss_mb),
            command(&line.bench, line.concurrency, false)
        );
    }
    text
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| spread.to_string())
}

fn command(bench: &str, concurrency: u64, both: bool) -> String {
    let against = if both { " --against python" } else { "" };
    format!("cargo xtask bench {bench}{against} --concurrency {concurrency}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measurement::tests::measured;

    #[test]
    fn both_sides_of_redis_make_as_many_calls() {
        let calls = |file: &str, begin: &str| {
            let text = fs::read_to_string(workspace::root().join("benches").join(file)).unwrap();
            let number = text.lines().find_map(|line| line.strip_prefix(begin)).map(str::to_owned).unwrap();
            number.trim_end_matches(';').to_owned()
        };
        assert_eq!(
            calls("src/redis.rs", "const CALLS: usize = "),
            calls("python/redis_memory.py", "CALLS = ")
        );
    }

    #[test]
    fn every_operation_of_both_sides_is_a_line_with_its_ratio_and_its_command() {
        let mut all = Vec::new();
        for (round, times) in [2.0, 3.0, 4.0].into_iter().enumerate() {
            all.push(measured(round, "arshai", "store", 100.0 * times));
            all.push(measured(round, "python", "store", 100.0));
            all.push(measured(round, "fred", "store", 500.0));
            all.push(measured(round, "arshai", "put", 100.0));
        }
        let mut crowd = measured(0, "arshai", "turn", 70.0);
        crowd.measurement.concurrency = 1_000;
        all.push(crowd);
        let page = page(&all, 3, "2027-01-31", "- processor: one\n");
        let line = "| store | 64 | 300.0 | 100.0 | 3.00× (2.00–4.00) | 1.00× (1.00–1.00) | 2.500 | 2.500 | \
                    `cargo xtask bench redis --against python --concurrency 64` |\n";
        assert!(page.contains(line), "{page}");
        assert!(page.contains("Measured on 2027-01-31, the rounds being 3:\n\n- processor: one\n"), "{page}");
        assert!(page.contains("| redis | turn | 1000 | 70.0 |"), "{page}");
        // What one side alone did is compared with nothing, and what was not measured has no table.
        assert!(
            !page.contains("| put |") && !page.contains("fred") && !page.contains("Milvus, searches"),
            "{page}"
        );
    }
}
