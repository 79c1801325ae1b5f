//! What the Milvus client itself costs: measured against canned replies, and beside it against a real server when
//! `MILVUS_URI` names one.

use std::{env, time::Duration};

use anyhow::{Result, ensure};
use arshai_milvus::MilvusConfig;

use crate::{
    figure::Figures,
    measure::{Bench, Measured},
    milvus::{Subject, on_one_thread},
    milvus_canned::Canned,
};

const ROUNDS: usize = 5;
/// What the server takes for a search when overlapping is measured.
const LATENCY: Duration = Duration::from_millis(20);
const AT_ONCE: usize = 64;

pub(crate) async fn run(figures: &mut Figures) -> Result<()> {
    let canned = [(on_one_thread(costs(None)).await?, "one thread"), (costs(None).await?, "two threads")];
    for (costs, threads) in canned {
        costs.judge(figures, &format!("canned replies, {threads}"));
    }
    if let Ok(uri) = env::var("MILVUS_URI") {
        let (alone, both) = (on_one_thread(costs(Some(uri.clone()))).await?, costs(Some(uri)).await?);
        alone.judge(figures, "real server, one thread");
        // What waking the other thread costs is the runtime's.
        both.note(figures, "real server, two threads");
    }
    connections(figures).await?;
    overlap(figures).await
}

/// CPU time of this process in µs, in each round.
#[derive(Debug, Default)]
struct Costs {
    one: Vec<f64>,
    many: Vec<f64>,
    row: Vec<f64>,
}

async fn costs(uri: Option<String>) -> Result<Costs> {
    let mut costs = Costs::default();
    let (prefix, times) = if uri.is_some() { ("", 1) } else { ("canned_", 8) };
    for round in 0..ROUNDS {
        let bench = Bench::new("milvus-client", round, &[]);
        let canned = Canned::start(Duration::ZERO).await?;
        let config = MilvusConfig::from_url(uri.as_deref().unwrap_or(&canned.url()))?;
        let subject = Subject::open(config, prefix, times).await?;
        costs.row.push(cpu(&subject.insert(&bench).await?));
        costs.one.push(cpu(&subject.search(&bench, 1).await?));
        costs.many.push(cpu(&subject.search(&bench, 16).await?));
        subject.end().await?;
        canned.end().await?;
    }
    Ok(costs)
}

impl Costs {
    fn judge(self, figures: &mut Figures, name: &str) {
        for (name, median, target) in self.medians(name) {
            figures.at_most(&name, median, target, "µs");
        }
    }

    fn note(self, figures: &Figures, name: &str) {
        for (name, median, _) in self.medians(name) {
            figures.note(&name, median, "µs");
        }
    }

    /// With the least and the most in the name.
    fn medians(self, name: &str) -> [(String, f64, f64); 3] {
        [
            ("search, 16 at once", self.many, 60.0),
            ("search, one at a time", self.one, 100.0),
            ("insert, for each row", self.row, 6.0),
        ]
        .map(|(what, mut values, target)| {
            values.sort_by(f64::total_cmp);
            let (least, most) = (values[0], values[ROUNDS - 1]);
            let name = format!("client CPU, {name}, {what} ({least:.1} to {most:.1})");
            (name, values[ROUNDS / 2], target)
        })
    }
}

fn cpu(measured: &Measured) -> f64 {
    measured.client_cpu_us_per_op
}

/// By how many connections a search is cheapest.
async fn connections(figures: &Figures) -> Result<()> {
    for connections in [1, 2, 4] {
        let server = Canned::start(Duration::ZERO).await?;
        let mut config = MilvusConfig::from_url(&server.url())?;
        config.connections = connections;
        let subject = Subject::open(config, "canned_", 8).await?;
        let bench = Bench::new("milvus-client", 0, &[]);
        for at_once in [1, 16, 64, 256] {
            let measured = subject.search(&bench, at_once).await?;
            figures.note(&format!("{connections} connections, {at_once} at once"), cpu(&measured), "µs");
            figures.note(
                &format!("{connections} connections, {at_once} at once"),
                measured.ops_per_s,
                "searches/s",
            );
        }
        subject.end().await?;
        server.end().await?;
    }
    Ok(())
}

/// As many searches as are asked for are in flight, all of the time.
async fn overlap(figures: &mut Figures) -> Result<()> {
    let server = Canned::start(LATENCY).await?;
    let subject = Subject::open(MilvusConfig::from_url(&server.url())?, "slow_", 2).await?;
    let bench = Bench::new("milvus-client", 0, &[]);
    let measured = subject.search(&bench, AT_ONCE).await?;
    subject.end().await?;
    let most = server.end().await?;
    ensure!(most <= AT_ONCE, "the server counted {most} searches at once, of {AT_ONCE}");
    figures.at_least("searches in flight at the server, of 64", most as f64, AT_ONCE as f64, "");
    let capacity = AT_ONCE as f64 / LATENCY.as_secs_f64();
    figures.at_least(
        "share of the capacity of a server that takes 20 ms",
        measured.ops_per_s / capacity,
        0.8,
        "",
    );
    Ok(())
}
