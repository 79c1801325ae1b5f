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
    /// How many times as fast the guide expects it to become, at least and at most.
    gain: (u8, u8),
    /// In what the two sides differ, in lines; empty when they make the same calls.
    differs: &'static str,
}

const CLAIMS: [Claim; 3] = [
    Claim { bench: "milvus", about: "Milvus, searches at once", gain: (2, 5), differs: "" },
    Claim {
        bench: "redis",
        about: "Redis, conversations",
        gain: (3, 10),
        differs: "\nA store and an update are not the same work on both sides. Those of arshai read the memory, compare, and write only\n\
            when nobody else has written in between, so that no update is lost. Python's store writes without a look, and its\n\
            update reads and writes with nothing that holds the two together. What Python's store does is `put` in the last\n\
            table.\n",
    },
    Claim { bench: "openai", about: "Embeddings over OpenAI's protocol", gain: (5, 20), differs: "" },
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
    let mut page = format!("{HEAD}\nMeasured on {day}, the rounds being {rounds}:\n\n{facts}\n{RATIOS}");
    for claim in CLAIMS {
        page += &section(&claim, &lines, all);
    }
    page += &many(&lines);
    page + FILES
}

const HEAD: &str = "# Performance\n\n\
    <!-- written by `cargo xtask bench --against python`; a change by hand is lost -->\n\n\
    What the Python guide expects of its asynchronous clients (its section 10), beside what they and arshai did on\n\
    one machine in one run. Both sides do the same to the same servers, which run on the same machine, unless a\n\
    section says otherwise; the sides take turns, and a ratio is taken within each round. What each side does is in\n\
    [the benchmarks](../benches/README.md). Other figures, such as search in a SQLite file or the embedder in the\n\
    process, are printed by `cargo xtask bench`, each with its target.\n";

const RATIOS: &str = "Each ratio is the median over the rounds, with the least and the most in brackets. The ratio of CPU time says\n\
    what part of Python's each operation of arshai costs the client. The synchronous client, which the guide compares\n\
    with, was not measured: a gain is called reached here when it is reached over Python's asynchronous one.\n";

const FILES: &str = "\n## Files of speech\n\n\
    The guide expects that reading and writing recordings blocks nothing any more. That is no matter of speed, and a test\n\
    shows it: `cargo nextest run -p arshai-speech --test load --no-capture` prints the largest gap between two beats of a\n\
    heartbeat, idle and then beside a hundred recordings that are read slowly, all on one async thread, and fails when in\n\
    most of five such rounds the second is more than three times the first.\n";

/// What stands above the table of a claim.
fn opening(Claim { about, gain: (least, most), differs, .. }: &Claim) -> String {
    format!(
        "\n## {about}\n\nThe guide expects {least} to {most} times the speed of its synchronous client. Here both sides are \
         asynchronous.\n{differs}\n"
    )
}

fn section(claim: &Claim, lines: &[Measurement], all: &[InRound]) -> String {
    let mut text = opening(claim)
        + "| operation | at once | arshai, ops/s | Python, ops/s | ops/s | CPU | p99 ms, arshai | p99 ms, Python | command |\n\
           |---|---|---|---|---|---|---|---|---|\n";
    let mut gains = Vec::new();
    for python in lines.iter().filter(|line| line.bench == claim.bench && line.side == PYTHON) {
        let Some(ours) = lines.iter().find(|line| line.side == OURS && line.is_of_the_same(python)) else {
            continue;
        };
        let figure = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), shown);
        let gain = spread(ratios(all, python, |m| m.ops_per_s));
        text += &format!(
            "| {} | {} | {} | {} | {gain} | {} | {} | {} | `{}` |\n",
            python.op,
            python.concurrency,
            figure(ours.ops_per_s),
            figure(python.ops_per_s),
            spread(ratios(all, python, |m| m.client_cpu_us_per_op)),
            figure(ours.p99_ms),
            figure(python.p99_ms),
            command(claim.bench, python.concurrency, true)
        );
        gains.push((python.op.clone(), python.concurrency, gain));
    }
    match gains.is_empty() {
        true => String::new(),
        false => text + &not_reached(claim.gain.0, &gains),
    }
}

/// Which of these operations, each with its ratio as the table shows it, gain less than the guide expects.
fn not_reached(least: u8, gains: &[(String, u64, String)]) -> String {
    let median = |gain: &str| gain.split('×').next().and_then(|median| median.parse::<f64>().ok());
    let short = gains.iter().filter_map(|(op, concurrency, gain)| {
        let median = median(gain)?;
        (median < f64::from(least)).then(|| format!("- {op}, {concurrency} at once: {median:.2}×\n"))
    });
    let short: String = short.collect();
    match short.is_empty() {
        true => format!("\nThe {least} times are reached by all of them.\n"),
        false => format!("\nThe {least} times are not reached by:\n\n{short}"),
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

    /// The ratios of ops/s in the table of a section of the page.
    fn gains_in(section: &str) -> Vec<(String, u64, String)> {
        let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
        let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        rows.map(|row| {
            let cells = cells(row);
            (cells[1].clone(), cells[2].parse().unwrap(), cells[5].clone())
        })
        .collect()
    }

    #[test]
    fn the_page_in_the_repository_says_what_this_program_writes_of_its_figures() {
        let page = fs::read_to_string(workspace::root().join(FILE)).unwrap();
        assert!(page.starts_with(HEAD) && page.contains(RATIOS) && page.ends_with(FILES), "{page}");
        let (_, of_many) = page.split_once("\n## 100 to").unwrap();
        assert!(many(&[]).contains(of_many.lines().nth(2).unwrap()));
        for claim in CLAIMS {
            let opening = opening(&claim);
            let (_, rest) =
                page.split_once(&opening).unwrap_or_else(|| panic!("{opening} is not in the page"));
            let section = rest.split("\n## ").next().unwrap();
            let gains = gains_in(section);
            assert!(!gains.is_empty(), "{section}");
            assert!(section.ends_with(&not_reached(claim.gain.0, &gains)), "{section}");
        }
    }

    #[test]
    fn what_gains_less_than_the_guide_expects_is_said() {
        let gain = |op: &str, gain: &str| (op.to_owned(), 4, gain.to_owned());
        let gains = [
            gain("a", "1.99× (1.50–9.00)"),
            gain("b", "2.00× (1.00–3.00)"),
            gain("c", "–"),
            gain("d", "0.77× ()"),
        ];
        let said = "\nThe 2 times are not reached by:\n\n- a, 4 at once: 1.99×\n- d, 4 at once: 0.77×\n";
        assert_eq!(not_reached(2, &gains), said);
        assert_eq!(not_reached(2, &gains[1..3]), "\nThe 2 times are reached by all of them.\n");
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
        assert!(
            page.contains("--concurrency 64` |\n\nThe 3 times are reached by all of them.\n\n## 100"),
            "{page}"
        );
        // What one side alone did is compared with nothing, and what was not measured has no table.
        assert!(
            !page.contains("| put |") && !page.contains("fred") && !page.contains("Milvus, searches"),
            "{page}"
        );
    }
}
